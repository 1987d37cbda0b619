"""
What every implementation of the ports must do, as far as the collector relies on it.

Each function is a contract; `test_fakes` holds the in-memory ports to them, and the integration
tests hold the real ones. They say nothing of what only storage cares about.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import UUID, uuid4

import attrs
import numpy as np
import pytest

from hes.domain.errors import CounterReplayedError, KeyUnavailableError
from hes.domain.meters import CaptureColumn, MeterKnowledge, ObjectEntry, ProfileKnowledge
from hes.domain.ports import (
    CounterBlock,
    Counting,
    Sender,
    SessionOutcome,
    SessionPhase,
    SessionReport,
)
from hes.domain.readings import (
    ChannelKey,
    IntegerRows,
    OtherRow,
    Provenance,
    ReadingBatch,
    SeriesKey,
    SourceKind,
    ValueStore,
    VerifiedCounter,
    microseconds,
)
from hes_collectors.dlms import Ports
from hes_protocol.cosem import Obis

PROFILE = Obis.parse("1.0.99.1.0.255")
ENERGY = Obis.parse("1.0.1.8.0.255")
LEASE_S = 180


def batch(
    meter_id: UUID, at: datetime, values: list[int], *, batch_key: UUID | None = None
) -> ReadingBatch:
    """A batch of one channel, a quarter of an hour apart, and one text."""
    count = len(values)
    first = microseconds(at)
    channel = ChannelKey(meter_id, PROFILE, 900, ENERGY, 3, 2)
    text = ChannelKey(
        meter_id, PROFILE, 900, Obis.parse("0.0.96.1.0.255"), 1, 2, store=ValueStore.TEXT
    )
    return ReadingBatch(
        batch_key=batch_key or uuid4(),
        series=(SeriesKey(channel, 0, 30), SeriesKey(text)),
        integers=IntegerRows(
            np.zeros(count, np.int32),
            np.array([first + 900_000_000 * n for n in range(count)], np.int64),
            np.array(values, np.int64),
            np.zeros(count, np.bool_),
            np.zeros(count, np.int32),
        ),
        others=(OtherRow(1, first, "x", 0),),
        provenance=Provenance(SourceKind.PROFILE, at, evidence=b"frame"),
    )


def leases_tell_the_marks(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """What is committed of a profile is known to whoever takes the next lease."""
    first = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    ports.sink.publish(batch(meter_id, first, [1, 2, 3]))
    [lease] = ports.leases.take(holder="a", limit=1, lease_s=LEASE_S)
    assert dict(lease.marks) == {PROFILE: first + timedelta(minutes=30)}
    ports.leases.release([lease])
    ports.sink.publish(batch(meter_id, first - timedelta(hours=1), [7]))  # late
    [lease] = ports.leases.take(holder="a", limit=1, lease_s=LEASE_S)
    assert dict(lease.marks) == {PROFILE: first + timedelta(minutes=30)}
    ports.leases.release([lease])


def batches_are_stored_once(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """A batch is stored once however often it is published; what differs is a revision."""
    at = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    first = batch(meter_id, at, [1, 2])
    assert not ports.sink.stored(first.batch_key)
    receipt = ports.sink.publish(first)
    assert ports.sink.stored(first.batch_key)
    assert (receipt.stored, receipt.duplicates, receipt.revised) == (3, 0, 0)
    assert ports.sink.publish(first) == receipt
    receipt = ports.sink.publish(batch(meter_id, at, [1, 9]))
    assert (receipt.stored, receipt.duplicates, receipt.revised) == (0, 2, 1)


def counters_are_kept_with_what_they_vouch_for(
    ports: Ports, meter_id: UUID, now: Callable[[], datetime]
) -> None:
    """A batch moves the meter's counter up, never down, and is stored whatever was known of it."""
    at = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    key = ports.keys.secrets(meter_id, 1).key_fingerprint
    for counter, by_key, highest in ((40, key, 40), (7, None, 40), (50, b"another", 40)):
        told = batch(meter_id, at, [1])
        verified = VerifiedCounter(1, counter, by_key)
        ports.sink.publish(
            attrs.evolve(told, provenance=attrs.evolve(told.provenance, counter=verified))
        )
        assert ports.counters.last_accepted(meter_id, 1) == highest
    with pytest.raises(CounterReplayedError):
        ports.counters.accept(meter_id, 1, 7)


