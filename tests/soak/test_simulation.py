"""A thousand seeds and more of the simulated engine, two at a time, as long as there is time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import count

FIRST_SEED = 1_000
AT_ONCE = 2
A_TIME = 10
_CODE = """
import sys
from tests.simulation.checker import violations
from tests.simulation.world import simulate
for seed in range(*map(int, sys.argv[1:])):
    outcome = simulate(seed)
    for violation in violations(outcome):
        print(f"seed {seed}: {violation}")
"""


def test_seeds_without_end() -> None:
    until = time.monotonic() + float(os.environ.get("HES_SOAK_SECONDS", "600"))
    firsts = count(FIRST_SEED, A_TIME)
    running: list[subprocess.Popen[str]] = []
    said: list[str] = []
    seeds = 0
    while running or time.monotonic() < until:
        while len(running) < AT_ONCE and time.monotonic() < until:
            first = next(firsts)
            command = [sys.executable, "-c", _CODE, str(first), str(first + A_TIME)]
            running.append(
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            )
        process = running.pop(0)
        output, _ = process.communicate()
        seeds += A_TIME
        said += output.splitlines()
        if process.returncode:
            said.append(f"exit code {process.returncode}")
    print(f"{seeds} seeds from {FIRST_SEED} on")
    assert not said, "\n".join(said[:50])
    assert seeds
