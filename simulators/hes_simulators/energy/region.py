"""
Regions: the place, the weather and the grid that the meters of one town share.

Owns one weather a day for everybody (neighbours' curves move together, as real ones do) and the
frequency; not what a meter makes of them. Pure functions of (seed, name, time).
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.energy.places import Place, place_of
from hes_simulators.energy.sky import DAYS_PER_YEAR
from hes_simulators.randomness import FloatArray, Int64Array, normal, stream_key, uniform

_SECOND_US = 1_000_000
# The latitude at which seasons have the strength that the curves were fitted with.
_FITTED_LATITUDE = 51.0
_MOODS = 1009  # days after which they come again; prime, so that no week or year sees it
# Days whose weather is looked up: whatever meter is read, it was these that it has seen.
_TABLE_FROM, _TABLE_DAYS = 19_700, 4_096
_TABLE: Final[Int64Array] = np.arange(_TABLE_FROM, _TABLE_FROM + _TABLE_DAYS)


@attrs.frozen
class Region:
    """
    What all meters of a region share.

    `name` tells regions of one seed apart, which have weathers of their own.
    `place` is that of the zone unless given; `nominal_dv` (0.1 V) and `nominal_mhz` are the grid's.
    """

    seed: int
    zone: ZoneInfo
    name: str = ""
    nominal_dv: int = 2300
    nominal_mhz: int = 50_000
    place: Place = attrs.field(
        default=attrs.Factory(lambda self: place_of(self.zone), takes_self=True)
    )

    @cached_property
    def season(self) -> float:
        """How much seasons matter: 1 in middle Europe, 0 on the equator, negative in the south."""
        return float(np.clip(self.place.latitude / _FITTED_LATITUDE, -1.0, 1.0))

    def midwinter(self, days: Int64Array) -> FloatArray:
        """How near each day, in order, is to the middle of January: 1 there, -1 in July."""
        places = _places(days)
        return _midwinter(days) if places is None else _midwinters()[places]

    def clearness(self, days: Int64Array) -> FloatArray:
        """
        How much of the clear sky's yield each day gets, up to 1: low in runs, lower in winter.

        Args: days: since 1970-01-01, in order.
        """
        places = _places(days)
        return self._clearness(days) if places is None else self._clearness_table[places]

    @cached_property
    def _clearness_table(self) -> FloatArray:
        return self._clearness(_TABLE)

    def _clearness(self, days: Int64Array) -> FloatArray:
        key = self._weather_key
        # Weather keeps: each day shares half of its luck with the day before.
        luck = 0.5 * (uniform(key, days) + uniform(key, days - 1))
        summer = -np.cos(2 * np.pi * (days - 10) / DAYS_PER_YEAR) * self.season
        share: FloatArray = np.clip(luck * (1.1 + 0.25 * summer), 0.12, 1.0)
        return share

    def temperature(self, days: Int64Array) -> FloatArray:
        """The mean outside temperature of each day, °C."""
        latitude = self.place.latitude
        yearly = 30.0 - 0.0075 * latitude**2
        summer = -np.cos(2 * np.pi * (days - 20) / DAYS_PER_YEAR)
        # Mild and cold spells last days; a clear sky warms the summer and cools the winter.
        spell = sum(normal(self._temperature_key, days - back) for back in range(3))
        clear = (self.clearness(days) - 0.5) * summer * self.season
        return np.asarray(yearly + 0.19 * latitude * summer + 2.0 * spell + 4.0 * clear)

    def temperature_in_day(self, days: Int64Array) -> FloatArray:
        """The outside temperature of each slot, °C, n x 96: warmest in the afternoon."""
        solar_hours = (np.arange(SLOTS_PER_DAY) + 0.5) / 4 + self.place.longitude / 15.0
        swing = np.cos(2 * np.pi * (solar_hours - 15.0) / 24.0)
        mean, clear = self.temperature(days), self.clearness(days)
        return mean[:, None] + (1.2 + 3.5 * clear)[:, None] * swing

    def frequency_mhz(self, at_us: Int64Array) -> Int64Array:
        """The grid's frequency at each moment; the same everywhere, another every four seconds."""
        slow = normal(stream_key(self.seed, "frequency"), at_us // (60 * _SECOND_US))
        fast = normal(stream_key(self.seed, "frequency-fast"), at_us // (4 * _SECOND_US))
        return np.rint(self.nominal_mhz + 12.0 * slow + 4.0 * fast).astype(np.int64)

    def reactive_mood(self, days: Int64Array) -> FloatArray:
        """By how much more inductive than usual loads are on each day, about 1."""
        return _reactive_moods(self.seed)[days % _MOODS]

    @cached_property
    def _weather_key(self) -> int:
        return stream_key(self.seed, "weather", *self._named)

    @cached_property
    def _temperature_key(self) -> int:
        return stream_key(self.seed, "temperature", *self._named)

    @property
    def _named(self) -> tuple[str, ...]:
        return (self.name,) if self.name else ()


def _places(days: Int64Array) -> Int64Array | None:
    """Where days, in order, are in tables; None: not all are."""
    if not len(days) or days[0] < _TABLE_FROM or days[-1] >= _TABLE_FROM + _TABLE_DAYS:
        return None
    places: Int64Array = days - _TABLE_FROM
    return places


def _midwinter(days: Int64Array) -> FloatArray:
    found: FloatArray = np.cos(2 * np.pi * (days - 15) / DAYS_PER_YEAR)
    return found


@lru_cache(maxsize=1)
def _midwinters() -> FloatArray:
    return _midwinter(_TABLE)


@lru_cache(maxsize=16)
def _reactive_moods(seed: int) -> FloatArray:
    moods = np.exp(0.15 * normal(stream_key(seed, "reactive"), np.arange(_MOODS)))
    moods.setflags(write=False)
    return moods
