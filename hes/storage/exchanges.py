"""Exchanges of meters: who took whose place when, and what their registers showed then."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs
from psycopg.types.json import Jsonb

from hes.storage.database import Connection


@attrs.frozen
class Exchange:
    """
    At `at` the new meter took the old one's place at `usage_point`.

    Registers: from OBIS code, dotted, to the value's text in the unit that the register shows.
    """

    usage_point: str
    old_id: UUID
    old: str
    new_id: UUID
    new: str
    at: datetime
    last_registers: Mapping[str, str]
    first_registers: Mapping[str, str]
    reason: str
    actor: str


def exchanges(connection: Connection, meter_ids: Collection[UUID]) -> Sequence[Exchange]:
    """All exchanges in which one of these meters came or went, the latest first."""
    rows = connection.execute(
        "SELECT u.name, e.old_meter_id, o.serial, e.new_meter_id, n.serial, e.at,"
        "   e.last_registers, e.first_registers, e.reason, e.actor"
        " FROM meter_exchange e JOIN usage_point u USING (usage_point_id)"
        " JOIN meter o ON o.meter_id = e.old_meter_id JOIN meter n ON n.meter_id = e.new_meter_id"
        " WHERE e.old_meter_id = ANY(%(ids)s) OR e.new_meter_id = ANY(%(ids)s)"
        " ORDER BY e.at DESC, e.exchange_id DESC",
        {"ids": list(meter_ids)},
    )
    return [Exchange(*row) for row in rows]


def add(connection: Connection, tenant_id: int, added: Sequence[Exchange]) -> None:
    """Write exchanges; their meters and usage points are there."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO meter_exchange (usage_point_id, old_meter_id, new_meter_id, at,"
            "   last_registers, first_registers, reason, actor)"
            " SELECT usage_point_id, %s, %s, %s, %s, %s, %s, %s FROM usage_point"
            ' WHERE tenant_id = %s AND name = %s COLLATE "C"',
            [
                (
                    each.old_id,
                    each.new_id,
                    each.at,
                    Jsonb(dict(each.last_registers)),
                    Jsonb(dict(each.first_registers)),
                    each.reason,
                    each.actor,
                    tenant_id,
                    each.usage_point,
                )
                for each in added
            ],
        )
