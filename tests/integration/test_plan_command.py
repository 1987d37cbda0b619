"""`hes plan`: data on stdout, chatter on stderr, exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.plan import plan
from hes.plans.service import UnknownPlanError

DAILY = (
    "--read", "profile:1.0.99.1.0.255", "--read", "registers:1.0.1.8.0.255,4/1.0.1.6.0.255/2",
    "--all", "--when", "cron 0 1 * * *", "--deadline", "4h", "--window", "6h",
)  # fmt: skip


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hes = Callable[..., Outcome]


@pytest.fixture
def hes(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hes]:
    """Run `hes plan …` in this process."""
    monkeypatch.setenv("HES_DATABASE_URL", migrated_url)
    monkeypatch.setenv("HES_DATA", str(tmp_path))
    wiring.settings.cache_clear()

    def run(*arguments: str) -> Outcome:
        result = CliRunner().invoke(plan, arguments, catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    yield run
    wiring.settings.cache_clear()


def test_a_plan_from_made_to_removed(hes: Hes, add_meter: Callable[..., UUID]) -> None:
    add_meter("S1", timezone="Europe/Berlin")
    assert hes("add", "daily", *DAILY, "--dry-run", "-o", "json").json["members"] == 1
    assert hes("ls", "-o", "json").json == []
    made = hes("add", "daily", *DAILY, "-o", "json").json
    assert (made["spread_s"], made["deadline_s"], made["window_s"]) == (4_800, 14_400, 21_600)
    assert made["reads"][1]["attributes"] == [
        {"class_id": 3, "obis": "1.0.1.8.0.255", "attribute_index": 2},
        {"class_id": 4, "obis": "1.0.1.6.0.255", "attribute_index": 2},
    ]
    changed = hes("set", "daily", "--spread", "1h", "--disable", "--name", "nightly", "-o", "json")
    assert changed.json == {
        **made, "spread_s": 3_600, "enabled": False, "name": "nightly", "revision": 2,
    }  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(hes("ls", "-o", "csv").out))
    assert (row["plan"], row["enabled"], row["reads"]) == ("nightly", "no", "profile, registers")
    assert "nightly" in hes("show", "nightly").out
    assert "would be removed" in hes("rm", "nightly", "--dry-run").err
    assert "removed; 0 due items" in hes("rm", "nightly").err
    assert hes("ls", "-o", "json").json == []


def test_the_next_runs_and_what_they_need(hes: Hes, add_meter: Callable[..., UUID]) -> None:
    add_meter("S1", timezone="Asia/Tokyo")
    hes("add", "daily", *DAILY)
    runs = hes("preview", "daily", "--runs", "2", "-o", "json").json
    assert [(run["zone"], run["local"][11:], run["clocks"]) for run in runs] == [
        ("Asia/Tokyo", "01:00+09:00", None)
    ] * 2
    needed = hes("capacity", "-o", "json")
    assert (len(needed.json), all(hour["fits"] for hour in needed.json)) == (24, True)
    assert "100 available (assumed)" in needed.err


def test_a_run_besides_the_recurrence(hes: Hes, add_meter: Callable[..., UUID]) -> None:
    add_meter("S1")
    hes("add", "daily", *DAILY)
    assert "1 meters would be read" in hes("run", "daily", "--dry-run").err
    assert "1 meters are read now, within 4800 s" in hes("run", "daily").err
    assert hes("runs", "daily", "-o", "json").json == []  # no scheduler makes it here


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x", "--all", "--when", "every 15m"), "--read"),
        (("add", "x", *DAILY, "--when", "every 7s"), "every"),
        (("add", "x", *DAILY, "--read", "everything"), "everything"),
        (("add", "x", *DAILY, "--tag", "pv"), "selection"),
        (("add", "x", *DAILY, "--spread", "4h"), "spread_s"),
        (("add", "x", *DAILY, "--deadline", "soon"), "duration"),
        (("add", "x", *DAILY, "--zone", "Europe/Atlantis"), "zone"),
        (("set", "x"), "nothing to change"),
    ],
)
def test_what_cannot_be_is_a_wrong_use(hes: Hes, arguments: tuple[str, ...], said: str) -> None:
    outcome = hes(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


def test_a_plan_that_is_not_there(hes: Hes) -> None:
    with pytest.raises(UnknownPlanError):
        hes("show", "nothing")
