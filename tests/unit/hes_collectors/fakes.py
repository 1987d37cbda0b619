"""
In-memory ports: they keep the contracts of `hes.domain.ports`, and `port_contracts` checks that.

One `FakeStorage` stands for the database: `away` makes every call fail as a lost connection does,
and `trouble` makes single ones fail. Nothing here sleeps, and time is injected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs

from hes.domain.clock import ClockChange, ClockOutcome
from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    PermanentError,
    QuarantineFullError,
    StorageUnavailableError,
)
from hes.domain.meters import Meter, MeterKnowledge, Secrets
from hes.domain.ports import (
    NO_LIMITS,
    CounterBlock,
    Counting,
    Finished,
    Lease,
    Limits,
    Segment,
    Sender,
    SessionReport,
)
from hes.domain.readings import (
    ChannelKey,
    LogEntry,
    LogGap,
    ReadingBatch,
    Receipt,
    SourceKind,
    VerifiedCounter,
)
from hes.storage.finishing import LEASE_LOST
from hes.storage.repeats import unsaid
from hes_collectors.dlms import Ports
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.memory_due import MemoryDue, Work, with_marks

_COUNTER_MAX = 2**32 - 1
_WINDOW = 1024


@attrs.frozen
class SecurityEvent:
    """What was told of one security event."""

    meter_id: UUID | None
    code: str
    detail: str
    peer: str | None


@attrs.frozen
class Quarantined:
    """What was told of one frame in quarantine."""

    sender: Sender
    reason: str
    raw: bytes
    meter_id: UUID | None
    received_at: datetime
    verified: bool


@attrs.frozen
class StoredValue:
    """The current value of one key, with what came with it."""

    value: int | float | str | None
    quality: int
    scaler: int
    unit: int
    evidence: bytes = attrs.field(default=b"", eq=False)


@attrs.define
class ClockChanged:
    """A change of a clock, and what came of it."""

    change: ClockChange
    outcome: ClockOutcome = ClockOutcome.SENT
    drift_s: float | None = None


@attrs.define
class FakeStorage:
    """
    The database.

    `now` is its clock. With `everybody_by_line` what a plain frame calls itself does not count.
    `calls` counts the calls by port method, also those that failed; `trouble` holds the errors
    that the next calls of a method raise.
    """

    now: Callable[[], datetime]
    away: bool = False
    max_quarantined: int = 1000
    everybody_by_line: bool = False
    meters: dict[UUID, Meter] = attrs.field(factory=dict)
    secrets: dict[UUID, Secrets] = attrs.field(factory=dict)
    own_counters: dict[UUID, int] = attrs.field(factory=dict)
    hinted: dict[UUID, tuple[int, int]] = attrs.field(factory=dict)
    accepted: dict[UUID, int] = attrs.field(factory=dict)
    seen: dict[UUID, set[int]] = attrs.field(factory=dict)
    knowledge: dict[UUID, MeterKnowledge] = attrs.field(factory=dict)
    reports: list[SessionReport] = attrs.field(factory=list)
    events: list[SecurityEvent] = attrs.field(factory=list)
    quarantined: list[Quarantined] = attrs.field(factory=list)
    values: dict[tuple[ChannelKey, datetime], StoredValue] = attrs.field(factory=dict)
    revisions: list[tuple[ChannelKey, datetime, StoredValue]] = attrs.field(factory=list)
    marks: dict[tuple[UUID, Obis], datetime] = attrs.field(factory=dict)
    receipts: dict[UUID, Receipt] = attrs.field(factory=dict)
    lines: dict[tuple[Obis, datetime, int, int], LogEntry] = attrs.field(factory=dict)
    log_gaps: list[LogGap] = attrs.field(factory=list)
    calls: Counter[str] = attrs.field(factory=Counter)
    trouble: dict[str, list[Exception]] = attrs.field(factory=dict)
    done: list[str] = attrs.field(factory=list)
    clock_changes: list[ClockChanged] = attrs.field(factory=list)
    clock_orders: set[UUID] = attrs.field(factory=set)
    segments: list[Segment] = attrs.field(factory=list)
    due: MemoryDue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.due = MemoryDue(lambda: self.now(), self.meters)

    @property
    def work(self) -> dict[UUID, Work]:
        """Due work, by meter."""
        return self.due.work

    def add_meter(self, meter: Meter, secrets: Secrets) -> None:
        """Put a meter into the inventory, in service: it is read for the first time."""
        self.meters[meter.meter_id] = meter
        self.secrets[meter.meter_id] = secrets
        self.due.put_in_service([meter.meter_id])

    def ports(self) -> Ports:
        """What a collector is given."""
        return Ports(
            leases=FakeLeases(self),
            sessions=FakeSessions(self),
            keys=FakeKeys(self),
            counters=FakeCounters(self),
            knowledge=FakeKnowledge(self),
            inbound=FakeInbound(self),
            clocks=FakeClocks(self),
            sink=FakeSink(self),
            segments=FakeSegments(self),
        )

    def enter(self, method: str) -> None:
        """Count a call, and fail it where the test says so."""
        self.calls[method] += 1
        if self.away:
            raise StorageUnavailableError(method)
        if self.trouble.get(method):
            raise self.trouble[method].pop(0)
        self.done.append(method)

    def said(self, key: ChannelKey, at: datetime) -> list[StoredValue]:
        """All that is stored of an instant, in the order in which it was told."""
        first = self.values.get((key, at))
        others = [value for one, moment, value in self.revisions if (one, moment) == (key, at)]
        return others if first is None else [first, *others]


@attrs.frozen
class FakeLeases:
    """`LeasePort`."""

    storage: FakeStorage

    def take(
        self, *, holder: str, limit: int, lease_s: float, limits: Limits = NO_LIMITS
    ) -> Sequence[Lease]:
        self.storage.enter("take")
        return self._told(self.storage.due.take(limit=limit, lease_s=lease_s, limits=limits))

    def take_dialled(
        self,
        meter_ids: Collection[UUID],
        *,
        holder: str,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,
    ) -> Sequence[Lease]:
        self.storage.enter("take_dialled")
        due = self.storage.due
        return self._told(due.take_dialled(meter_ids, limit=limit, lease_s=lease_s, limits=limits))

    def _told(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        return [with_marks(lease, self.storage.marks) for lease in leases]

    def finish(self, ended: Sequence[Finished]) -> Collection[int]:
        storage = self.storage
        storage.enter("finish")
        reported = {report.session_id: report.cause for report in storage.reports}
        lost = set()
        for each in ended:
            report = each.report
            if storage.due.finish(each):
                storage.events += [
                    SecurityEvent(report.meter_id, found.code, found.detail, found.peer)
                    for found in each.findings
                ]
                if each.counter is not None:
                    with suppress(CounterReplayedError, KeyUnavailableError):
                        _accept(storage, report.meter_id, each.counter)
            elif reported.get(report.session_id, LEASE_LOST) == LEASE_LOST:
                lost.add(each.lease.token)
                report = attrs.evolve(report, cause=LEASE_LOST)
            if report.session_id not in reported:
                storage.reports.append(report)
        return lost

    def release(self, leases: Sequence[Lease], *, until: datetime | None = None) -> None:
        self.storage.enter("release")
        for lease in leases:
            self.storage.due.release(lease, until)


@attrs.frozen
class FakeSegments:
    """`SegmentPort`."""

    storage: FakeStorage

    def segments(self) -> Sequence[Segment]:
        self.storage.enter("segments")
        return self.storage.segments

    def collectors(self) -> int:
        return 1


@attrs.frozen
class FakeSessions:
    """`SessionPort`."""

    storage: FakeStorage

    def record(self, report: SessionReport) -> None:
        self.storage.enter("record")
        if any(kept.session_id == report.session_id for kept in self.storage.reports):
            raise AssertionError("a session is recorded twice")
        self.storage.reports.append(report)

    def security_event(
        self, meter_id: UUID | None, code: str, detail: str, peer: str | None
    ) -> None:
        self.storage.enter("security_event")
        self.storage.events.append(SecurityEvent(meter_id, code, detail, peer))


@attrs.frozen
class FakeKeys:
    """`KeyPort`."""

    storage: FakeStorage

    def secrets_of(
        self, associations: Collection[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], Secrets]:
        self.storage.enter("secrets_of")
        kept = self.storage.secrets
        return {key: kept[key[0]] for key in associations if key[0] in kept}

    def secrets(self, meter_id: UUID, client_sap: int) -> Secrets:
        self.storage.enter("secrets")
        try:
            return self.storage.secrets[meter_id]
        except KeyError:
            raise KeyUnavailableError(str(meter_id)) from None


@attrs.frozen
class FakeCounters:
    """`CounterPort`; every meter has a key of its own."""

    storage: FakeStorage

    def counting(
        self, associations: Collection[tuple[UUID, int, bytes | None]], *, size: int
    ) -> Mapping[tuple[UUID, int], Counting]:
        self.storage.enter("counting")
        found = {}
        for meter_id, client_sap, fingerprint in associations:
            kept = self.storage.secrets.get(meter_id, Secrets()).key_fingerprint
            if fingerprint not in (None, kept):
                continue
            own = None if fingerprint is None else self.storage.own_counters.get(meter_id)
            block = None
            if size and own is not None:
                with suppress(PermanentError):
                    block = self._next(meter_id, size, None)
            accepted = self.storage.accepted.get(meter_id)
            found[meter_id, client_sap] = Counting(own, accepted, block)
        return found

    def reserve(
        self,
        meter_id: UUID,
        client_sap: int,
        *,
        size: int,
        key_fingerprint: bytes | None = None,
        above: int | None = None,
    ) -> CounterBlock:
        self._enter("reserve", meter_id, key_fingerprint)
        return self._next(meter_id, size, above)

    def _next(self, meter_id: UUID, size: int, above: int | None) -> CounterBlock:
        own, hinted = self.storage.own_counters, self.storage.hinted
        last = own.get(meter_id, 0)
        first_hinted, last_hinted = hinted.get(meter_id, (None, 0))
        if above is not None:
            last = max(last, last_hinted, above) + size
        elif first_hinted is not None and first_hinted <= last + size:
            last = last_hinted + size
        else:
            last += size
        if last > _COUNTER_MAX:
            raise PermanentError("used up")
        if above is not None:
            hinted[meter_id] = (first_hinted or last - size + 1, last)
        else:
            own[meter_id] = last
            if last > last_hinted:
                hinted.pop(meter_id, None)
        return CounterBlock(last - size + 1, last)

    def keep(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        self._enter("keep", meter_id, key_fingerprint)
        first, last = self.storage.hinted.get(meter_id, (1, 0))
        if first <= counter <= last:
            self.storage.own_counters[meter_id] = last
            del self.storage.hinted[meter_id]

    def highest_reserved(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        self.storage.enter("highest_reserved")
        return self.storage.own_counters.get(meter_id)

    def last_accepted(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        self._enter("last_accepted", meter_id, key_fingerprint)
        return self.storage.accepted.get(meter_id)

    def accept(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        self.storage.enter("accept")
        _accept(self.storage, meter_id, VerifiedCounter(client_sap, counter, key_fingerprint))

    def _enter(self, method: str, meter_id: UUID, key_fingerprint: bytes | None) -> None:
        self.storage.enter(method)
        _check_key(self.storage, meter_id, key_fingerprint)


def _check_key(storage: FakeStorage, meter_id: UUID, key_fingerprint: bytes | None) -> None:
    kept = storage.secrets.get(meter_id, Secrets()).key_fingerprint
    if key_fingerprint not in (None, kept):
        raise KeyUnavailableError("the key was changed")


def _accept(storage: FakeStorage, meter_id: UUID, verified: VerifiedCounter) -> None:
    _check_key(storage, meter_id, verified.key_fingerprint)
    counter = verified.counter
    last = storage.accepted.get(meter_id, -1)
    seen = storage.seen.setdefault(meter_id, set()) | {last}
    if counter in seen or counter <= last - _WINDOW:
        raise CounterReplayedError(str(counter), seen=counter > last - _WINDOW)
    storage.seen[meter_id] = seen | {counter}
    storage.accepted[meter_id] = max(counter, last)


@attrs.frozen
class FakeKnowledge:
    """`KnowledgePort`."""

    storage: FakeStorage

    def load(self, meter_id: UUID) -> MeterKnowledge | None:
        self.storage.enter("load")
        return self.storage.knowledge.get(meter_id)

    def load_many(self, meter_ids: Collection[UUID]) -> Mapping[UUID, MeterKnowledge]:
        self.storage.enter("load_many")
        kept = self.storage.knowledge
        return {meter_id: kept[meter_id] for meter_id in meter_ids if meter_id in kept}

    def save(self, meter_id: UUID, knowledge: MeterKnowledge) -> None:
        self.storage.enter("save")
        self.storage.knowledge[meter_id] = knowledge

    def pin_system_title(self, meter_id: UUID, system_title: bytes) -> bool:
        storage = self.storage
        storage.enter("pin_system_title")
        owners = (m.meter_id for m in storage.meters.values() if m.system_title == system_title)
        owner = next(owners, None)
        kept = storage.meters[meter_id]
        if owner is None and kept.system_title is None:
            storage.meters[meter_id] = attrs.evolve(kept, system_title=system_title)
            return True
        return owner == meter_id


@attrs.frozen
class FakeInbound:
    """`InboundPort`; knows a meter by title, by its serial in the frame, or by its line."""

    storage: FakeStorage

    def by_system_title(self, system_title: bytes) -> Meter | None:
        self.storage.enter("by_system_title")
        return self._by_title(system_title)

    def _by_title(self, system_title: bytes) -> Meter | None:
        found = (m for m in self.storage.meters.values() if m.system_title == system_title)
        return next(found, None)

    def by_sender(self, sender: Sender) -> Meter | None:
        self.storage.enter("by_sender")
        if sender.system_title is not None:
            return self._by_title(sender.system_title)
        meters = self.storage.meters.values()
        if sender.identities and not self.storage.everybody_by_line:
            names = {text for _, text in sender.identities}
            return next((m for m in meters if m.serial in names), None)
        return next((m for m in meters if m.peer == str(sender.peer)), None)

    def rest(self, meter_id: UUID, for_s: float) -> None:
        self.storage.enter("rest")
        self.storage.due.rest(meter_id, for_s)

    def quarantine(
        self,
        sender: Sender,
        reason: str,
        raw: bytes,
        *,
        meter_id: UUID | None,
        received_at: datetime,
        verified: bool = False,
    ) -> None:
        storage = self.storage
        storage.enter("quarantine")
        if len(storage.quarantined) >= storage.max_quarantined:
            raise QuarantineFullError("full")
        storage.quarantined.append(
            Quarantined(sender, reason, raw, meter_id, received_at, verified)
        )


@attrs.frozen
class FakeSink:
    """`BatchSink` with merge, revisions, marks and receipts."""

    storage: FakeStorage

    def publish(self, batch: ReadingBatch) -> Receipt:
        storage = self.storage
        storage.enter("publish")
        if batch.batch_key in storage.receipts:
            return storage.receipts[batch.batch_key]
        counter = batch.provenance.counter
        for meter_id in batch.meter_ids if counter is not None else ():
            with suppress(CounterReplayedError, KeyUnavailableError):
                _accept(storage, meter_id, counter)
        counts: Counter[str] = Counter()
        told: dict[tuple[ChannelKey, datetime], list[StoredValue]] = {}
        for key, at, stored in _rows(batch):
            told.setdefault((key, at), []).append(stored)
        for (key, at), values in told.items():
            said = storage.said(key, at)
            if not said:
                storage.values[key, at] = values[0]
                said.append(values[0])
                counts["stored"] += 1
            new = unsaid(said, values)
            storage.revisions += [(key, at, value) for value in new]
            counts["revised"] += len(new)
            of_profile = batch.provenance.kind is SourceKind.PROFILE and key.source is not None
            if of_profile and not batch.provenance.beside_mark:
                mark = (key.meter_id, key.source)
                reached = min(at, batch.provenance.asked_until or at)
                storage.marks[mark] = max(reached, storage.marks.get(mark, reached))
        counts["stored"] += self._take_lines(batch)
        receipt = Receipt(
            len(storage.receipts) + 1,
            counts["stored"],
            len(batch) - counts["stored"] - counts["revised"],
            counts["revised"],
            0,
        )
        storage.receipts[batch.batch_key] = receipt
        return receipt

    def _take_lines(self, batch: ReadingBatch) -> int:
        """Store lines of logs, equal ones of an instant by their order; returns the new ones."""
        storage = self.storage
        before = len(storage.lines)
        told: Counter[tuple[Obis, datetime, int]] = Counter()
        for line in batch.events:
            key = (line.source, line.occurred_at, line.code)
            storage.lines.setdefault((*key, told[key]), line)
            told[key] += 1
            mark = (line.meter_id, line.source)
            reached = min(line.occurred_at, batch.provenance.asked_until or line.occurred_at)
            storage.marks[mark] = max(reached, storage.marks.get(mark, reached))
        storage.log_gaps += batch.log_gaps
        return len(storage.lines) - before

    def stored(self, batch_key: UUID) -> bool:
        self.storage.enter("stored")
        return batch_key in self.storage.receipts


def _rows(batch: ReadingBatch) -> list[tuple[ChannelKey, datetime, StoredValue]]:
    rows = batch.integers
    evidence = batch.provenance.evidence
    found = []
    for index, at, value, null, quality in zip(
        rows.series_index, rows.captured_at, rows.value, rows.null, rows.quality, strict=True
    ):
        series = batch.series[int(index)]
        stored = StoredValue(
            None if null else int(value), int(quality), series.scaler, series.unit, evidence
        )
        found.append((series.channel, moment(int(at)), stored))
    for other in batch.others:
        series = batch.series[other.series_index]
        stored = StoredValue(other.value, other.quality, series.scaler, series.unit, evidence)
        found.append((series.channel, moment(other.captured_at), stored))
    return found


def moment(microseconds: int) -> datetime:
    """A `captured_at` as a datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


@attrs.frozen
class FakeClocks:
    """`ClockPort`."""

    storage: FakeStorage

    def changing(self, change: ClockChange) -> int:
        self.storage.enter("changing")
        self.storage.clock_changes.append(ClockChanged(change))
        return len(self.storage.clock_changes) - 1

    def changed(self, change_id: int, outcome: ClockOutcome, drift_s: float | None) -> None:
        self.storage.enter("changed")
        kept = self.storage.clock_changes[change_id]
        kept.outcome, kept.drift_s = outcome, drift_s
        if outcome is not ClockOutcome.REFUSED:
            self.storage.clock_orders.discard(kept.change.meter_id)

    def may_try(self, meter_id: UUID) -> bool:
        self.storage.enter("may_try")
        tried = [one for one in self.storage.clock_changes if one.change.meter_id == meter_id]
        return not tried or tried[-1].outcome is not ClockOutcome.REFUSED

    def ordered(self, meter_id: UUID) -> bool:
        self.storage.enter("ordered")
        return meter_id in self.storage.clock_orders
