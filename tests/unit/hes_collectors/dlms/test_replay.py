"""Frames out of the quarantine are read by today's inventory and keys, and change nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

import attrs
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.meters import Mechanism, Policy, Secrets
from hes.domain.ports import KeptFrame
from hes_collectors.dlms.replay import FrameReplays
from hes_protocol.cosem import CosemDateTime
from tests.unit.hes_collectors.fakes import FakeSink, FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, hdlc, notification, wrapped
from tests.unit.hes_collectors.support import METER_ID, SECRETS, START, meter

BATCH_KEY = UUID(int=5)
CAPTURED = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
PUSH = notification(date_time=CosemDateTime.from_datetime(CAPTURED).to_octets())
PLAIN = meter(policy=Policy.PLAIN, mechanism=Mechanism.NONE, system_title=None)


@pytest.fixture
def storage() -> FakeStorage:
    return FakeStorage(lambda: START)


def read(storage: FakeStorage, raw: bytes, *, dry_run: bool = False) -> str | None:
    replays = FrameReplays(lambda sink: attrs.evolve(storage.ports(), sink=sink), (), {})
    frame = KeptFrame(raw, ip_address("192.0.2.7"), START, BATCH_KEY)
    return replays.read(frame, FakeSink(storage), dry_run=dry_run)


def test_a_frame_of_a_meter_that_is_known_now(storage: FakeStorage) -> None:
    raw = wrapped(ciphered(7, apdu=PUSH))
    assert read(storage, raw) == "unknown-meter"
    storage.add_meter(meter(), SECRETS)
    assert read(storage, raw) is None
    assert {at for _, at in storage.values} == {CAPTURED}
    assert {kept.evidence for kept in storage.values.values()} == {raw}
    assert storage.accepted == {METER_ID: 7}
    assert not storage.quarantined


@pytest.mark.parametrize(
    "raw",
    [hdlc(PUSH), hdlc(PUSH, segment_octets=40), PUSH],
    ids=["hdlc", "segments", "an APDU by itself"],
)
def test_every_framing_in_which_frames_are_kept(storage: FakeStorage, raw: bytes) -> None:
    storage.add_meter(PLAIN, SECRETS)
    assert read(storage, raw) is None
    assert storage.values
    assert {kept.evidence for kept in storage.values.values()} == {raw}


def test_a_plain_frame_has_one_batch_key_however_often_it_is_replayed(
    storage: FakeStorage,
) -> None:
    storage.add_meter(PLAIN, SECRETS)
    assert read(storage, wrapped(PUSH)) is None
    assert read(storage, wrapped(PUSH)) is None
    assert list(storage.receipts) == [BATCH_KEY]


@pytest.mark.parametrize("counter", [7, 3], ids=["seen", "below"])
def test_a_counter_that_is_known_does_not_matter(storage: FakeStorage, counter: int) -> None:
    storage.add_meter(meter(), SECRETS)
    storage.accepted[METER_ID] = 7
    storage.seen[METER_ID] = {7, counter}
    assert read(storage, wrapped(ciphered(counter, apdu=PUSH))) is None
    assert storage.accepted == {METER_ID: 7}
    assert not storage.events


def test_a_frame_that_does_not_verify_stays_and_is_no_attack(storage: FakeStorage) -> None:
    storage.add_meter(meter(), SECRETS)
    assert read(storage, wrapped(ciphered(7, apdu=PUSH, ak=bytes(16)))) is not None
    assert (storage.events, storage.values, storage.accepted) == ([], {}, {})


def test_a_key_that_is_there_now(storage: FakeStorage) -> None:
    raw = wrapped(ciphered(7, apdu=PUSH))
    storage.add_meter(meter(), Secrets())
    assert read(storage, raw) == "key-unavailable"
    assert not storage.events
    storage.add_meter(meter(), SECRETS)
    assert read(storage, raw) is None


def test_a_dry_run_accepts_no_counter(storage: FakeStorage) -> None:
    storage.add_meter(meter(), SECRETS)
    assert read(storage, wrapped(ciphered(7, apdu=PUSH)), dry_run=True) is None
    assert storage.accepted == {}


@pytest.mark.parametrize(
    "raw", [b"\x0f", b"\x7e\xa0", b"\x00\x01", b"\xff" * 9, wrapped(b"\xc4\x01")]
)
def test_what_cannot_be_read_says_so(storage: FakeStorage, raw: bytes) -> None:
    said = read(storage, raw)
    assert said is not None
    assert said.startswith("undecodable: ")


def test_storage_that_is_away_is_no_answer(storage: FakeStorage) -> None:
    storage.away = True
    with pytest.raises(StorageUnavailableError):
        read(storage, wrapped(PUSH))
