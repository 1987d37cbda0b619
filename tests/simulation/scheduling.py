"""
The scheduler of a simulation: the decisions of `hes.plans` over the model of the database.

What the real leader does by sets in SQL is done here meter by meter: runs are expanded, items
expire, intervals are judged and lost, gaps are asked for again. The decisions (`runs_due`, `find`,
`Expected`) are the real ones; so are the rules for items (`MemoryDue`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import numpy as np

from hes.domain import recurrence
from hes.domain.plans import Plan, Run, Selection, turn_s
from hes.domain.work import ItemState, Priority, Read, ReadKind, WorkKind
from hes.plans.expansion import runs_due
from hes.plans.gaps import GapRules, find
from hes.readings.completeness import Expected
from hes.storage.completeness import OpenDay
from hes.storage.due_items import NewItem
from hes.storage.losses import LossReason
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.simulation.history import History
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import START

PERIOD_S: Final = 900
ENTRIES: Final = 24
_ZONE: Final = "Europe/Berlin"
_SLOT: Final = timedelta(seconds=PERIOD_S)
_GIVE_UP: Final = timedelta(hours=1)
_AFTER_FAILURE: Final = timedelta(minutes=20)
PLAN: Final = Plan(
    name="all",
    reads=(Read(ReadKind.PROFILE),),
    selection=Selection(all_meters=True),
    recurrence=recurrence.parse("every 1800s"),
    window_s=3600,
    deadline_s=1500,
    spread_s=300,
    plan_id=1,
    tenant_id=1,
    revision=1,
    since=START,
)


class Scheduler:
    """`look` is one round of the leader; it happens as a whole or not at all."""

    def __init__(self, storage: FakeStorage, history: History) -> None:
        self._storage = storage
        self._history = history
        self._last_run_at: datetime | None = None
        self._runs: list[Run] = []
        self._answered = 0
        self._held: dict[UUID, set[datetime]] = {}
        self._seen = 0
        self.lost: dict[tuple[UUID, datetime], LossReason] = {}
        storage.due.reads[PLAN.plan_id] = PLAN.reads

    def look(self) -> None:
        """Expand, expire, judge, find gaps. Raises: StorageUnavailableError."""
        self._storage.enter("schedule")
        now = self._storage.now()
        self._expand(now)
        self._storage.due.expire()
        self._lose_answered()
        self._find_gaps(now)

    def overdue(self, meter_id: UUID, now: datetime) -> list[datetime]:
        """The expected intervals whose deadline has passed and that are not held, oldest first."""
        judged = max((run.run_at for run in self._runs if run.deadline_at <= now), default=START)
        held = self._held_by(meter_id)
        expected = Expected(PERIOD_S, START)
        day, found = START.date(), []
        while day <= judged.date():
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            found += [midnight + _SLOT * slot for slot in expected.slots(day, judged)]
            day += timedelta(days=1)
        return [slot for slot in found if slot not in held]

    def _held_by(self, meter_id: UUID) -> set[datetime]:
        """The intervals that are held; only what has come since the last look is looked at."""
        values = self._storage.values
        for key, at in islice(values, self._seen, None):
            if key.source == LOAD_PROFILE:
                self._held.setdefault(key.meter_id, set()).add(_floor(at))
        self._seen = len(values)
        return self._held.get(meter_id, set())

    def _expand(self, now: datetime) -> None:
        made = runs_due(PLAN, _ZONE, self._last_run_at, now)
        for run in (*made.skipped, *([made.run] if made.run else ())):
            self._last_run_at = run.run_at
            self._runs.append(run)
        if made.run is not None:
            run = made.run
            self._storage.due.add(
                [
                    NewItem(
                        meter_id,
                        WorkKind.PLAN,
                        run.run_at,
                        run.run_at
                        + timedelta(seconds=turn_s(meter_id, PLAN.plan_id, PLAN.spread_s)),
                        run.deadline_at,
                        run.ends_at,
                        plan_id=PLAN.plan_id,
                        zone=_ZONE,
                    )
                    for meter_id in self._storage.meters
                    if meter_id not in self._storage.due.quarantined
                ]
            )
            self._history.note("scheduler", "run", run_at=run.run_at)

    def _lose_answered(self) -> None:
        """Of what a meter has answered for whole, what is not held is lost."""
        for meter_id, gap in self._storage.due.answered[self._answered :]:
            for slot in self.overdue(meter_id, self._storage.now()):
                if gap.start <= slot < gap.end:
                    self._lose(meter_id, slot, LossReason.NOT_IN_BUFFER)
        self._answered = len(self._storage.due.answered)

    def _lose(self, meter_id: UUID, slot: datetime, reason: LossReason) -> None:
        if (meter_id, slot) not in self.lost:
            self.lost[meter_id, slot] = reason
            self._history.note(
                "scheduler", "lost", meter=meter_id.int, slot=slot, reason=reason.value
            )

    def _find_gaps(self, now: datetime) -> None:
        due = self._storage.due
        failed = {
            result.meter_id
            for result in due.results
            if result.item.gap is not None
            and result.state in (ItemState.FAILED, ItemState.EXPIRED)
            and result.finished_at > now - _AFTER_FAILURE
        }
        days = []
        for meter_id in self._storage.meters:
            if meter_id in failed or meter_id in due.quarantined:
                continue
            asked = [item.gap for item in due.work[meter_id].items.values() if item.gap]
            lacking = [
                slot
                for slot in self.overdue(meter_id, now)
                if (meter_id, slot) not in self.lost
                and not any(gap.start <= slot < gap.end for gap in asked)
            ]
            days += [
                OpenDay(
                    meter_id,
                    LOAD_PROFILE,
                    PERIOD_S,
                    day,
                    _bits(day, lacking),
                    ENTRIES * PERIOD_S,
                )
                for day in sorted({slot.date() for slot in lacking})
            ]
        if not days:
            return
        found = find(days, now, GapRules(give_up=_GIVE_UP))
        due.add(
            [
                NewItem(
                    meter_id,
                    WorkKind.GAP,
                    now,
                    now,
                    now + _GIVE_UP,
                    now + _GIVE_UP,
                    Priority.LOW,
                    gap=gap,
                )
                for meter_id, gap in found.gaps
            ]
        )
        for lost in found.lost:
            slot = lost.from_at
            while slot < lost.to_at:
                self._lose(lost.meter_id, slot, lost.reason)
                slot += _SLOT


def _floor(at: datetime) -> datetime:
    return at - timedelta(seconds=at.timestamp() % PERIOD_S)


def _bits(day: date, slots: list[datetime]) -> str:
    bits = np.zeros(86_400 // PERIOD_S, np.int8)
    for slot in slots:
        if slot.date() == day:
            bits[(slot.hour * 3600 + slot.minute * 60) // PERIOD_S] = 1
    return "".join(map(str, bits.tolist()))
