"""
The sky over a fleet: how high the sun stands, and how cloudy a day is.

Owns what all solar roofs of one fleet share. One place (51 degrees north, 10 degrees east) and
one weather per day for everybody: neighbours' curves move together, as real ones do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.randomness import FloatArray, Int64Array, stream_key, uniform

DAYS_PER_YEAR: Final = 365.2425

_LATITUDE: Final = np.radians(51.0)
_LONGITUDE_H: Final = 10.0 / 15.0
_OBLIQUITY: Final = np.radians(23.44)
_SPRING_DAY: Final = 79.7  # day of the year on which the declination passes zero
# Air mass, incidence and inverter together, fitted so that 1 kWp yields about 1 MWh a year.
_EXPONENT: Final = 1.25
_YIELD: Final = 1.12


def clear_sky(day: int, shift_h: float = 0.0) -> FloatArray:
    """
    Output of a roof in each of a UTC day's 96 quarter-hours under a clear sky.

    Args:
        day: days since 1970-01-01.
        shift_h: how much later (west) or earlier (east) than south the roof faces, in hours.
    Returns: fractions of the roof's nominal power.
    """
    [of_day] = _clear_sky(np.array([day % DAYS_PER_YEAR]), shift_h)
    return np.asarray(of_day)


def clear_sky_hours(days: Int64Array) -> FloatArray:
    """Full-load hours of each day (days since 1970-01-01) under a clear sky."""
    hours: FloatArray = _hours_by_day_of_year()[(days % DAYS_PER_YEAR).astype(np.int64)]
    return hours


def clearness(seed: int, days: Int64Array) -> FloatArray:
    """
    How much of the clear sky's yield each day gets, 0.12..1: low in runs, lower in winter.

    Args: seed: of the fleet. days: days since 1970-01-01.
    """
    key = stream_key(seed, "weather")
    # Weather keeps: each day shares half of its luck with the day before.
    luck = 0.5 * (uniform(key, days) + uniform(key, days - 1))
    summer = -np.cos(2 * np.pi * (days - 10) / DAYS_PER_YEAR)
    share: FloatArray = np.clip(luck * (1.1 + 0.25 * summer), 0.12, 1.0)
    return share


def _clear_sky(days_of_year: FloatArray, shift_h: float) -> FloatArray:
    hours = (np.arange(SLOTS_PER_DAY) + 0.5) / 4 + _LONGITUDE_H - shift_h
    hour_angle = np.radians(15.0) * (hours - 12.0)
    declination = _OBLIQUITY * np.sin(2 * np.pi * (days_of_year - _SPRING_DAY) / DAYS_PER_YEAR)
    sine = np.sin(_LATITUDE) * np.sin(declination)[:, None] + (
        np.cos(_LATITUDE) * np.cos(declination)[:, None] * np.cos(hour_angle)
    )
    output: FloatArray = _YIELD * np.maximum(sine, 0.0) ** _EXPONENT
    return output


@lru_cache(maxsize=1)
def _hours_by_day_of_year() -> FloatArray:
    table: FloatArray = _clear_sky(np.arange(367, dtype=np.float64), 0.0).sum(axis=1) / 4
    table.setflags(write=False)
    return table
