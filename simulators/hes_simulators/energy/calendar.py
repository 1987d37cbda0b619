"""
The calendar of the people around a meter: local hour and weekday of every UTC quarter-hour.

Owns tables that all sources of one zone share. People get up by the local clock, the sun does not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from hes_simulators.energy.grid import DAY_S, SLOT_S, SLOTS_PER_DAY
from hes_simulators.randomness import FloatArray


@lru_cache(maxsize=64)
def local_hours(zone: ZoneInfo, day: int) -> FloatArray:
    """The local hour of day, 0..24, in the middle of each slot of a UTC day."""
    start = datetime.fromtimestamp(day * DAY_S, UTC)
    middles = [start + timedelta(seconds=SLOT_S * (slot + 0.5)) for slot in range(SLOTS_PER_DAY)]
    hours = np.array([_hour_of(middle.astimezone(zone)) for middle in middles])
    hours.setflags(write=False)
    return hours


def _hour_of(local: datetime) -> float:
    return local.hour + local.minute / 60 + local.second / 3600
