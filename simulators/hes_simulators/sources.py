"""
What hangs on a meter and its M-Bus channels: a source of `energy` for each medium.

Owns which sources the meters of a kind have. What they measure of them is `measuring`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hes_simulators.energy import Source, Tariff, source
from hes_simulators.state import ELECTRICITY

if TYPE_CHECKING:
    from hes_simulators.kind import MeterKind


def sources(kind: MeterKind, index: int) -> dict[str, Source]:
    """Of meter `index`, by medium; that of the meter itself comes first."""
    found: dict[str, Source] = {}
    if kind.table.kind == ELECTRICITY:
        found[ELECTRICITY] = electricity(kind, index)
    for medium in (kind.table.kind, *(channel.kind for channel in kind.table.channels)):
        if medium not in found:
            found[medium] = source(medium, kind.seed, index, kind.zone, region=kind.region)
    return found


def electricity(kind: MeterKind, index: int, tariff: Tariff | None = None) -> Source:
    """The installation behind meter `index`, counted by a tariff; None: the usual one."""
    table = kind.table
    return source(
        kind.load or table.load,
        kind.seed,
        index,
        kind.zone,
        table.phases or 1,
        table.rates if tariff is None else tariff.rates,
        tariff=tariff,
        region=kind.region,
    )
