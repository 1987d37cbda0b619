"""
The meter's own clock: what it shows at a true moment, and when it showed what.

Owns drift, steps, and the grids on which a clock makes a meter capture. A clock is a few segments,
in each of which it runs evenly; a step (set by a client, shifted) begins a new one. So whatever was
captured long ago is worked out afresh at any time, and comes out the same.

Moments are whole microseconds since 1970 UTC: `at_us` of true time, `shown_us` of what the clock
showed, which is local time with the deviation taken off. A clock that steps forward over the end of
an interval misses that row, one that steps back captures it twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Final, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.cosem import CosemDateTime
from hes_simulators.randomness import Int64Array
from hes_simulators.state import ClockStep, Spans

OctetArray = npt.NDArray[np.uint8]

SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400
_DAY_US: Final = DAY_S * SECOND_US
# Each costs whoever reads a profile; of a client that throws the clock about, the last ones count.
_STEPS_KEPT: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DST_BIT: Final = 0x80
_UNSPECIFIED: Final = -0x8000
# Rows of one grid are the same in all meters whose clocks run true.
_SHARED_CELLS: Final = 256
_SHARED_ROWS: Final = 1024
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2099
"""The years that the calendar of a meter has."""


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at_us: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + timedelta(microseconds=at_us)


_CALENDAR_US: Final = (
    microseconds(datetime(FIRST_YEAR, 1, 2, tzinfo=UTC)),
    microseconds(datetime(LAST_YEAR, 12, 30, tzinfo=UTC)),
)


# --- how it is shown --------------------------------------------------------------------------


@attrs.frozen
class Face:
    """In which zone a clock shows its time, and whether it says the deviation from UTC."""

    zone: tzinfo
    deviation: bool = True

    def cosem(self, shown_us: int, status: int = 0) -> CosemDateTime:
        """A moment as the meter says it; `status` are bits beside that of summer time."""
        local = moment(shown_us).astimezone(self.zone)
        if not self.deviation:
            return CosemDateTime.from_datetime(local.replace(tzinfo=None), clock_status=status)
        summer = _DST_BIT if local.dst() else 0
        return CosemDateTime.from_datetime(local, clock_status=summer | status)

    def octets(self, shown_us: Int64Array, status: int = 0) -> OctetArray:
        """The date-times of many moments: one row of twelve octets each."""
        count = len(shown_us)
        if count == 0:
            return np.empty((0, 12), np.uint8)
        step = int(shown_us[1] - shown_us[0]) if count > 1 else 0
        first = int(shown_us[0])
        if int(shown_us[-1]) - first == step * (count - 1) and (
            count < 3 or bool((shown_us[1:] - shown_us[:-1] == step).all())
        ):
            return _even_octets(self, first, step, count, status)
        return self._octets(shown_us, status)

    def offsets_min(self, shown_us: Int64Array) -> tuple[Int64Array, npt.NDArray[np.bool_]]:
        """Minutes east of UTC of each moment, and whether it is summer time."""
        days = np.floor_divide(shown_us, _DAY_US)
        offsets = np.empty(len(shown_us), np.int64)
        summer = np.empty(len(shown_us), bool)
        for day in np.unique(days).tolist():
            here = days == day
            begins, ends = (
                _offset(self.zone, day * _DAY_US),
                _offset(self.zone, (day + 1) * _DAY_US),
            )
            if begins == ends:
                offsets[here], summer[here] = begins
            else:
                each = [_offset(self.zone, at_us) for at_us in shown_us[here].tolist()]
                offsets[here] = [offset for offset, _ in each]
                summer[here] = [is_summer for _, is_summer in each]
        return offsets, summer

    def standard_offset_min(self, shown_us: int) -> int:
        """Minutes east of UTC without summer time."""
        local = moment(shown_us).astimezone(self.zone)
        offset, summer = local.utcoffset(), local.dst() or timedelta(0)
        assert offset is not None  # every zone has one
        return int((offset - summer).total_seconds()) // 60

    def _octets(self, shown_us: Int64Array, status: int) -> OctetArray:
        offsets, summer = self.offsets_min(shown_us)
        local = (shown_us + offsets * (60 * SECOND_US)).astype("datetime64[us]")
        days = local.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        years = months.astype("datetime64[Y]").astype(np.int64) + 1970
        into_us = (local - days).astype(np.int64)
        seconds = into_us // SECOND_US
        deviation = -offsets if self.deviation else np.full(len(shown_us), _UNSPECIFIED)
        columns = (
            years >> 8,
            years & 0xFF,
            months.astype(np.int64) % 12 + 1,
            (days - months).astype(np.int64) + 1,
            (days.astype(np.int64) + 3) % 7 + 1,  # 1970-01-01 was a Thursday
            seconds // 3600,
            seconds // 60 % 60,
            seconds % 60,
            into_us % SECOND_US // 10_000,
            (deviation >> 8) & 0xFF,
            deviation & 0xFF,
            np.where(summer, _DST_BIT, 0) * self.deviation | status,
        )
        return np.stack([column.astype(np.uint8) for column in columns], axis=1)


@lru_cache(maxsize=_SHARED_CELLS)
def _even_octets(face: Face, first_us: int, step_us: int, count: int, status: int) -> OctetArray:
    octets = face._octets(first_us + step_us * np.arange(count), status)  # noqa: SLF001
    octets.setflags(write=False)
    return octets


@lru_cache(maxsize=4096)
def _offset(zone: tzinfo, shown_us: int) -> tuple[int, bool]:
    local = moment(shown_us).astimezone(zone)
    offset = local.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) // 60, bool(local.dst())


def summer_changes(zone: tzinfo, after_us: int, to_us: int) -> list[int]:
    """Moments, `after_us` < t <= `to_us`, at which the zone's offset from UTC changes."""
    years = range(moment(after_us).year, moment(to_us).year + 1)
    return [at for year in years for at in _changes(zone, year) if after_us < at <= to_us]


