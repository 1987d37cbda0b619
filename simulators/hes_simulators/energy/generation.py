"""
Generation: a small solar plant that sells what it makes, and buys only what its control needs.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hes_simulators.energy.installation import EXPORT, IMPORT, Electrical, Routine
from hes_simulators.energy.region import Region
from hes_simulators.energy.sky import clear_sky_by_table
from hes_simulators.randomness import FloatArray, Int64Array, uniform


class SolarPlant(Routine):
    """
    Modules of `nominal_wp` (10 to 100 kW), inverters of less that clip the brightest hours.

    By night the inverters' standby is imported.
    """

    electrical: ClassVar[Electrical] = Electrical(
        q1=0.3, q2=0.04, q3=0.10, q4=0.5, drop_dv=0.006, rise_dv=0.006, imbalance=0.02
    )
    name: ClassVar[str] = "solar"
    mood: ClassVar[float] = 0.03
    start_units: ClassVar[int] = 20

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(4)
        self.nominal_wp = 10_000.0 + 1_000.0 * int(91 * u[0] ** 2)
        self.shift_slots = int(u[1] * 7) - 3
        self.inverter_w = (0.75 + 0.2 * u[2]) * self.nominal_wp
        self.standby_w = 6.0 + 0.0004 * self.nominal_wp * (1 + u[3])

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """Output by the sun and the day's clearness."""
        sky = clear_sky_by_table(self.region.place, days, self.shift_slots)
        made = self.nominal_wp * sky * self.region.clearness(days)[:, None]
        return {
            IMPORT: np.where(made < 2 * self.standby_w, self.standby_w, 0.0),
            EXPORT: np.where(made < 2 * self.standby_w, 0.0, np.minimum(made, self.inverter_w)),
        }

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """Passing clouds are everybody's by day, but each plant sees them at another moment."""
        if flow == IMPORT:
            return np.ones(slots.shape)
        found: FloatArray = 0.6 + 0.4 * uniform(self.key("cloud"), slots)
        return found
