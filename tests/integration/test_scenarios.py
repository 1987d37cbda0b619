"""`hes sim run --scenario`: process, meter file and truth log; the scenarios that are ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hes.scenarios import names, scenario_file
from hes_simulators.known_models import models
from hes_simulators.scenario.actions import ACTIONS
from hes_simulators.scenario.file import parse_scenario
from hes_simulators.truth.compare import read

ROOT = Path(__file__).resolve().parents[2]
STREET = """
title = "A street"
seed = 9

[[population]]
name = "homes"
model = "idis-single-phase"
count = 3

[[population]]
name = "speaking"
model = "austria-mbus-push"
count = 1

[[district]]
name = "Mill Street"
feeders = 2

[[timeline]]
do = "outage"
at = "+0s"
every = "1h"
for = "30min"
meters = "1"

[[timeline]]
do = "tamper"
at = "+10min"
every = "1h"
meters = "2-3"
"""


def wait_for(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kinds(log: Path) -> dict[str, list[dict[str, Any]]]:
    return read(log).lines if log.exists() else {}


def test_a_street_at_a_fast_pace(tmp_path: Path) -> None:
    file, keys, log = (tmp_path / name for name in ("street.toml", "keys.jsonl", "truth.jsonl"))
    file.write_text(STREET)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "hes", "sim", "run", "--scenario", str(file),
            "--network", "127.47.0.0/24", "--port", "0", "--head-end", "127.0.0.1:9",
            "--pace", "3600", "--from", "2026-03-28T22:00:00Z",
            "--keys-out", str(keys), "--truth-log", str(log), "--truth-history", "none",
        ],
        env=os.environ | {"HES_DATA": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        # At this pace the timeline says something before, as an hour of it takes a second.
        ready = next((line for line in process.stderr if line.startswith("ready: ")), "")
        assert ready.endswith("scenario A street\n")
        wait_for(lambda: len(kinds(log).get("outage", [])) >= 6)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors

    records = [json.loads(line) for line in keys.read_text().splitlines()]
    assert [record["model"] for record in records] == ["idis-single-phase"] * 3 + [
        "austria-mbus-push"
    ]
    assert [record["group"] for record in records] == ["homes"] * 3 + ["speaking"]
    assert {record["feeder"] for record in records} <= {"Mill Street F1", "Mill Street F2"}
    assert records[3]["address"] is None  # it only pushes

    truth = read(log)
    first, second, third, last = (record["serial"] for record in records)
    assert {line["serial"] for line in truth.of("outage")} == {first}
    assert [line["on"] for line in truth.of("outage")][:4] == [True, False, True, False]
    tampered = [line["serial"] for line in truth.of("event") if line["name"] == "cover_opened"]
    assert tampered[:2] == [second, third]
    assert last in {line["serial"] for line in truth.of("sent")}
    # Half of each hour the first one was dark, and captured nothing.
    profile = "1.0.99.1.0.255"
    rows = {
        serial: {key.at for key in truth.readings if (key.serial, key.profile) == (serial, profile)}
        for serial in (first, second)
    }
    assert len(rows[first]) < 0.75 * len(rows[second])
    assert min(rows[second]) < datetime(2026, 3, 29, tzinfo=UTC)


@pytest.mark.parametrize("name", ["demo", "city", "bad-day"])
def test_the_scenarios_that_come_with_us(name: str) -> None:
    assert name in names()
    text = scenario_file(name).read_text(encoding="utf-8")
    scenario = parse_scenario(text, f"{name}.toml", models=models())
    assert len(scenario.population) == {"demo": 100, "city": 10_000, "bad-day": 500}[name]
    again = parse_scenario(text, f"{name}.toml", models=models(), meters=120)
    assert len(again.population) == 120


def test_the_how_to_names_every_action() -> None:
    page = (ROOT / "docs" / "how-to" / "simulate-a-fleet.md").read_text(encoding="utf-8")
    for action in ACTIONS:
        assert f"| `{action}` |" in page
    example = page.split("```toml\n")[1].split("```")[0]
    assert len(parse_scenario(example, "street.toml", models=models()).population) == 40
