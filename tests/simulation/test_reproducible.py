"""A seed that fails can be looked at: it fails again, here and in another process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.checker import violations
from tests.simulation.world import simulate


def test_a_seed_is_one_history() -> None:
    first, again, another = (simulate(seed).history.digest() for seed in (5, 5, 6))
    assert first == again != another
    # Of other hashes of text, so that no set of names can decide anything.
    code = "from tests.simulation.world import simulate; print(simulate(5).history.digest())"
    run = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONHASHSEED": "77"}
    said = subprocess.run(run, env=env, capture_output=True, text=True)
    assert said.stdout.strip() == first, said.stderr


def test_without_faults_nothing_fails() -> None:
    outcome = simulate(0, troubled=False)
    assert violations(outcome) == []
    assert {report.cause for report in outcome.storage.reports} == {None}
