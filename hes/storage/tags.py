"""Tags: words that people put on meters, to find them and to plan for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import attrs

from hes.storage.database import Connection


@attrs.frozen
class Tag:
    """A tag and how many meters have it."""

    tag: str
    meters: int


def tags(connection: Connection, tenant_id: int) -> Sequence[Tag]:
    """All tags in their order."""
    rows = connection.execute(
        "SELECT tag, count(*) FROM meter_tag JOIN meter USING (meter_id) WHERE tenant_id = %s"
        " GROUP BY tag ORDER BY tag",
        (tenant_id,),
    )
    return [Tag(*row) for row in rows]


def of_meter(connection: Connection, meter_id: UUID) -> Sequence[str]:
    """A meter's tags, in order."""
    rows = connection.execute(
        "SELECT tag FROM meter_tag WHERE meter_id = %s ORDER BY tag", (meter_id,)
    )
    return [tag for (tag,) in rows]


def set_tags(connection: Connection, tags_of: Mapping[UUID, Sequence[str]]) -> None:
    """Make these the tags of these meters, and no others."""
    pairs = [(meter_id, tag) for meter_id, tags in tags_of.items() for tag in tags]
    values = {
        "all": list(tags_of),
        "meters": [meter_id for meter_id, _ in pairs],
        "tags": [tag for _, tag in pairs],
    }
    connection.execute(
        "DELETE FROM meter_tag WHERE meter_id = ANY(%(all)s) AND (meter_id, tag) NOT IN"
        '  (SELECT meter_id, tag COLLATE "C"'
        "   FROM unnest(%(meters)s::uuid[], %(tags)s::text[]) AS n (meter_id, tag))",
        values,
    )
    connection.execute(
        "INSERT INTO meter_tag (meter_id, tag)"
        " SELECT * FROM unnest(%(meters)s::uuid[], %(tags)s::text[]) AS n (meter_id, tag)"
        " ORDER BY meter_id, tag ON CONFLICT DO NOTHING",
        values,
    )
