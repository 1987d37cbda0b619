"""Whole numbers divided add up."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hes_simulators.energy.division import among_banded_slots, among_parts, among_slots

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e6)), min_size=4, max_size=4).filter(
    any
)
totals = st.integers(0, 10**9)


@given(rows=st.lists(st.tuples(totals, weights), min_size=1, max_size=4))
def test_slots(rows: list[tuple[int, list[float]]]) -> None:
    whole, shares = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    sums = among_slots(whole, shares)
    grown = np.diff(sums, axis=1, prepend=0)
    assert (grown >= 0).all()
    assert (sums[:, -1] == whole).all()
    assert (grown[shares == 0] == 0).all()
    for place in range(len(rows)):
        row = slice(place, place + 1)
        assert (among_slots(whole[row], shares[row])[0] == sums[place]).all()


@given(
    whole=st.lists(totals, min_size=2, max_size=2),
    shares=weights,
    banded=st.permutations((0, 0, 1, 1)),
)
def test_slots_of_bands(whole: list[int], shares: list[float], banded: list[int]) -> None:
    bands = np.array([banded], np.int8)
    # A band without any weight has nothing to divide.
    weighed = [np.array(shares)[bands[0] == band].any() for band in (0, 1)]
    used = np.array([whole]) * weighed
    sums = among_banded_slots(used, np.array([shares]), bands)
    grown = np.diff(sums[0], prepend=0)
    assert (grown >= 0).all()
    for band in (0, 1):
        assert grown[bands[0] == band].sum() == used[0, band]


@given(whole=totals, shares=weights)
def test_parts(whole: int, shares: list[float]) -> None:
    parts = among_parts(np.array([[whole]]), np.array([[shares]]))[0, 0]
    assert parts.sum() == whole
    assert (parts >= 0).all()
    assert (parts[np.array(shares) == 0] == 0).all()
    exact = whole * np.array(shares) / sum(shares)
    assert (np.abs(parts - exact) <= 1 + 1e-6 * exact).all()
