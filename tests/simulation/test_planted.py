"""
Faults of our own, planted one at a time, turn the checker red; `test_seeds` is clean without them.

What is planted stands in the engine where that is where it would be made, else in the model of the
database (SQL has no part here; `lease_contracts` holds both to the same).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from hes.domain.ports import CounterBlock
from hes.domain.readings import Receipt
from hes.plans import gaps
from hes_collectors.dlms import ranges
from tests.simulation import database, scheduling
from tests.simulation.checker import violations
from tests.simulation.process import Process
from tests.simulation.world import simulate
from tests.unit.hes_collectors import fakes, memory_due

SEEDS = 20
"""So many are tried; the first of them that shows the fault is told."""


def rules_broken() -> set[str]:
    """Of the first seed that is not clean."""
    for seed in range(SEEDS):
        found = violations(simulate(seed))
        if found:
            print(f"seed {seed}: {len(found)} violations, the first: {found[0]}")
            return {text.partition(":")[0] for text in found}
    return set()


def test_an_ack_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus gives a receipt at once, and commits with the next call, if anybody is still there."""
    publish = database.Unreliable.transact
    soon: list[Callable[[], Any]] = []

    def transact(
        self: Any, process: Process, name: str, call: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if name != "sink.publish":
            for late in soon:
                late()
            soon.clear()
            return publish(self, process, name, call, *args, **kwargs)

        def commit() -> None:
            if process.alive:
                call(*args, **kwargs)

        soon.append(commit)
        return publish(self, process, name, lambda _: Receipt(1, 1, 0, 0, 0), *args, **kwargs)

    monkeypatch.setattr(database.Unreliable, "transact", transact)
    assert rules_broken() & {"nothing_acked_is_lost", "done_means_held"}


def test_the_token_is_not_looked_at_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finishes a lease ends the one that there is."""
    monkeypatch.setattr(memory_due.MemoryDue, "_runs", staticmethod(lambda *_: True))
    assert rules_broken() & {"leases_are_exclusive", "nothing_is_done_twice"}


def test_counters_are_handed_out_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is in memory only: a process that is killed has never had it."""
    reserve, kill = fakes.FakeCounters._next, Process.kill
    volatile: list[tuple[dict[UUID, int], UUID, int]] = []

    def volatile_reserve(self: Any, meter_id: UUID, size: int, above: int | None) -> CounterBlock:
        own = self.storage.own_counters
        volatile.append((own, meter_id, own.get(meter_id, 0)))
        return reserve(self, meter_id, size, above)

    def forgetful_kill(self: Process, *, power: bool) -> None:
        if volatile:
            own, meter_id, last = volatile[-1]
            own[meter_id] = last
        kill(self, power=power)

    monkeypatch.setattr(fakes.FakeCounters, "_next", volatile_reserve)
    monkeypatch.setattr(Process, "kill", forgetful_kill)
    assert "no_counter_twice" in rules_broken()


def test_a_row_behind_the_mark_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges begin an interval too late: the mark moves past what nobody has asked for."""
    begin = ranges.Pieces.__init__

    def late(self: ranges.Pieces, mark: Any, now: Any, period_s: int, **kwargs: Any) -> None:
        begin(self, mark and mark + timedelta(seconds=period_s), now, period_s, **kwargs)

    monkeypatch.setattr(ranges.Pieces, "__init__", late)
    assert "done_means_held" in rules_broken()


def test_the_gap_finder_skips_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest interval of each gap is left out."""
    find = gaps.find

    def skipping(*args: Any) -> gaps.Found:
        found = find(*args)
        later = timedelta(seconds=scheduling.PERIOD_S)
        return attrs.evolve(
            found,
            gaps=tuple(
                (meter_id, attrs.evolve(gap, start=gap.start + later))
                for meter_id, gap in found.gaps
                if gap.end - gap.start > later
            ),
        )

    monkeypatch.setattr(scheduling, "find", skipping)
    assert "every_interval_is_accounted_for" in rules_broken()


def test_a_lease_is_taken_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two collectors may be given one meter at a time."""
    take = memory_due.MemoryDue.take

    def unlocked(self: memory_due.MemoryDue, **kwargs: Any) -> Any:
        leases = take(self, **kwargs)
        for lease in leases:
            if lease.token % 4:
                continue
            work = self.work[lease.meter.meter_id]
            self._be_due(lease.meter.meter_id, work, lease.due_at)
            work.token = None
        return leases

    monkeypatch.setattr(memory_due.MemoryDue, "take", unlocked)
    assert "leases_are_exclusive" in rules_broken()


def test_an_item_is_finished_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done stays due."""
    end = memory_due.MemoryDue._end

    def forgetful(self: memory_due.MemoryDue, meter_id: UUID, item: Any, *args: Any) -> None:
        end(self, meter_id, item, *args)
        if item.item_id == 4 and not [each for each in self.results if each.item == item][1:]:
            self.work[meter_id].items[item.item_id] = item

    monkeypatch.setattr(memory_due.MemoryDue, "_end", forgetful)
    assert {"every_item_ends_once", "nothing_is_done_twice"} <= rules_broken()
