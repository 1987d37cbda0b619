"""Groups of meters that people name together. Names are a tenant's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import attrs

from hes.storage.database import Connection


@attrs.frozen
class Group:
    """A group and how many meters are in it."""

    group_id: int
    name: str
    meters: int


def groups(connection: Connection, tenant_id: int) -> Sequence[Group]:
    """All groups in the order of their names."""
    rows = connection.execute(
        "SELECT g.group_id, g.name, count(m.meter_id)"
        " FROM meter_group g LEFT JOIN meter_group_member m USING (group_id)"
        " WHERE g.tenant_id = %s GROUP BY g.group_id ORDER BY g.name",
        (tenant_id,),
    ).fetchall()
    return [Group(*row) for row in rows]


def find(connection: Connection, tenant_id: int, name: str) -> int | None:
    """The id of the group of this name."""
    row = connection.execute(
        "SELECT group_id FROM meter_group WHERE tenant_id = %s AND name = %s", (tenant_id, name)
    ).fetchone()
    return None if row is None else int(row[0])


def of_meter(connection: Connection, meter_id: UUID) -> Sequence[str]:
    """The names of a meter's groups, in order."""
    rows = connection.execute(
        "SELECT name FROM meter_group JOIN meter_group_member USING (group_id)"
        " WHERE meter_id = %s ORDER BY name",
        (meter_id,),
    )
    return [name for (name,) in rows]


def set_groups(
    connection: Connection, tenant_id: int, groups_of: Mapping[UUID, Sequence[str]]
) -> None:
    """Make these the groups of these meters, and no others; a new name is a new group."""
    pairs = [(meter_id, name) for meter_id, names in groups_of.items() for name in names]
    values = {
        "tenant": tenant_id,
        "all": list(groups_of),
        "meters": [meter_id for meter_id, _ in pairs],
        "names": [name for _, name in pairs],
    }
    connection.execute(
        "INSERT INTO meter_group (tenant_id, name)"
        " SELECT DISTINCT %(tenant)s::int4, name FROM unnest(%(names)s::text[]) AS n (name)"
        " WHERE NOT EXISTS (SELECT FROM meter_group g WHERE g.tenant_id = %(tenant)s"
        '   AND g.name = n.name COLLATE "C") ORDER BY name',
        values,
    )
    connection.execute(
        "DELETE FROM meter_group_member m USING meter_group g"
        " WHERE m.group_id = g.group_id AND m.meter_id = ANY(%(all)s)"
        "   AND (m.meter_id, g.name) NOT IN"
        '     (SELECT meter_id, name COLLATE "C" FROM'
        "       unnest(%(meters)s::uuid[], %(names)s::text[]) AS n (meter_id, name))",
        values,
    )
    connection.execute(
        "INSERT INTO meter_group_member (group_id, meter_id)"
        " SELECT g.group_id, n.meter_id FROM unnest(%(meters)s::uuid[], %(names)s::text[])"
        "   AS n (meter_id, name)"
        ' JOIN meter_group g ON g.tenant_id = %(tenant)s AND g.name = n.name COLLATE "C"'
        " ON CONFLICT DO NOTHING",
        values,
    )


def change_members(
    connection: Connection,
    tenant_id: int,
    name: str,
    *,
    add: Collection[UUID],
    remove: Collection[UUID],
) -> tuple[int, int]:
    """
    Put meters in a group and take others out; a new name is a new group.

    Returns: how many came, how many went.

    Raises:
        psycopg.errors.ForeignKeyViolation: one of those to be added is no meter.
    """
    connection.execute(
        "INSERT INTO meter_group (tenant_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (tenant_id, name),
    )
    group_id = find(connection, tenant_id, name)
    went = connection.execute(
        "DELETE FROM meter_group_member WHERE group_id = %s AND meter_id = ANY(%s)",
        (group_id, list(remove)),
    ).rowcount
    came = connection.execute(
        "INSERT INTO meter_group_member (group_id, meter_id)"
        " SELECT %s, * FROM unnest(%s::uuid[]) AS n (meter_id) ORDER BY meter_id"
        " ON CONFLICT DO NOTHING",
        (group_id, list(add)),
    ).rowcount
    return came, went
