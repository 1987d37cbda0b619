"""
The narrow ports through which collectors reach storage; `hes.wiring` injects what stands behind.

All are synchronous and thread-safe: trio and asyncio call them in bounded worker threads
(architecture.md section 3). Each method is one transaction: it has happened when it returns, and
has not when it raises `StorageUnavailableError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol
from uuid import UUID

import attrs

from hes.domain.clock import ClockChange, ClockOutcome
from hes.domain.meters import Meter, MeterKnowledge, Secrets
from hes.domain.reach import IPNetwork
from hes.domain.readings import ReadingBatch, Receipt, VerifiedCounter
from hes.domain.work import UNHARMED, DueItem, ItemResult, MeterAfter
from hes_protocol.cosem import Obis


@attrs.frozen
class Lease:
    """
    The right to talk to one meter until `lease_s` after it was taken, fenced by `token`.

    `marks` tells per profile up to when its rows are committed (None: nothing yet). `read_at` is
    when the last session began that has read all that was due: what the meter had captured by then
    is committed, whatever its clock showed. `items` are all that are due, most urgent first;
    `failures` counts sessions in a row that came to nothing, `rests_why` is what the last of them
    said (see `MeterAfter`); `segment` is the part of the network whose limits the meter shares,
    `networks` are those in which its meters are called (none: wherever the settings allow it).
    """

    meter: Meter
    token: int
    due_at: datetime
    lease_s: float
    marks: tuple[tuple[Obis, datetime], ...] = ()
    read_at: datetime | None = None
    items: tuple[DueItem, ...] = ()
    failures: int = 0
    segment: str | None = None
    networks: tuple[IPNetwork, ...] = ()
    rests_why: str | None = None


@attrs.frozen
class Segment:
    """
    A part of the network that must not be overrun: a network, a concentrator, a radio cell.

    `max_sessions`: at once over all collectors; `connections_per_s`: new ones, over all collectors;
    None: no limit of its own.
    """

    name: str
    max_sessions: int | None = None
    connections_per_s: float | None = None


class SegmentPort(Protocol):
    """What parts the network has, and how many collectors share them."""

    def segments(self) -> Sequence[Segment]:
        """Those that have any limit."""

    def collectors(self) -> int:
        """How many collectors hold leases now, at least 1: each takes its share of a rate."""


@attrs.frozen
class Limits:
    """
    What may be taken at most, counted over all collectors.

    `per_segment`: leases that run in one segment at once, None: no limit; `segments`: the same for
    named ones. `urgent_only`: nothing but items of `Priority.URGENT` (the reserved share).
    `shut`: segments of which nothing may be taken now (their breaker is open).
    """

    per_segment: int | None = None
    segments: Mapping[str, int] = attrs.field(factory=dict)
    shut: frozenset[str] = frozenset()
    urgent_only: bool = False


NO_LIMITS: Final = Limits()


class LeasePort(Protocol):
    """Due work, taken in batches; nobody talks to one meter twice at a time."""

    def take(
        self, *, holder: str, limit: int, lease_s: float, limits: Limits = NO_LIMITS
    ) -> Sequence[Lease]:
        """
        Up to `limit` meters that are due, most urgent first; none twice until ended.

        Order: priority of the most urgent item, then `due_at`. Meters that rest are not due.
        """

    def take_dialled(
        self,
        meter_ids: Collection[UUID],
        *,
        holder: str,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,
    ) -> Sequence[Lease]:
        """
        As `take`, of these meters alone, which have dialled in and need no address.

        Asked for many lines at once, again and again. A meter is due if it has an item whose run
        has begun: its line may not stand any more when its own turn within the run comes. None of
        a meter that somebody else talks to, that rests, or is not in service.
        """

    def finish(self, ended: Sequence[Finished]) -> Collection[int]:
        """
        End the leases of many sessions, with all that came of them, in one transaction.

        Returns: the tokens of leases that were over already: nothing of those sessions is kept but
        their reports, marked by the cause `lease-lost`.
        """

    def release(self, leases: Sequence[Lease], *, until: datetime | None = None) -> None:
        """
        End leases under which nothing was asked: all is due as it was (shutdown).

        Args: until: the meters rest until then, for no fault of theirs (throttle, retry budget,
            breaker): `failures` and `rests_why` stay as they were.
        """


class SessionOutcome(StrEnum):
    """How a session ended, by error class."""

    OK = "ok"
    TRANSPORT = "transport"
    APPLICATION = "application"
    SECURITY = "security"
    STORAGE = "storage"


class SessionPhase(StrEnum):
    """Where in its life a session was when it ended."""

    CONNECT = "connect"
    ASSOCIATE = "associate"
    REQUEST = "request"
    STORE = "store"
    RELEASE = "release"
    DONE = "done"


@attrs.frozen
class SessionReport:
    """One finished session; `cause` is a code of `hes_protocol.errors` or of our own, or None."""

    session_id: UUID
    meter_id: UUID
    inbound: bool
    started_at: datetime
    ended_at: datetime
    phase: SessionPhase
    outcome: SessionOutcome
    cause: str | None
    octets_in: int
    octets_out: int
    clock_drift_s: float | None = None


class SessionPort(Protocol):
    """Keeps what operators ask about sessions and security."""

    def record(self, report: SessionReport) -> None:
        """Keep one finished session."""

    def security_event(
        self, meter_id: UUID | None, code: str, detail: str, peer: str | None
    ) -> None:
        """Keep one security event; `detail` holds no secrets and no payload."""


@attrs.frozen
class SecurityFinding:
    """A security event of a session; `detail` holds no secrets and no payload."""

    code: str
    detail: str
    peer: str | None = None


@attrs.frozen
class Finished:
    """
    One session that is over, and what it says of its lease's items and meter.

    Items of which it says nothing stay due as they were. `read_at`: when it began, if it has read
    all that was due of every profile. `counter`: the meter's last one that was verified; it is
    kept with the rest, and that a higher one is known by now is no fault.
    """

    lease: Lease
    report: SessionReport
    results: tuple[ItemResult, ...] = ()
    after: MeterAfter = UNHARMED
    findings: tuple[SecurityFinding, ...] = ()
    read_at: datetime | None = None
    counter: VerifiedCounter | None = None


class PresencePort(Protocol):
    """Tells who has a connection to this head-end that was dialled; nothing depends on it."""

    def here(self, meter_ids: Collection[UUID], *, ttl_s: float) -> None:
        """Say that these meters have a line, for so long. Raises: nothing."""


class KeyPort(Protocol):
    """Secrets in clear, for the time of a session."""

    def secrets_of(
        self, associations: Collection[tuple[UUID, int]]
    ) -> Mapping[tuple[UUID, int], Secrets]:
        """
        Unwrap the secrets of many associations (meter_id, client_sap) at once.

        Missing are those for which `secrets` raises KeyUnavailableError.
        """

    def secrets(self, meter_id: UUID, client_sap: int) -> Secrets:
        """
        Unwrap an association's secrets.

        Raises: KeyUnavailableError: none are kept, or the KEK does not open them.
        """


@attrs.frozen
class CounterBlock:
    """Invocation counters `first`..`last` (inclusive), ours alone, reserved durably."""

    first: int
    last: int


@attrs.frozen
class Counting:
    """
    Where the counters of one association stand, and a block of ours for a lease.

    `own`: the last of ours that was given out regularly before `block`, None: this key never
    counted, and there is no block; `accepted`: the highest of the meter's.
    """

    own: int | None = None
    accepted: int | None = None
    block: CounterBlock | None = None


class CounterPort(Protocol):
    """Invocation counters: no (key, system title, counter) is ever used twice."""

    def counting(
        self, associations: Collection[tuple[UUID, int, bytes | None]], *, size: int
    ) -> Mapping[tuple[UUID, int], Counting]:
        """
        Where many associations (meter_id, client_sap, key_fingerprint) stand, by one transaction.

        Reserves a block of `size` for each, durably, as `reserve` does; size 0, or no fingerprint:
        none. Missing are those whose key is another one by now. Without a block though they have
        counted are those that `reserve` would refuse one.
        """

    def reserve(
        self,
        meter_id: UUID,
        client_sap: int,
        *,
        size: int,
        key_fingerprint: bytes | None = None,
        above: int | None = None,
    ) -> CounterBlock:
        """
        Reserve the next `size` of our own counters for this association, durably, before use.

        What a caller does not use is discarded. `key_fingerprint` is that of the key they are for
        (`Secrets.key_fingerprint`); None takes whichever key the association has now. With `above`
        the block lies above that counter, and above all that was given out; the regular counting
        goes on where it was, past such blocks, until `keep` says that the leap was right.
        Raises: PermanentError: the counter would pass 2^32 - 1 and the key must be changed first.
            KeyUnavailableError: the association has no key, or has another one by now.
        """

    def keep(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        """
        Count on from the blocks that were reserved above a hint, `counter` being in one of them.

        To be called once the meter has taken it in an authenticated exchange.
        """

    def highest_reserved(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        """The last of our counters that was given out regularly, None: this key never counted."""

    def last_accepted(
        self, meter_id: UUID, client_sap: int, *, key_fingerprint: bytes | None = None
    ) -> int | None:
        """
        The highest counter accepted from the meter on this association, None if none yet.

        A counter belongs to its key: under another one the meter counts anew, perhaps from below.
        Raises: KeyUnavailableError: the association has another key than `key_fingerprint`.
        """

    def accept(
        self,
        meter_id: UUID,
        client_sap: int,
        counter: int,
        *,
        key_fingerprint: bytes | None = None,
    ) -> None:
        """
        Remember a counter from a verified frame, once.

        A meter's frames may overtake each other on their connections, so a counter below the
        highest is accepted too, within a window. Whoever accepts only the highest of several
        says nothing of those between. `key_fingerprint` is that of the key that verified it.
        Raises: CounterReplayedError: it was accepted before (`seen`), or lies below the window.
            KeyUnavailableError: the association has another key by now.
        """


class KnowledgePort(Protocol):
    """What was learnt of a meter and need not be asked again."""

    def load(self, meter_id: UUID) -> MeterKnowledge | None:
        """What is known, None if the meter was never explored."""

    def load_many(self, meter_ids: Collection[UUID]) -> Mapping[UUID, MeterKnowledge]:
        """What is known of many meters; those that were never explored are missing."""

    def save(self, meter_id: UUID, knowledge: MeterKnowledge) -> None:
        """Keep it, in place of what was known before."""

    def pin_system_title(self, meter_id: UUID, system_title: bytes) -> bool:
        """
        Hold a meter to the system title under which it has proved who it is.

        It is kept if the meter has none yet. Returns: whether it is (now) this meter's; False if
        the meter has another one, or the title is another meter's. Raises: UnknownMeterError.
        """


class ClockPort(Protocol):
    """Keeps what is done to meters' clocks."""

    def changing(self, change: ClockChange) -> int:
        """
        Note a change before the meter is told: from here on the intervals it touches are marked.

        Returns: its number, for `changed`.
        """

    def changed(self, change_id: int, outcome: ClockOutcome, drift_s: float | None) -> None:
        """Note what came of it, and how far the clock was off afterwards, read back."""

    def may_try(self, meter_id: UUID) -> bool:
        """Whether it is worth trying: the meter has not refused lately."""

    def ordered(self, meter_id: UUID) -> bool:
        """Whether an operator wants this clock set however far it is off; the order holds once."""


