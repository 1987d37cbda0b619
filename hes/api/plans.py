"""Operations on collection plans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import attrs
import msgspec

from hes.api import plan_examples as examples
from hes.api import plan_schemas as schemas
from hes.api.problems import InvalidField, ProblemError
from hes.api.routes import Call, IfMatch, Nothing, Routes
from hes.api.schemas import Limit
from hes.domain.plans import RunRecord, Selection, Terms
from hes.domain.work import Priority, Read
from hes.plans.capacity import Capacity
from hes.plans.plan import BadPlanError, reads_of, recurrence_of, usual_times
from hes.plans.service import PlanView, ZonePreview

routes = Routes("plans")

_PRIORITIES: Final[dict[schemas.PriorityName, Priority]] = {
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "low": Priority.LOW,
}
_PRIORITY_NAMES: Final = {value: name for name, value in _PRIORITIES.items()}
_AWAY: Final = ("storage_unavailable", "overloaded")


@attrs.frozen
class PlanPath:
    id: schemas.PlanId


@attrs.frozen
class PreviewQuery:
    runs: schemas.Count = 10


@attrs.frozen
class RunsQuery:
    limit: Limit = 100


@routes.route(
    "GET",
    "/v1/plans",
    returns={200: schemas.PlanList},
    problems=_AWAY,
    scope="plans:read",
    example=examples.PLANS,
)
def list_plans(call: Call[Nothing, Nothing]) -> schemas.PlanList:
    """List all plans, the most important first."""
    items = [_plan(view) for view in call.services.plans.plans()]
    return schemas.PlanList(items, next_cursor=None, has_more=False, total_estimate=len(items))


@routes.route(
    "POST",
    "/v1/plans",
    body=schemas.PlanBody,
    returns={201: schemas.Plan},
    problems=["plan_invalid", "plan_exists", *_AWAY],
    scope="plans:write",
    example=examples.PLAN,
)
def create_plan(call: Call[Nothing, Nothing], body: schemas.PlanBody) -> schemas.Plan:
    """
    Make a plan.

    Its first run is the next one: none is made up for.
    """
    terms = _terms(body)
    try:
        return _plan(call.services.plans.add(terms))
    except BadPlanError as exc:
        raise _invalid(exc) from exc


@routes.route(
    "POST",
    "/v1/plans/trial",
    query=PreviewQuery,
    body=schemas.PlanBody,
    returns={200: schemas.PlanPreview},
    problems=["plan_invalid", *_AWAY],
    scope="plans:read",
    example=examples.PREVIEW,
)
def try_plan(call: Call[PreviewQuery, Nothing], body: schemas.PlanBody) -> schemas.PlanPreview:
    """
    See whom a plan would read, and when; nothing is kept.

    It may be meant to take the place of one with the same name.
    """
    terms = _terms(body)
    try:
        return _preview(call.services.plans.trial(terms, call.query.runs))
    except BadPlanError as exc:
        raise _invalid(exc) from exc


@routes.route(
    "GET",
    "/v1/plans/capacity",
    returns={200: schemas.Capacity},
    problems=_AWAY,
    scope="plans:read",
    example=examples.CAPACITY,
)
def get_capacity(call: Call[Nothing, Nothing]) -> schemas.Capacity:
    """
    Get what the enabled plans need in the next 24 hours, against what collectors do.

    Where it does not fit, give plans more time or more spread, or run more collectors.
    """
    return _capacity(call.services.plans.capacity())


@routes.route(
    "GET",
    "/v1/plans/{id}",
    path_types=PlanPath,
    returns={200: schemas.Plan},
    problems=["plan_not_found", *_AWAY],
    scope="plans:read",
    example=examples.PLAN,
)
def get_plan(call: Call[Nothing, PlanPath]) -> schemas.Plan:
    """Get one plan."""
    return _plan(call.services.plans.get(call.path.id))


@routes.route(
    "PUT",
    "/v1/plans/{id}",
    path_types=PlanPath,
    body=schemas.PlanBody,
    if_match=IfMatch.REQUIRED,
    returns={200: schemas.Plan},
    problems=["plan_not_found", "plan_invalid", "plan_exists", *_AWAY],
    scope="plans:write",
    example=examples.PLAN,
)
def change_plan(call: Call[Nothing, PlanPath], body: schemas.PlanBody) -> schemas.Plan:
    """
    Change a plan.

    Runs that are under way keep their members, turns and deadlines; what they read is what the plan
    says now. What is open of a plan that is disabled is cancelled.
    """
    terms = _terms(body)
    try:
        return _plan(call.services.plans.change(call.path.id, terms, call.revision))
    except BadPlanError as exc:
        raise _invalid(exc) from exc


@routes.route(
    "DELETE",
    "/v1/plans/{id}",
    path_types=PlanPath,
    if_match=IfMatch.TAKEN,
    returns={200: schemas.PlanRemoved},
    problems=["plan_not_found", *_AWAY],
    scope="plans:write",
    example=examples.REMOVED,
)
def remove_plan(call: Call[Nothing, PlanPath]) -> schemas.PlanRemoved:
    """Remove a plan and cancel what is open of it; what its runs came to stays."""
    cancelled = call.services.plans.remove(call.path.id, call.revision)
    return schemas.PlanRemoved(call.path.id, cancelled)


@routes.route(
    "POST",
    "/v1/plans/{id}/enable",
    path_types=PlanPath,
    if_match=IfMatch.TAKEN,
    returns={200: schemas.Plan},
    problems=["plan_not_found", *_AWAY],
    scope="plans:write",
    example=examples.PLAN,
)
def enable_plan(call: Call[Nothing, PlanPath]) -> schemas.Plan:
    """Have a plan run, from its next run on."""
    return _plan(call.services.plans.enable(call.path.id, True, call.revision))


@routes.route(
    "POST",
    "/v1/plans/{id}/disable",
    path_types=PlanPath,
    if_match=IfMatch.TAKEN,
    returns={200: schemas.Plan},
    problems=["plan_not_found", *_AWAY],
    scope="plans:write",
    example=examples.PLAN,
)
def disable_plan(call: Call[Nothing, PlanPath]) -> schemas.Plan:
    """Have a plan run no more; what is open of it is cancelled."""
    return _plan(call.services.plans.enable(call.path.id, False, call.revision))


@routes.route(
    "GET",
    "/v1/plans/{id}/runs",
    path_types=PlanPath,
    query=RunsQuery,
    returns={200: schemas.PlanRunList},
    problems=["plan_not_found", *_AWAY],
    scope="plans:read",
    example=examples.RUNS,
)
def list_plan_runs(call: Call[RunsQuery, PlanPath]) -> schemas.PlanRunList:
    """List the last runs of a plan in all zones, newest first, and how their items ended."""
    records = call.services.plans.runs(call.path.id, call.query.limit + 1)
    return schemas.PlanRunList(
        [_run(record) for record in records[: call.query.limit]],
        next_cursor=None,
        has_more=len(records) > call.query.limit,
        total_estimate=None,
    )


@routes.route(
    "POST",
    "/v1/plans/{id}/run",
    path_types=PlanPath,
    returns={202: schemas.Plan},
    problems=["plan_not_found", "plan_disabled", *_AWAY],
    scope="plans:run",
    example=examples.PLAN,
)
def run_plan(call: Call[Nothing, PlanPath]) -> schemas.Plan:
    """
    Have a plan run now, besides its recurrence.

    The scheduler makes the run within seconds; turns are spread as ever. Nothing is expected by its
    deadline.
    """
    return _plan(call.services.plans.run_now(call.path.id))


@routes.route(
    "GET",
    "/v1/plans/{id}/preview",
    path_types=PlanPath,
    query=PreviewQuery,
    returns={200: schemas.PlanPreview},
    problems=["plan_not_found", *_AWAY],
    scope="plans:read",
    example=examples.PREVIEW,
)
def preview_plan(call: Call[PreviewQuery, PlanPath]) -> schemas.PlanPreview:
    """Get the next runs of a plan by zone, whether it is enabled or not."""
    return _preview(call.services.plans.preview(call.path.id, call.query.runs))


def _terms(body: schemas.PlanBody) -> Terms:
    """Raises: ProblemError: plan_invalid."""
    window_s, spread_s = usual_times(body.deadline_s, body.window_s, body.spread_s)
    try:
        return Terms(
            name=body.name,
            reads=reads_of(msgspec.to_builtins(body.reads)),
            selection=Selection(**msgspec.to_builtins(body.selection)),
            recurrence=recurrence_of(body.recurrence),
            window_s=window_s,
            spread_s=spread_s,
            deadline_s=body.deadline_s,
            zone=body.zone,
            priority=_PRIORITIES[body.priority],
            target=body.target,
            enabled=body.enabled,
        )
    except BadPlanError as exc:
        raise _invalid(exc) from exc


def _invalid(exc: BadPlanError) -> ProblemError:
    fields = [InvalidField(f"/body/{fault.field}", fault.message) for fault in exc.faults]
    return ProblemError("plan_invalid", str(exc), fields)


def _plan(view: PlanView) -> schemas.Plan:
    plan = view.plan
    return schemas.Plan(
        id=plan.plan_id,
        name=plan.name,
        enabled=plan.enabled,
        priority=_PRIORITY_NAMES[plan.priority],
        reads=[_read(read) for read in plan.reads],
        selection=schemas.Selection(
            plan.selection.all_meters,
            plan.selection.groups,
            plan.selection.tags,
            plan.selection.models,
        ),
        recurrence=str(plan.recurrence),
        zone=plan.zone,
        window_s=plan.window_s,
        spread_s=plan.spread_s,
        deadline_s=plan.deadline_s,
        target=plan.target,
        members=view.members,
        since=plan.since.astimezone(UTC),
        revision=plan.revision,
    )


def _read(read: Read) -> schemas.Read:
    return schemas.Read(
        read.kind.value,
        None if read.source is None else str(read.source),
        [
            schemas.Attribute(each.class_id, str(each.obis), each.attribute_index)
            for each in read.attributes
        ],
    )


def _run(record: RunRecord) -> schemas.PlanRun:
    run = record.run
    return schemas.PlanRun(
        run_at=run.run_at.astimezone(UTC),
        timezone=run.zone,
        deadline_at=run.deadline_at.astimezone(UTC),
        ends_at=run.ends_at.astimezone(UTC),
        asked=run.asked,
        skipped=record.skipped,
        members=record.members,
        open=record.open,
        done=record.done,
        late=record.late,
        failed=record.failed,
        expired=record.expired,
        cancelled=record.cancelled,
        ended_at=None if record.ended_at is None else record.ended_at.astimezone(UTC),
    )


def _preview(zones: Sequence[ZonePreview]) -> schemas.PlanPreview:
    return schemas.PlanPreview(
        sum(zone.members for zone in zones),
        [
            schemas.ZonePreview(
                zone.zone,
                zone.members,
                [
                    schemas.ComingRun(
                        each.run_at,
                        each.local,
                        each.deadline_at,
                        None if each.shift is None else each.shift.value,
                    )
                    for each in zone.runs
                ],
            )
            for zone in zones
        ],
    )


def _capacity(capacity: Capacity) -> schemas.Capacity:
    return schemas.Capacity(
        available_per_s=round(capacity.pace.per_s, 3),
        measured=capacity.pace.measured,
        peak_per_s=round(capacity.peak_per_s, 3),
        fits=capacity.fits,
        plans=[
            schemas.PlanNeed(
                need.plan.plan_id,
                need.plan.name,
                need.members,
                need.values_per_day,
                round(need.needed_per_s, 3),
            )
            for need in capacity.plans
        ],
        hours=[
            schemas.HourNeed(
                hour.starts_at,
                round(hour.needed_per_s, 3),
                hour.needed_per_s <= capacity.pace.per_s,
            )
            for hour in capacity.hours
        ],
    )
