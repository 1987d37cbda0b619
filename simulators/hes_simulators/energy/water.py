"""
Water: small draws of a home, none of them at the same time as another's.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from hes_simulators.energy.calendar import LocalSlots, by_local_day
from hes_simulators.energy.installation import WATER, Routine, bump, share_of_day
from hes_simulators.energy.region import Region
from hes_simulators.randomness import FloatArray, Int64Array, uniform

_AWAY_SHARE: Final = 0.05  # of weeks
_AWAY_USE: Final = 0.02  # a tap that drips
_GARDEN_FROM_C: Final = 19.0


class WaterMeter(Routine):
    """A home of one to five people, some with a garden that is watered on warm evenings."""

    flows: ClassVar[tuple[str, ...]] = (WATER,)
    name: ClassVar[str] = "water"
    mood: ClassVar[float] = 0.22

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(4)
        self.day_dm3 = (1 + int(u[0] * 5)) * (90.0 + 60.0 * u[1])
        self.garden_dm3 = 300.0 * u[2] if u[3] < 0.3 else 0.0

    def expected_by_day(self, days: Int64Array) -> dict[str, FloatArray]:
        """dm3."""
        people, garden = self._amounts(days)
        return {WATER: people + garden}

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """dm3 per hour."""
        people, garden = self._amounts(days)
        taps = by_local_day(self.region.zone, days, _taps)
        watering = by_local_day(self.region.zone, days, _evening)
        return {WATER: people[:, None] * taps + garden[:, None] * watering}

    def _amounts(self, days: Int64Array) -> tuple[FloatArray, FloatArray]:
        """dm3 of each day: of people when they are at home, of the garden when it is warm."""
        away = uniform(self.key("away"), (days + 3) // 7) < _AWAY_SHARE
        people = self.day_dm3 * np.where(away, _AWAY_USE, 1.0)
        warm_k = np.maximum(self.region.temperature(days) - _GARDEN_FROM_C, 0.0)
        return people, self.garden_dm3 * np.minimum(warm_k / 4.0, 1.0)

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """Most quarter-hours nobody turns a tap; a shower or a washing machine is a lot."""
        draws = uniform(self.key(f"draw-{flow}"), slots) < 0.3
        size = uniform(self.key("draw-size"), slots)
        return np.where(draws, 0.1 + 3.0 * size**3, 1e-6)


def _taps(local: LocalSlots) -> FloatArray:
    weekend = local.weekdays >= 5
    morning = np.where(weekend, bump(local.hours, 9.3, 1.6), bump(local.hours, 6.9, 1.0))
    awake = 0.12 * ((local.hours > 6.0) & (local.hours < 23.0))
    shape = 1.2 * morning + 0.5 * bump(local.hours, 12.6, 1.2) + bump(local.hours, 19.3, 2.0)
    return share_of_day(shape + awake + 0.004)


def _evening(local: LocalSlots) -> FloatArray:
    return share_of_day(bump(local.hours, 20.5, 0.6))
