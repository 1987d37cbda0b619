"""Operations on groups and tags, by which people name meters together."""

from __future__ import annotations

import attrs

from hes.api import meter_bodies, meter_examples, meter_schemas
from hes.api.problems import ProblemError
from hes.api.routes import Call, Nothing, Routes
from hes.meters import RefusedError

routes = Routes("groups")


@attrs.frozen
class GroupPath:
    group: meter_bodies.Name


@routes.route(
    "GET",
    "/v1/groups",
    returns={200: meter_schemas.GroupList},
    problems=["storage_unavailable", "overloaded"],
    scope="meters:read",
    example=meter_examples.GROUPS,
)
def list_groups(call: Call[Nothing, Nothing]) -> meter_schemas.GroupList:
    """List all groups, and how many meters are in them."""
    items = [
        meter_schemas.Group(each.name, each.meters) for each in call.services.inventory.groups()
    ]
    return meter_schemas.GroupList(items, None, has_more=False, total_estimate=len(items))


@routes.route(
    "POST",
    "/v1/groups/{group}/members",
    path_types=GroupPath,
    body=meter_bodies.MembersIn,
    returns={200: meter_schemas.Membership},
    problems=["meter_not_found", "change_refused", "storage_unavailable", "overloaded"],
    scope="meters:write",
    example=meter_examples.MEMBERSHIP,
)
def change_members(
    call: Call[Nothing, GroupPath], body: meter_bodies.MembersIn
) -> meter_schemas.Membership:
    """
    Put meters in a group and take others out.

    A name that nobody has used is a new group. Who is in, or out, already does not count.
    """
    try:
        added, removed = call.services.changes.change_members(
            call.path.group, add=body.add, remove=body.remove
        )
    except RefusedError as exc:
        raise ProblemError("change_refused", str(exc)) from exc
    return meter_schemas.Membership(call.path.group, added, removed)


@routes.route(
    "GET",
    "/v1/tags",
    returns={200: meter_schemas.TagList},
    problems=["storage_unavailable", "overloaded"],
    scope="meters:read",
    example=meter_examples.TAGS,
)
def list_tags(call: Call[Nothing, Nothing]) -> meter_schemas.TagList:
    """List all tags, and how many meters have them."""
    items = [meter_schemas.Tag(each.tag, each.meters) for each in call.services.inventory.tags()]
    return meter_schemas.TagList(items, None, has_more=False, total_estimate=len(items))