class BatchSink(Protocol):
    """Takes batches; the bus `direct` writes them in this process."""

    def publish(self, batch: ReadingBatch) -> Receipt:
        """
        Hand a batch over and wait until it is committed.

        A COMMIT whose outcome is unknown is settled before this returns or raises.
        Raises: StorageUnavailableError: nothing of it is stored; publish it again.
            PermanentError: it can never be stored; LeaseLostError: the lease is over under which
            a session has read it.
        """

    def stored(self, batch_key: UUID) -> bool:
        """Whether a batch of this key is committed."""


@attrs.frozen
class KeptFrame:
    """
    A frame out of the quarantine, with where and when it arrived.

    `batch_key` is for its readings, unless the frame itself gives them one.
    """

    raw: bytes = attrs.field(repr=False)
    peer: IPv4Address | IPv6Address
    received_at: datetime
    batch_key: UUID


class FrameReader(Protocol):
    """Takes frames in again, by the inventory and the keys of today."""

    def read(self, frame: KeptFrame, sink: BatchSink, *, dry_run: bool) -> str | None:
        """
        Hand what a frame says to `sink`.

        Args: dry_run: the sink will undo it; nothing else may change.
        Returns: why it is still no reading, None if it was handed over.
        Raises: StorageUnavailableError: try again later.
        """


@attrs.frozen
class Sender:
    """
    What a push says of where it comes from.

    `identities` are texts found in the frame under objects that name a meter, with the object.
    """

    peer: IPv4Address | IPv6Address
    system_title: bytes | None = None
    identities: tuple[tuple[Obis | None, str], ...] = ()


class InboundPort(Protocol):
    """Who a push comes from, and what becomes of it if nobody knows."""

    def by_system_title(self, system_title: bytes) -> Meter | None:
        """The meter with this system title."""

    def by_sender(self, sender: Sender) -> Meter | None:
        """
        The meter that a push names, by system title, then id object, then configured line.

        The line counts only where the frame itself names nobody.
        """

    def rest(self, meter_id: UUID, for_s: float) -> None:
        """
        Ask nothing of a meter for about so long: it has said that it has no power.

        No failure of its; jitter is the port's. One that is talked to now rests as that says.
        """

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
        """
        Keep a frame that is no reading (yet), with its raw octets and the reason.

        `verified` tells that it is certainly the meter's, and counts for its own share; anything
        else counts for the share of unknown senders, whomever it names.

        Raises: QuarantineFullError: the limits for unknown senders or quarantined octets are
        reached.
        """
