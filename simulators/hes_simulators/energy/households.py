"""
Households: who lives behind each meter of a fleet, and what they use and generate in a day.

Owns their parameters, the energy of whole days and the shape of a day; all of it pure functions of
(seed, meter index, day). Does not own registers or intervals, see `curves`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from hes_simulators.energy.grid import DAY_S, SLOTS_PER_DAY
from hes_simulators.energy.sky import DAYS_PER_YEAR, clear_sky, clear_sky_hours, clearness
from hes_simulators.randomness import FloatArray, Int64Array, normal, stream_key, uniform

# Meters of a fleet were put up during this year, one by one.
_FIRST_INSTALLED_DAY: Final = 20_240  # 2025-06-01
_INSTALLATION_DAYS: Final = 300
_SOLAR_SHARE: Final = 0.3
_AWAY_SHARE: Final = 0.04  # of weeks
# Of what load and generation could share in a day, a household without a battery uses this much.
_SELF_USE: Final = 0.65


@attrs.frozen
class Household:
    """
    What lives behind one meter.

    `annual_wh` is its consumption; `solar_wp` the roof's nominal power, 0 without one;
    `morning_h` and `evening_h` are the local hours of its peaks; `installed_day` counts from
    1970-01-01, UTC.
    """

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
        return datetime.fromtimestamp(self.installed_day * DAY_S, UTC)


@attrs.frozen(eq=False)
class DayEnergy:
    """Whole days' energy in Wh, one element per day: consumed, generated, bought and sold."""

    load_wh: FloatArray
    made_wh: FloatArray
    bought_wh: Int64Array
    sold_wh: Int64Array


def household(seed: int, index: int) -> Household:
    """The household behind meter `index` of the fleet `seed`."""
    u = uniform(stream_key(seed, index, "household"), np.arange(12))
    g = normal(stream_key(seed, index, "household-size"), np.arange(1))
    solar = u[0] < _SOLAR_SHARE
    annual_wh = int(np.clip(3_200_000 * np.exp(0.45 * g[0]), 900_000, 14_000_000))
    return Household(
        annual_wh=annual_wh,
        solar_wp=3_000 + 250 * int(u[1] * 32) if solar else 0,
        roof_shift_h=3.0 * (u[2] - 0.5),
        morning_h=5.8 + 2.4 * u[3],
        evening_h=17.8 + 2.8 * u[4],
        evening_weight=0.7 + 0.8 * u[5],
        base_share=0.25 + 0.25 * u[6],
        winter_share=0.08 + 0.22 * u[7],
        installed_day=_FIRST_INSTALLED_DAY + int(u[8] * _INSTALLATION_DAYS),
        # A new meter arrives with the few Wh of its calibration.
        start_import_wh=int(u[9] * 60),
        start_export_wh=int(u[10] * 20) if solar else 0,
    )


def day_energy(seed: int, index: int, home: Household, first_day: int, end_day: int) -> DayEnergy:
    """The energy of each UTC day, `first_day` <= day < `end_day`; bought and sold are exact."""
    days = np.arange(first_day, end_day)
    season = 1.0 + home.winter_share * np.cos(2 * np.pi * (days - 15) / DAYS_PER_YEAR)
    weekend = np.where(_weekend(days), 1.12, 0.95)
    mood = np.exp(0.16 * normal(stream_key(seed, index, "day"), days))
    # 1970-01-01 was a Thursday; weeks away begin on Mondays.
    away = uniform(stream_key(seed, index, "away"), (days + 3) // 7) < _AWAY_SHARE
    load = home.annual_wh / DAYS_PER_YEAR * season * weekend * mood
    load *= np.where(away, 0.8 * home.base_share, 1.0)
    if home.solar_wp:
        made = home.solar_wp * clear_sky_hours(days) * clearness(seed, days)
    else:
        made = np.zeros(len(days))
    shared = _SELF_USE * load * made / (load + made)
    return DayEnergy(
        load_wh=load,
        made_wh=made,
        bought_wh=np.rint(load - shared).astype(np.int64),
        sold_wh=np.rint(made - shared).astype(np.int64),
    )


def load_shape(
    seed: int, index: int, home: Household, slots: Int64Array, hours: FloatArray
) -> FloatArray:
    """Relative consumption of each slot: base load, habits by the clock, appliances by chance."""
    weekend = bool(_weekend(slots[:1] // SLOTS_PER_DAY)[0])
    sleep_in = 1.6 if weekend else 0.0
    habits = (
        0.75 * _bump(hours, home.morning_h + sleep_in, 1.1)
        + (0.55 if weekend else 0.25) * _bump(hours, 12.6, 1.5)
        + home.evening_weight * _bump(hours, home.evening_h, 2.2)
        + 0.12 * ((hours > 6.5) & (hours < 22.5))
    )
    flicker = np.exp(0.28 * normal(stream_key(seed, index, "flicker"), slots))
    # Kettle, oven, washing machine: rare, large, and mostly when somebody is up.
    chance = uniform(stream_key(seed, index, "appliance"), slots)
    size = uniform(stream_key(seed, index, "appliance-size"), slots)
    appliances = np.where(chance < 0.10 * np.minimum(habits, 1.0), 0.6 + 2.2 * size, 0.0)
    # A fridge's compressor, about one slot in three.
    fridge = 0.25 * (uniform(stream_key(seed, index, "fridge"), slots) < 0.35)
    base = home.base_share * (0.8 + fridge)
    return base + (1 - home.base_share) * (habits * flicker + appliances)


def clouded_roof(seed: int, index: int, home: Household, day: int) -> FloatArray:
    """Relative generation of each slot of a UTC day."""
    slots = np.arange(day * SLOTS_PER_DAY, (day + 1) * SLOTS_PER_DAY)
    passing = 0.7 + 0.3 * uniform(stream_key(seed, index, "cloud"), slots)
    return clear_sky(day, home.roof_shift_h) * passing


def _bump(hours: FloatArray, centre_h: float, width_h: float) -> FloatArray:
    """A peak around a local hour, wrapping at midnight."""
    distance = np.abs(hours - centre_h)
    distance = np.minimum(distance, 24.0 - distance)
    return np.exp(-0.5 * (distance / width_h) ** 2)


def _weekend(days: Int64Array) -> npt.NDArray[np.bool_]:
    return (days + 3) % 7 >= 5
