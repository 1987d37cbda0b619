"""
Energy: what simulated meters measure, as a pure function of a seed and the time.

Owns load curves, rates, phases, power quality and the weather behind them; not what a meter does
with it (cuts, clocks, buffers). `source` makes what stands behind one meter or M-Bus channel.
"""

from hes_simulators.energy.extra_load import ExtraLoad
from hes_simulators.energy.quantity import QUANTITIES, Quantity
from hes_simulators.energy.region import Region
from hes_simulators.energy.source import KINDS, LOADS, Source, source
from hes_simulators.energy.tariff import Season, SpecialDay, Tariff
from hes_simulators.energy.voltage import VoltageEvent

__all__ = [
    "KINDS",
    "LOADS",
    "QUANTITIES",
    "ExtraLoad",
    "Quantity",
    "Region",
    "Season",
    "Source",
    "SpecialDay",
    "Tariff",
    "VoltageEvent",
    "source",
]
