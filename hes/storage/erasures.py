"""
What erasing a person's data does to the tables; what goes and stays: `hes.lifecycle.erasure`.

Each function is a step that may be done twice. Evidence and the end of personal data are one
transaction, before anything is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs
import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from hes.domain.errors import PermanentError
from hes.domain.readings import microseconds
from hes.storage import kept_rows, quarantine, rollups
from hes.storage.channels import READING_TABLES
from hes.storage.database import Connection
from hes.storage.queries.current import REVISION_COLUMNS
from hes.storage.queries.selection import FoundChannel

_STAY: Final = """
SELECT o.occupancy_id, t.name, o.usage_point_id, u.name, o.since, o.until, o.contract,
       o.person IS NOT NULL, s.timezone,
       (SELECT erasure_id FROM erasure AS e WHERE e.occupancy_id = o.occupancy_id
        ORDER BY erasure_id DESC LIMIT 1)
FROM occupancy AS o JOIN usage_point AS u USING (usage_point_id)
JOIN tenant AS t ON t.tenant_id = u.tenant_id LEFT JOIN site AS s USING (site_id)
"""

_METERS: Final = """
SELECT i.meter_id, m.timezone, greatest(i.since, %(since)s), least(i.until, %(until)s)
FROM installation AS i JOIN meter AS m USING (meter_id)
WHERE i.usage_point_id = %(usage_point_id)s
  AND i.since < %(until)s AND coalesce(i.until, 'infinity') > %(since)s
