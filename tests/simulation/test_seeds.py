"""The engine comes clean through what a hundred seeds do to it; more of them in `tests/soak`."""

from __future__ import annotations

import pytest

from tests.simulation.checker import violations
from tests.simulation.world import simulate

SEEDS = 100


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_doubled_or_done_twice(seed: int) -> None:
    outcome = simulate(seed)
    assert not violations(outcome), f"seed {seed}, history {outcome.history.digest()}"
