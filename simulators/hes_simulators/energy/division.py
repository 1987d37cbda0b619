"""
Division of whole numbers that adds up: a day's total among bands, phases and slots.

Every function is exact: the parts are whole, none is negative, and their sum is what was divided.
"""

from __future__ import annotations

import numpy as np

from hes_simulators.energy.tariff import BandArray
from hes_simulators.randomness import FloatArray, Int64Array


def among_slots(totals: Int64Array, weights: FloatArray) -> Int64Array:
    """
    Running sums of each day's total, divided among its slots by weight.

    Args: totals: n. weights: n x s, not negative; above zero somewhere where the total is.
    Returns: n x s, never decreasing; the last is the total, whatever rounding did before.
    """
    running = np.cumsum(weights, axis=1)
    whole = running[:, -1:]
    share = running / np.where(whole > 0, whole, 1.0)
    sums = np.floor(totals[:, None] * share).astype(np.int64)
    sums = np.minimum(sums, totals[:, None])
    sums[:, -1] = totals
    return sums


def among_banded_slots(totals: Int64Array, weights: FloatArray, bands: BandArray) -> Int64Array:
    """
    The same with a total for each band: the slots of a band add up to the band's total.

    Args: totals: n x b. weights, bands: n x s; a band's number counts from 0.
    """
    sums = np.zeros(weights.shape, np.int64)
    for band in range(totals.shape[1]):
        sums += among_slots(totals[:, band], np.where(bands == band, weights, 0.0))
    return sums


def among_parts(totals: Int64Array, weights: FloatArray) -> Int64Array:
    """
    Divide each total among parts by weight.

    Args: totals: of any shape. weights: of that shape or one that spreads to it, and a last axis
        of p parts; a part of weight 0 gets nothing.
    Returns: of the totals' shape, and a last axis of p.
    """
    running = np.cumsum(weights, axis=-1)
    whole = running[..., -1:]
    share = running / np.where(whole > 0, whole, 1.0)
    sums = np.floor(totals[..., None] * share).astype(np.int64)
    sums[..., -1] = totals
    parts: Int64Array = np.diff(sums, axis=-1, prepend=0)
    return parts