@lru_cache(maxsize=64)
def _changes(zone: tzinfo, year: int) -> tuple[int, ...]:
    """Those of one year, to the minute: clocks on Lord Howe go on at half past an hour of UTC."""
    begin_us, end_us = (microseconds(datetime(of, 1, 1, tzinfo=UTC)) for of in (year, year + 1))
    found = []
    for day_us in range(begin_us, end_us, _DAY_US):
        if _offset(zone, day_us) != _offset(zone, day_us + _DAY_US):
            minutes = range(day_us, day_us + _DAY_US + 1, 60 * SECOND_US)
            found += [
                at_us
                for before_us, at_us in pairwise(minutes)
                if _utc_offset(zone, before_us) != _utc_offset(zone, at_us)
            ]
    return tuple(found)


def _utc_offset(zone: tzinfo, at_us: int) -> timedelta | None:
    """Not kept, as `_offset` is: of a day's every minute nobody asks again."""
    return moment(at_us).astimezone(zone).utcoffset()


def standard_zone(zone: tzinfo, at_us: int) -> timezone:
    """The zone of a clock that stays on its standard time all year."""
    return timezone(timedelta(minutes=Face(zone).standard_offset_min(at_us)))


# --- when it captures -------------------------------------------------------------------------


class Grid(Protocol):
    """Shown moments at which something is captured."""

    def between(self, after_us: int, to_us: int, most: int) -> Int64Array:
        """Those with `after_us` < shown <= `to_us`, in order; the last `most` of them."""


