"""
Collects what benchmarks measure into `bench/results.json` and prints the table.

A benchmark measures ours and the peer alternately and hands both lists to `record`; what a row
means is fixed here, once, so that `ratio` above 1 always says that we are better.
"""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = _ROOT / "bench" / "results.json"
_RUNS_MIN = 5
_ROWS = pytest.StashKey[list["Row"]]()


@attrs.frozen
class Row:
    """One line of results.json (design/contracts.md, Benchmarks)."""

    name: str
    ours: float
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    better: Literal["higher", "lower"]
    runs: int
    spread: float
    commit: str
    machine: str


Record = Callable[..., Row]


def make_row(
    name: str,
    ours: Sequence[float],
    *,
    unit: str,
    better: Literal["higher", "lower"],
    peer: str | None = None,
    peer_values: Sequence[float] = (),
) -> Row:
    """
    Sum up a comparison.

    Args: ours, peer_values: one value per run, measured alternately, at least five.
    Returns: medians; spread is (largest - smallest) / median of ours.
    """
    if len(ours) < _RUNS_MIN or (peer is not None and len(peer_values) != len(ours)):
        raise ValueError(f"{name}: at least {_RUNS_MIN} runs, as many of the peer as of ours")
    median = statistics.median(ours)
    peer_value = statistics.median(peer_values) if peer is not None else None
    ratio = None
    if peer_value is not None:
        ratio = median / peer_value if better == "higher" else peer_value / median
    return Row(
        name=name,
        ours=median,
        unit=unit,
        peer=peer,
        peer_value=peer_value,
        ratio=ratio,
        better=better,
        runs=len(ours),
        spread=(max(ours) - min(ours)) / median if median else 0.0,
        commit=_commit(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(name, ours, unit=…, better=…, peer=…, peer_values=…)`: keep one row of the table."""

    def keep(name: str, ours: Sequence[float], **rest: Any) -> Row:
        row = make_row(name, ours, **rest)
        request.config.stash.setdefault(_ROWS, []).append(row)
        return row

    return keep


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash.get(_ROWS, [])
    if not rows:
        return
    _RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else []
    by_key = {(row["name"], row["peer"]): row for row in known}
    by_key |= {(row.name, row.peer): attrs.asdict(row) for row in rows}
    _RESULTS.write_text(json.dumps(list(by_key.values()), indent=1, ensure_ascii=False) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("benchmarks (ratio above 1: we are better)")
    for row in rows:
        against = ""
        if row.peer_value is not None and row.ratio is not None:
            against = f"  {row.peer}: {row.peer_value:,.6g}  ratio {row.ratio:.2f}"
        terminalreporter.line(
            f"{row.name:18} {row.ours:12,.6g} {row.unit:24} ±{row.spread:4.0%}{against}"
        )


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
