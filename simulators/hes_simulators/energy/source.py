"""
Sources: what a meter measures, for any moment, past or to come.

Owns what every kind of source can be asked, and `source`, which makes one. A source is a pure
function of (kind, seed, index, time) plus what was computed last; nothing has to be kept.

Rule 1, one truth: everything is made from whole numbers of Wh (varh, VAh, dm3) per quarter-hour, so
a register is its start value plus every interval since the installation, rates and phases add up
to their total at any moment, and power is what the registers grow by. Rule 2, no interval needs its
predecessors: the energy of each UTC day is a whole number that is cheap to draw and to add up over
years; it is divided among rates, phases and 96 quarter-hours, which add up to it exactly.
Rule 3: energy flows evenly within a quarter-hour, and a register shows whole units begun at none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from hes_simulators.energy.generation import SolarPlant
from hes_simulators.energy.heating import GasMeter, HeatPump
from hes_simulators.energy.households import household
from hes_simulators.energy.installation import GAS, WATER, Installation
from hes_simulators.energy.layout import electricity, volume
from hes_simulators.energy.metered import MeteredSource
from hes_simulators.energy.premises import Shop, StreetLight
from hes_simulators.energy.region import Region
from hes_simulators.energy.tariff import Tariff
from hes_simulators.energy.voltage import VoltageEvent
from hes_simulators.energy.water import WaterMeter
from hes_simulators.randomness import Int64Array


class Source(Protocol):
    """What the customer's installation behind a meter draws and feeds, if nothing is cut off."""

    @property
    def installed_at(self) -> datetime:
        """Aware UTC; before it nothing is measured and registers show their start values."""

    @property
    def quantities(self) -> frozenset[str]:
        """The names of `QUANTITIES` that it has, by its kind, phases and rates."""

    voltage_events: Sequence[VoltageEvent]
    """Imposed from outside; empty at first. Replace it, never change it in place."""

    def totals(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What the register of a cumulative quantity holds at each moment, native unit.

        Args: at_us: microseconds since 1970 UTC, sorted; any moments, also within an interval.
        Returns: never decreasing, and independent of which other moments are asked for.
        Raises: KeyError: the source has no such cumulative quantity.
        """

    def growth(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """By how much `totals` grows from each moment to the next; cheaper: adds up no years."""

    def total(self, quantity: str, at_us: int) -> int:
        """`totals` at one moment, faster."""

    def measured(self, quantity: str, at_us: Int64Array) -> Int64Array:
        """
        What is measured at each moment: W, var, VA, 0.1 V, 0.01 A, mHz, per mille of power factor.

        Power is the average of the quarter-hour that the moment lies in or, on the grid, ends.
        Args: as `totals`. Raises: KeyError: the source has no such momentary quantity.
        """

    def measured_at(self, quantity: str, at_us: int) -> int:
        """`measured` at one moment; of power faster."""

    def momentary(self, quantity: str, at: datetime) -> int:
        """`measured` at one moment, aware UTC."""

    def rate(self, at_us: int) -> int:
        """Which rate is counted in just after a moment, from 1."""

    def forget(self) -> None:
        """Let go of what was computed, some kilobytes; it is computed anew when asked for."""


def source(
    kind: str,
    seed: int,
    index: int,
    zone: ZoneInfo,
    phases: int = 1,
    rates: int = 1,
    *,
    tariff: Tariff | None = None,
    region: Region | None = None,
) -> MeteredSource:
    """
    The source behind meter `index`.

    Args:
        kind: household, shop, solar, heat_pump, street_light; gas, water.
        seed: of the fleet; everything random follows from it.
        index: of the meter in its fleet; an M-Bus channel has the index of its meter.
        zone: whose clock people live and tariffs switch by.
        phases: 1 or 3, of an electricity meter. rates: 1 to 8.
        tariff: when which of the rates counts; `Tariff.of(rates)` unless given.
        region: place, weather and grid that meters share; `Region(seed, zone)` unless given.
    Raises: ValueError: unknown kind, number of phases or rates, or a tariff with more rates.
    """
    try:
        installation, flow = _INSTALLATIONS[kind]
    except KeyError:
        raise ValueError(f"no kind {kind!r} among {', '.join(KINDS)}") from None
    if phases not in (1, 3):
        raise ValueError(f"{phases} phases, not 1 or 3")
    if tariff is None:
        tariff = _usual_tariff(rates)
    elif tariff.rates != rates:
        raise ValueError(f"a tariff of {tariff.rates} rates for a meter of {rates}")
    return MeteredSource(
        seed=seed,
        index=index,
        region=_usual_region(seed, zone) if region is None else region,
        layout=volume(flow) if flow else electricity(phases, rates),
        tariff=tariff if not flow else _usual_tariff(1),
        install=installation,
    )


@lru_cache(maxsize=64)
def _usual_region(seed: int, zone: ZoneInfo) -> Region:
    return Region(seed, zone)


@lru_cache(maxsize=8)
def _usual_tariff(rates: int) -> Tariff:
    return Tariff.of(rates)


_INSTALLATIONS: Final[Mapping[str, tuple[Callable[[int, int, Region], Installation], str]]] = {
    "household": (household, ""),
    "shop": (Shop, ""),
    "solar": (SolarPlant, ""),
    "heat_pump": (HeatPump, ""),
    "street_light": (StreetLight, ""),
    "gas": (GasMeter, GAS),
    "water": (WaterMeter, WATER),
}

KINDS: Final = tuple(_INSTALLATIONS)
LOADS: Final = tuple(kind for kind, (_, flow) in _INSTALLATIONS.items() if not flow)
"""The kinds that an electricity meter measures."""
