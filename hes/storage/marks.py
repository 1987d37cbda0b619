"""How far each profile is committed (marks) and which of its intervals we hold (completeness)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

import attrs

from hes.storage import losses
from hes.storage.database import Connection
from hes_protocol.cosem import Obis

_RAISE = """
INSERT INTO mark (meter_id, source, captured_at)
SELECT * FROM unnest(%s::uuid[], %s::bytea[], %s::timestamptz[])
    AS new (meter_id, source, captured_at)
ORDER BY meter_id, source
ON CONFLICT (meter_id, source) DO UPDATE SET captured_at = excluded.captured_at
WHERE excluded.captured_at > mark.captured_at
"""

# What was lost and comes after all is lost no more. Returned is where anything ever was lost.
_COMPLETE = """
WITH noted AS (
    INSERT INTO completeness AS held (meter_id, source, capture_period_s, day, bits)
    SELECT meter_id, source, capture_period_s, day, bits::varbit
    FROM unnest(%s::uuid[], %s::bytea[], %s::int4[], %s::date[], %s::text[])
        AS new (meter_id, source, capture_period_s, day, bits)
    ORDER BY meter_id, source, capture_period_s, day
    ON CONFLICT (meter_id, source, capture_period_s, day) DO UPDATE
    SET bits = held.bits | excluded.bits, lost = held.lost & ~excluded.bits
    WHERE held.bits | excluded.bits <> held.bits
    RETURNING meter_id, source, capture_period_s, day, lost
)
SELECT meter_id, source, capture_period_s, day FROM noted WHERE lost IS NOT NULL
"""


@attrs.frozen
class Mark:
    """The latest committed instant of a meter's profile."""

    meter_id: UUID
    source: Obis
    captured_at: datetime


@attrs.frozen
class DayOfIntervals:
    """
    Intervals of one profile in one UTC day.

    `bits` is a text of 0 and 1, one per interval of the profile's grid from midnight UTC on.
    """

    meter_id: UUID
    source: Obis
    capture_period_s: int
    day: date
    bits: str


def raise_marks(connection: Connection, marks: Sequence[Mark]) -> None:
    """Move marks forward, never back; one per profile."""
    if marks:
        connection.execute(
            _RAISE,
            (
                [mark.meter_id for mark in marks],
                [mark.source.octets for mark in marks],
                [mark.captured_at for mark in marks],
            ),
        )


def select(connection: Connection, meter_ids: Collection[UUID]) -> Sequence[Mark]:
    """The marks of these meters."""
    rows = connection.execute(
        "SELECT meter_id, source, captured_at FROM mark WHERE meter_id = ANY (%s)"
        " ORDER BY meter_id, source",
        (list(meter_ids),),
    )
    return [Mark(meter_id, Obis(source), captured_at) for meter_id, source, captured_at in rows]


def add_intervals(connection: Connection, days: Sequence[DayOfIntervals]) -> None:
    """Note intervals as held, beside those already noted; one entry per profile and day."""
    if not days:
        return
    of_losses = connection.execute(
        _COMPLETE,
        (
            [day.meter_id for day in days],
            [day.source.octets for day in days],
            [day.capture_period_s for day in days],
            [day.day for day in days],
            [day.bits for day in days],
        ),
    ).fetchall()
    if of_losses:
        losses.end(connection, of_losses)


def intervals(
    connection: Connection, meter_id: UUID, source: Obis, from_: date, to: date
) -> Sequence[DayOfIntervals]:
    """The days [from_, to) of one profile of which anything is held."""
    rows = connection.execute(
        "SELECT capture_period_s, day, bits::text FROM completeness"
        " WHERE meter_id = %s AND source = %s AND day >= %s AND day < %s"
        " ORDER BY capture_period_s, day",
        (meter_id, source.octets, from_, to),
    )
    return [DayOfIntervals(meter_id, source, period_s, day, bits) for period_s, day, bits in rows]
