"""What sources cost: memory when idle, time to start, time to answer."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from time import process_time

import numpy as np
import pytest

from hes_simulators.energy import KINDS, source
from tests.unit.hes_simulators.energy.support import BERLIN, SLOT_US, cumulative, us

DAY = us(2026, 11, 20) + SLOT_US * np.arange(1, 97)


def fastest(do: Callable[[], object], runs: int = 7) -> float:
    """Seconds of CPU; the machine may be busy with something else."""

    def once() -> float:
        start = process_time()
        do()
        return process_time() - start

    return min(once() for _ in range(runs))


def test_ten_thousand_start_in_a_second() -> None:
    def start() -> None:
        assert len([source("household", 1, i, BERLIN, 3, 4) for i in range(10_000)]) == 10_000

    assert fastest(start, 3) < 1.0


@pytest.mark.parametrize("kind", ["household", "gas"])
def test_an_idle_source_is_small(kind: str) -> None:
    name = "import_wh" if kind not in ("gas", "water") else f"{kind}_dm3"
    for index in range(20, 30):  # tables that all share
        source(kind, 1, index, BERLIN, 3, 4).totals(name, DAY)
    gc.collect()
    tracemalloc.start()
    idle = [source(kind, 1, i, BERLIN, 3, 4) for i in range(20)]
    try:
        assert tracemalloc.get_traced_memory()[0] < 20 * 2_000
        for one in idle:
            one.totals(name, DAY)
        # Of one that was read two days are kept, whatever it was asked for.
        assert tracemalloc.get_traced_memory()[0] < 20 * 14_000
        for one in idle:
            one.forget()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 20 * 2_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_of_registers_is_quick(kind: str) -> None:
    one = source(kind, 1, 5, BERLIN, 3, 4)
    names = cumulative(one)
    for name in names:
        one.totals(name, DAY)
        assert fastest(lambda name=name: one.totals(name, DAY)) < 0.001
