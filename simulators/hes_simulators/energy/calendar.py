"""
The calendar of the people around a meter: local hour and weekday of every UTC quarter-hour.

Owns tables that all sources of one zone share. People get up by the local clock, the sun does not;
a UTC day may lie in two local ones, and over a change of summer time its hours jump.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.energy.grid import DAY_S, SLOT_S, SLOTS_PER_DAY
from hes_simulators.randomness import FloatArray, Int64Array

_Kind = TypeVar("_Kind", bound=Hashable)

SATURDAY: Final = 5
SUNDAY: Final = 6

_ANY_YEAR, _ANY = 0xFFFF, 0xFF
# Of the days of a month 0xFE is the last, 0xFD the last but one.
_FROM_THE_END: Final = {0xFE: 1, 0xFD: 2}

_MIDDLES_S: Final = np.arange(SLOTS_PER_DAY) * SLOT_S + SLOT_S // 2


@attrs.frozen(eq=False)
class LocalSlots:
    """
    Local time in the middle of each of one UTC day's 96 slots.

    `hours` is the hour of day, 0..24; `weekdays` counts from Monday, 0.
    """

    hours: FloatArray
    weekdays: Int64Array


def falls_on(day: date, pattern: bytes) -> bool:
    """
    Whether a date is one of those that five octets say: year (two), month, day, weekday from 1 on.

    0xFF stands for any (a year: 0xFFFF), day 0xFE for the last of the month, or with a weekday the
    last such one, 0xFD for the last but one. Source: IEC 62056-6-2, 4.1.6.1, date.
    """
    year, month, of_month, weekday = (
        int.from_bytes(pattern[:2], "big"), pattern[2], pattern[3], pattern[4]
    )  # fmt: skip
    if year not in (_ANY_YEAR, day.year) or month not in (_ANY, day.month):
        return False
    if weekday not in (_ANY, day.isoweekday()):
        return False
    if of_month in _FROM_THE_END:
        later = timedelta(days=1 if weekday == _ANY else 7)
        places = _FROM_THE_END[of_month]
        return (day + places * later).month != day.month == (day + (places - 1) * later).month
    return of_month in (_ANY, day.day)


def is_date_pattern(pattern: bytes) -> bool:
    """Whether five octets are such a date at all."""
    month, of_month, weekday = pattern[2:]
    return (
        (1 <= month <= 12 or month == _ANY)
        and (1 <= of_month <= 31 or of_month == _ANY or of_month in _FROM_THE_END)
        and (1 <= weekday <= 7 or weekday == _ANY)
    )


def by_local_day(
    zone: ZoneInfo, days: Int64Array, make: Callable[[LocalSlots], FloatArray]
) -> FloatArray:
    """
    What `make` gives for the local time of each of n UTC days, n x 96.

    Days that are alike (weekday, offset of the clock) share one `LocalSlots`, and `make` sees each
    of those once: habits of a year cost as much as habits of two weeks.
    """
    return by_kind([local_day(zone, day) for day in days.tolist()], make)


def by_kind(kinds: Iterable[_Kind], make: Callable[[_Kind], FloatArray]) -> FloatArray:
    """What `make` gives for the kind of each of n days, n x 96; it sees each kind once."""
    places: dict[_Kind, int] = {}
    place_of_day = [places.setdefault(kind, len(places)) for kind in kinds]
    made: FloatArray = np.array([make(kind) for kind in places]).reshape(-1, SLOTS_PER_DAY)
    return made[place_of_day]


@lru_cache(maxsize=4096)
def local_day(zone: ZoneInfo, day: int) -> LocalSlots:
    """The local time of one UTC day."""
    start = datetime.fromtimestamp(day * DAY_S, UTC)
    offset_s, next_offset_s = (_offset_s(zone, start + timedelta(days=days)) for days in (0, 1))
    if offset_s == next_offset_s:
        return _steady_day(offset_s, day % 7)
    offsets_s = [_offset_s(zone, start + timedelta(seconds=s)) for s in _MIDDLES_S.tolist()]
    return _local(np.array(offsets_s), day % 7)


@lru_cache(maxsize=1024)
def _steady_day(offset_s: int, day_of_seven: int) -> LocalSlots:
    return _local(np.array(offset_s), day_of_seven)


def _local(offsets_s: Int64Array, day_of_seven: int) -> LocalSlots:
    days, seconds = np.divmod(_MIDDLES_S + offsets_s, DAY_S)
    hours = seconds // 3600 + seconds // 60 % 60 / 60 + seconds % 60 / 3600
    # 1970-01-01 was a Thursday.
    weekdays = (day_of_seven + 3 + days) % 7
    hours.setflags(write=False)
    weekdays.setflags(write=False)
    return LocalSlots(hours, weekdays)


def _offset_s(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None  # an IANA zone has one
    return int(offset.total_seconds())
