"""
Occupancies: who lives or works at a usage point, from when until when.

Personal data stand in `person` and nowhere else, so that they can be erased without the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
from psycopg.types.json import Jsonb

from hes.storage.database import Connection


@attrs.frozen
class Occupancy:
    """Who is at a usage point in [since, until); `person` None: nobody said, or erased."""

    occupancy_id: int
    since: datetime
    until: datetime | None
    contract: str | None
    person: Mapping[str, object] | None = attrs.field(repr=False)


def move_in(
    connection: Connection,
    usage_point_id: int,
    since: datetime,
    *,
    contract: str | None = None,
    person: Mapping[str, object] | None = None,
) -> int:
    """
    Begin an occupancy; whoever is there still leaves at that instant.

    Returns:
        Its id.

    Raises:
        psycopg.errors.IntegrityError: somebody is or was there at `since` or later.
    """
    connection.execute(
        "UPDATE occupancy SET until = %(since)s WHERE usage_point_id = %(point)s"
        " AND until IS NULL AND since < %(since)s",
        {"since": since, "point": usage_point_id},
    )
    row = connection.execute(
        "INSERT INTO occupancy (usage_point_id, since, contract, person)"
        " VALUES (%s, %s, %s, %s) RETURNING occupancy_id",
        (usage_point_id, since, contract, None if person is None else Jsonb(dict(person))),
    ).fetchone()
    assert row is not None
    return int(row[0])


def move_out(connection: Connection, usage_point_id: int, until: datetime) -> bool:
    """End the occupancy that lasts; tells whether there was one."""
    ended = connection.execute(
        "UPDATE occupancy SET until = %s WHERE usage_point_id = %s AND until IS NULL",
        (until, usage_point_id),
    )
    return ended.rowcount == 1


def at_usage_point(connection: Connection, usage_point_id: int) -> Sequence[Occupancy]:
    """Who is and was there, the latest first."""
    rows = connection.execute(
        "SELECT occupancy_id, since, until, contract, person FROM occupancy"
        " WHERE usage_point_id = %s ORDER BY since DESC",
        (usage_point_id,),
    ).fetchall()
    return [Occupancy(*row) for row in rows]
