"""
What buckets come to: hours from current values, days from hours, months from days.

Hours are counted from local midnight; which stretches they are comes from the caller, as `Work`. A
value stamped at its end belongs to (start, end], one stamped at its start to [start, end). Sums of
a cumulative channel are what it rose by since its value before, wherever that was; so the sums of
hours make up those of days and months. Everything is numeric, so the order of rows and who computes
makes no difference; floats count as the shortest decimal that stands for them.

Only what changes is written: doing it again costs reading alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.calendar import LocalCalendar, Stretch, ZonePeriod
from hes.domain.readings import ValueKind, ValueStore, microseconds, moment
from hes.storage import bucket_statements
from hes.storage.database import Connection

_ALWAYS: Final = -(2**62)
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)

# Locked in order, until the transaction ends: two rollers never compute the same channel at a time,
# of which the one that saw less could write last.
_LOCK: Final = """
SELECT FROM channel
WHERE channel_id = ANY (ARRAY(SELECT channel_id FROM series WHERE series_id = ANY (%s)))
ORDER BY channel_id FOR NO KEY UPDATE
"""

_CHANNELS: Final = """
SELECT channel_id, meter_id, kind, store, capture_period_s,
       array(SELECT series_id FROM series WHERE series.channel_id = channel.channel_id)
