"""
The sky over a place: how high the sun stands, and what a roof makes of it when nothing is before.

Owns geometry and tables that all sources of one place share; not the weather, see `region`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from hes_simulators.energy.grid import SLOTS_PER_DAY
from hes_simulators.energy.places import Place
from hes_simulators.randomness import FloatArray, Int64Array

DAYS_PER_YEAR: Final = 365.2425

_OBLIQUITY: Final = np.radians(23.44)
_SPRING_DAY: Final = 79.7  # day of the year on which the declination passes zero
# Air mass, incidence and inverter together, fitted so that 1 kWp yields about 1 MWh a year.
_EXPONENT: Final = 1.25
_YIELD: Final = 1.12
_DAYS_IN_TABLE: Final = 367


def clear_sky(place: Place, days: Int64Array, shift_h: float = 0.0) -> FloatArray:
    """
    Output of a roof in each quarter-hour of n UTC days under a clear sky.

    Args:
        days: since 1970-01-01.
        shift_h: how much later (west) or earlier (east) than south the roof faces, in hours.
    Returns: fractions of the roof's nominal power, n x 96.
    """
    return _output(_sine(place, np.asarray(days % DAYS_PER_YEAR, np.float64), shift_h))


def clear_sky_by_table(place: Place, days: Int64Array, shift_slots: int = 0) -> FloatArray:
    """The same nearly, much cheaper for many days: whole days of the year, shift in slots."""
    rows = _table(place)[_day_of_year(days)]
    return np.roll(rows, shift_slots, axis=1) if shift_slots else rows


def clear_sky_hours(place: Place, days: Int64Array) -> FloatArray:
    """Full-load hours of each day (days since 1970-01-01) under a clear sky."""
    hours: FloatArray = _hours(place)[_day_of_year(days)]
    return hours


def sine_of_elevation(place: Place, days: Int64Array) -> FloatArray:
    """The sine of the sun's elevation in the middle of each slot, n x 96, by whole days."""
    rows: FloatArray = _sines(place)[_day_of_year(days)]
    return rows


def _day_of_year(days: Int64Array) -> Int64Array:
    return (days % DAYS_PER_YEAR).astype(np.int64)


def _sine(place: Place, days_of_year: FloatArray, shift_h: float) -> FloatArray:
    hours = (np.arange(SLOTS_PER_DAY) + 0.5) / 4 + place.longitude / 15.0 - shift_h
    hour_angle = np.radians(15.0) * (hours - 12.0)
    declination = _OBLIQUITY * np.sin(2 * np.pi * (days_of_year - _SPRING_DAY) / DAYS_PER_YEAR)
    latitude = np.radians(place.latitude)
    sine: FloatArray = np.sin(latitude) * np.sin(declination)[:, None] + (
        np.cos(latitude) * np.cos(declination)[:, None] * np.cos(hour_angle)
    )
    return sine


def _output(sine: FloatArray) -> FloatArray:
    output: FloatArray = _YIELD * np.maximum(sine, 0.0) ** _EXPONENT
    return output


@lru_cache(maxsize=16)
def _sines(place: Place) -> FloatArray:
    return _shared(_sine(place, np.arange(_DAYS_IN_TABLE, dtype=np.float64), 0.0))


@lru_cache(maxsize=16)
def _table(place: Place) -> FloatArray:
    return _shared(_output(_sines(place)))


@lru_cache(maxsize=16)
def _hours(place: Place) -> FloatArray:
    return _shared(_table(place).sum(axis=1) / 4)


def _shared(table: FloatArray) -> FloatArray:
    table.setflags(write=False)
    return table
