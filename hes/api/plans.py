"""Operations on collection plans."""

from __future__ import annotations

from typing import Final

import attrs

from hes.api import plan_answers as answers
from hes.api import plan_examples as examples
from hes.api import plan_schemas as schemas
from hes.api.routes import Call, IfMatch, Nothing, Routes
from hes.api.schemas import Limit
from hes.plans.plan import BadPlanError

routes = Routes("plans")

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
    items = [answers.plan_of(view) for view in call.services.plans.plans()]
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
    terms = answers.terms_of(body)
    try:
        return answers.plan_of(call.services.plans.add(terms))
    except BadPlanError as exc:
        raise answers.invalid(exc) from exc


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
    terms = answers.terms_of(body)
    try:
        return answers.preview_of(call.services.plans.trial(terms, call.query.runs))
    except BadPlanError as exc:
        raise answers.invalid(exc) from exc


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
    return answers.capacity_of(call.services.plans.capacity())


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
    return answers.plan_of(call.services.plans.get(call.path.id))


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
    terms = answers.terms_of(body)
    try:
        return answers.plan_of(call.services.plans.change(call.path.id, terms, call.revision))
    except BadPlanError as exc:
        raise answers.invalid(exc) from exc


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
    return answers.plan_of(call.services.plans.enable(call.path.id, True, call.revision))


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
    return answers.plan_of(call.services.plans.enable(call.path.id, False, call.revision))


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
        [answers.run_of(record) for record in records[: call.query.limit]],
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
    return answers.plan_of(call.services.plans.run_now(call.path.id))


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
    return answers.preview_of(call.services.plans.preview(call.path.id, call.query.runs))
