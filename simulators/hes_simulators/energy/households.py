"""
Households: who lives behind a meter, and what they use and generate.

Everybody shares the region's weather and the local clock; habits, size and roof are their own.
"""

from __future__ import annotations

import math
from datetime import datetime
from functools import lru_cache
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes_simulators.energy.calendar import by_kind, local_day
from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.energy.installation import (
    EXPORT,
    IMPORT,
    Electrical,
    bump,
    installed_at,
    installed_day,
    slots_of,
)
from hes_simulators.energy.region import Region
from hes_simulators.energy.sky import (
    DAYS_PER_YEAR,
    clear_sky,
    clear_sky_by_table,
    clear_sky_hours,
)
from hes_simulators.randomness import (
    FloatArray,
    Int64Array,
    normal,
    normal_of,
    one_normal,
    pair,
    stream_key,
    uniform,
    uniforms,
)

_SOLAR_SHARE: Final = 0.3
_AWAY_SHARE: Final = 0.04  # of weeks
# Of what load and generation could share in a day, a household without a battery uses this much.
_SELF_USE: Final = 0.65
# A quarter-hour is no instant: a little is bought and sold even when the other outweighs it.
_BOUGHT_AT_LEAST: Final = 0.03
_SOLD_AT_LEAST: Final = 0.02
_BY_WEEKDAY: Final = np.array([0.95] * 5 + [1.12] * 2)
# Of the peaks in the morning and in the evening.
_WIDTHS_H: Final = np.array([[1.1], [2.2]])


@attrs.frozen(eq=False)
class DayEnergy:
    """Whole days' energy in Wh, one element per day: consumed, generated, bought and sold."""

    load_wh: FloatArray
    made_wh: FloatArray
    bought_wh: Int64Array
    sold_wh: Int64Array


@attrs.frozen
class Household:
    """
    What lives behind one meter; make it with `household`.

    `annual_wh` is its consumption; `solar_wp` the roof's nominal power, 0 without one;
    `morning_h` and `evening_h` are the local hours of its peaks; `installed_day` counts from
    1970-01-01, UTC.
    """

    flows: ClassVar[tuple[str, ...]] = (IMPORT, EXPORT)
    electrical: ClassVar[Electrical] = Electrical()

    seed: int
    index: int
    region: Region
    annual_wh: int
    solar_wp: int
    roof_shift_h: float
    morning_h: float
    evening_h: float
    evening_weight: float
    base_share: float
    winter_share: float
    installed_day: int
    start_import_wh: int
    start_export_wh: int

    @property
    def installed_at(self) -> datetime:
        """The installation moment: the registers' start values hold then."""
        return installed_at(self.installed_day)

    def start(self, flow: str) -> int:
        """See `Installation`."""
        return self.start_import_wh if flow == IMPORT else self.start_export_wh

    def day_totals(self, days: Int64Array) -> dict[str, Int64Array]:
        """See `Installation`."""
        energy = self.day_energy(days)
        return {IMPORT: energy.bought_wh, EXPORT: energy.sold_wh}

    def day_energy(self, days: Int64Array) -> DayEnergy:
        """The energy of each UTC day; bought and sold are exact."""
        season = 1.0 + self.winter_share * self.region.season * self.region.midwinter(days)
        # 1970-01-01 was a Thursday; weeks, and weeks away, begin on Mondays.
        weeks, weekdays = np.divmod(days + 3, 7)
        weekend = _BY_WEEKDAY[weekdays]
        mood = np.exp(0.16 * normal(self._key("day"), days))
        away = uniform(self._key("away"), weeks) < _AWAY_SHARE
        load = self.annual_wh / DAYS_PER_YEAR * season * weekend * mood
        load *= np.where(away, 0.8 * self.base_share, 1.0)
        if not self.solar_wp:
            bought = np.rint(load).astype(np.int64)
            return DayEnergy(load, np.zeros(len(days)), bought, np.zeros(len(days), np.int64))
        sun_hours = clear_sky_hours(self.region.place, days)
        made = self.solar_wp * sun_hours * self.region.clearness(days)
        shared = _SELF_USE * load * made / (load + made)
        return DayEnergy(
            load_wh=load,
            made_wh=made,
            bought_wh=np.rint(load - shared).astype(np.int64),
            sold_wh=np.rint(made - shared).astype(np.int64),
        )

    def typical(self, days: Int64Array) -> dict[str, FloatArray]:
        """See `Installation`."""
        habits = self._habits(days)
        load = self.base_share * 0.89 + (1 - self.base_share) * (habits + 0.1)
        roof = None
        if self.solar_wp:
            shift_slots = round(4 * self.roof_shift_h)
            roof = clear_sky_by_table(self.region.place, days, shift_slots)
        return self._traded(days, load, roof)

    def shapes(self, days: Int64Array) -> dict[str, FloatArray]:
        """See `Installation`."""
        return self._traded(days, self._load_shape(days), self._clouded_roof(days))

    def _traded(
        self, days: Int64Array, load: FloatArray, roof: FloatArray | None
    ) -> dict[str, FloatArray]:
        """What the load needs above the roof is bought, the rest of the roof is sold."""
        if roof is None:  # shares of the day are enough
            return {IMPORT: load, EXPORT: np.zeros_like(load)}
        energy = self.day_energy(days)
        load = load * (energy.load_wh / load.sum(axis=1))[:, None]
        shine = roof.sum(axis=1)
        # In a polar night nothing is made, and nothing to be divided.
        roof = roof * (energy.made_wh / np.where(shine > 0, shine, 1.0))[:, None]
        return {
            IMPORT: np.maximum(load - roof, _BOUGHT_AT_LEAST * load),
            EXPORT: np.maximum(roof - load, _SOLD_AT_LEAST * roof),
        }

    def _load_shape(self, days: Int64Array) -> FloatArray:
        """Relative consumption: base load, habits by the clock, appliances by chance."""
        slots = slots_of(days)
        habits = self._habits(days)
        # Kettle, oven, washing machine: rare, large, and mostly when somebody is up.
        streams = ("appliance", "appliance-size", "fridge")
        keys = (*pair(self._key("flicker")), *(self._key(name) for name in streams))
        one, other, chance, size, compressor = uniforms(keys, slots)
        flicker = np.exp(0.28 * normal_of(one, other))
        appliances = np.where(chance < 0.10 * np.minimum(habits, 1.0), 0.6 + 2.2 * size, 0.0)
        # A fridge's compressor, about one slot in three.
        fridge = 0.25 * (compressor < 0.35)
        base = self.base_share * (0.8 + fridge)
        shape: FloatArray = base + (1 - self.base_share) * (habits * flicker + appliances)
        return shape

    def _clouded_roof(self, days: Int64Array) -> FloatArray | None:
        """Relative generation, None without a roof."""
        if not self.solar_wp:
            return None
        passing = 0.7 + 0.3 * uniform(self._key("cloud"), slots_of(days))
        return clear_sky(self.region.place, days, self.roof_shift_h) * passing

    def _habits(self, days: Int64Array) -> FloatArray:
        zone = self.region.zone
        return by_kind([_usual(zone, day) for day in days.tolist()], self._habits_of)

    def _habits_of(self, usual: _Usual) -> FloatArray:
        centres_h = np.array([[self.morning_h + usual.sleep_in_h], [self.evening_h]])
        morning, evening = bump(usual.hours, centres_h, _WIDTHS_H)
        habits: FloatArray = (
            0.75 * morning + usual.noon + self.evening_weight * evening + usual.awake
        )
        return habits

    def _key(self, name: str) -> int:
        return stream_key(self.seed, self.index, name)


