"""
Which hours the roll-ups have yet to take in: noted by the writer, taken by the roller.

A mark is only appended and deleted, never updated: writers wait neither for each other nor for a
roller, and since it is committed with its rows, whoever takes it sees them in the statements that
follow. What a bucket comes to: `hes.storage.buckets`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain.readings import Int32Array, Int64Array
from hes.storage.database import Connection

HOUR_US: Final = 3_600_000_000

_HALVES_PER_DAY: Final = 48
_SHIFT: Final = 1 << 31
_PLACES_PER_ROW: Final = 128

# One statement, and none of psycopg's pipelines: after one the server would not end the transaction
# of a client that has vanished.
_MARK: Final = """
INSERT INTO dirty_bucket (series_ids, first_hours, last_hours, marked_at)
SELECT array_agg(series_id ORDER BY n), array_agg(first_hour ORDER BY n),
       array_agg(last_hour ORDER BY n), coalesce(%s, now())
FROM unnest(%s::int4[], %s::int4[], %s::int4[])
    WITH ORDINALITY AS place (series_id, first_hour, last_hour, n)
GROUP BY (n - 1) / %s
ORDER BY min(n)
"""

_TAKE: Final = """
DELETE FROM dirty_bucket WHERE dirty_id = ANY (ARRAY(
    SELECT dirty_id FROM dirty_bucket ORDER BY dirty_id LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING series_ids, first_hours, last_hours, marked_at
"""

_BACKLOG: Final = """
SELECT coalesce(sum(cardinality(series_ids)), 0)::int8, min(marked_at) FROM dirty_bucket
"""

# The channels first and in order, as rollers do, so that none of them writes what is stale.
_LOCK_CHANNELS: Final = """
SELECT FROM channel WHERE meter_id = ANY (%s) ORDER BY channel_id FOR NO KEY UPDATE
"""

_EXTENTS: Final = """
SELECT series_id, floor(extract(epoch FROM first.captured_at) / 3600)::int4 - 1,
       floor(extract(epoch FROM last.captured_at) / 3600)::int4
FROM channel
JOIN series USING (channel_id)
CROSS JOIN LATERAL (
    SELECT captured_at FROM reading
    WHERE store = 'integer' AND reading.series_id = series.series_id
    UNION ALL
    SELECT captured_at FROM reading_float
    WHERE store = 'float' AND reading_float.series_id = series.series_id
    ORDER BY captured_at LIMIT 1
) AS first
CROSS JOIN LATERAL (
    SELECT captured_at FROM reading
    WHERE store = 'integer' AND reading.series_id = series.series_id
    UNION ALL
    SELECT captured_at FROM reading_float
    WHERE store = 'float' AND reading_float.series_id = series.series_id
    ORDER BY captured_at DESC LIMIT 1
) AS last
WHERE meter_id = ANY (%s)
"""

# What lies before the first reading is all that is left of readings that are gone, so it stays.
_FORGET: Final = """
DELETE FROM {table} AS rollup
USING unnest(%s::int4[], %s::int4[]) AS extent (series_id, first_hour)
WHERE rollup.series_id = extent.series_id
  AND coalesce(rollup.last_at, rollup.bucket_start) >= to_timestamp(extent.first_hour * 3600.0)
"""


@attrs.frozen
class Place:
    """Hours [`first_hour`, `last_hour`] since 1970 UTC of a series, inclusive."""

    series_id: int
    first_hour: int
    last_hour: int


@attrs.frozen
class Taken:
    """What was taken off the list: the places, and since when the oldest has waited."""

    places: tuple[Place, ...]
    marked_at: datetime | None


@attrs.frozen
class Backlog:
    """How many series and days wait to be taken in, and since when the oldest does."""

    places: int
    oldest: datetime | None


def mark_dirty(connection: Connection, series_id: Int32Array, captured_at: Int64Array) -> None:
    """
    Note that rows were written, in the transaction that writes them.

    Nobody is waited for, and the order of calls does not matter. One place per series and UTC day,
    128 places per row.

    Args:
        series_id: per row.
        captured_at: per row, microseconds since 1970 UTC.
    """
    if not len(series_id):
        return
    # One key per row, so that one sort of plain integers does: twice the hour, plus 1 unless it is
    # the full hour, which may end the bucket before; shifted, for there are hours before 1970.
    hour, rest = np.divmod(captured_at, HOUR_US)
    key = (series_id.astype(np.int64) << 32) | (2 * hour + (rest > 0) + _SHIFT)
    key.sort()
    halves = (key & 0xFFFF_FFFF) - _SHIFT
    place = (key >> 32 << 32) | (halves // _HALVES_PER_DAY + _SHIFT)
    begins = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
    ends = np.append(begins[1:], len(key)) - 1
    _insert(
        connection,
        (key[begins] >> 32).tolist(),
        ((halves[begins] - 1) >> 1).tolist(),
        (halves[ends] >> 1).tolist(),
        None,
    )


def take(connection: Connection, rows: int) -> Taken:
    """
    Take the oldest marks off the list, leaving those that another roller has taken.

    Args:
        rows: how many at most, of up to 128 places each.
    """
    places: list[Place] = []
    oldest: datetime | None = None
    for series, first, last, marked_at in connection.execute(_TAKE, (rows,)):
        places += map(Place, series, first, last)
        oldest = marked_at if oldest is None else min(oldest, marked_at)
    return Taken(tuple(places), oldest)


def put_back(connection: Connection, places: Sequence[Place], marked_at: datetime | None) -> None:
    """Put places at the end of the list, which have waited since `marked_at` (None: now)."""
    _insert(
        connection,
        [place.series_id for place in places],
        [place.first_hour for place in places],
        [place.last_hour for place in places],
        marked_at,
    )


def backlog(connection: Connection) -> Backlog:
    """What waits."""
    row = connection.execute(_BACKLOG).fetchone()
    assert row is not None
    return Backlog(row[0], row[1])


def restart(connection: Connection, meter_ids: Collection[UUID]) -> None:
    """
    Forget the roll-ups of meters whose zone has changed, and note all their readings anew.

    Roll-ups of readings that are gone stay as they are.
    """
    connection.execute(_LOCK_CHANNELS, (list(meter_ids),))
    extents = connection.execute(_EXTENTS, (list(meter_ids),)).fetchall()
    columns = [list(column) for column in zip(*extents, strict=True)]
    if columns:
        for table in ("rollup_hour", "rollup_day", "rollup_month"):
            statement = _FORGET.replace("{table}", table)
            connection.execute(statement.encode(), (columns[0], columns[1]))
        _insert(connection, columns[0], columns[1], columns[2], None)


def _insert(
    connection: Connection,
    series: Sequence[int],
    first: Sequence[int],
    last: Sequence[int],
    marked_at: datetime | None,
) -> None:
    if series:
        connection.execute(_MARK, (marked_at, series, first, last, _PLACES_PER_ROW))
