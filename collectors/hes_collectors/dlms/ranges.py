"""
Which part of a profile to ask for, in the meter's own time. Pure.

A mark is exclusive: its row was committed in the transaction that moved the mark, so asking for
it again could only yield a duplicate; the range begins one second later, the resolution of
meters' clocks. Long ranges are cut on the period grid, so that each piece is committed before the
next is asked for and a failure loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes.domain.meters import CaptureColumn, ProfileKnowledge
from hes.ingest.time import standard_offset
from hes_protocol.cosem import STATUS_UNSPECIFIED, CosemDateTime
from hes_protocol.cosem.objects import CaptureObject, RangeSelection

_SECOND: Final = timedelta(seconds=1)
_GROWTH: Final = 4
SPACING_S: Final = 3600
"""How far apart rows are taken to be that are captured when something happens."""
_TIME: Final = (8, 2)  # class_id and attribute_index of a clock's time


class Pieces:
    """
    Cuts what is not committed yet into closed ranges, oldest first; they do not overlap.

    A piece has at most `rows` rows, except where nothing is: a meter that was dark for weeks has
    no rows there, and what is empty moves no mark. Behind an empty piece the pieces grow
    fourfold, so that a stretch of any length is crossed within one session. A grown piece may hold
    more than one wants to be answered; the caller then breaks off, and the pieces shrink by half
    until the beginning of the rows is found.

    A profile without a period is asked for in one piece, as much as its buffer can hold: it says
    nothing for months, or hundreds of rows in an hour.

    Args: mark: the last committed instant, None for nothing yet. now: the end of the last range.
        period_s: the profile's capture period, 0 without. first_days: how far back to go without
        a mark.
    """

    def __init__(
        self, mark: datetime | None, now: datetime, period_s: int, *, rows: int, first_days: float
    ) -> None:
        self._now = now.replace(microsecond=0)
        self._start = (mark or first_mark(now, period_s, first_days=first_days)) + _SECOND
        self._unit = timedelta(seconds=rows * (period_s or SPACING_S))
        everything = math.ceil((self._now - self._start) / self._unit)
        self._units = 1 if period_s else max(1, everything)
        self._shrinking = False

    @property
    def grown(self) -> bool:
        """Whether the current piece may hold more rows than a piece should."""
        return self._units > 1

    def current(self) -> tuple[datetime, datetime] | None:
        """The range to ask for; None at the end. The last one may be empty of rows."""
        if self._start > self._now:
            return None
        return self._start, min(self._start + self._unit * self._units - _SECOND, self._now)

    def advance(self, *, empty: bool) -> None:
        """The current piece is dealt with; go on behind it."""
        current = self.current()
        assert current is not None, "there is no piece to go on from"
        self._start = current[1] + _SECOND
        if not empty:
            self._units, self._shrinking = 1, False
        elif self._shrinking and self.grown:
            self._units //= 2  # the rows begin within as much as this piece was
        else:
            rest = math.ceil((self._now - current[1]) / self._unit)
            self._units, self._shrinking = max(1, min(self._units * _GROWTH, rest)), False

    def shrink(self) -> None:
        """The current piece, a grown one, holds too much: ask for less of it."""
        assert self.grown, "a piece that has not grown is asked for as it is"
        self._units //= 2
        self._shrinking = True


def first_mark(now: datetime, period_s: int, *, first_days: float) -> datetime:
    """
    The mark of a profile of which nothing is committed: right before a point of its grid.

    Args: period_s: 0 for a profile without a grid.
    """
    start = now.replace(microsecond=0) - timedelta(days=first_days)
    return start - timedelta(seconds=start.timestamp() % (period_s or 1)) - _SECOND


def selection(
    profile: ProfileKnowledge,
    start: datetime,
    end: datetime,
    zone_name: str,
    *,
    deviation: bool = True,
    standard_time: bool = False,
) -> RangeSelection:
    """
    The selective access for `start`..`end`, both included, in the meter's local time.

    Many meters compare the local fields and ignore the deviation. When clocks go back within the
    range its local times run twice over one hour, and the range would hide rows from such a
    meter: both ends are then widened by that hour, and the doubles fall to the writer.

    Without `deviation` (0x8000, and no clock status, for meters that refuse them: users-ask,
    point 14) an end within the hour that comes twice may mean either pass: it is moved out of it.

    With `standard_time` the meter's local time is standard time all year: users-ask, point 13.
    """
    first, last = (
        moment.astimezone(
            timezone(standard_offset(zone_name, moment.year))
            if standard_time
            else ZoneInfo(zone_name)
        )
        for moment in (start, end)
    )
    back = max(_offset(first) - _offset(last), timedelta(0))
    clock = profile.columns[time_place(tuple(map(capture_object, profile.columns)))]
    if deviation:
        bounds = _moved(first, -back), _moved(last, back)
    else:
        bounds = (
            _bare(first, -max(back, _repeated(first))),
            _bare(last, max(back, _repeated(last))),
        )
    return RangeSelection.between(capture_object(clock), *bounds)


def capture_object(column: CaptureColumn) -> CaptureObject:
    """The protocol's view of a known column."""
    return CaptureObject(column.class_id, column.obis, column.attribute_index, column.data_index)


def has_time(columns: Sequence[CaptureObject]) -> bool:
    """Whether one of these columns says when a row was captured."""
    return any(map(_is_time, columns)) or any(map(_is_billing_time, columns))


def time_place(columns: Sequence[CaptureObject]) -> int:
    """
    Which column says when a row was captured: the clock; else the end of a billing period.

    Raises: StopIteration: none does, see `has_time`.
    Source: IEC 62056-6-1, 0.b.0.1.2.VZ; in place of the clock in the billing profile of IS 15959.
    """
    tests = (_is_time, _is_billing_time)
    return next(place for test in tests for place, column in enumerate(columns) if test(column))


def decodable(profile: ProfileKnowledge) -> tuple[CaptureObject, ...]:
    """The columns of a profile, that of the time as a clock's."""
    columns = [capture_object(column) for column in profile.columns]
    place = time_place(columns)
    columns[place] = attrs.evolve(columns[place], class_id=_TIME[0], attribute_index=_TIME[1])
    return tuple(columns)


def _is_time(column: CaptureObject) -> bool:
    return (column.class_id, column.attribute_index) == _TIME


def _is_billing_time(column: CaptureObject) -> bool:
    a, _, c, d, e, _ = column.obis.octets
    return (a, c, d, e, column.attribute_index) == (0, 0, 1, 2, 2)


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None  # aware
    return offset


def _repeated(moment: datetime) -> timedelta:
    """By how much the clock goes back or has gone back, where its time of day comes twice."""
    passes = [_offset(moment.replace(fold=fold)) for fold in (0, 1)]
    return max(passes[0] - passes[1], timedelta(0))


def _bare(moment: datetime, by: timedelta) -> CosemDateTime:
    """The fields of `moment` moved by `by`, without deviation and clock status."""
    return CosemDateTime.from_datetime(
        moment.replace(tzinfo=None) + by, clock_status=STATUS_UNSPECIFIED
    )


def _moved(moment: datetime, by: timedelta) -> CosemDateTime:
    """The fields of `moment` moved by `by`, under the deviation and clock status it has itself."""
    own = CosemDateTime.from_datetime(moment)
    fields = CosemDateTime.from_datetime(
        moment.replace(tzinfo=None) + by, clock_status=own.clock_status
    )
    return attrs.evolve(fields, deviation_min=own.deviation_min)
