"""
Events that meters note in their logs. A log that is read again adds nothing.

A meter gives its events no number: equal codes of one instant are told apart by their order in the
log, which stays the same as long as whole instants are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import attrs
from psycopg.types.json import Jsonb

from hes.domain.readings import LogEntry, LogGap
from hes.storage.database import Connection
from hes.storage.features import chunks
from hes_protocol.cosem import Obis


@attrs.frozen
class StoredEvent:
    """An event as it is stored: a line of a log, and the batch by which it came."""

    entry: LogEntry
    ordinal: int
    batch_id: int


def insert(connection: Connection, batch_id: int, entries: Iterable[LogEntry]) -> int:
    """
    Store lines of logs, each log's in its own order; those that are there stay as they are.

    Before the transaction: `partitions.ensure(database, {chunks.number_of(…)}, ["event"])`.

    Returns:
        How many were new.
    """
    seen: dict[tuple[object, ...], int] = {}
    rows = []
    for entry in entries:
        key = (entry.meter_id, entry.occurred_at, entry.source.octets, entry.code)
        seen[key] = seen.get(key, -1) + 1
        detail = None if entry.detail is None else Jsonb(entry.detail)
        rows.append((*key, seen[key], detail))
    # Chunk by chunk in the order of the key, so that two who write the same events, or need the
    # same new chunks, do not wait in a circle.
    rows.sort(key=lambda row: (chunks.number_of(row[1]), *row[:5]))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 6
    inserted = connection.execute(
        "INSERT INTO event (occurred_at, batch_id, meter_id, code, ordinal, source, detail)"
        " SELECT occurred_at, %s, meter_id, code, ordinal, source, detail FROM unnest("
        "   %s::uuid[], %s::timestamptz[], %s::bytea[], %s::int4[], %s::int2[], %s::jsonb[]"
        " ) AS n (meter_id, occurred_at, source, code, ordinal, detail)"
        " ON CONFLICT (meter_id, occurred_at, source, code, ordinal) DO NOTHING",
        (batch_id, *columns),
    )
    return inserted.rowcount


def insert_gaps(connection: Connection, batch_id: int, gaps: Iterable[LogGap]) -> None:
    """Note what is gone from logs; a gap that is known already stays as it is."""
    rows = sorted(
        ((gap.meter_id, gap.source.octets, gap.since, gap.until, gap.reason) for gap in gaps),
        key=lambda row: row[:3],
    )
    if rows:
        connection.execute(
            "INSERT INTO log_gap (meter_id, source, since, until, reason, batch_id)"
            " SELECT meter_id, source, since, until, reason, %s FROM unnest("
            "   %s::uuid[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::text[]"
            " ) AS n (meter_id, source, since, until, reason)"
            " ON CONFLICT (meter_id, source, since) DO NOTHING",
            (batch_id, *(list(column) for column in zip(*rows, strict=True))),
        )


def gaps_of(connection: Connection, meter_id: UUID) -> Sequence[LogGap]:
    """What is gone from a meter's logs, oldest first."""
    rows = connection.execute(
        "SELECT source, since, until, reason FROM log_gap WHERE meter_id = %s"
        " ORDER BY since, source",
        (meter_id,),
    )
    return [LogGap(meter_id, Obis(source), *rest) for source, *rest in rows]


def of_meter(
    connection: Connection, meter_id: UUID, from_: datetime, to: datetime, *, limit: int
) -> Sequence[StoredEvent]:
    """A meter's events in [from_, to), latest first."""
    rows = connection.execute(
        "SELECT source, occurred_at, code, detail, ordinal, batch_id FROM event"
        " WHERE meter_id = %s AND occurred_at >= %s AND occurred_at < %s"
        " ORDER BY occurred_at DESC, source DESC, code DESC, ordinal DESC LIMIT %s",
        (meter_id, from_, to, limit),
    ).fetchall()
    return [
        StoredEvent(LogEntry(meter_id, Obis(row[0]), *row[1:4]), ordinal=row[4], batch_id=row[5])
        for row in rows
    ]
