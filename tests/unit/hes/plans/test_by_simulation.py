"""A small fleet's night by simulation: each meter's item ends once, by the deadline."""

from __future__ import annotations

from hes.domain.work import ItemState
from tests.bench.plan_by_simulation import Simulation


def test_a_night_of_a_fleet_ends_by_the_deadline_though_a_collector_dies() -> None:
    outcome = Simulation(2_000, collectors=2, slots=4, seed=7).run()
    assert outcome.ended.total() == outcome.items_of_meters == 2_000
    assert outcome.ended[ItemState.EXPIRED] == outcome.silent
    assert outcome.ended[ItemState.LATE] == 0
    assert outcome.last_done_at <= outcome.run.deadline_at
