"""
Premises other than homes: shops that open and close, and street lights that follow the sun.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from hes_simulators.energy.calendar import SATURDAY, SUNDAY, LocalSlots, by_local_day
from hes_simulators.energy.installation import IMPORT, Electrical, Routine
from hes_simulators.energy.region import Region
from hes_simulators.energy.sky import clear_sky_by_table, sine_of_elevation
from hes_simulators.randomness import FloatArray, Int64Array, normal

_WEEKS_PER_YEAR: Final = 52.18
_COOLING_FROM_C: Final = 21.0
# Lights go on a little after sunset, as the sun sinks through this elevation: within a quarter of
# an hour, for not every lamp sees the same dusk.
_DUSK: Final = np.radians(-2.0)
_TWILIGHT: Final = np.radians(2.0)
# Half of the night the street is empty: power is reduced around the sun's midnight, by which
# controllers reckon that know no calendar.
_DIM_HOURS: Final = 2.5


class Shop(Routine):
    """
    A shop: open on working days and shorter on Saturdays, closed on Sundays, by the local clock.

    What never rests (refrigerators, servers) is `base_share` of what it draws when open.
    """

    electrical: ClassVar[Electrical] = Electrical(
        q1=0.32, q4=0.04, drop_dv=0.012, rise_dv=0.006, imbalance=0.15
    )
    name: ClassVar[str] = "shop"

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(5)
        self.opens_h = 7 + int(u[0] * 13) / 4
        self.closes_h = 18 + int(u[1] * 9) / 4
        self.saturday_closes_h = 13 + int(u[2] * 13) / 4
        self.base_share = 0.12 + 0.2 * u[3]
        self.cooling_per_k = 0.015 + 0.03 * u[4]
        size = float(normal(self.key("size"), np.arange(1))[0])
        annual_wh = float(np.clip(22_000_000 * np.exp(0.6 * size), 6_000_000, 90_000_000))
        week_open_h = 5 * (self.closes_h - self.opens_h) + self.saturday_closes_h - self.opens_h
        full_hours = 168 * self.base_share + week_open_h * (1 - self.base_share)
        self.open_w = annual_wh / _WEEKS_PER_YEAR / full_hours

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """More light when it is dark outside, cooling when it is warm."""
        trade = by_local_day(self.region.zone, days, self._trade)
        daylight = np.minimum(3 * clear_sky_by_table(self.region.place, days), 1.0)
        warm_k = np.maximum(self.region.temperature_in_day(days) - _COOLING_FROM_C, 0.0)
        busy = trade * (1.12 - 0.24 * daylight + self.cooling_per_k * warm_k)
        return {IMPORT: self.open_w * (self.base_share + (1 - self.base_share) * busy)}

    def _trade(self, local: LocalSlots) -> FloatArray:
        """How much of the shop is at work: 1 when open, half while it is prepared and cleaned."""
        closes = np.where(local.weekdays == SATURDAY, self.saturday_closes_h, self.closes_h)
        works = local.weekdays != SUNDAY
        is_open = (local.hours >= self.opens_h) & (local.hours < closes)
        staff = (local.hours >= self.opens_h - 0.75) & (local.hours < closes + 0.5)
        return np.asarray(works * (0.5 * is_open + 0.5 * staff))


class StreetLight(Routine):
    """A cabinet of lamps, on from dusk to dawn, dimmed in the middle of the night."""

    electrical: ClassVar[Electrical] = Electrical(
        q1=0.05, q4=0.30, drop_dv=0.02, rise_dv=0.01, imbalance=0.1
    )
    name: ClassVar[str] = "street-light"
    mood: ClassVar[float] = 0.004

    def __init__(self, seed: int, index: int, region: Region) -> None:
        super().__init__(seed, index, region)
        u = self.luck(4)
        self.lamps_w = float((12 + int(u[0] * 60)) * (20 + 5 * int(u[1] * 10)))
        self.dimmed = 0.4 + 0.3 * u[2]
        self.control_w = 2.0 + 6.0 * u[3]

    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """Lamps by the sun's elevation, and the control's own few watts always."""
        sine = sine_of_elevation(self.region.place, days)
        dark = np.clip(0.5 - (sine - np.sin(_DUSK)) / np.sin(_TWILIGHT), 0.0, 1.0)
        solar_hours = (np.arange(96) + 0.5) / 4 + self.region.place.longitude / 15.0
        from_midnight_h = np.abs((solar_hours + 12.0) % 24.0 - 12.0)
        level = np.where(from_midnight_h < _DIM_HOURS, self.dimmed, 1.0)
        return {IMPORT: self.control_w + self.lamps_w * level * dark}

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """Lamps are all alike."""
        found: FloatArray = np.exp(0.01 * normal(self.key(f"flicker-{flow}"), slots))
        return found
