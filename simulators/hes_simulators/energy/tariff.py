"""
Tariffs: which rate counts when, by the local clock.

Owns switching times of weeks by season and of special days, and which rate each quarter-hour of a
UTC day belongs to. Not the activity calendar (class_id 20) and special days table (11) of a meter,
which say the same to clients.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import numpy.typing as npt

from hes_simulators.energy.calendar import falls_on, local_day
from hes_simulators.energy.quantity import MAX_RATES
from hes_simulators.randomness import Int64Array

Switches = tuple[tuple[float, int], ...]
"""(local hour, rate) pairs, the first of hour 0."""

BandArray = npt.NDArray[np.int8]
"""The rate of each slot, counted from 0: a band."""

_DAY_AND_NIGHT: Final[Switches] = ((0, 2), (6, 1), (22, 2))
_QUARTERS_PER_DAY: Final = 96
_WEEK: Final = 7
_EPOCH: Final = date(1970, 1, 1)
_THURSDAY: Final = 3  # the epoch's weekday


@attrs.frozen(cache_hash=True)
class SpecialDay:
    """Days on which it switches otherwise: a date of five octets, see `calendar.falls_on`."""

    date: bytes
    switches: Switches


@attrs.frozen(cache_hash=True)
class Season:
    """From `day` of `month` on, every year unless `year` is given, a week of seven days."""

    month: int
    day: int
    year: int | None
    week: tuple[Switches, ...]

    def began(self, today: date) -> date | None:
        """When it began the last time; a day that the month does not have is its last."""
        year = today.year if self.year is None else self.year
        begin = self._in(year)
        if begin > today:
            return self._in(year - 1) if self.year is None else None
        return begin

    def _in(self, year: int) -> date:
        return date(year, self.month, min(self.day, monthrange(year, self.month)[1]))


@attrs.frozen(cache_hash=True)
class Tariff:
    """
    Switching times: pairs of a local hour (in steps of 0.25) and a rate from 1 on.

    `week` has those of seven days from Monday on, as long as none of `seasons` has begun; of
    `special` days, the first that falls on a date goes before its weekday.
    Raises: ValueError: no seven days, a day that does not begin at 0, hours out of order or off
        the grid, rates outside 1..`rates`.
    """

    rates: int
    week: tuple[Switches, ...]
    special: tuple[SpecialDay, ...] = ()
    seasons: tuple[Season, ...] = ()

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.rates <= MAX_RATES:
            raise ValueError(f"{self.rates} rates, not 1 to {MAX_RATES}")
        for week in self._weeks():
            if len(week) != _WEEK:
                raise ValueError(f"a week of {len(week)} days")
        for switches in self._days():
            hours = [hour for hour, _ in switches]
            on_grid = all(0 <= hour < 24 and hour * 4 == int(hour * 4) for hour in hours)
            if hours[:1] != [0] or hours != sorted(set(hours)) or not on_grid:
                raise ValueError(f"switching hours {hours} are no day's")
            if not all(1 <= rate <= self.rates for _, rate in switches):
                raise ValueError(f"a rate outside 1..{self.rates}")

    @classmethod
    def of(cls, rates: int) -> Tariff:
        """
        The usual tariff of so many rates: two are day (1) and night or weekend (2); more cut each
        day into as many pieces of one length, as the time zones of IS 15959 do.

        Raises: ValueError: not 1..8.
        """
        if rates == 2:
            return cls(2, (_DAY_AND_NIGHT,) * 5 + (((0, 2),),) * 2)
        pieces = tuple(
            (piece * _QUARTERS_PER_DAY // rates / 4, piece + 1) for piece in range(rates)
        )
        return cls(rates, (pieces,) * _WEEK)

    def on(self, day: date) -> Switches:
        """The switching times of a date."""
        special = next((one.switches for one in self.special if falls_on(day, one.date)), None)
        return self._week_of(day)[day.weekday()] if special is None else special

    def _week_of(self, day: date) -> tuple[Switches, ...]:
        begun = [(began, one.week) for one in self.seasons if (began := one.began(day))]
        return max(begun, key=lambda season: season[0])[1] if begun else self.week

    def _weeks(self) -> Iterator[tuple[Switches, ...]]:
        yield self.week
        for season in self.seasons:
            yield season.week

    def _days(self) -> Iterator[Switches]:
        for week in self._weeks():
            yield from week
        for one in self.special:
            yield one.switches


def bands(tariff: Tariff, zone: ZoneInfo, days: Int64Array) -> BandArray:
    """The band of each slot of n UTC days, n x 96."""
    return np.array([bands_of_day(tariff, zone, day) for day in days.tolist()], np.int8).reshape(
        -1, _QUARTERS_PER_DAY
    )


@lru_cache(maxsize=4096)
def bands_of_day(tariff: Tariff, zone: ZoneInfo, day: int) -> BandArray:
    """The band of each of a UTC day's 96 slots; shared, not to be written."""
    local = local_day(zone, day)
    # In the middle of a slot, so that a zone of whole quarters off UTC is exact.
    quarters = (local.hours * 4).astype(np.int64)
    found: BandArray = _week(tariff)[local.weekdays, quarters]
    if tariff.special or tariff.seasons:
        # A UTC day lies in two local ones: this one's date, and the one before or after it.
        ahead = (local.weekdays - (day + _THURSDAY) + 1) % _WEEK - 1
        for days in np.unique(ahead).tolist():
            here = ahead == days
            found[here] = _day(tariff.on(_EPOCH + timedelta(days=day + days)))[quarters[here]]
    found.setflags(write=False)
    return found


@lru_cache(maxsize=64)
def _week(tariff: Tariff) -> BandArray:
    """The band of each local quarter-hour of a week from Monday on, 7 x 96."""
    return np.array([_day(switches) for switches in tariff.week], np.int8)


@lru_cache(maxsize=256)
def _day(switches: Switches) -> BandArray:
    """The band of each quarter-hour of a local day, 96; shared, not to be written."""
    found = np.zeros(_QUARTERS_PER_DAY, np.int8)
    for hour, rate in switches:
        found[int(hour * 4) :] = rate - 1
    found.setflags(write=False)
    return found
