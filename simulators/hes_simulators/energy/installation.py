"""
Installations: what stands behind a meter, in whole days and in the shape of a day.

Owns what every kind has in common; each kind has a module of its own. Does not own registers,
rates or phases, see `metered`.

Rule 1: the total of a day is a whole number that needs nothing but the day. Rule 2: where a flow's
total is above zero, its shape has weights above zero. Rule 3: everything is computed for n days at
once, and the value of a day never depends on which other days are asked for with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Final, Protocol

import attrs
import numpy as np

from hes_simulators.energy.grid import DAY_S, SLOTS_PER_DAY
from hes_simulators.energy.region import Region
from hes_simulators.randomness import (
    FloatArray,
    Int64Array,
    normal,
    one_uniform,
    stream_key,
    uniform,
)

IMPORT: Final = "import"
EXPORT: Final = "export"
GAS: Final = "gas"
WATER: Final = "water"

# Meters of a fleet were put up during this year, one by one.
_FIRST_INSTALLED_DAY: Final = 20_240  # 2025-06-01
_INSTALLATION_DAYS: Final = 300


@attrs.frozen
class Electrical:
    """
    How a kind of installation loads the grid, besides its active power.

    `q1` .. `q4` are reactive per active energy (tan phi) of each quadrant; of a single slot's Wh
    the voltage drops `drop_dv` and rises `rise_dv` (0.1 V); `imbalance` is how unequal phases are.
    """

    q1: float = 0.20
    q2: float = 0.03
    q3: float = 0.04
    q4: float = 0.06
    drop_dv: float = 0.04
    rise_dv: float = 0.02
    imbalance: float = 0.5


class Installation(Protocol):
    """
    What stands behind one meter. All arrays of `days` (n) count from 1970-01-01, UTC.

    `flows` are IMPORT and EXPORT in Wh, or GAS or WATER in dm3.
    """

    flows: ClassVar[tuple[str, ...]]
    electrical: ClassVar[Electrical]

    @property
    def installed_day(self) -> int:
        """The UTC day at whose start the registers hold their start values."""

    def start(self, flow: str) -> int:
        """The register at the installation: a new meter arrives with what its calibration used."""

    def day_totals(self, days: Int64Array) -> Mapping[str, Int64Array]:
        """By flow, the whole units of each day, n."""

    def typical(self, days: Int64Array) -> Mapping[str, FloatArray]:
        """By flow, the expected share of each slot in its day, of any scale, n x 96."""

    def shapes(self, days: Int64Array) -> Mapping[str, FloatArray]:
        """By flow, the actual share of each slot in its day, of any scale, n x 96."""


class Routine(ABC):
    """
    An installation that follows an expectation, which chance varies by day and by slot.

    Args: seed, index: of the meter. region: its surroundings.
    """

    flows: ClassVar[tuple[str, ...]] = (IMPORT, EXPORT)
    electrical: ClassVar[Electrical] = Electrical()
    name: ClassVar[str]
    mood: ClassVar[float] = 0.05
    """How much days differ for no reason: standard deviation of the logarithm."""
    start_units: ClassVar[int] = 60

    def __init__(self, seed: int, index: int, region: Region) -> None:
        self.seed = seed
        self.index = index
        self.region = region
        self.installed_day = installed_day(commissioning_luck(seed, index))

    def expected_by_day(self, days: Int64Array) -> dict[str, FloatArray]:
        """
        By flow, units in each day, n; a flow that is missing is zero.

        A kind may say it in a cheaper way, as near to its `expected` as it likes: years of days are
        added up, while few of them are ever divided.
        """
        return {flow: hourly.sum(axis=1) / 4 for flow, hourly in self.expected(days).items()}

    @abstractmethod
    def expected(self, days: Int64Array) -> dict[str, FloatArray]:
        """By flow, units per hour in each slot, n x 96; a flow that is missing is zero."""

    def start(self, flow: str) -> int:
        """A few units of the first flow, none of the others."""
        if flow != self.flows[0]:
            return 0
        return int(uniform(self.key("start"), np.arange(1))[0] * self.start_units)

    def day_totals(self, days: Int64Array) -> dict[str, Int64Array]:
        """What is expected of each day, times the day's mood."""
        mood = np.exp(self.mood * normal(self.key("day"), days))
        totals = {flow: np.zeros(len(days), np.int64) for flow in self.flows}
        for flow, expected in self.expected_by_day(days).items():
            totals[flow] = np.rint(expected * mood).astype(np.int64)
        return totals

    def typical(self, days: Int64Array) -> dict[str, FloatArray]:
        """What is expected."""
        expected = self.expected(days)
        for flow in self.flows:
            expected.setdefault(flow, np.zeros((len(days), SLOTS_PER_DAY)))
        return expected

    def shapes(self, days: Int64Array) -> dict[str, FloatArray]:
        """What is expected, with the scatter of the kind."""
        slots = slots_of(days)
        shapes = self.typical(days)
        for flow in shapes:
            shapes[flow] = shapes[flow] * self.scatter(flow, slots)
        return shapes

    def scatter(self, flow: str, slots: Int64Array) -> FloatArray:
        """By how much each slot differs from what is expected, above zero."""
        found: FloatArray = np.exp(0.12 * normal(self.key(f"flicker-{flow}"), slots))
        return found

    def luck(self, draws: int) -> list[float]:
        """So many numbers in [0, 1) that make this installation what it is."""
        drawn: list[float] = uniform(self.key("luck"), np.arange(draws)).tolist()
        return drawn

    def key(self, name: str) -> int:
        """The stream of random numbers called so, of this meter and kind."""
        return stream_key(self.seed, self.index, self.name, name)


def commissioning_luck(seed: int, index: int) -> float:
    """The number in [0, 1) that decides when a meter was put up, whatever is behind it."""
    return one_uniform(stream_key(seed, index, "household"), 8)


def installed_day(luck: float) -> int:
    """The day (since 1970-01-01, UTC) on which a meter of that luck was put up."""
    return _FIRST_INSTALLED_DAY + int(luck * _INSTALLATION_DAYS)


def installed_at(day: int) -> datetime:
    """The start of a day."""
    return datetime.fromtimestamp(day * DAY_S, UTC)


def slots_of(days: Int64Array) -> Int64Array:
    """The numbers of the slots of n UTC days, n x 96."""
    slots: Int64Array = days[:, None] * SLOTS_PER_DAY + np.arange(SLOTS_PER_DAY)
    return slots


def bump(
    hours: FloatArray, centre_h: float | FloatArray, width_h: float | FloatArray
) -> FloatArray:
    """A peak of height 1 around a local hour, wrapping at midnight; or several, each a row."""
    distance = np.abs(hours - centre_h)
    distance = np.minimum(distance, 24.0 - distance)
    peak: FloatArray = np.exp(-0.5 * (distance / width_h) ** 2)
    return peak


def share_of_day(shape: FloatArray) -> FloatArray:
    """A day's 96 weights as shares of the day per hour: times a day's amount they give its flow."""
    share: FloatArray = 4 * shape / shape.sum()
    return share