def counters_are_used_once(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """Own counters are given out once; the meter's are accepted once, and not too late."""
    counters = ports.counters
    one = counters.reserve(meter_id, 1, size=10)
    two = counters.reserve(meter_id, 1, size=1)
    assert one.last - one.first == 9
    assert two.first == two.last > one.last
    assert counters.last_accepted(meter_id, 1) is None
    for counter, highest in ((5, 5), (4, 5), (0, 5), (6, 6), (5000, 5000), (3977, 5000)):
        counters.accept(meter_id, 1, counter)
        assert counters.last_accepted(meter_id, 1) == highest
    for replayed, seen in ((5000, True), (3977, True), (3976, False), (5, False)):
        with pytest.raises(CounterReplayedError) as caught:
            counters.accept(meter_id, 1, replayed)
        assert caught.value.seen is seen
    counters.accept(meter_id, 1, 5001)
    with pytest.raises(CounterReplayedError):
        counters.accept(meter_id, 1, 3977)
    counters.accept(meter_id, 1, 4999)


def leaps_are_kept_once_they_are_right(
    ports: Ports, meter_id: UUID, now: Callable[[], datetime]
) -> None:
    """Blocks above a hint leave the regular counting alone until somebody says that they stand."""
    counters = ports.counters
    assert counters.highest_reserved(meter_id, 1) is None
    assert counters.reserve(meter_id, 1, size=4, above=100) == CounterBlock(101, 104)
    assert counters.reserve(meter_id, 1, size=4, above=100) == CounterBlock(105, 108)
    assert counters.reserve(meter_id, 1, size=4) == CounterBlock(1, 4)
    counters.keep(meter_id, 1, 4)
    assert counters.highest_reserved(meter_id, 1) == 4
    counters.keep(meter_id, 1, 102)
    assert counters.highest_reserved(meter_id, 1) == 108
    assert counters.reserve(meter_id, 1, size=4) == CounterBlock(109, 112)
    assert counters.reserve(meter_id, 1, size=4, above=120) == CounterBlock(121, 124)
    assert counters.reserve(meter_id, 1, size=9) == CounterBlock(125, 133)
    with pytest.raises(KeyUnavailableError):
        counters.accept(meter_id, 1, 1, key_fingerprint=b"another")


def many_meters_at_once_are_as_one_by_one(
    ports: Ports, meter_id: UUID, now: Callable[[], datetime]
) -> None:
    """What sessions need is brought for a batch of meters; who has none of it is missing."""
    stranger, association = uuid4(), (meter_id, 1)
    secrets = ports.keys.secrets(meter_id, 1)
    assert ports.keys.secrets_of([association, (stranger, 1)]) == {association: secrets}
    key = secrets.key_fingerprint
    counters = ports.counters
    asked = [(meter_id, 1, key), (stranger, 1, key)]
    # A key that never counted: whoever is first asks the meter before it takes any.
    assert counters.counting(asked, size=8) == {association: Counting()}
    assert counters.highest_reserved(meter_id, 1) is None
    one = counters.reserve(meter_id, 1, size=4)
    counters.accept(meter_id, 1, 17)
    block = CounterBlock(one.last + 1, one.last + 8)
    assert counters.counting(asked, size=8) == {association: Counting(one.last, 17, block)}
    assert counters.reserve(meter_id, 1, size=1).first > block.last
    assert counters.counting([(meter_id, 1, None)], size=8) == {association: Counting(None, 17)}
    assert counters.counting([(meter_id, 1, b"another")], size=8) == {}
    assert ports.knowledge.load_many([meter_id, stranger]) == {}
    known = MeterKnowledge((), (ProfileKnowledge(PROFILE, 900, ()),), device_name="a name")
    ports.knowledge.save(meter_id, known)
    assert ports.knowledge.load_many([meter_id, stranger]) == {meter_id: known}


def knowledge_is_kept(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """What was learnt comes back as it was, and is replaced as a whole."""
    assert ports.knowledge.load(meter_id) is None
    profile = ProfileKnowledge(
        PROFILE,
        900,
        (
            CaptureColumn(8, Obis.parse("0.0.1.0.0.255"), 2, 0),
            CaptureColumn(3, ENERGY, 2, 0, -3, 30),
        ),
    )
    for knowledge in (
        MeterKnowledge((ObjectEntry(7, 1, PROFILE),), (profile,)),
        MeterKnowledge((), ()),
    ):
        ports.knowledge.save(meter_id, knowledge)
        assert ports.knowledge.load(meter_id) == knowledge


def a_system_title_is_pinned_once(
    ports: Ports, meter_id: UUID, now: Callable[[], datetime]
) -> None:
    """The title that a meter has is its own, any other is not."""
    assert ports.knowledge.pin_system_title(meter_id, b"HES\0\0\0\0\1")
    assert not ports.knowledge.pin_system_title(meter_id, b"HES\0\0\0\0\2")
    assert not ports.knowledge.pin_system_title(meter_id, b"")


def sessions_are_recorded(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """Reports and security events are taken."""
    ports.sessions.record(
        SessionReport(
            uuid4(),
            meter_id,
            False,
            now(),
            now(),
            SessionPhase.REQUEST,
            SessionOutcome.TRANSPORT,
            "deadline-exceeded",
            10,
            20,
            0.5,
        )
    )
    ports.sessions.security_event(meter_id, "tag-mismatch", "", "192.0.2.1")
    ports.sessions.security_event(None, "policy-violated", "plain", None)


def senders_are_known(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """By title; by the serial in the frame; by nothing else where the frame names somebody."""
    peer = ip_address("192.0.2.1")
    meter = ports.inbound.by_system_title(b"HES\0\0\0\0\1")
    assert meter is not None
    assert meter.meter_id == meter_id
    assert ports.inbound.by_system_title(b"UNKNOWN!") is None
    assert ports.inbound.by_sender(Sender(peer, b"HES\0\0\0\0\1")) == meter
    serial = Obis.parse("0.0.96.1.0.255")
    assert ports.inbound.by_sender(Sender(peer, None, ((serial, meter.serial),))) == meter
    assert ports.inbound.by_sender(Sender(peer, None, ((serial, "another"),))) is None
    assert ports.inbound.by_sender(Sender(peer)) is None
    ports.inbound.quarantine(
        Sender(peer), "unknown-meter", b"frame", meter_id=None, received_at=now()
    )


def a_meter_without_power_rests(ports: Ports, meter_id: UUID, now: Callable[[], datetime]) -> None:
    """Whoever is due is not asked, by nobody; nothing is held against it."""
    [lease] = ports.leases.take(holder="a", limit=10, lease_s=60)
    ports.leases.release([lease])
    ports.inbound.rest(meter_id, 600)
    ports.inbound.rest(meter_id, 1)  # the longer one counts
    assert not ports.leases.take(holder="a", limit=10, lease_s=60)
    assert not ports.leases.take_dialled([meter_id], holder="a", limit=10, lease_s=60)
    ports.inbound.rest(uuid4(), 600)  # of nobody


CONTRACTS = (
    leases_tell_the_marks,
    batches_are_stored_once,
    counters_are_kept_with_what_they_vouch_for,
    counters_are_used_once,
    leaps_are_kept_once_they_are_right,
    many_meters_at_once_are_as_one_by_one,
    knowledge_is_kept,
    a_system_title_is_pinned_once,
    sessions_are_recorded,
    senders_are_known,
    a_meter_without_power_rests,
)
