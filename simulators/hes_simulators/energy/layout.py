"""
Layouts: which registers a source keeps, and of which of them each quantity is the sum.

A source keeps a few streams of whole numbers: import and export of each phase, four quadrants of
reactive and two of apparent energy, or a volume. Everything that it can be asked is a sum of
streams, of all rates or of one, or follows from what streams grow by in a quarter-hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache

import attrs

from hes_simulators.energy.installation import EXPORT, GAS, IMPORT, WATER
from hes_simulators.energy.quantity import PHASES, QUANTITIES


@attrs.frozen
class Sum:
    """A cumulative quantity: the sum of the streams of these numbers, in `band`; None: in all."""

    streams: tuple[int, ...]
    band: int | None = None


@attrs.frozen(eq=False)
class Layout:
    """
    What sources of one medium, number of phases and of rates share.

    `flows` are the streams, by number, over which each flow of the installation spreads: phases.
    """

    streams: tuple[str, ...]
    flows: Mapping[str, tuple[int, ...]]
    phases: tuple[int, ...]
    rates: int
    sums: Mapping[str, Sum]
    momentary: frozenset[str]

    @cached_property
    def quantities(self) -> frozenset[str]:
        """All names that can be asked for."""
        return self.momentary | self.sums.keys()


_ENERGIES = {
    "import_wh": (IMPORT,),
    "export_wh": (EXPORT,),
    # Source: IEC 62053-23, geometric representation: +R is Q1 and Q2, -R is Q3 and Q4.
    "import_varh": ("q1", "q2"),
    "export_varh": ("q3", "q4"),
    "import_vah": ("import-va",),
    "export_vah": ("export-va",),
}
_QUADRANTS = ("q1", "q2", "q3", "q4")


@lru_cache(maxsize=64)
def electricity(phases: int, rates: int) -> Layout:
    """An electricity meter of 1 or 3 phases and 1 to 8 rates."""
    of_phases = tuple(range(1, phases + 1))
    streams = (
        *(f"{flow}-l{phase}" for flow in (IMPORT, EXPORT) for phase in of_phases),
        *_QUADRANTS,
        *("import-va", "export-va"),
    )
    number = {stream: place for place, stream in enumerate(streams)}
    flows = {
        flow: tuple(number[f"{flow}-l{phase}"] for phase in of_phases) for flow in (IMPORT, EXPORT)
    }
    sums: dict[str, Sum] = {}
    for name, parts in _ENERGIES.items():
        of = tuple(place for part in parts for place in flows.get(part) or (number[part],))
        sums[name] = Sum(of)
        for rate in range(1, rates + 1):
            sums[f"{name}_r{rate}"] = Sum(of, rate - 1 if rates > 1 else None)
    for flow in (IMPORT, EXPORT):
        for phase in of_phases:
            sums[f"{flow}_wh_l{phase}"] = Sum((number[f"{flow}-l{phase}"],))
    for quadrant in _QUADRANTS:
        sums[f"reactive_{quadrant}_varh"] = Sum((number[quadrant],))
    absent = {f"_l{phase}" for phase in PHASES if phase > phases}
    momentary = frozenset(
        name
        for name, quantity in QUANTITIES.items()
        if not quantity.cumulative and not any(phase in name for phase in absent)
    )
    return Layout(streams, flows, of_phases, rates, sums, momentary)


@lru_cache(maxsize=2)
def volume(flow: str) -> Layout:
    """A gas or water meter."""
    name = {GAS: "gas_dm3", WATER: "water_dm3"}[flow]
    return Layout((flow,), {flow: (0,)}, (), 1, {name: Sum((0,))}, frozenset())
