"""
Local days and months as stretches of UTC.

A day begins with the first instant of its date: where a clock that is set back shows midnight twice
that is the first of them, and where one that is set forward skips it, the instant of the change. So
days follow each other without gap or overlap, and have 23, 24 or 25 hours (23.5 and 24.5 on Lord
Howe). PostgreSQL's date_trunc takes the second midnight for the first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import attrs

from hes.domain.readings import microseconds, moment


@attrs.frozen
class Stretch:
    """[start, end) in microseconds since 1970 UTC."""

    start: int
    end: int


@attrs.frozen
class ZonePeriod:
    """Which zone holds from `since` on (microseconds since 1970 UTC), until the next does."""

    since: int
    zone: str


class LocalCalendar:
    """
    The local days and months of something that may move to another zone.

    A day or month in which the zone changes is two: one up to the change, one from it on.

    Args:
        periods: by `since`, at least one; the first also holds before it.
    """

    def __init__(self, periods: Sequence[ZonePeriod]) -> None:
        merged = [periods[0]]
        merged += [one for before, one in pairwise(periods) if one.zone != before.zone]
        self._since = [one.since for one in merged]
        self._zones = [one.zone for one in merged]

    def day(self, instant: int) -> Stretch:
        """The local day that an instant (microseconds since 1970 UTC) belongs to."""
        period = self._period(instant)
        return self._cut(period, day(self._zones[period], instant))

    def month(self, instant: int) -> Stretch:
        """The local month that an instant (microseconds since 1970 UTC) belongs to."""
        period = self._period(instant)
        return self._cut(period, month(self._zones[period], instant))

    def _period(self, instant: int) -> int:
        return max(0, bisect_right(self._since, instant) - 1)

    def _cut(self, period: int, stretch: Stretch) -> Stretch:
        start, end = stretch.start, stretch.end
        if period:
            start = max(start, self._since[period])
        if period + 1 < len(self._since):
            end = min(end, self._since[period + 1])
        return Stretch(start, end)


def day(zone: str, instant: int) -> Stretch:
    """
    The local day that an instant (microseconds since 1970 UTC) belongs to.

    Raises: ZoneInfoNotFoundError: no such zone.
    """
    local = moment(instant).astimezone(ZoneInfo(zone)).date()
    return Stretch(midnight(zone, local), midnight(zone, local + timedelta(days=1)))


def month(zone: str, instant: int) -> Stretch:
    """
    The local month that an instant (microseconds since 1970 UTC) belongs to.

    Raises: ZoneInfoNotFoundError: no such zone.
    """
    first = moment(instant).astimezone(ZoneInfo(zone)).date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Stretch(midnight(zone, first), midnight(zone, following))


@lru_cache(maxsize=20_000)
def midnight(zone: str, day: date) -> int:
    """
    When a local day begins, in microseconds since 1970 UTC.

    Raises: ZoneInfoNotFoundError: no such zone.
    """
    # fold=0: the first of two midnights; of one that is skipped, the instant of the change.
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))