ORDER BY 3
"""

# Which of all that was said is the current value is known by its value; of equal ones the earliest.
_PROVENANCE: Final = """
SELECT batch.source_kind, batch.received_at, batch.stored_at
FROM (
    SELECT batch_id FROM {table} AS row
    WHERE series_id = ANY (%(series_ids)s) AND captured_at = %(captured_at)s
      AND row.value IS NOT DISTINCT FROM %(value)s
    UNION ALL
    SELECT batch_id FROM reading_revision
    WHERE series_id = ANY (%(series_ids)s) AND captured_at = %(captured_at)s
      AND {column} IS NOT DISTINCT FROM %(value)s
) AS said JOIN batch USING (batch_id)
ORDER BY array_position(ARRAY['profile', 'spot', 'push'], batch.source_kind), batch_id LIMIT 1
"""

_KEEP: Final = """
INSERT INTO billing_evidence (
    erasure_id, usage_point_id, meter_id, source, obis, class_id, attribute_index, data_index,
    kept_as, captured_at, value, value_text, unit, quality, source_kind, received_at, stored_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

# What months came to whose readings are gone by age, if captured within the time in question.
_MONTHS: Final = """
SELECT series_id, last_at, last, quality FROM rollup_month
WHERE series_id = ANY (%(series_ids)s)
  AND bucket_start > %(since)s::timestamptz - interval '32 days' AND bucket_start < %(until)s
  AND last_at > %(since)s AND last_at <= %(until)s AND last_at < %(before)s
ORDER BY last_at
"""

# Frames that came before anybody knew the meter name it as they pleased.
_ENTRIES: Final = """
SELECT quarantine_id, rows, received_at FROM quarantine
WHERE received_at >= %(since)s AND (meter_id = %(meter_id)s OR (
    meter_id IS NULL AND identity IN (
        SELECT left(name, 64)
        FROM meter AS m,
             unnest(ARRAY[m.meter_id::text, serial, id_value, encode(system_title, 'hex')])
            AS name
        WHERE m.meter_id = %(meter_id)s
    )))
"""
_DROP_ENTRIES: Final = """
DELETE FROM quarantine WHERE quarantine_id = ANY (%s) RETURNING sender, octets
"""


class OccupancyUnknownError(PermanentError):
    """There is no such occupancy."""


@attrs.frozen
class Stay:
    """An occupancy as far as erasure needs it; `erasure_id`: of one that was begun."""

    occupancy_id: int
    tenant: str
    usage_point_id: int
    usage_point: str
    since: datetime
    until: datetime | None
    contract: str | None
    named: bool
    timezone: str | None
    erasure_id: int | None


@attrs.frozen
class MeterStay:
    """A meter that hung there, as long as it did within the occupancy."""

    meter_id: UUID
    timezone: str
    since: datetime
    until: datetime


@attrs.frozen
class Evidence:
    """A value that is kept; exact, in the unit of its series; `raw` None: out of a roll-up."""

    channel: FoundChannel
    kept_as: str
    captured_at: datetime
    raw: int | float | str | None
    value: Decimal | None
    text: str | None
    unit: int
    quality: int


def stay(connection: Connection, occupancy_id: int) -> Stay:
    """
    One occupancy.

    Raises: OccupancyUnknownError.
    """
    row = connection.execute(_STAY + " WHERE o.occupancy_id = %s", (occupancy_id,)).fetchone()
    if row is None:
        raise OccupancyUnknownError(f"there is no occupancy {occupancy_id}")
    return Stay(*row)


def stays(connection: Connection, contract: str) -> Sequence[Stay]:
    """The occupancies of a contract, oldest first."""
    rows = connection.execute(_STAY + " WHERE o.contract = %s ORDER BY o.since", (contract,))
    return [Stay(*row) for row in rows]


def meters(connection: Connection, of: Stay, until: datetime) -> Sequence[MeterStay]:
    """The meters that hung there meanwhile."""
    rows = connection.execute(
        _METERS, {"usage_point_id": of.usage_point_id, "since": of.since, "until": until}
    )
    return [MeterStay(*row) for row in rows]


def begin(
    connection: Connection,
    of: Stay,
    reason: str,
    by: str,
    evidence: Mapping[UUID, Sequence[Evidence]],
) -> int:
    """Note the erasure, keep the evidence, forget the person. Returns: the erasure's id."""
    row = connection.execute(
        "INSERT INTO erasure (occupancy_id, reason, erased_by) VALUES (%s, %s, %s)"
        " RETURNING erasure_id",
        (of.occupancy_id, reason, by),
    ).fetchone()
    assert row is not None
    for meter_id, kept in evidence.items():
        for one in kept:
            _keep(connection, row[0], of.usage_point_id, meter_id, one)
    connection.execute(
        "UPDATE occupancy SET person = NULL WHERE occupancy_id = %s", (of.occupancy_id,)
    )
    return int(row[0])


def finish(connection: Connection, erasure_id: int, counts: Mapping[str, int]) -> None:
    """Note that nothing is left to do."""
    connection.execute(
        "UPDATE erasure SET ended_at = now(), counts = %s WHERE erasure_id = %s",
        (Jsonb(dict(counts)), erasure_id),
    )


def months(
    connection: Connection,
    series_ids: Sequence[int],
    since: datetime,
    until: datetime,
    before: datetime,
) -> Sequence[tuple[int, datetime, Decimal, int]]:
    """The last value (raw) of each rolled-up month, by series, if it is older than `before`."""
    bounds = {"series_ids": list(series_ids), "since": since, "until": until, "before": before}
    return connection.execute(_MONTHS, bounds).fetchall()


def forget_rollups(
    connection: Connection,
    series_ids: Sequence[int],
    since: datetime,
    until: datetime,
    starts: Mapping[str, datetime],
) -> int:
    """
    Delete the buckets that reach into [since, until) and note their edges, to be made anew.

    Call it when the readings are gone.

    Args: starts: by table where the first of these buckets begins, or would.

    Returns: how many buckets.
    """
    # As rollers do, so that none of them writes what it read before.
    connection.execute(
        "SELECT FROM channel WHERE channel_id IN"
        " (SELECT channel_id FROM series WHERE series_id = ANY (%s))"
        " ORDER BY channel_id FOR NO KEY UPDATE",
        (list(series_ids),),
    )
    count = 0
    for table, start in starts.items():
        count += connection.execute(
            sql.SQL(
                "DELETE FROM {} WHERE series_id = ANY (%s)"
                " AND bucket_start >= %s AND bucket_start < %s"
            ).format(sql.Identifier(table)),
            (list(series_ids), start, until),
        ).rowcount
    ids = np.repeat(np.array(series_ids, np.int32), 2)
    edges = np.tile(np.array([microseconds(since), microseconds(until)], np.int64), len(series_ids))
    rollups.mark_dirty(connection, ids, edges)
    return count


def forget_events(connection: Connection, meter_id: UUID, since: datetime, until: datetime) -> int:
    """Delete what the meter noted in its logs meanwhile. Returns: how many."""
    return connection.execute(
        "DELETE FROM event WHERE meter_id = %s AND occurred_at >= %s AND occurred_at < %s",
        (meter_id, since, until),
    ).rowcount


def forget_quarantine(
    connection: Connection,
    meter_id: UUID,
    since: datetime,
    until: datetime,
    *,
    octets_until: datetime,
) -> int:
    """
    Delete entries with rows of [since, until), and octets received in [since, octets_until).

    Also of unknown senders who call themselves as the meter does.

    Returns: how many.
    """
    begin, end = microseconds(since), microseconds(until)
    found = connection.execute(_ENTRIES, {"meter_id": meter_id, "since": since}).fetchall()
    gone = [
        quarantine_id
        for quarantine_id, rows, received_at in found
        if received_at < octets_until or (rows is not None and _touches(rows, begin, end))
    ]
    if gone:
        shares = connection.execute(_DROP_ENTRIES, (gone,)).fetchall()
        quarantine.give_back(connection, shares)
    return len(gone)


def _touches(rows: bytes, begin: int, end: int) -> bool:
    try:
        kept = kept_rows.decode(rows)
    except ValueError:  # another version's: it may be of that time
        return True
    instants = [*kept.integers.captured_at.tolist(), *(one.captured_at for one in kept.others)]
    return any(begin <= instant <= end for instant in instants)


def _keep(
    connection: Connection, erasure_id: int, usage_point_id: int, meter_id: UUID, one: Evidence
) -> None:
    key = one.channel.key
    found = connection.execute(
        sql.SQL(_PROVENANCE).format(
            table=READING_TABLES[key.store], column=REVISION_COLUMNS[key.store]
        ),
        {
            "series_ids": [series.series_id for series in one.channel.series],
            "captured_at": one.captured_at,
            "value": one.raw,
        },
    ).fetchone()
    provenance: Collection[Any] = found or (None, None, None)
    connection.execute(
        _KEEP,
        (
            erasure_id,
            usage_point_id,
            meter_id,
            None if key.source is None else key.source.octets,
            key.obis.octets,
            key.class_id,
            key.attribute_index,
            key.data_index,
            one.kept_as,
            one.captured_at,
            one.value,
            one.text,
            one.unit,
            one.quality,
            *provenance,
        ),
    )
