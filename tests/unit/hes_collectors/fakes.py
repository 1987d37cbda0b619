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

from hes.domain.errors import (
    CounterReplayedError,
    KeyUnavailableError,
    LeaseLostError,
    PermanentError,
    QuarantineFullError,
    StorageUnavailableError,
)
from hes.domain.meters import Meter, MeterKnowledge, Secrets
from hes.domain.ports import CounterBlock, Counting, Lease, Sender, SessionReport
from hes.domain.readings import ChannelKey, ReadingBatch, Receipt, SourceKind
from hes.storage.repeats import unsaid
from hes_collectors.dlms import Ports
from hes_protocol.cosem import Obis

_COUNTER_MAX = 2**32 - 1
_WINDOW = 1024


@attrs.define
class Work:
    """A row of due work."""

    due_at: datetime
    attempts: int = 0
    token: int | None = None
    leased_until: datetime | None = None
    read_at: datetime | None = None


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
    work: dict[UUID, Work] = attrs.field(factory=dict)
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
    calls: Counter[str] = attrs.field(factory=Counter)
    trouble: dict[str, list[Exception]] = attrs.field(factory=dict)
    done: list[str] = attrs.field(factory=list)
    _tokens: int = 0

    def add_meter(self, meter: Meter, secrets: Secrets) -> None:
        """Put a meter into the inventory, due now."""
        self.meters[meter.meter_id] = meter
        self.secrets[meter.meter_id] = secrets
        self.work[meter.meter_id] = Work(self.now())

    def ports(self) -> Ports:
        """What a collector is given."""
        return Ports(
            leases=FakeLeases(self),
            sessions=FakeSessions(self),
            keys=FakeKeys(self),
            counters=FakeCounters(self),
            knowledge=FakeKnowledge(self),
            inbound=FakeInbound(self),
            sink=FakeSink(self),
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

    def next_token(self) -> int:
        """A fencing token, ever higher."""
        self._tokens += 1
        return self._tokens


@attrs.frozen
class FakeLeases:
    """`LeasePort`."""

    storage: FakeStorage

    def take(self, *, holder: str, limit: int, lease_s: float) -> Sequence[Lease]:
        storage = self.storage
        storage.enter("take")
        now = storage.now()
        for work in storage.work.values():
            if work.leased_until is not None and work.leased_until <= now:
                work.token, work.leased_until = None, None
                work.attempts += 1
        due = sorted(
            (work.due_at, str(meter_id), meter_id)
            for meter_id, work in storage.work.items()
            if work.token is None
            and work.due_at <= now
            and storage.meters[meter_id].address is not None
        )
        leases = []
        for due_at, _, meter_id in due[:limit]:
            work = storage.work[meter_id]
            work.token = storage.next_token()
            work.leased_until = now + timedelta(seconds=lease_s)
            marks = tuple(
                (source, mark)
                for (owner, source), mark in storage.marks.items()
                if owner == meter_id
            )
            leases.append(
                Lease(
                    storage.meters[meter_id],
                    work.token,
                    due_at,
                    lease_s,
                    work.attempts,
                    marks,
                    work.read_at,
                )
            )
        return leases

    def give_back(
        self, lease: Lease, *, due_at: datetime, failed: bool, read_at: datetime | None = None
    ) -> None:
        storage = self.storage
        storage.enter("give_back")
        work = storage.work[lease.meter.meter_id]
        if (
            work.token != lease.token
            or work.leased_until is None
            or work.leased_until <= storage.now()
        ):
            raise LeaseLostError(str(lease.token))
        work.token, work.leased_until, work.due_at = None, None, due_at
        work.attempts = work.attempts + 1 if failed else 0
        work.read_at = read_at or work.read_at


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
            counted = None if fingerprint is None else self.storage.own_counters.get(meter_id)
            own, block = counted or None, None
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
        self._enter("accept", meter_id, key_fingerprint)
        last = self.storage.accepted.get(meter_id, -1)
        seen = self.storage.seen.setdefault(meter_id, set()) | {last}
        if counter in seen or counter <= last - _WINDOW:
            raise CounterReplayedError(str(counter), seen=counter > last - _WINDOW)
        self.storage.seen[meter_id] = seen | {counter}
        self.storage.accepted[meter_id] = max(counter, last)

    def _enter(self, method: str, meter_id: UUID, key_fingerprint: bytes | None) -> None:
        self.storage.enter(method)
        kept = self.storage.secrets.get(meter_id, Secrets()).key_fingerprint
        if key_fingerprint not in (None, kept):
            raise KeyUnavailableError("the key was changed")


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
            if batch.provenance.kind is SourceKind.PROFILE and key.source is not None:
                mark = (key.meter_id, key.source)
                reached = min(at, batch.provenance.asked_until or at)
                storage.marks[mark] = max(reached, storage.marks.get(mark, reached))
        receipt = Receipt(
            len(storage.receipts) + 1,
            counts["stored"],
            len(batch) - counts["stored"] - counts["revised"],
            counts["revised"],
            0,
        )
        storage.receipts[batch.batch_key] = receipt
        return receipt

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
