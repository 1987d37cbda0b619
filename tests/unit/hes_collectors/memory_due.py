"""
Due work, its items and results in memory: what `hes.storage` does with them, without a server.

The contract suite (`lease_contracts`) holds both to the same. Rows are found by heaps whose entries
are checked when they come up, so that a fleet of a million is no trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from uuid import UUID

import attrs

from hes.domain.meters import Meter
from hes.domain.ports import NO_LIMITS, Finished, Lease, Limits
from hes.domain.work import DueItem, Gap, ItemState, MeterAfter, Priority, Read, WorkKind
from hes.storage.due_items import NO_TURN, NewItem
from hes.storage.lease_choice import Candidate, Room
from hes_protocol.cosem import Obis

_FIRST_DEADLINE = timedelta(days=1)
_FIRST_EXPIRES = timedelta(days=3650)

Key = tuple[UUID, WorkKind, int | None, datetime | None, Gap | None]


@attrs.define
class Work:
    """A row of due work, with its items and what was last told of each that was tried."""

    due_at: datetime | None = None
    priority: int = Priority.NORMAL
    failures: int = 0
    token: int | None = None
    leased_until: datetime | None = None
    read_at: datetime | None = None
    rests_until: datetime | None = None
    rests_why: str | None = None
    items: dict[int, DueItem] = attrs.field(factory=dict)
    causes: dict[int, str] = attrs.field(factory=dict)


@attrs.frozen
class Result:
    """A row of due results."""

    finished_at: datetime
    meter_id: UUID
    item: DueItem
    state: ItemState
    cause: str | None
    session_id: UUID | None = None


@attrs.define
class MemoryDue:
    """
    The tables due_work, due_item and due_result, and the rules for them.

    `now` is the database's clock; `reads` what plans read, by plan; `maxima` the limits of
    segments, by name; `quarantined` meters that a session has put out of service, and why.
    """

    now: Callable[[], datetime]
    meters: dict[UUID, Meter] = attrs.field(factory=dict)
    segment_of: dict[UUID, str] = attrs.field(factory=dict)
    maxima: dict[str, int] = attrs.field(factory=dict)
    reads: dict[int, tuple[Read, ...]] = attrs.field(factory=dict)
    quarantined: dict[UUID, str] = attrs.field(factory=dict)
    work: dict[UUID, Work] = attrs.field(factory=dict)
    results: list[Result] = attrs.field(factory=list)
    answered: list[tuple[UUID, Gap]] = attrs.field(factory=list)
    _open: set[Key] = attrs.field(factory=set)
    _due: dict[int, list[tuple[datetime, UUID]]] = attrs.field(
        factory=lambda: {int(priority): [] for priority in Priority}
    )
    _leased: list[tuple[datetime, int, UUID]] = attrs.field(factory=list)
    _tokens: Iterator[int] = attrs.field(factory=partial(count, 1))
    _item_ids: Iterator[int] = attrs.field(factory=partial(count, 1))

    def put_in_service(self, meter_ids: Collection[UUID]) -> None:
        """As `due_items.put_in_service`."""
        now = self.now()
        for meter_id in meter_ids:
            self.quarantined.pop(meter_id, None)
            work = self.work.setdefault(meter_id, Work())
            work.failures, work.rests_until, work.rests_why = 0, None, None
        self.add(
            [
                NewItem(
                    meter_id, WorkKind.FIRST, now, now, now + _FIRST_DEADLINE, now + _FIRST_EXPIRES
                )
                for meter_id in meter_ids
            ]
        )

    def add(self, items: Sequence[NewItem]) -> int:
        """As `due_items.add`."""
        added = 0
        for new in items:
            key = _key(new.meter_id, new)
            if key not in self._open:
                self._open.add(key)
                item_id = next(self._item_ids)
                self.work[new.meter_id].items[item_id] = self._item(item_id, new)
                added += 1
        for meter_id in {new.meter_id for new in items}:
            self._refresh(meter_id)
        return added

    def cancel(
        self,
        *,
        cause: str,
        meter_ids: Collection[UUID] | None = None,
        plan_id: int | None = None,
    ) -> int:
        """As `due_items.cancel`."""
        gone = [
            (meter_id, item)
            for meter_id in (self.work if meter_ids is None else meter_ids)
            for item in self.work[meter_id].items.values()
            if plan_id in (None, item.plan_id)
        ]
        for meter_id, item in gone:
            self._end(meter_id, item, ItemState.CANCELLED, cause)
            self._refresh(meter_id)
        return len(gone)

    def expire(self) -> int:
        """As `due_items.expire`, all at once."""
        now = self.now()
        gone = [
            (meter_id, item)
            for meter_id, work in self.work.items()
            if work.leased_until is None or work.leased_until <= now
            for item in work.items.values()
            if item.expires_at <= now
        ]
        for meter_id, item in gone:
            self._end(meter_id, item, ItemState.EXPIRED, None)
            self._refresh(meter_id)
        return len(gone)

    def take(self, *, limit: int, lease_s: float, limits: Limits = NO_LIMITS) -> Sequence[Lease]:
        """As `LeasePort.take`."""
        now = self.now()
        self._free_expired(now)
        room = self._room(limits, now)
        chosen: dict[UUID, Candidate] = {}
        passed: list[tuple[int, datetime, UUID]] = []
        for priority in (Priority.URGENT,) if limits.urgent_only else Priority:
            heap = self._due[priority]
            while heap and heap[0][0] <= now and len(chosen) < limit:
                due_at, meter_id = heappop(heap)
                work = self.work[meter_id]
                if (work.token, work.due_at, work.priority) != (None, due_at, priority):
                    continue
                if meter_id in chosen:
                    continue
                if not any(self._has_turn(work, item, now) for item in work.items.values()):
                    self._refresh(meter_id)
                    continue
                candidate = Candidate(meter_id, self.segment_of.get(meter_id), due_at)
                if room.choose([candidate], 1):
                    chosen[meter_id] = candidate
                else:
                    passed.append((priority, due_at, meter_id))
        for priority, due_at, meter_id in passed:
            heappush(self._due[priority], (due_at, meter_id))
        return [self._lease(each, now, lease_s, dialled=False) for each in chosen.values()]

    def take_dialled(
        self,
        meter_ids: Collection[UUID],
        *,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,
    ) -> Sequence[Lease]:
        """As `LeasePort.take_dialled`."""
        now = self.now()
        self._free_expired(now)
        waiting = [
            (work.priority, work.due_at or now, meter_id)
            for meter_id in meter_ids
            if (work := self.work.get(meter_id)) is not None
            and work.token is None
            and meter_id not in self.quarantined
            and (work.rests_until is None or work.rests_until <= now)
            and (not limits.urgent_only or work.priority == Priority.URGENT)
            and any(self._has_turn(work, item, now, dialled=True) for item in work.items.values())
        ]
        candidates = [
            Candidate(meter_id, self.segment_of.get(meter_id), due_at)
            for _, due_at, meter_id in sorted(waiting)
        ]
        chosen = self._room(limits, now).choose(candidates, limit)
        return [self._lease(each, now, lease_s, dialled=True) for each in chosen]

    def finish(self, each: Finished) -> bool:
        """As `LeasePort.finish`, of one session. Returns: False: its lease was over."""
        meter_id, now = each.lease.meter.meter_id, self.now()
        work = self.work[meter_id]
        if not self._runs(work, each.lease.token, now):
            return False
        ended_at = each.report.ended_at
        for result in each.results:
            item = work.items.get(result.item_id)
            if item is None:
                continue
            if result.state is not None:
                if result.state is ItemState.DONE and item.gap is not None:
                    self.answered.append((meter_id, item.gap))
                self._end(meter_id, item, result.state, result.cause, each.report.session_id)
                continue
            wait = timedelta() if result.retry_at is None else result.retry_at - ended_at
            work.items[item.item_id] = attrs.evolve(
                item,
                due_at=now + max(wait, timedelta()),
                attempts=item.attempts + result.counted,
            )
            if result.cause is not None:
                work.causes[item.item_id] = result.cause
        self._after(meter_id, work, each.after, ended_at, now)
        work.read_at = each.read_at or work.read_at
        self._free(work)
        work.due_at = None
        self._refresh(meter_id)
        return True

    def rest(self, meter_id: UUID, for_s: float) -> None:
        """As `InboundPort.rest`, without jitter."""
        if meter_id not in self.work:
            return
        work, until = self.work[meter_id], self.now() + timedelta(seconds=for_s)
        work.rests_until = max(work.rests_until or until, until)
        self._refresh(meter_id)

    def release(self, lease: Lease, until: datetime | None) -> None:
        """As `LeasePort.release`, of one lease."""
        work = self.work[lease.meter.meter_id]
        if self._runs(work, lease.token, self.now()):
            work.rests_until = until or work.rests_until
            self._free(work)
            work.due_at = None
            self._refresh(lease.meter.meter_id)

    def _after(
        self, meter_id: UUID, work: Work, after: MeterAfter, ended_at: datetime, now: datetime
    ) -> None:
        rest = after.rests_until
        work.failures = after.failures
        work.rests_until = None if rest is None else now + (rest - ended_at)
        work.rests_why = after.rests_why
        if after.quarantine is not None:
            self.quarantined[meter_id] = after.quarantine

    def _free_expired(self, now: datetime) -> None:
        while self._leased and self._leased[0][0] <= now:
            _, token, meter_id = heappop(self._leased)
            work = self.work[meter_id]
            if work.token == token:
                self._free(work)
                work.failures += 1
                if work.due_at is not None:
                    self._be_due(meter_id, work, max(work.due_at, now))

    def _room(self, limits: Limits, now: datetime) -> Room:
        running: dict[str, int] = {}
        for until, token, meter_id in self._leased:
            segment = self.segment_of.get(meter_id)
            if segment is not None and until > now and self.work[meter_id].token == token:
                running[segment] = running.get(segment, 0) + 1
        return Room.of(limits, self.maxima, running)

    def _lease(
        self, candidate: Candidate, now: datetime, lease_s: float, *, dialled: bool
    ) -> Lease:
        work = self.work[candidate.meter_id]
        work.token = next(self._tokens)
        work.leased_until = now + timedelta(seconds=lease_s)
        heappush(self._leased, (work.leased_until, work.token, candidate.meter_id))
        items = sorted(
            (
                item
                for item in work.items.values()
                if self._has_turn(work, item, now, dialled=dialled)
            ),
            key=lambda item: (item.priority, item.due_at, item.item_id),
        )
        return Lease(
            meter=self.meters[candidate.meter_id],
            token=work.token,
            due_at=min((item.due_at for item in items), default=candidate.due_at),
            lease_s=lease_s,
            read_at=work.read_at,
            items=tuple(items),
            failures=work.failures,
            segment=candidate.segment,
            rests_why=work.rests_why,
        )

    @staticmethod
    def _has_turn(work: Work, item: DueItem, now: datetime, *, dialled: bool = False) -> bool:
        begun = dialled and item.item_id not in work.causes and item.run_at <= now
        return item.expires_at > now and (begun or item.due_at <= now)

    @staticmethod
    def _runs(work: Work, token: int, now: datetime) -> bool:
        return work.token == token and work.leased_until is not None and work.leased_until > now

    @staticmethod
    def _free(work: Work) -> None:
        work.token, work.leased_until = None, None

    def _item(self, item_id: int, new: NewItem) -> DueItem:
        return DueItem(
            item_id=item_id,
            kind=new.kind,
            run_at=new.run_at,
            due_at=new.due_at,
            deadline_at=new.deadline_at,
            expires_at=new.expires_at,
            priority=new.priority,
            plan_id=new.plan_id,
            reads=() if new.plan_id is None else self.reads.get(new.plan_id, ()),
            gap=new.gap,
        )

    def _end(
        self,
        meter_id: UUID,
        item: DueItem,
        state: ItemState,
        cause: str | None,
        session_id: UUID | None = None,
    ) -> None:
        work, now = self.work[meter_id], self.now()
        del work.items[item.item_id]
        self._open.discard(_key(meter_id, item))
        last = work.causes.pop(item.item_id, None)
        if state is ItemState.DONE and now > item.deadline_at:
            state = ItemState.LATE
        if state is ItemState.EXPIRED:
            cause = last or NO_TURN
        if state is ItemState.FAILED:
            cause = cause or last
        self.results.append(Result(now, meter_id, item, state, cause, session_id))

    def _refresh(self, meter_id: UUID) -> None:
        """As `due_items.refresh`."""
        work, now = self.work[meter_id], self.now()
        live = [item for item in work.items.values() if item.expires_at > now]
        first = min((item.due_at for item in live), default=None)
        priority = min((item.priority for item in live), default=int(Priority.NORMAL))
        if first is None or meter_id in self.quarantined or self.meters[meter_id].address is None:
            work.due_at, work.priority = None, priority
            return
        waits = work.token is None and work.due_at is not None and work.priority == priority
        kept = min(now, work.due_at) if waits and work.due_at is not None else now
        work.priority = priority
        self._be_due(meter_id, work, max(first, work.rests_until or first, kept))

    def _be_due(self, meter_id: UUID, work: Work, due_at: datetime) -> None:
        work.due_at = due_at
        heappush(self._due[work.priority], (due_at, meter_id))


def _key(meter_id: UUID, item: NewItem | DueItem) -> Key:
    """As the index `due_item_once`."""
    run_at = item.run_at if item.kind is WorkKind.PLAN else None
    return meter_id, item.kind, item.plan_id, run_at, item.gap


Marks = dict[tuple[UUID, Obis], datetime]


def with_marks(lease: Lease, marks: Marks) -> Lease:
    """A lease that tells what is committed of its meter's profiles."""
    own = {source: at for (owner, source), at in marks.items() if owner == lease.meter.meter_id}
    return attrs.evolve(lease, marks=tuple(sorted(own.items())))
