"""
Hostile octets to every decoder and state machine, for as long as `make fuzz DURATION=` says.

What may come out is a value or a `RemoteProtocolError`, within 1 ms + 1 µs an octet and 16 MB. Half
of the time is for our own mutations, half for libFuzzer led by coverage, where atheris is
installed. Seeds are printed; `python -m tests.fuzz.run` runs a target again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("HES_FUZZ_SECONDS", "10")) / 2 / len(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    outcome = fuzz(name, TARGETS[name], seed=seed, seconds=SECONDS)
    print(f"{name}: {outcome.executions} executions, {outcome.kinds} kinds, seed {seed}")
    assert outcome.executions > 0
    assert [str(finding) for finding in outcome.findings] == []


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris does not build here")
@pytest.mark.parametrize("name", TARGETS)
def test_led_by_coverage(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "--atheris", name]
    limits = [f"-max_total_time={max(1, round(SECONDS))}", f"-artifact_prefix={tmp_path}/"]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, octets in enumerate(TARGETS[name].seeds):
        (corpus / str(number)).write_bytes(octets)
    options = [*limits, f"-max_len={TARGETS[name].most_octets}", "-print_final_stats=1"]
    done = subprocess.run(
        [*command, "--", *options, str(corpus)], capture_output=True, text=True, check=False
    )
    print(done.stderr[-2000:])
    assert done.returncode == 0
