"""
Roll-ups of a channel: hours, days or months, of the meter's own zone or of another.

What a bucket's columns mean: docs/reference/rollups.md. Days and months of another zone are put
together from hours, as those of the meter's zone are; that is exact as long as no hour lies in two
days, so zones whose clocks differ by half hours are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Final
from uuid import UUID

import attrs
from psycopg import sql

from hes.domain.calendar import LocalCalendar, Stretch, ZonePeriod
from hes.domain.errors import PermanentError
from hes.domain.readings import ChannelKey, StampedAt, microseconds, moment
from hes.storage.database import Connection
from hes.storage.queries.selection import FoundChannel

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_ALWAYS: Final = -(2**62)

_ZONES: Final = """
SELECT CASE WHEN isfinite(since) THEN since END, timezone FROM meter_place
WHERE meter_id = %s ORDER BY since
"""

BUCKETS: Final = sql.SQL(
    """
    SELECT bucket_start, unit, first, last, min, max, sum, samples, expected, falls, quality,
           first_at, last_at
    FROM {view}
    WHERE series_id = ANY (%(series_ids)s)
      AND bucket_start >= %(from)s::timestamptz AND bucket_start < %(to)s::timestamptz
      AND bucket_start > %(after)s::timestamptz
    ORDER BY bucket_start, unit LIMIT %(limit)s
    """
)


class Interval(StrEnum):
    """How long buckets are."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


_VIEWS: Final = {interval: sql.Identifier(f"reading_{interval.value}") for interval in Interval}


class UnalignedZoneError(PermanentError):
    """The zone's days begin within hours of the meter's zone: they cannot be made of these."""


@attrs.frozen
class Bucket:
    """
    What the current values of [start, end) come to, exact, in the DLMS unit code `unit`.

    Values stamped at their end belong to (start, end]. None: no value, or (`expected`) no grid.
    """

    start: datetime
    end: datetime
    unit: int
    first: Decimal | None
    last: Decimal | None
    min: Decimal | None
    max: Decimal | None
    sum: Decimal | None
    samples: int
    expected: int | None
    falls: int
    quality: int


@attrs.frozen
class _Row:
    """A row of a view: a bucket of one series."""

    start: datetime
    unit: int
    first: Decimal | None
    last: Decimal | None
    min: Decimal | None
    max: Decimal | None
    sum: Decimal | None
    samples: int
    expected: int | None
    falls: int
    quality: int
    first_at: datetime | None
    last_at: datetime | None


def buckets(
    connection: Connection,
    channel: FoundChannel,
    interval: Interval,
    *,
    zone: str | None,
    from_: datetime | None,
    to: datetime | None,
    after: datetime | None = None,
    limit: int,
) -> Sequence[Bucket]:
    """
    The first buckets of a channel that begin in [from_, to), oldest first, without empty ones.

    Where the unit changes within a bucket there are two, one per unit; both are given or none, so
    there may be one more than `limit`.

    Args:
        zone: whose days and months; None: those of where the meter is.
        after: only buckets that begin later than this one.
        limit: how many at most.

    Raises:
        UnalignedZoneError: of another zone, whose days are not made of whole hours of the meter's.
    """
    periods = _zones(connection, channel.key.meter_id)
    if zone is None or {period.zone for period in periods} == {zone}:
        whose, kept = LocalCalendar(periods), interval
    else:
        whose, kept = LocalCalendar([ZonePeriod(_ALWAYS, zone)]), Interval.HOUR
    bounds = {
        "series_ids": [one.series_id for one in channel.series],
        "from": "-infinity" if from_ is None else _first_start(whose, interval, from_),
        "to": "infinity" if to is None else _first_start(whose, interval, to),
        "after": "-infinity" if after is None else _end(whose, interval, after),
        # What is put together is not known to be whole before the bucket after it begins.
        "limit": (limit + 1) * len(channel.series) if kept is interval else None,
    }
    found: dict[tuple[int, int], tuple[Stretch, list[_Row]]] = {}
    for columns in connection.execute(BUCKETS.format(view=_VIEWS[kept]), bounds):
        row = _Row(*columns)
        stretch = _stretch(whose, interval, microseconds(row.start))
        if kept is not interval and microseconds(row.start) + _HOUR_US > stretch.end:
            raise UnalignedZoneError(f"{zone}: days begin within hours of {periods[-1].zone}")
        found.setdefault((stretch.start, row.unit), (stretch, []))[1].append(row)

    def expected(stretch: Stretch, rows: Sequence[_Row]) -> int | None:
        if kept is interval:
            return max((one.expected for one in rows if one.expected is not None), default=None)
        # Hours without a value have no row, so they cannot be summed up.
        return _grid_points(channel.key, stretch)

    starts = sorted({start for start, _ in found})[:limit]
    return [
        _bucket(stretch, rows, expected(stretch, rows))
        for (start, _), (stretch, rows) in sorted(found.items(), key=lambda item: item[0])
        if starts and start <= starts[-1]
    ]


def _zones(connection: Connection, meter_id: UUID) -> Sequence[ZonePeriod]:
    return [
        ZonePeriod(_ALWAYS if since is None else microseconds(since), zone)
        for since, zone in connection.execute(_ZONES, (meter_id,))
    ]


def _stretch(whose: LocalCalendar, interval: Interval, instant: int) -> Stretch:
    if interval is Interval.MONTH:
        return whose.month(instant)
    day = whose.day(instant)
    if interval is Interval.DAY:
        return day
    start = day.start + (instant - day.start) // _HOUR_US * _HOUR_US
    return Stretch(start, min(start + _HOUR_US, day.end))


def _first_start(whose: LocalCalendar, interval: Interval, at: datetime) -> datetime:
    """Where the first bucket begins that does not begin before an instant."""
    instant = microseconds(at)
    try:
        stretch = _stretch(whose, interval, instant)
        return at if stretch.start == instant else moment(stretch.end)
    except OverflowError:  # the first or last day that there is: nothing begins beside it
        return at


def _end(whose: LocalCalendar, interval: Interval, at: datetime) -> datetime:
    """The last instant of the bucket that begins here, so that what begins later follows it."""
    return moment(_stretch(whose, interval, microseconds(at)).end - 1)


def _grid_points(key: ChannelKey, stretch: Stretch) -> int | None:
    """How many values a stretch should hold, as `hes.storage.bucket_statements` counts them."""
    period_us = key.capture_period_s * 1_000_000
    if not period_us or _DAY_US % period_us:
        return None
    slack = period_us - 1 if key.stamped_at is StampedAt.START else 0
    return (stretch.end + slack) // period_us - (stretch.start + slack) // period_us


def _bucket(stretch: Stretch, rows: Sequence[_Row], expected: int | None) -> Bucket:
    """Put together what is of one unit: several series, or the hours of a day or month."""
    valued = [row for row in rows if row.first_at is not None]
    first = min(valued, key=lambda row: row.first_at or row.start, default=None)
    last = max(valued, key=lambda row: row.last_at or row.start, default=None)
    sums = [row.sum for row in rows if row.sum is not None]
    return Bucket(
        start=moment(stretch.start),
        end=moment(stretch.end),
        unit=rows[0].unit,
        first=None if first is None else first.first,
        last=None if last is None else last.last,
        min=min((row.min for row in rows if row.min is not None), default=None),
        max=max((row.max for row in rows if row.max is not None), default=None),
        sum=sum(sums, Decimal(0)) if sums else None,
        samples=sum(row.samples for row in rows),
        expected=expected,
        falls=sum(row.falls for row in rows),
        quality=reduce(or_, (row.quality for row in rows), 0),
    )
