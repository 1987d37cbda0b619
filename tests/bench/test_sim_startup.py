"""
Row `sim-startup`: seconds from `hes sim run --meters 10000` to the last meter's first answer.

The interpreter, the imports, and the file of 10,000 keys (`--keys-out`) are in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import sim_load
from tests.bench.conftest import Record

RUNS = 5
METERS = 10_000
PATIENCE_S = 60


def test_sim_startup(record: Record, tmp_path: Path) -> None:
    seconds = [started_in_s(tmp_path / str(run)) for run in range(RUNS)]
    record("sim-startup", seconds, unit="s", better="lower")


def started_in_s(data: Path) -> float:
    data.mkdir()
    keys = data / "meters.jsonl"
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("hes"), "sim", "run", "--meters", str(METERS),
            "--port", "0", "--security", "lls", "--keys-out", keys,
        ],
        env={**os.environ, "HES_DATA": str(data)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not keys.exists() or keys.read_bytes().count(b"\n") < METERS:
            assert process.poll() is None
            assert time.perf_counter() - began < PATIENCE_S
            time.sleep(0.01)
        last = json.loads(keys.read_text().splitlines()[-1])
        sim_load.record((last["address"], last["port"]), sim_load.day()[:1])
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()