FROM channel
WHERE channel_id = ANY (ARRAY(SELECT channel_id FROM series WHERE series_id = ANY (%s)))
"""

_ZONES: Final = """
SELECT meter_id, CASE WHEN isfinite(since) THEN since END, timezone FROM meter_place
WHERE meter_id = ANY (%s) ORDER BY meter_id, since
"""

# Enough to sort and group what one transaction takes without a file.
_MEMORY: Final = "SET LOCAL work_mem = '64MB'"

_NEXT: Final = """
SELECT told.channel_id, following.bucket_start
FROM unnest(%s::int4[], %s::timestamptz[]) AS told (channel_id, to_at)
CROSS JOIN LATERAL (
    SELECT min(row.bucket_start) AS bucket_start
    FROM series
    CROSS JOIN LATERAL (
        SELECT bucket_start FROM rollup_hour
        WHERE rollup_hour.series_id = series.series_id AND bucket_start >= told.to_at
          AND last IS NOT NULL
        ORDER BY bucket_start LIMIT 1
    ) AS row
    WHERE series.channel_id = told.channel_id
) AS following
WHERE following.bucket_start IS NOT NULL
"""

_REVISED: Final = """
SELECT DISTINCT told.channel_id
FROM unnest(%s::int4[], %s::timestamptz[], %s::timestamptz[]) AS told (channel_id, from_at, to_at)
JOIN series USING (channel_id)
WHERE EXISTS (
    SELECT FROM reading_revision AS row
    WHERE row.series_id = series.series_id AND row.captured_at BETWEEN told.from_at AND told.to_at
)
"""


@attrs.frozen
class RolledChannel:
    """A channel to be rolled up: what tells how, and the calendar of where its meter is."""

    channel_id: int
    kind: ValueKind
    store: ValueStore
    capture_period_s: int
    series_ids: tuple[int, ...]
    calendar: LocalCalendar


@attrs.frozen
class Work:
    """
    Hours [from_, to) within one local day of a channel, in microseconds since 1970 UTC.

    `after`: where the work before this one ends, in the same channel and the same call; None if it
    is the first.
    """

    channel: RolledChannel
    day: Stretch
    from_: int
    to: int
    after: int | None


def channels(connection: Connection, series_ids: Collection[int]) -> Sequence[RolledChannel]:
    """
    The channels of these series, nobody else's until the transaction ends.

    Those that hold texts are left out: there is nothing to roll up.
    """
    wanted = (sorted(series_ids),)
    connection.execute(_LOCK, wanted)
    # A statement of its own, so that it sees what was committed while we waited.
    rows = connection.execute(_CHANNELS, wanted).fetchall()
    periods: dict[UUID, list[ZonePeriod]] = {}
    meters = list({row[1] for row in rows})
    for meter_id, since, zone in connection.execute(_ZONES, (meters,)):
        begins = _ALWAYS if since is None else microseconds(since)
        periods.setdefault(meter_id, []).append(ZonePeriod(begins, zone))
    calendars = {meter_id: LocalCalendar(told) for meter_id, told in periods.items()}
    return [
        RolledChannel(
            channel_id=channel_id,
            kind=ValueKind(kind),
            store=ValueStore(store),
            capture_period_s=period_s,
            series_ids=tuple(series),
            calendar=calendars[meter_id],
        )
        for channel_id, meter_id, kind, store, period_s, series in rows
        if store != ValueStore.TEXT.value
    ]


def following(connection: Connection, ends: Sequence[tuple[int, int]]) -> Mapping[int, set[int]]:
    """
    The first hour with a value at or after each of these instants.

    Args:
        ends: channel_id and instant, in microseconds since 1970 UTC.

    Returns:
        By channel_id the starts of these hours; channels that have none are missing.
    """
    found: dict[int, set[int]] = {}
    told = ([channel_id for channel_id, _ in ends], [moment(instant) for _, instant in ends])
    for channel_id, start in connection.execute(_NEXT, told, prepare=False):
        found.setdefault(channel_id, set()).add(microseconds(start))
    return found


def roll(connection: Connection, works: Sequence[Work]) -> int:
    """
    Compute hours, days and months anew, for channels that `channels` gave in this transaction.

    Args:
        works: those of a channel by `from_`, not overlapping.

    Returns:
        How many current values they were computed from.
    """
    connection.execute(_MEMORY)
    several = _with_several_statements(connection, works)
    rows = 0
    for store in (ValueStore.INTEGER, ValueStore.FLOAT):
        for contested in (False, True):
            some = [
                work
                for work in works
                if work.channel.store is store and (work.channel.channel_id in several) is contested
            ]
            if some:
                rows += _roll_hours(connection, some, store, contested=contested)
    days = {(work.channel.channel_id, work.day): None for work in works}
    months = {
        (work.channel.channel_id, work.channel.calendar.month(work.from_)): None for work in works
    }
    for table, finer, stretches in (
        ("rollup_day", "rollup_hour", days),
        ("rollup_month", "rollup_day", months),
    ):
        for contested in (False, True):
            told = [one for one in stretches if (one[0] in several) is contested]
            if told:
                _roll_coarser(connection, table, finer, told, contested=contested)
    return rows


def _with_several_statements(connection: Connection, works: Sequence[Work]) -> set[int]:
    """The channels in which an instant may have been told more than once."""
    told = (
        [work.channel.channel_id for work in works],
        [moment(work.from_) for work in works],
        [moment(work.to) for work in works],
    )
    revised = {channel_id for (channel_id,) in connection.execute(_REVISED, told, prepare=False)}
    return revised | {work.channel.channel_id for work in works if len(work.channel.series_ids) > 1}


def _roll_hours(
    connection: Connection, works: Sequence[Work], store: ValueStore, *, contested: bool
) -> int:
    row = connection.execute(
        bucket_statements.hours(store, contested=contested),
        {
            "channel_id": [work.channel.channel_id for work in works],
            "day_start": [moment(work.day.start) for work in works],
            "day_end": [moment(work.day.end) for work in works],
            "from_at": [moment(work.from_) for work in works],
            "to_at": [moment(work.to) for work in works],
            "after_at": [_or_always(work.after) for work in works],
            "first": moment(min(work.from_ for work in works)),
            "last": moment(max(work.to for work in works)),
        },
        # Planned anew each time, for the range and the number of works differ widely.
        prepare=False,
    ).fetchone()
    assert row is not None
    rows: int = row[0]
    return rows


def _roll_coarser(
    connection: Connection,
    table: str,
    finer: str,
    stretches: Sequence[tuple[int, Stretch]],
    *,
    contested: bool,
) -> None:
    connection.execute(
        bucket_statements.coarser(table, finer, contested=contested),
        {
            "channel_id": [channel_id for channel_id, _ in stretches],
            "from_at": [moment(stretch.start) for _, stretch in stretches],
            "to_at": [moment(stretch.end) for _, stretch in stretches],
        },
        prepare=False,
    )


def _or_always(instant: int | None) -> datetime:
    return _BEFORE_ALL if instant is None else moment(instant)
