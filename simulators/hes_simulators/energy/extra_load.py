"""
Loads that somebody switches on besides what the installation would use: an oven, a short overload.

Owns what they add to registers and to momentary values, so that these go on agreeing: a load draws
the same power all the time, at a power factor of 1, on the first phase. Its energy is counted in
whole Wh for each quarter-hour that it lies in, and each of these in one rate; so rates and total
add up, and quarter-hours may show up to 4 W less than was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import attrs
import numpy as np

from hes_simulators.energy.grid import SLOT_S
from hes_simulators.randomness import Int64Array

_SLOT_US: Final = SLOT_S * 1_000_000
_WH_US: Final = 3_600_000_000  # microseconds for which one watt is a Wh
_ENERGIES: Final = ("import_wh", "import_vah")
_POWERS: Final = frozenset({"import_w", "import_w_l1", "import_va"})


@attrs.frozen
class ExtraLoad:
    """`watts` more, from `from_us` < t <= `to_us` (microseconds since 1970 UTC)."""

    from_us: int
    to_us: int
    watts: int


@attrs.frozen(eq=False)
class Pieces:
    """Loads cut at quarter-hours: begin, end, watts of each piece, and in which rate it counts."""

    begins_us: Int64Array
    ends_us: Int64Array
    watts: Int64Array
    rates: Int64Array

    @classmethod
    def of(cls, loads: Sequence[ExtraLoad], rate: Callable[[int], int]) -> Pieces:
        """Args: rate: which counts from a moment on."""
        rows = []
        for load in loads:
            slots = range(load.from_us // _SLOT_US + 1, -(-load.to_us // _SLOT_US))
            edges = [load.from_us, *(slot * _SLOT_US for slot in slots), load.to_us]
            rows += [(begin, end, load.watts, rate(begin)) for begin, end in pairwise(edges)]
        return cls(*np.array(rows, np.int64).reshape(-1, 4).T)


def added_energy(pieces: Pieces, quantity: str, at_us: Int64Array) -> Int64Array:
    """
    What loads have added to a register until each moment, Wh or VAh.

    Args: quantity: cumulative; to most of them nothing is added. at_us: sorted.
    """
    added = np.zeros(len(at_us), np.int64)
    name, _, part = quantity.rpartition("_")
    of_rate = name in _ENERGIES and part[0] == "r"
    if not len(at_us) or not (of_rate or quantity in (*_ENERGIES, "import_wh_l1")):
        return added
    begins_us, ends_us, watts = pieces.begins_us, pieces.ends_us, pieces.watts
    counts = pieces.rates == int(part[1:]) if of_rate else np.ones(len(watts), bool)
    over = counts & (ends_us <= at_us[0])
    added += ((ends_us - begins_us) * watts // _WH_US)[over].sum()
    for piece in np.flatnonzero(counts & ~over & (begins_us < at_us[-1])).tolist():
        begin_us, end_us = begins_us[piece], ends_us[piece]
        added += np.clip(at_us - begin_us, 0, end_us - begin_us) * watts[piece] // _WH_US
    return added


def added_power(loads: Sequence[ExtraLoad], at_us: Int64Array) -> Int64Array:
    """The power of loads at each moment, W."""
    added = np.zeros(len(at_us), np.int64)
    first_us, last_us = int(at_us.min(initial=1 << 62)), int(at_us.max(initial=0))
    for load in loads:
        if load.to_us >= first_us and load.from_us < last_us:
            added += np.where((at_us > load.from_us) & (at_us <= load.to_us), load.watts, 0)
    return added


def loaded(
    quantity: str, values: Int64Array, watts: Int64Array, measured: Callable[[str], Int64Array]
) -> Int64Array:
    """
    What is measured with loads of so many watts.

    Args: values: without them, at some moments; so `measured`, of other quantities.
    """
    if quantity in _POWERS:
        return values + watts
    if quantity == "current_l1_ca":
        # W / V, with V in 0.1 and A in 0.01.
        return values + watts * 1000 // np.maximum(measured("voltage_l1_dv"), 1)
    if quantity == "power_factor_pm":
        active, apparent = (
            measured(f"import_{unit}") + measured(f"export_{unit}") for unit in ("w", "va")
        )
        share = np.rint(1000 * (active + watts) / np.maximum(apparent + watts, 1))
        return np.where(watts > 0, np.minimum(share, 1000), values).astype(np.int64)
    return values
