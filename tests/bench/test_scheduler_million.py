"""
A million meters under one plan, by simulation: scheduler and leases only, under simulated time.

One run: a night of 8 hours, 4 collectors of 100 sessions each. Its rows are what each half-hour
came to; memory is what the process grew by, per meter; the end is when the last meter was read that
answers at all, against the plan's deadline.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hes.domain.work import ItemState
from tests.bench.conftest import Record
from tests.bench.plan_by_simulation import HOUR_S, PLAN, Simulation

METERS = 1_000_000
TARGET = float(PLAN.target) / 100


@pytest.mark.timeout(1800)
def test_a_night_of_a_million_meters(record: Record) -> None:
    before = resident_octets()
    simulation = Simulation(METERS, collectors=4, slots=100)
    outcome = simulation.run()
    octets_per_meter = (resident_octets() - before) / METERS
    record("schedule-million", outcome.rates, unit="decisions/s of CPU", better="higher")
    end_h = (outcome.last_done_at - outcome.run.run_at).total_seconds() / HOUR_S
    record(
        "schedule-million-end",
        [end_h] * 5,
        unit="h after the run",
        better="lower",
        peer="deadline",
        peer_values=[PLAN.deadline_s / HOUR_S] * 5,
    )
    record("schedule-million-memory", [octets_per_meter] * 5, unit="octets/meter", better="lower")
    print(f"{outcome.decisions:,} decisions, expanded in {outcome.expanded_s:.1f} s of CPU")
    assert outcome.ended.total() == outcome.items_of_meters == METERS
    assert outcome.ended[ItemState.EXPIRED] == outcome.silent
    assert outcome.ended[ItemState.DONE] >= TARGET * METERS
    assert outcome.last_done_at <= outcome.run.deadline_at


def resident_octets() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
