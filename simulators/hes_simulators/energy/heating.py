"""
Heating: heat pumps and gas boilers, led by the temperature outside.

Both keep a building at 20 °C that loses `loss_w_k` watts for each kelvin between inside and
outside; sun and people heat it above the heating limit. Hot water comes on top all year.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from hes_simulators.energy.calendar import LocalSlots, by_local_day
from hes_simulators.energy.installation import (
    GAS,
    IMPORT,
    Electrical,
    Routine,
    bump,
    share_of_day,
)
from hes_simulators.energy.region import Region
from hes_simulators.randomness import FloatArray, Int64Array, uniform

_HEATING_LIMIT_C: Final = 15.5
# Heat per volume of natural gas (H, at operating conditions), times a boiler's efficiency.
_WH_PER_DM3: Final = 10.4 * 0.93


class HeatPump(Routine):
    """
    An air-source heat pump: the colder it is, the more heat is needed and the dearer it is made.

    Its coefficient of performance falls by about a tenth for each 4 K, as data sheets by EN 14511
    show; hot water is made after noon, when the air is warmest, and once in the night.
    """

    electrical: ClassVar[Electrical] = Electrical(
        q1=0.28, q4=0.02, drop_dv=0.03, rise_dv=0.015, imbalance=0.05
    )
    name: ClassVar[str] = "heat-pump"
    mood: ClassVar[float] = 0.06

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(5)
        self.loss_w_k = 90.0 + 140.0 * u[0]
        self.heat_limit_c = _HEATING_LIMIT_C - 2.0 + 3.0 * u[1]
        self.quality = 0.85 + 0.3 * u[2]
        self.hot_water_wh = 3_000.0 + 7_000.0 * u[3]
        self.standby_w = 8.0 + 20.0 * u[4]

    def expected_by_day(self, days: Int64Array) -> dict[str, FloatArray]:
        """By the mean temperature of the day."""
        outside = self.region.temperature(days)
        heat_wh = 24 * self._heat_w(outside) + self.hot_water_wh
        return {IMPORT: 24 * self.standby_w + heat_wh / self._performance(outside)}

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """Heat by the temperature of the hour, less of it by night."""
        outside = self.region.temperature_in_day(days)
        heat_w = self._heat_w(outside) * by_local_day(self.region.zone, days, _setback)
        heat_w += self.hot_water_wh * by_local_day(self.region.zone, days, _hot_water_by_pump)
        return {IMPORT: self.standby_w + heat_w / self._performance(outside)}

    def _heat_w(self, outside: FloatArray) -> FloatArray:
        heat: FloatArray = self.loss_w_k * np.maximum(self.heat_limit_c - outside, 0.0)
        return heat

    def _performance(self, outside: FloatArray) -> FloatArray:
        performance: FloatArray = self.quality * np.clip(3.1 + 0.075 * outside, 1.6, 5.5)
        return performance

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """The compressor starts and stops, and now and then defrosts."""
        found: FloatArray = 0.35 + 1.3 * uniform(self.key(f"compressor-{flow}"), slots)
        return found


class GasMeter(Routine):
    """A gas boiler for heat and hot water; quarter-hours without a flame use nothing."""

    flows: ClassVar[tuple[str, ...]] = (GAS,)
    name: ClassVar[str] = "gas"
    mood: ClassVar[float] = 0.10

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(4)
        self.loss_w_k = 70.0 + 170.0 * u[0] ** 1.5
        self.heat_limit_c = _HEATING_LIMIT_C - 2.0 + 4.0 * u[1]
        self.hot_water_dm3 = 150.0 + 650.0 * u[2]
        self.burns = 0.45 + 0.3 * u[3]

    def expected_by_day(self, days: Int64Array) -> dict[str, FloatArray]:
        """By the mean temperature of the day."""
        heating = self._heating(self.region.temperature(days))
        return {GAS: 24 * heating + self.hot_water_dm3}

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """dm3 per hour, by the temperature of the hour, less of it by night."""
        heating = self._heating(self.region.temperature_in_day(days))
        heating *= by_local_day(self.region.zone, days, _setback)
        taps = by_local_day(self.region.zone, days, _hot_water_by_flame)
        return {GAS: heating + self.hot_water_dm3 * taps}

    def _heating(self, outside: FloatArray) -> FloatArray:
        """dm3 per hour."""
        warmer_k = np.maximum(self.heat_limit_c - outside, 0.0)
        volume: FloatArray = self.loss_w_k * warmer_k / _WH_PER_DM3
        return volume

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """The flame is on or off; a trace is left so that no day is without a shape."""
        burning = uniform(self.key(f"flame-{flow}"), slots) < self.burns
        return np.where(burning, 0.7 + 0.6 * uniform(self.key("flame-size"), slots), 1e-6)


def _setback(local: LocalSlots) -> FloatArray:
    """By night less is heated, in the morning what was lost is made up for."""
    night = (local.hours >= 22.5) | (local.hours < 5.0)
    return np.where(night, 0.7, 1.05) + 0.35 * bump(local.hours, 6.2, 0.9)


def _hot_water_by_pump(local: LocalSlots) -> FloatArray:
    """Per hour, of a day's hot water; adds up to one day."""
    return share_of_day(bump(local.hours, 13.5, 0.8) + 0.5 * bump(local.hours, 3.5, 0.7))


def _hot_water_by_flame(local: LocalSlots) -> FloatArray:
    weekend = local.weekdays >= 5
    morning = np.where(weekend, bump(local.hours, 9.0, 1.5), bump(local.hours, 6.8, 0.9))
    return share_of_day(morning + 0.8 * bump(local.hours, 19.5, 1.8) + 0.02)