@attrs.frozen
class EveryPeriod:
    """Every `period_us`, `phase_us` later than whole ones since 1970 UTC."""

    period_us: int
    phase_us: int = 0

    def between(self, after_us: int, to_us: int, most: int) -> Int64Array:
        """See `Grid`."""
        last = (to_us - self.phase_us) // self.period_us
        first = max((after_us - self.phase_us) // self.period_us + 1, last - most + 1)
        return _periods(self, first, last)


def _periods(grid: EveryPeriod, first: int, last: int) -> Int64Array:
    # A load profile holds the same moments in most meters of a model.
    return (_shared_periods if last - first < _SHARED_ROWS else _fresh_periods)(grid, first, last)


def _fresh_periods(grid: EveryPeriod, first: int, last: int) -> Int64Array:
    found: Int64Array = np.arange(first, last + 1) * grid.period_us + grid.phase_us
    found.setflags(write=False)
    return found


_shared_periods: Final = lru_cache(maxsize=_SHARED_CELLS)(_fresh_periods)


@attrs.frozen
class EveryDay:
    """Every local midnight."""

    zone: tzinfo

    def between(self, after_us: int, to_us: int, most: int) -> Int64Array:
        """See `Grid`."""
        return _of_years(self.zone, after_us, to_us, monthly=False)[-most:]


@attrs.frozen
class EveryMonth:
    """Every local midnight that begins a month."""

    zone: tzinfo

    def between(self, after_us: int, to_us: int, most: int) -> Int64Array:
        """See `Grid`."""
        return _of_years(self.zone, after_us, to_us, monthly=True)[-most:]


@lru_cache(maxsize=_SHARED_CELLS)
def grid(period_s: int, face: Face) -> Grid:
    """The grid of a capture period: local midnights for a day or more, else from midnight on."""
    if period_s >= DAY_S:
        return EveryDay(face.zone) if period_s == DAY_S else EveryMonth(face.zone)
    offset_s = face.standard_offset_min(0) * 60
    return EveryPeriod(period_s * SECOND_US, -offset_s % period_s * SECOND_US)


def _of_years(zone: tzinfo, after_us: int, to_us: int, *, monthly: bool) -> Int64Array:
    if to_us <= after_us:
        return np.empty(0, np.int64)
    years = range(moment(after_us).year - 1, moment(to_us).year + 2)
    found = np.concatenate([_midnights(zone, year, monthly=monthly) for year in years])
    return found[(found > after_us) & (found <= to_us)]


@lru_cache(maxsize=256)
def _midnights(zone: tzinfo, year: int, *, monthly: bool) -> Int64Array:
    first = datetime(year, 1, 1, tzinfo=zone)
    days = (datetime(year + 1, 1, 1, tzinfo=zone).toordinal()) - first.toordinal()
    dates = (first + timedelta(days=day) for day in range(days))
    found = [microseconds(date) for date in dates if not monthly or date.day == 1]
    return np.array(found, np.int64)


# --- how it runs ------------------------------------------------------------------------------


@attrs.frozen
class Segment:
    """From `from_us` until `to_us` (None: still) the clock shows `offset_us` more, and drifts."""

    from_us: int
    to_us: int | None
    offset_us: int
    drift_ppb: int

    def shown_us(self, at_us: int) -> int:
        """What the clock shows at a moment of the segment."""
        run_us = at_us - self.from_us
        return at_us + self.offset_us + run_us // 1000 * self.drift_ppb // 1_000_000

    def true_us(self, shown_us: Int64Array) -> Int64Array:
        """When the clock showed what it showed in this segment, to the microsecond."""
        wanted = shown_us - (self.from_us + self.offset_us)
        run_us = wanted
        if self.drift_ppb:
            for _ in range(4):  # each round is ten thousand times nearer
                run_us = wanted - run_us // 1000 * self.drift_ppb // 1_000_000
        true: Int64Array = run_us + self.from_us
        return true

    def true_at(self, shown_us: int) -> int:
        """The same of one moment."""
        return int(self.true_us(np.array([shown_us], np.int64))[0])


@attrs.define(eq=False)
class MeterClock:
    """
    The clock of one meter.

    Args: origin_us: when it was set for the first time, exactly. drift_ppb: how much it is fast, in
        thousand-millionths. steps: those of the meter's state, which `set` extends.
    """

    origin_us: int
    drift_ppb: int
    steps: list[ClockStep]

    def segments(self) -> Iterator[Segment]:
        """The newest first."""
        to_us: int | None = None
        for step in reversed(self.steps):
            yield Segment(step.at_us, to_us, step.offset_us, self.drift_ppb)
            to_us = step.at_us
        yield Segment(self.origin_us, to_us, 0, self.drift_ppb)

    def segment(self, at_us: int) -> Segment:
        """The one that a moment lies in; the first for what was before."""
        found = None
        for found in self.segments():
            if found.from_us <= at_us:
                break
        assert found is not None
        return found

    def shown_us(self, at_us: int) -> int:
        """What the clock shows at a true moment."""
        if not self.steps and not self.drift_ppb:
            return at_us
        return self.segment(at_us).shown_us(at_us)

    def set(self, at_us: int, shown_us: int) -> None:
        """From `at_us` on it goes on from `shown_us`, or from the edge of its calendar."""
        shown_us = min(max(shown_us, _CALENDAR_US[0]), _CALENDAR_US[1])
        self.steps.append(ClockStep(at_us, shown_us - at_us))
        del self.steps[:-_STEPS_KEPT]

    def captures(
        self, on: Grid, since_us: int, until_us: int, most: int, dark: Spans
    ) -> tuple[Int64Array, Int64Array]:
        """
        When a meter with this clock captured on a grid, `since_us` < t <= `until_us`.

        Args: most: only the last so many. dark: when it could not.
        Returns: true and shown moments, in the order of capture.
        """
        parts: list[tuple[Int64Array, Int64Array]] = []
        count = 0
        for segment in self.segments():
            begin_us = max(segment.from_us, since_us)
            end_us = until_us if segment.to_us is None else min(segment.to_us, until_us)
            if end_us > begin_us:
                after_us, to_us = segment.shown_us(begin_us), segment.shown_us(end_us)
                while count < most:
                    shown = on.between(after_us, to_us, most - count)
                    if not len(shown):
                        break
                    to_us = int(shown[0]) - 1
                    at = shown
                    if segment.offset_us or segment.drift_ppb:
                        at = np.minimum(np.maximum(segment.true_us(shown), begin_us), end_us)
                    if dark:
                        lit = ~dark.covering(at)
                        at, shown = at[lit], shown[lit]
                    parts.append((at, shown))
                    count += len(at)
            if segment.from_us <= since_us or count >= most:
                break
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if len(parts) == 1:
            return parts[0]
        parts.reverse()
        return np.concatenate([at for at, _ in parts]), np.concatenate([s for _, s in parts])

    def back(self, at_us: Int64Array, shown_us: Int64Array, by_us: int | Int64Array) -> Int64Array:
        """True moments at which the clock showed `by_us` less, not before its last step."""
        if not self.steps and not self.drift_ppb:
            return at_us - by_us
        earlier = at_us.copy()
        left = np.ones(len(at_us), bool)
        for segment in self.segments():
            # A row at the very moment of a step was captured before it.
            here = left & (at_us > segment.from_us)
            if here.any():
                true = segment.true_us((shown_us - by_us)[here])
                earlier[here] = np.maximum(true, segment.from_us)
                left &= ~here
            if not left.any():
                break
        return earlier