def household(seed: int, index: int, region: Region) -> Household:
    """The household behind meter `index` of the fleet `seed`."""
    u = uniform(stream_key(seed, index, "household"), np.arange(12)).tolist()
    size = one_normal(stream_key(seed, index, "household-size"), 0)
    solar = u[0] < _SOLAR_SHARE
    return Household(
        seed=seed,
        index=index,
        region=region,
        annual_wh=int(min(max(3_200_000 * math.exp(0.45 * size), 900_000), 14_000_000)),
        solar_wp=3_000 + 250 * int(u[1] * 32) if solar else 0,
        roof_shift_h=3.0 * (u[2] - 0.5),
        morning_h=5.8 + 2.4 * u[3],
        evening_h=17.8 + 2.8 * u[4],
        evening_weight=0.7 + 0.8 * u[5],
        base_share=0.25 + 0.25 * u[6],
        winter_share=0.08 + 0.22 * u[7],
        installed_day=installed_day(u[8]),
        # A new meter arrives with the few Wh of its calibration.
        start_import_wh=int(u[9] * 60),
        start_export_wh=int(u[10] * 20) if solar else 0,
    )


@attrs.frozen(eq=False)
class _Usual:
    """What all households have in common on a day of one kind, 96 each."""

    hours: FloatArray
    sleep_in_h: float
    noon: FloatArray
    awake: FloatArray


@lru_cache(maxsize=4096)
def _usual(zone: ZoneInfo, day: int) -> _Usual:
    """Of a UTC day: the same object for all that are alike."""
    local = local_day(zone, day)
    return _usual_of(local.hours.tobytes(), bool(local.weekdays[SLOTS_PER_DAY // 2] >= 5))


@lru_cache(maxsize=64)
def _usual_of(octets: bytes, weekend: bool) -> _Usual:
    hours = np.frombuffer(octets)
    return _Usual(
        hours,
        sleep_in_h=1.6 if weekend else 0.0,
        noon=(0.55 if weekend else 0.25) * bump(hours, 12.6, 1.5),
        awake=np.where((hours > 6.5) & (hours < 22.5), 0.12, 0.0),
    )
