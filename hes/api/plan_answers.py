"""Plans as they go over the wire, from and to what the capability knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import msgspec

from hes.api import plan_schemas as schemas
from hes.api.problems import InvalidField, ProblemError
from hes.domain.plans import RunRecord, Selection, Terms
from hes.domain.work import Priority, Read
from hes.plans.capacity import Capacity
from hes.plans.plan import BadPlanError, reads_of, recurrence_of, usual_times
from hes.plans.service import PlanView, ZonePreview

_PRIORITIES: Final[dict[schemas.PriorityName, Priority]] = {
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "low": Priority.LOW,
}
_PRIORITY_NAMES: Final = {value: name for name, value in _PRIORITIES.items()}


def terms_of(body: schemas.PlanBody) -> Terms:
    """
    What a body says of a plan.

    Raises: ProblemError: plan_invalid.
    """
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
        raise invalid(exc) from exc


def invalid(exc: BadPlanError) -> ProblemError:
    """The problem that names what was refused."""
    fields = [InvalidField(f"/body/{fault.field}", fault.message) for fault in exc.faults]
    return ProblemError("plan_invalid", str(exc), fields)


def plan_of(view: PlanView) -> schemas.Plan:
    """A plan, and how many it selects."""
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


def run_of(record: RunRecord) -> schemas.PlanRun:
    """A run and what it has come to."""
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


def preview_of(zones: Sequence[ZonePreview]) -> schemas.PlanPreview:
    """Runs to come, by zone."""
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


def capacity_of(capacity: Capacity) -> schemas.Capacity:
    """What is needed, against what there is."""
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
