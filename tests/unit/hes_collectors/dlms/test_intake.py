"""One push: who sent it, whether it is believed, and what becomes of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

import attrs
import pytest
from structlog.testing import capture_logs

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.domain.meters import Mechanism, Meter, Policy, Secrets
from hes.domain.quality import Quality
from hes.models import model_push_layouts
from hes.models import models as all_models
from hes_collectors.dlms.framing import Message
from hes_collectors.dlms.intake import Arrival, Intake, PushOutcome, PushResult, session_id
from hes_protocol.axdr.data import Data, DataTag, array, structure
from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import EncodingError, RemoteProtocolError
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.xdlms import (
    Ciphered,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
)
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import (
    ENERGY,
    METER_TITLE,
    ciphered,
    notification,
    octets,
    payload,
    register,
    wrapped,
)
from tests.unit.hes_collectors.support import AK, EK, METER_ID, SECRETS, START, meter

PEER = ip_address("192.0.2.7")
CONNECTION_ID = UUID(int=77)
CAPTURED = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DATE_TIME = CosemDateTime.from_datetime(CAPTURED).to_octets()


def storage_with(*meters: Meter, secrets: Secrets = SECRETS) -> FakeStorage:
    storage = FakeStorage(lambda: START)
    for known in meters:
        storage.add_meter(known, secrets)
    return storage


def plain_meter() -> Meter:
    return meter(policy=Policy.PLAIN, mechanism=Mechanism.NONE, system_title=None)


def intake(storage: FakeStorage, apdu: bytes) -> Intake:
    arrival = Arrival(PEER, Message(apdu, wrapped(apdu)), START, CONNECTION_ID)
    return Intake(storage.ports(), arrival, ())


def take(storage: FakeStorage, apdu: bytes) -> PushResult:
    return intake(storage, apdu).run()


def untouched(storage: FakeStorage) -> bool:
    """No reading, no state moved."""
    return not storage.values and not storage.accepted


# --- believed ---------------------------------------------------------------------------------


def test_a_verified_push_is_stored_and_moves_the_counter() -> None:
    storage = storage_with(meter())
    apdu = ciphered(7, apdu=notification(date_time=DATE_TIME))
    result = take(storage, apdu)
    assert (result.outcome, result.meter_id) == (PushOutcome.STORED, METER_ID)
    assert storage.accepted == {METER_ID: 7}
    [energy] = [kept for kept in storage.values.items() if kept[0][0].obis == ENERGY]
    (channel, captured_at), stored = energy
    assert (captured_at, stored.value, stored.unit, stored.quality) == (CAPTURED, 1234, 30, 0)
    assert channel.source is None
    assert stored.evidence == wrapped(apdu)


def test_the_counter_is_kept_before_anything_is_stored() -> None:
    storage = storage_with(meter())
    take(storage, ciphered(7))
    assert storage.done.index("accept") < storage.done.index("publish")


def test_a_push_without_a_clock_gets_the_time_of_receipt() -> None:
    storage = storage_with(meter())
    take(storage, ciphered(7))
    assert {at for _, at in storage.values} == {START}
    assert {kept.quality for kept in storage.values.values()} == {Quality.TIME_OF_RECEIPT}


def test_a_plain_push_is_stored_unauthenticated_where_the_policy_allows() -> None:
    storage = storage_with(plain_meter())
    assert take(storage, notification(date_time=DATE_TIME)).outcome is PushOutcome.STORED
    assert {kept.quality for kept in storage.values.values()} == {Quality.UNAUTHENTICATED}
    assert storage.accepted == {}


def test_an_enciphered_push_is_stored_unauthenticated_where_the_policy_allows() -> None:
    storage = storage_with(meter(policy=Policy.ENCRYPTED))
    apdu = ciphered(7, apdu=notification(date_time=DATE_TIME), protection=Protection.ENCRYPTED)
    for _ in range(2):  # no tag, so the counter proves nothing and is not looked at
        assert take(storage, apdu).outcome is PushOutcome.STORED
    assert {kept.quality for kept in storage.values.values()} == {Quality.UNAUTHENTICATED}
    assert storage.accepted == {}


def test_a_tag_that_nobody_asked_for_is_verified_all_the_same() -> None:
    storage = storage_with(meter(policy=Policy.ENCRYPTED))
    assert take(storage, ciphered(7, ak=bytes(16))).cause == "tag-mismatch"
    assert untouched(storage)
    assert take(storage, ciphered(7)).outcome is PushOutcome.STORED
    assert storage.accepted == {METER_ID: 7}


def test_a_tag_that_nobody_can_verify_is_worth_no_more_than_none() -> None:
    storage = storage_with(meter(policy=Policy.ENCRYPTED), secrets=Secrets(ek=EK))
    apdu = ciphered(7, apdu=notification(date_time=DATE_TIME), ak=bytes(16))
    assert take(storage, apdu).outcome is PushOutcome.STORED
    assert {kept.quality for kept in storage.values.values()} == {Quality.UNAUTHENTICATED}
    assert storage.accepted == {}


def test_a_meter_is_known_by_its_line_where_the_frame_names_nobody() -> None:
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER), serial="else"))
    result = take(storage, notification(payload(serial=None)))
    assert (result.outcome, result.meter_id) == (PushOutcome.STORED, METER_ID)


# --- not believed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "apdu", "code"),
    [
        (0x30, notification(), "policy-violated"),
        (0x10, notification(), "policy-violated"),
        (0x20, notification(), "policy-violated"),
        (0x30, ciphered(7, protection=Protection.ENCRYPTED), "policy-violated"),
        (0x30, ciphered(7, protection=Protection.AUTHENTICATED), "policy-violated"),
        (0x20, ciphered(7, protection=Protection.AUTHENTICATED), "policy-violated"),
        (0x10, ciphered(7, protection=Protection.ENCRYPTED), "policy-violated"),
        (0x30, ciphered(7, ek=bytes(16)), "tag-mismatch"),
        (0x30, ciphered(7, ak=bytes(16)), "tag-mismatch"),
        (0x30, ciphered(2**32 - 1, ak=bytes(16)), "tag-mismatch"),
        (0x20, ciphered(7, ek=bytes(16), protection=Protection.ENCRYPTED), "undecipherable"),
    ],
)
def test_what_the_policy_forbids_or_does_not_verify(policy: int, apdu: bytes, code: str) -> None:
    storage = storage_with(meter(policy=Policy(policy)))
    result = take(storage, apdu)
    assert (result.outcome, result.cause, result.meter_id) == (
        PushOutcome.SECURITY,
        code,
        METER_ID,
    )
    [event] = storage.events
    assert (event.meter_id, event.code, event.peer) == (METER_ID, code, "192.0.2.7")
    assert untouched(storage)
    assert storage.quarantined == []


def test_every_bit_of_a_verified_push_counts() -> None:
    good = ciphered(7)
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        storage = storage_with(meter())
        try:
            result = take(storage, bytes(bad))
        except RemoteProtocolError:
            pass
        else:
            assert result.outcome in (PushOutcome.SECURITY, PushOutcome.QUARANTINED), bit
        assert untouched(storage), bit


def test_a_replay_is_a_security_event() -> None:
    storage = storage_with(meter())
    apdu = ciphered(7, apdu=notification(date_time=DATE_TIME))
    assert take(storage, apdu).outcome is PushOutcome.STORED
    kept = dict(storage.values)
    storage.accepted[METER_ID] = 2000
    for replayed in (apdu, ciphered(6), ciphered(0)):
        result = take(storage, replayed)
        assert (result.outcome, result.cause) == (PushOutcome.SECURITY, "counter-replayed")
        assert not result.believed
    assert storage.values == kept
    assert {event.code for event in storage.events} == {"counter-replayed"}


def test_a_push_that_a_session_overtook_is_stored() -> None:
    storage = storage_with(meter())
    storage.ports().counters.accept(METER_ID, 1, 150)
    assert take(storage, ciphered(149)).outcome is PushOutcome.STORED
    assert take(storage, ciphered(149)).cause == "counter-replayed"
    assert storage.accepted == {METER_ID: 150}


def test_a_push_whose_attempt_died_between_counter_and_commit_may_come_again() -> None:
    storage = storage_with(meter())
    storage.trouble["publish"] = [StorageUnavailableError("the process dies")]
    with pytest.raises(StorageUnavailableError):
        take(storage, ciphered(7))
    assert (storage.accepted, storage.values) == ({METER_ID: 7}, {})
    assert take(storage, ciphered(7)).outcome is PushOutcome.STORED
    kept = dict(storage.values)
    assert take(storage, ciphered(7)).cause == "counter-replayed"
    assert storage.values == kept


@pytest.mark.parametrize(
    "apdu",
    [
        b"\x0f\x00",
        notification(array(Data(DataTag.DOUBLE_LONG_UNSIGNED, 9))),
        notification(array(structure(octets(ENERGY), Data(DataTag.NULL_DATA)))),
        EventNotification(Attribute(1, ENERGY, 2), Data(DataTag.NULL_DATA)).encode(),
    ],
)
def test_what_was_no_reading_is_not_kept_again_when_it_is_repeated(apdu: bytes) -> None:
    storage = storage_with(meter())
    take(storage, ciphered(7, apdu=apdu))
    kept = list(storage.quarantined)
    assert take(storage, ciphered(7, apdu=apdu)).cause == "counter-replayed"
    assert storage.quarantined == kept


def test_a_ciphered_push_has_one_batch_key_however_its_frame_is_written() -> None:
    storage = storage_with(meter())
    apdu = ciphered(7)
    again = Arrival(ip_address("192.0.2.9"), Message(apdu, b"other frame"), START, UUID(int=78))
    for arrival in (Arrival(PEER, Message(apdu, wrapped(apdu)), START, CONNECTION_ID), again):
        storage.accepted.clear()
        storage.seen.clear()
        assert Intake(storage.ports(), arrival, ()).run().outcome is PushOutcome.STORED
    assert len(storage.receipts) == 1


def test_equal_plain_pushes_are_each_a_statement_of_its_own() -> None:
    storage = storage_with(plain_meter())
    for _ in range(2):
        assert take(storage, notification()).outcome is PushOutcome.STORED
    assert len(storage.receipts) == 2


def test_a_missing_key_keeps_the_frame_for_later() -> None:
    storage = storage_with(meter(), secrets=Secrets())
    result = take(storage, ciphered(7))
    assert (result.outcome, result.cause) == (PushOutcome.QUARANTINED, "key-unavailable")
    assert [event.code for event in storage.events] == ["key-unavailable"]
    [kept] = storage.quarantined
    assert (kept.meter_id, kept.raw) == (METER_ID, wrapped(ciphered(7)))
    assert untouched(storage)


def test_secrets_stay_out_of_events() -> None:
    storage = storage_with(meter())
    take(storage, ciphered(7, ak=bytes(16)))
    take(storage, notification())
    told = repr(storage.events)
    for secret in (EK, AK):
        assert secret.hex() not in told
        assert repr(secret) not in told


# --- no reading yet ---------------------------------------------------------------------------


@pytest.mark.parametrize("apdu", [notification(), ciphered(7)])
def test_unknown_meters_go_to_quarantine(apdu: bytes) -> None:
    storage = storage_with()
    result = take(storage, apdu)
    assert (result.outcome, result.cause) == (PushOutcome.QUARANTINED, "unknown-meter")
    [kept] = storage.quarantined
    assert (kept.raw, kept.meter_id, kept.received_at) == (wrapped(apdu), None, START)
    assert kept.sender.peer == PEER
    assert kept.sender.system_title is not None or kept.sender.identities


def test_only_what_is_verified_takes_of_the_meters_share_of_the_quarantine() -> None:
    storage = storage_with(meter())
    take(storage, ciphered(7, apdu=b"\x0f\x00"))
    suite_2 = Ciphered(0xDB, b"\x32\0\0\0\1" + bytes(20), b"HES\0\0\0\0\1").encode()
    take(storage, suite_2)
    plain = storage_with(plain_meter())
    take(plain, notification(array(payload().value[0], Data(DataTag.UNSIGNED, 9))))
    kept = [(one.meter_id, one.verified) for one in storage.quarantined + plain.quarantined]
    assert kept == [(METER_ID, True), (METER_ID, False), (METER_ID, False)]


def test_who_is_believed() -> None:
    storage = storage_with(meter())
    assert take(storage, ciphered(7)).believed
    assert take(storage, ciphered(8, apdu=b"\x0f\x00")).believed
    assert not take(storage, ciphered(9, ak=bytes(16))).believed
    assert not take(storage, notification()).believed
    assert not take(
        storage, Ciphered(0xDB, b"\x32" + bytes(24), b"HES\0\0\0\0\1").encode()
    ).believed
    assert take(storage_with(plain_meter()), notification()).believed
    enciphered = storage_with(meter(policy=Policy.ENCRYPTED))
    assert take(enciphered, ciphered(7, protection=Protection.ENCRYPTED)).believed
    assert not take(enciphered, ciphered(7, ek=bytes(16), protection=Protection.ENCRYPTED)).believed


def test_a_full_quarantine_refuses() -> None:
    storage = storage_with()
    storage.max_quarantined = 1
    assert take(storage, ciphered(7)).outcome is PushOutcome.QUARANTINED
    assert take(storage, ciphered(8)).outcome is PushOutcome.REFUSED
    assert len(storage.quarantined) == 1


@pytest.mark.parametrize(
    "apdu",
    [
        GeneralBlockTransfer(False, True, 0, 1, 0, b"block").encode(),
        Ciphered(0xCA, b"\x30\0\0\0\1" + bytes(20)).encode(),
        b"\xdd\x00\x00",
        b"\xdf\x00\x00",
    ],
)
def test_what_cannot_be_read_yet_is_kept(apdu: bytes) -> None:
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER)))
    result = take(storage, apdu)
    assert (result.outcome, result.cause) == (PushOutcome.QUARANTINED, "unsupported-apdu")
    assert [kept.meter_id for kept in storage.quarantined] == [METER_ID]


def test_what_is_inside_may_be_unreadable_too() -> None:
    storage = storage_with(meter())
    block = GeneralBlockTransfer(False, True, 0, 1, 0, b"block").encode()
    assert take(storage, ciphered(7, apdu=block)).cause == "unsupported-apdu"
    assert take(storage, ciphered(8, apdu=b"\x0f\x00")).cause == "undecodable: truncated"
    # Both were verified, so neither may come again.
    assert storage.accepted == {METER_ID: 8}


def test_values_that_nothing_names_are_kept_as_a_frame() -> None:
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER)))
    bare = structure(*(Data(DataTag.DOUBLE_LONG_UNSIGNED, n) for n in range(3)))
    blob = Data(DataTag.OCTET_STRING, bytes(range(40)))
    for body in (bare, blob, structure(blob)):
        assert take(storage, notification(body)).cause == "unnamed-values"
    mixed = array(register(ENERGY, 5), Data(DataTag.DOUBLE_LONG_UNSIGNED, 9))
    result = take(storage, notification(mixed))
    assert (result.outcome, result.unnamed) == (PushOutcome.STORED, 1)


def test_a_push_that_holds_no_values_is_empty() -> None:
    storage = storage_with(plain_meter())
    only_identity = array(
        structure(octets(ENERGY), Data(DataTag.NULL_DATA)),
        payload().value[0],
    )
    assert take(storage, notification(only_identity)).outcome is PushOutcome.EMPTY


@pytest.mark.parametrize("error", [PermanentError("no"), ValueError("no"), KeyError("secret")])
def test_what_the_writer_never_takes_goes_to_quarantine(error: Exception) -> None:
    storage = storage_with(plain_meter())
    storage.trouble["publish"] = [error]
    with capture_logs() as captured:
        result = take(storage, notification())
    assert (result.outcome, result.cause) == (
        PushOutcome.QUARANTINED,
        f"unstorable: {type(error).__name__}",
    )
    assert [kept.raw for kept in storage.quarantined] == [wrapped(notification())]
    assert "secret" not in repr(captured)


def test_a_large_push_of_identities_is_judged_quickly() -> None:
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER)))
    storage.everybody_by_line = True
    names = array(*(Data(DataTag.VISIBLE_STRING, b"%09d" % number) for number in range(5900)))
    apdu = notification(names)
    took_s = []
    for _ in range(3):
        begun_s = time.thread_time()
        take(storage, apdu)
        took_s.append(time.thread_time() - begun_s)
    assert min(took_s) < 0.3


@pytest.mark.parametrize("apdu", [b"\x60\x00", b"\xc4\x01\x81\x00\x00", b"\x99", b"\x0f\x00\x00"])
def test_no_push_at_all(apdu: bytes) -> None:
    storage = storage_with(meter())
    with pytest.raises(RemoteProtocolError):
        take(storage, apdu)
    assert untouched(storage)
    assert storage.quarantined == []


def test_an_answer_to_nobody_is_told_by_its_tag() -> None:
    with pytest.raises(EncodingError) as caught:
        take(storage_with(), b"\xc4\x01\x81\x00\x00")
    assert (caught.value.code, caught.value.apdu_tag) == ("unexpected-apdu", 0xC4)


def test_a_system_title_has_eight_octets() -> None:
    bad = Ciphered(0xDB, b"\x30\0\0\0\1" + bytes(20), b"short").encode()
    with pytest.raises(EncodingError, match="bad-system-title"):
        take(storage_with(meter()), bad)


# --- storage that is away ---------------------------------------------------------------------

STEPS = {
    "ciphered": (ciphered(7), ("by_system_title", "secrets", "accept", "publish")),
    "plain": (notification(), ("by_sender", "publish")),
    "unknown": (ciphered(7, title=b"UNKNOWN!"), ("by_system_title", "quarantine")),
    "forged": (ciphered(7, ak=bytes(16)), ("by_system_title", "secrets", "security_event")),
}


@pytest.mark.parametrize(
    ("name", "step"), [(name, step) for name, (_, steps) in STEPS.items() for step in steps]
)
def test_run_goes_on_where_storage_failed(name: str, step: str) -> None:
    apdu = STEPS[name][0]
    known = plain_meter() if name == "plain" else meter()
    smooth, rough = storage_with(known), storage_with(known)
    expected = take(smooth, apdu)
    rough.trouble[step] = [StorageUnavailableError("away"), StorageUnavailableError("still")]
    push = intake(rough, apdu)
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            push.run()
    assert push.run() == expected
    for field in ("values", "accepted", "events", "quarantined"):
        assert getattr(rough, field) == getattr(smooth, field)


def test_a_counter_kept_without_an_answer_is_no_replay() -> None:
    """The COMMIT went through and the connection broke before it could be told."""
    storage = storage_with(meter())
    push = intake(storage, ciphered(7))
    storage.trouble["accept"] = [StorageUnavailableError("cut")]
    with pytest.raises(StorageUnavailableError):
        push.run()
    storage.accepted[METER_ID] = 7
    assert push.run().outcome is PushOutcome.STORED
    # But nobody else may come with the same frame.
    assert take(storage, ciphered(7)).cause == "counter-replayed"


def test_a_push_published_twice_is_stored_once() -> None:
    storage = storage_with(meter())
    push = intake(storage, ciphered(7))
    first = push.run()
    assert push.run() == first
    assert len(storage.receipts) == 1


def test_sessions_of_several_meters_on_one_connection_differ() -> None:
    assert session_id(CONNECTION_ID, METER_ID) == session_id(CONNECTION_ID, METER_ID)
    assert session_id(CONNECTION_ID, METER_ID) != session_id(CONNECTION_ID, UUID(int=2))


EVENT_AT = CosemDateTime(2026, 7, 1, 3, 12, 0, 0, 0, -120, 0x80)
ALARM = Obis.parse("0.0.97.98.20.255")
LOG = Obis.parse("0.0.99.98.7.255")


@pytest.mark.conformance("event-notification", "client")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute(1, ALARM, 2), Data(DataTag.DOUBLE_LONG_UNSIGNED, 4)),
        (
            Attribute(7, LOG, 2),
            array(
                structure(
                    Data(DataTag.OCTET_STRING, EVENT_AT.to_octets()), Data(DataTag.UNSIGNED, 4)
                )
            ),
        ),
    ],
)
@pytest.mark.parametrize("own_time", [EVENT_AT.to_octets(), None])
def test_an_event_becomes_a_reading_of_its_object(
    attribute: Attribute, value: Data, own_time: bytes | None
) -> None:
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER)))
    result = take(storage, EventNotification(attribute, value, own_time).encode())
    assert (result.outcome, result.unnamed) == (PushOutcome.STORED, 0)
    [channel] = {key for key, _ in storage.values}
    assert (channel.obis, channel.class_id) == (attribute.obis, attribute.class_id)


@pytest.mark.conformance("event-notification", "client")
def test_a_ciphered_event_is_opened_for_the_meter_on_the_line() -> None:
    event = EventNotification(Attribute(1, ALARM, 2), Data(DataTag.UNSIGNED, 1)).encode()
    content = protect(SuiteKeys(EK, AK), METER_TITLE, Protection.AUTHENTICATED_ENCRYPTED, 7, event)
    apdu = Ciphered(0xCA, content).encode()
    storage = storage_with(attrs.evolve(meter(), peer=str(PEER)))
    assert take(storage, apdu).outcome is PushOutcome.STORED
    assert storage.accepted == {METER_ID: 7}
    assert take(storage, apdu).cause == "counter-replayed"
    nobody = storage_with(meter())
    assert take(nobody, apdu).cause == "unsupported-apdu"


def test_an_event_that_names_nothing_is_kept() -> None:
    values = structure(Data(DataTag.UNSIGNED, 1), Data(DataTag.UNSIGNED, 2))
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER)))
    result = take(storage, EventNotification(Attribute(1, ALARM, 2), values).encode())
    assert (result.outcome, result.cause) == (PushOutcome.QUARANTINED, "unnamed-values")


def test_a_plain_event_under_a_stricter_policy_is_a_security_event() -> None:
    storage = storage_with(attrs.evolve(meter(), peer=str(PEER)))
    event = EventNotification(Attribute(1, ALARM, 2), Data(DataTag.UNSIGNED, 1)).encode()
    assert take(storage, event).cause == "policy-violated"
    assert storage.values == {}


def test_a_bare_list_is_named_where_the_model_of_the_meter_is_known() -> None:
    models = {"kaifa-ma": next(known for known in all_models() if known.name == "kaifa-ma")}
    apdu = notification(structure(Data(DataTag.DOUBLE_LONG_UNSIGNED, 1500)))
    for model, cause in ((None, "unnamed-values"), ("kaifa-ma", None), ("other", "unnamed-values")):
        storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER), model=model))
        arrival = Arrival(PEER, Message(apdu, wrapped(apdu)), START, CONNECTION_ID)
        assert Intake(storage.ports(), arrival, (), models).run().cause == cause


def test_who_has_no_power_is_not_asked_for_a_while() -> None:
    """Row 39: a last gasp, by the push setup of the model that speaks only then."""
    models = {known.name: known for known in all_models() if known.name == "idis-single-phase"}
    name = CaptureObject(1, Obis.parse("0.0.42.0.0.255"), 2)
    for setup, ak, rests in (
        ("0.5.25.9.0.255", AK, True),
        ("0.4.25.9.0.255", AK, False),  # the alarms of the same meter
        ("0.5.25.9.0.255", bytes(16), False),  # forged
    ):
        storage = storage_with(meter(model="idis-single-phase"))
        own = CaptureObject(40, Obis.parse(setup), 2)
        told = array(own.to_data(), name.to_data())
        apdu = notification(structure(told, Data(DataTag.OCTET_STRING, b"HES00000001")))
        apdu = ciphered(7, ak=ak, apdu=apdu)
        arrival = Arrival(PEER, Message(apdu, wrapped(apdu)), START, CONNECTION_ID)
        Intake(storage.ports(), arrival, (), models).run()
        assert bool(storage.calls["rest"]) is rests
        leases = storage.ports().leases.take(holder="a", limit=1, lease_s=60)
        assert bool(leases) is not rests


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize(
    ("model", "marker", "hour_utc"),
    [
        (None, "Kamstrup_V0001", 11),  # the layout tells whose push it is
        ("unheard-of", "Kamstrup_V0001", 11),
        ("kamstrup-omnipower", "", 11),
        ("kaifa-ma", "Kamstrup_V0001", 10),  # the inventory knows better
        (None, "", 10),
    ],
)
def test_a_summer_noon_by_the_clock_of_the_model(
    model: str | None, marker: str, hour_utc: int
) -> None:
    models = {known.name: known for known in all_models()}
    noon = CosemDateTime.from_datetime(datetime(2026, 7, 1, 12), clock_status=0)
    apdu = DataNotification(
        1,
        noon.to_octets(),
        structure(
            Data(DataTag.VISIBLE_STRING, marker.encode()),
            Data(DataTag.OCTET_STRING, Obis.parse("1.1.1.8.0.255").octets),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, 1500),
        ),
    ).encode()
    storage = storage_with(attrs.evolve(plain_meter(), peer=str(PEER), model=model))
    arrival = Arrival(PEER, Message(apdu, wrapped(apdu)), START, CONNECTION_ID)
    result = Intake(storage.ports(), arrival, model_push_layouts(), models).run()
    assert result.outcome is PushOutcome.STORED
    assert {at for _, at in storage.values} == {datetime(2026, 7, 1, hour_utc, tzinfo=UTC)}
