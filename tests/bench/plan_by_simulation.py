"""
A plan's run over a fleet by simulation: the scheduler's decisions and leases, nothing else.

Time is simulated, second by second; what is due, taken and ended is kept in memory by the twin of
the real tables (`memory_due`). Collectors have slots and sessions that last as long as chance has
it; some fail, some meters never answer, and one collector dies with all its leases half-way.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from uuid import UUID

import attrs

from hes.domain.meters import Association, Meter, Transport
from hes.domain.plans import Plan, Run, Selection, turn_s
from hes.domain.ports import Finished, Lease, SessionOutcome, SessionPhase, SessionReport
from hes.domain.recurrence import parse
from hes.domain.work import ItemResult, ItemState, MeterAfter, Read, ReadKind, WorkKind
from hes.plans.expansion import runs_due
from hes.storage.due_items import NewItem
from tests.unit.hes_collectors.memory_due import MemoryDue

HOUR_S = 3600
NIGHT = datetime(2026, 11, 21, tzinfo=UTC)
PLAN = Plan(
    plan_id=1,
    tenant_id=1,
    revision=1,
    since=NIGHT - timedelta(days=1),
    name="night",
    reads=(Read(ReadKind.PROFILE),),
    selection=Selection(all_meters=True),
    recurrence=parse("cron 0 1 * * *"),
    zone="UTC",
    spread_s=4 * HOUR_S,
    deadline_s=6 * HOUR_S,
    window_s=8 * HOUR_S,
)
LEASE_S = 180.0
_FAILS = 0.03
_SILENT = 0.001
_BACKOFF_S = 15.0
_MOST_S = 900.0


@attrs.define
class Collector:
    """One collector: its sessions by their end."""

    slots: int
    dead_until: datetime | None = None
    sessions: list[tuple[datetime, int, Lease]] = attrs.field(factory=list)


@attrs.frozen
class Outcome:
    """
    What came of a run.

    `decisions`: items made, leases taken, sessions ended, items expired; `rates` of them per CPU
    second, one per simulated half-hour; `last_done_at`: of meters that answer at all.
    """

    run: Run
    ended: Counter[ItemState]
    silent: int
    decisions: int
    rates: list[float]
    expanded_s: float
    last_done_at: datetime
    items_of_meters: int


class Simulation:
    """A fleet under one plan. Args: slots: sessions at once, of each collector."""

    def __init__(self, meters: int, *, collectors: int, slots: int, seed: int = 1) -> None:
        self._random = Random(seed)
        self.now = NIGHT
        self.due = MemoryDue(lambda: self.now)
        association = Association()
        for number in range(meters):
            # Its last digits decide upon its turn: they are as random as those of the real ones.
            meter_id = UUID(int=self._random.getrandbits(128))
            self.due.meters[meter_id] = Meter(
                meter_id, f"S{number}", "UTC", Transport.WRAPPER, association, NIGHT,
                address="192.0.2.1", port=4059,
            )  # fmt: skip
        self._silent = {one for one in self.due.meters if self._random.random() < _SILENT}
        self._collectors = [Collector(slots) for _ in range(collectors)]
        self._decisions = 0
        # As if each had been read for the first time long ago.
        self.due.put_in_service(self.due.meters)
        self.due.cancel(cause="read long ago")
        self.due.results.clear()

    def run(self) -> Outcome:
        """Expand the next run, and go on until its window is over."""
        run = self._expand()
        begun = time.process_time()
        self._make(run)
        expanded_s = time.process_time() - begun
        # A million meters in memory are many objects: none of them is garbage before the end.
        gc.freeze()
        rates = list(self._pass(run))
        self._decisions += self.due.expire()
        gc.unfreeze()
        done = [
            result.finished_at
            for result in self.due.results
            if result.state in (ItemState.DONE, ItemState.LATE)
        ]
        return Outcome(
            run,
            Counter(result.state for result in self.due.results),
            len(self._silent),
            self._decisions,
            rates,
            expanded_s,
            max(done),
            len({result.meter_id for result in self.due.results}),
        )

    def _expand(self) -> Run:
        while (found := runs_due(PLAN, "UTC", NIGHT, self.now)).run is None:
            self.now += timedelta(minutes=1)
        return found.run

    def _make(self, run: Run) -> None:
        self._decisions += self.due.add(
            [
                NewItem(
                    meter_id,
                    WorkKind.PLAN,
                    run.run_at,
                    run.run_at + timedelta(seconds=turn_s(meter_id, run.plan_id, PLAN.spread_s)),
                    run.deadline_at,
                    run.ends_at,
                    PLAN.priority,
                    run.plan_id,
                    run.zone,
                )
                for meter_id in self.due.meters
            ]
        )

    def _pass(self, run: Run) -> Iterator[float]:
        """Let time pass; yields decisions per CPU second of each half-hour that had any."""
        begun, before = time.process_time(), self._decisions
        dies_at = run.run_at + timedelta(hours=2)
        while self.now < run.ends_at:
            self.now += timedelta(seconds=1)
            if self.now == dies_at:
                victim = self._collectors[0]
                victim.sessions.clear()
                victim.dead_until = self.now + timedelta(seconds=60)
            for collector in self._collectors:
                if collector.dead_until is None or collector.dead_until <= self.now:
                    self._serve(collector)
            if self.now.minute % 30 == self.now.second == 0:
                ended, decisions = time.process_time(), self._decisions - before
                if decisions > len(self.due.meters) // 100:
                    yield decisions / (ended - begun)
                begun, before = ended, self._decisions

    def _serve(self, collector: Collector) -> None:
        sessions = collector.sessions
        while sessions and sessions[0][0] <= self.now:
            _, _, lease = heappop(sessions)
            assert self.due.finish(self._ended(lease))
            self._decisions += 1
        free = collector.slots - len(sessions)
        if free:
            for lease in self.due.take(limit=free, lease_s=LEASE_S):
                self._decisions += 1
                lasts = timedelta(seconds=min(30.0, self._random.lognormvariate(1.0, 0.6)))
                heappush(sessions, (self.now + lasts, lease.token, lease))

    def _ended(self, lease: Lease) -> Finished:
        now, meter_id = self.now, lease.meter.meter_id
        good = meter_id not in self._silent and self._random.random() >= _FAILS
        session_id = UUID(int=lease.token)
        if good:
            report = SessionReport(
                session_id, meter_id, False, now, now, SessionPhase.DONE, SessionOutcome.OK,
                None, 1, 1,
            )  # fmt: skip
            return Finished(
                lease,
                report,
                tuple(ItemResult(each.item_id, ItemState.DONE) for each in lease.items),
            )
        bound_s = min(_MOST_S, _BACKOFF_S * 2 ** min(lease.failures, 10))
        rests_until = now + timedelta(seconds=self._random.uniform(0, bound_s))
        report = SessionReport(
            session_id, meter_id, False, now, now, SessionPhase.CONNECT, SessionOutcome.TRANSPORT,
            "timeout", 1, 1,
        )  # fmt: skip
        after = MeterAfter(lease.failures + 1, rests_until, "transport: timeout")
        return Finished(
            lease,
            report,
            tuple(ItemResult(each.item_id, None, "timeout", now) for each in lease.items),
            after,
        )
