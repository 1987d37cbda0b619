"""One outbound session against a simulated meter: what it stores, and how each fault ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.errors import (
    KeyUnavailableError,
    LeaseLostError,
    OverloadedError,
    PermanentError,
    QuarantineFullError,
    StorageUnavailableError,
)
from hes.domain.meters import Mechanism, Policy, Secrets
from hes.domain.ports import Lease, SessionOutcome, SessionPhase
from hes.domain.quality import Quality
from hes_collectors.dlms import Deadlines
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.axdr.data import Data, DataTag, array
from hes_protocol.errors import EncodingError
from hes_protocol.server import (
    ActionRequested,
    ContinueNeeded,
    GetRequested,
    NotificationConfirmed,
)
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import DataNotification, ExceptionResponse, ServiceError, StateError
from hes_protocol.xdlms.access import LONG_CONFIRMED
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.unit.hes_collectors import support
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import payload
from tests.unit.hes_collectors.simulated import Fault, SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock

CLOCK_CLASS, PROFILE_CLASS, REGISTER_CLASS, ASSOCIATION_CLASS = 8, 7, 3, 15


def storage_with(*meters: SimulatedMeter) -> FakeStorage:
    storage = FakeStorage(wall_clock)
    for meter in meters:
        storage.add_meter(meter.inventory(), meter.secrets())
        # This key has counted before: no session begins by asking the public client.
        storage.own_counters[meter.meter_id] = 0
    return storage


async def session(
    storage: FakeStorage, meter: SimulatedMeter, lease_s: float = 180, **changes: Any
) -> SessionResult:
    """Take the meter's lease, with all that it has to be read, and give it one session."""
    storage.due.put_in_service([meter.meter_id])
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=lease_s)
    result = await converse(storage, meter, lease, trio.current_time() + lease_s, **changes)
    work = storage.work[meter.meter_id]
    work.token, work.leased_until = None, None
    return result


async def converse(
    storage: FakeStorage, meter: SimulatedMeter, lease: Lease, until: float, **changes: Any
) -> SessionResult:
    async with network(meter) as reached:
        surroundings = context(storage, reached.connect, **changes)
        result = await Session(surroundings, lease, until).run()
        assert await reached.all_closed()
    return result


def stored(storage: FakeStorage) -> dict[tuple[Any, str], Any]:
    """What is stored of the load profile, by time and OBIS."""
    return {
        (at, str(key.obis)): kept.value
        for (key, at), kept in storage.values.items()
        if key.source == LOAD_PROFILE
    }


def truth(meter: SimulatedMeter) -> dict[tuple[Any, str], Any]:
    return {
        (row.captured_at, obis): value
        for row in meter.truth()
        for obis, value in row.values.items()
    }


PATIENT = Deadlines(request_s=60.0, associate_s=60.0, release_s=30.0)

# --- over HDLC --------------------------------------------------------------------------------


@pytest.mark.conformance("hdlc-tcp", "client", "server")
async def test_over_hdlc_what_is_lost_on_the_line_is_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of(pdu_octets=300, hdlc=True)
    meter.fault.tamper = lambda n, octets: None if n % 5 == 3 else octets
    meter.fault.slice_octets = 50
    storage = storage_with(meter)
    result = await session(storage, meter, deadlines=PATIENT)
    assert (result.report.outcome, result.read) == (SessionOutcome.OK, True)
    assert stored(storage) == truth(meter)


async def test_a_silent_line_is_given_up(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(hdlc=True)
    meter.fault.tamper = lambda n, octets: None if n > 10 else octets
    storage = storage_with(meter)
    result = await session(storage, meter, deadlines=PATIENT)
    assert (result.report.phase, result.report.cause) == (SessionPhase.REQUEST, "no-answer")
    assert meter.answers > 12


# --- a session that goes well -----------------------------------------------------------------


@pytest.mark.parametrize("security", list(sim.Security))
@pytest.mark.parametrize("pdu_octets", [128, 1024])
@pytest.mark.parametrize("hdlc", [False, True], ids=["wrapper", "hdlc"])
async def test_a_first_session_learns_and_stores_all_that_the_meter_captured(
    security: sim.Security, pdu_octets: int, hdlc: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(0, security, pdu_octets, hdlc=hdlc)
    storage = storage_with(meter)
    result = await session(storage, meter)
    report = result.report
    assert (report.outcome, report.phase, report.cause) == (
        SessionOutcome.OK,
        SessionPhase.DONE,
        None,
    )
    assert stored(storage) == truth(meter)
    assert len(truth(meter)) >= 96 * 4
    assert result.stored == len(storage.values)
    assert (result.read, result.backlog) == (True, False)
    assert meter.released
    assert report.clock_drift_s == pytest.approx(0, abs=0.02)
    assert report.octets_in > 96 * 20
    assert report.octets_out > 0
    knowledge = storage.knowledge[meter.meter_id]
    assert [(p.obis, p.capture_period_s) for p in knowledge.profiles] == [(LOAD_PROFILE, 900)]
    assert any(entry.obis == LOAD_PROFILE for entry in knowledge.objects)


async def test_units_and_scalers_come_from_the_registers(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    units = {str(key.obis): (kept.scaler, kept.unit) for (key, _), kept in storage.values.items()}
    assert units == {
        "0.0.96.10.1.255": (0, 255),
        "1.0.1.8.0.255": (0, 30),
        "1.0.2.8.0.255": (0, 30),
        "1.0.1.27.0.255": (0, 27),
        "1.0.32.7.0.255": (-1, 35),
    }


async def test_verified_readings_carry_no_flag_and_plain_ones_do(
    autojump_clock: MockClock,
) -> None:
    for security, flag in ((sim.Security.GMAC, 0), (sim.Security.LLS, Quality.UNAUTHENTICATED)):
        meter = SimulatedMeter.of(0, security)
        storage = storage_with(meter)
        await session(storage, meter)
        assert {kept.quality for kept in storage.values.values()} == {flag}


async def test_what_was_learnt_is_not_asked_again(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    assert meter.gets(ASSOCIATION_CLASS) != []
    assert meter.gets(REGISTER_CLASS) != []
    await session(storage, meter)
    assert meter.gets(ASSOCIATION_CLASS) == []
    assert meter.gets(REGISTER_CLASS) == []
    assert [event.attribute.index for event in meter.gets(PROFILE_CLASS)] == [2]
    assert len(meter.gets(CLOCK_CLASS)) == 1
    assert storage.calls["save"] == 1


async def test_the_next_session_reads_only_what_is_new(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    before = dict(storage.values)
    result = await session(storage, meter)
    assert (result.stored, storage.values) == (0, before)
    assert sum(receipt.duplicates for receipt in storage.receipts.values()) == 0
    await trio.sleep(3600)
    result = await session(storage, meter)
    assert result.stored == 4 * 5
    assert stored(storage).items() >= truth(meter).items()
    assert storage.revisions == []


async def test_a_day_over_the_repeated_hour_is_complete(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Sessions every quarter of an hour while the clocks go back: no row is missed or doubled."""
    monkeypatch.setattr(support, "START", datetime(2026, 10, 24, 23, 1, tzinfo=UTC))
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    for _ in range(4 * 5):
        assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
        await trio.sleep(900)
    expected = {key: value for key, value in truth(meter).items() if key in stored(storage)}
    assert stored(storage).items() >= expected.items()
    assert truth(meter).keys() - stored(storage).keys() <= {
        key for key in truth(meter) if key[0] > wall_clock() - timedelta(minutes=15)
    }
    assert storage.revisions == []


async def test_long_ranges_are_committed_in_pieces(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.trouble["publish"] = []
    result = await session(storage, meter, rows_per_request=10)
    assert result.report.outcome is SessionOutcome.OK
    assert storage.calls["publish"] == 10
    assert stored(storage) == truth(meter)


async def test_the_counter_is_kept_with_what_it_vouches_for(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    result = await session(storage, meter, rows_per_request=50)
    assert storage.calls["accept"] == 0  # in the transaction of the rows
    kept = storage.accepted[meter.meter_id]
    assert kept >= 1000
    # What came after the rows goes with the session.
    assert result.counter is not None
    assert result.counter.counter > kept


async def test_own_counters_are_never_used_twice(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(pdu_octets=128)
    storage = storage_with(meter)
    seen = 0
    for _ in range(3):
        result = await session(storage, meter, counter_block_size=4)
        # A counter that is not above the last one would be refused by the meter.
        assert result.report.outcome is SessionOutcome.OK
        assert meter.meter.state.counters[1] > seen
        seen = meter.meter.state.counters[1]
        assert seen <= storage.own_counters[meter.meter_id]


async def test_evidence_is_what_arrived_still_ciphered(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(pdu_octets=16_000)
    storage = storage_with(meter)
    await session(storage, meter)
    evidence = {kept.evidence for kept in storage.values.values()}
    assert all(octets.startswith(b"\x00\x01") for octets in evidence)
    assert sum(map(len, evidence)) > 96 * 20
    assert not any(b"\x09\x0c\x07\xea" in octets for octets in evidence)  # no plain clock


@pytest.mark.parametrize("slice_octets", [1, 3])
async def test_sliced_answers_give_the_same_result(
    slice_octets: int, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    meter.fault.slice_octets = slice_octets
    storage = storage_with(meter)
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert stored(storage) == truth(meter)


async def test_a_session_makes_progress_however_little_time_it_has(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    deadlines = Deadlines(session_s=15.001, request_s=15)
    meter.fault.pause_s = 0.1
    for pieces in range(1, 4):
        result = await session(storage, meter, rows_per_request=1, deadlines=deadlines)
        assert (result.backlog, storage.calls["publish"]) == (True, pieces)


async def test_a_backlog_that_is_too_long_ends_in_time_and_goes_on_later(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    meter.fault.pause_s = 1.0
    storage = storage_with(meter)
    deadlines = Deadlines(session_s=60, request_s=15)
    sessions = 0
    while True:
        result = await session(storage, meter, rows_per_request=1, deadlines=deadlines)
        sessions += 1
        assert result.report.outcome is SessionOutcome.OK
        assert result.read
        if not result.backlog:
            break
    assert sessions > 1
    assert stored(storage).items() >= truth(meter).items()


@pytest.mark.parametrize("gap_days", [3, 60, 365, 3650])
@pytest.mark.parametrize("pdu_octets", [256, 16_000])
async def test_a_meter_that_was_dark_for_long_is_read_to_the_end(
    gap_days: int, pdu_octets: int, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(pdu_octets=pdu_octets)
    storage = storage_with(meter)
    await session(storage, meter)
    # Its week of rows begins long after what is committed; every answer takes its time.
    storage.values.clear()
    storage.marks = {
        profile: mark - timedelta(days=gap_days) for profile, mark in storage.marks.items()
    }
    meter.fault.pause_s = 2.5 if pdu_octets > 256 else 0.05
    octets = []
    for _ in range(2):
        result = await session(storage, meter)
        assert result.report.outcome is SessionOutcome.OK
        octets.append(result.report.octets_in)
        if not result.backlog:
            break
        assert result.stored
    assert not result.backlog
    assert stored(storage).items() >= truth(meter).items()
    assert max(octets) < 400_000
    assert storage.revisions == []


async def test_a_grown_piece_that_holds_too_much_is_broken_off(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr("hes_collectors.dlms.profiles._GROWN_PIECE_OCTETS", 2000)
    meter = SimulatedMeter.of(pdu_octets=256)
    storage = storage_with(meter)
    result = await session(storage, meter, first_read_days=60)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage).items() >= truth(meter).items()
    assert len(stored(storage)) >= 6 * 96 * 4
    assert storage.revisions == []


async def test_later_rows_than_were_asked_for_do_not_move_the_mark_past_the_rest(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of(0, sim.Security.NONE)
    storage = storage_with(meter)
    answers: list[bytes] = []
    await session(storage, meter, first_read_days=0.01)
    storage.values.clear()
    storage.marks.clear()

    def record(_: int, octets: bytes) -> bytes:
        answers.append(octets)
        return octets

    meter.fault.tamper = record
    await session(storage, meter, first_read_days=0.05)  # the newest rows
    newest = answers[2]
    storage.values.clear()
    storage.marks.clear()
    meter.answers = 0

    def answers_the_newest(n: int, octets: bytes) -> bytes | None:
        # To the first piece, and then it is silent.
        return newest if n == 2 else octets if n < 2 else None

    meter.fault.tamper = answers_the_newest
    result = await session(storage, meter, rows_per_request=10)
    assert (result.report.cause, result.stored > 0) == ("deadline-exceeded", True)
    [mark] = storage.marks.values()
    assert mark < wall_clock() - timedelta(hours=21)
    meter.fault.tamper = lambda n, octets: octets
    await session(storage, meter)
    rest = {key: value for key, value in truth(meter).items() if key[0] > mark}
    assert stored(storage).items() >= rest.items()


# --- pushes between answers -------------------------------------------------------------------


def _pushes(body: Data, before: Callable[[Any], bool]) -> Callable[[Any], list[DataNotification]]:
    """One push, right before the first answer to such an event."""
    waiting = [DataNotification(1, None, body)]
    return lambda event: [waiting.pop()] if waiting and before(event) else []


def pushed(storage: FakeStorage) -> set[str]:
    return {str(key.obis) for key, _ in storage.values if key.source is None}


@pytest.mark.parametrize("security", [sim.Security.NONE, sim.Security.GMAC])
@pytest.mark.parametrize("moment", ["clock", "profile", "hang", "release"])
@pytest.mark.parametrize("hdlc", [False, True], ids=["wrapper", "hdlc"])
async def test_a_push_between_answers_is_stored_whatever_follows(
    moment: str, security: sim.Security, hdlc: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(0, security, hdlc=hdlc)
    storage = storage_with(meter)
    await session(storage, meter)
    await trio.sleep(900)
    before = {
        "clock": _asks_for(CLOCK_CLASS),
        "profile": _asks_for(PROFILE_CLASS),
        "hang": _asks_for(CLOCK_CLASS),
        "release": _continues("release"),
    }[moment]
    meter.fault.pushes_before = _pushes(payload(serial=None), before)
    if moment == "hang":
        meter.fault.hangs_before = _asks_for(PROFILE_CLASS)
    result = await session(storage, meter)
    outcome = SessionOutcome.TRANSPORT if moment == "hang" else SessionOutcome.OK
    assert result.report.outcome is outcome
    assert pushed(storage) == {"1.0.1.8.0.255", "1.0.1.7.0.255"}
    assert (storage.quarantined, storage.events) == ([], [])
    flags = {kept.quality for (key, _), kept in storage.values.items() if key.source is None}
    assert {bool(flag & Quality.UNAUTHENTICATED) for flag in flags} == {
        security is sim.Security.NONE
    }


@pytest.mark.parametrize("security", [sim.Security.NONE, sim.Security.GMAC])
async def test_a_push_is_confirmed_once_it_is_stored(
    security: sim.Security, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(0, security)
    storage = storage_with(meter)
    await session(storage, meter)
    await trio.sleep(900)
    waiting = [DataNotification(LONG_CONFIRMED | 7, None, payload(serial=None))]
    stored_then: list[set[str]] = []

    def pushes(event: Any) -> list[DataNotification]:
        if isinstance(event, NotificationConfirmed):
            stored_then.append(pushed(storage))
        return [waiting.pop()] if waiting and _asks_for(CLOCK_CLASS)(event) else []

    meter.fault.pushes_before = pushes
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert stored_then == [{"1.0.1.8.0.255", "1.0.1.7.0.255"}]


@pytest.mark.parametrize("trouble", ["storage", "quarantine"])
async def test_a_push_that_is_not_kept_is_not_confirmed(
    trouble: str, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    body = payload(serial=None)
    if trouble == "storage":
        storage.trouble["publish"] = [StorageUnavailableError("away")] * 2
    else:
        body = array(Data(DataTag.DOUBLE_LONG_UNSIGNED, 5))
        storage.trouble["quarantine"] = [QuarantineFullError("full")]
    waiting = [DataNotification(LONG_CONFIRMED | 7, None, body)]

    def pushes(event: Any) -> list[DataNotification]:
        return [waiting.pop()] if waiting and _asks_for(CLOCK_CLASS)(event) else []

    meter.fault.pushes_before = pushes
    await session(storage, meter)
    assert not waiting
    assert not any(isinstance(event, NotificationConfirmed) for event in meter.events)


async def test_what_a_push_does_not_name_is_kept_with_its_octets(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    nameless = array(Data(DataTag.DOUBLE_LONG_UNSIGNED, 5))
    meter.fault.pushes_before = _pushes(nameless, _asks_for(PROFILE_CLASS))
    sent: list[bytes] = []
    push = meter._push

    def record(server: Any, notification: DataNotification) -> bytes:
        sent.append(push(server, notification))
        return sent[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedMeter, "_push", lambda _, *args: record(*args))
        result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    [kept] = storage.quarantined
    assert (kept.meter_id, kept.reason, kept.raw) == (meter.meter_id, "unnamed-values", sent[0])


async def test_a_push_that_storage_does_not_take_waits(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    await trio.sleep(900)
    meter.fault.pushes_before = _pushes(payload(serial=None), _asks_for(CLOCK_CLASS))
    storage.trouble["publish"] = [StorageUnavailableError("away")] * 2
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.STORAGE
    assert pushed(storage) == set()
    assert result.pushes is not None
    assert len(result.pushes) == 1
    result.pushes.store()
    assert pushed(storage) == {"1.0.1.8.0.255", "1.0.1.7.0.255"}
    assert (storage.quarantined, storage.events) == ([], [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermanentError("no"), "unstorable: PermanentError"),
        (EncodingError("bad"), "undecodable: bad"),
        (ZeroDivisionError("a bug"), "internal-error"),
    ],
)
async def test_a_push_that_nobody_can_store_is_kept_with_its_octets(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    await trio.sleep(900)
    meter.fault.pushes_before = _pushes(payload(serial=None), _asks_for(CLOCK_CLASS))
    if isinstance(error, PermanentError):
        storage.trouble["publish"] = [error]
    else:
        monkeypatch.setattr("hes_collectors.dlms.intake.read_push", _raiser(error))
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert result.stored == 5
    assert [kept.reason for kept in storage.quarantined] == [reason]


def _raiser(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object) -> None:
        raise error

    return raise_it


async def test_too_many_pushes_end_the_session_and_are_stored(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    push = DataNotification(1, None, payload(serial=None))
    meter.fault.pushes_before = lambda event: [push] * 40 if _asks_for(CLOCK_CLASS)(event) else []
    receipts = len(storage.receipts)
    result = await session(storage, meter)
    assert result.report.cause == "too-many-notifications"
    assert len(storage.receipts) - receipts == 32


# --- silence ----------------------------------------------------------------------------------


def _asks_for(class_id: int) -> Callable[[Any], bool]:
    return lambda event: isinstance(event, GetRequested) and event.attribute.class_id == class_id


def _continues(purpose: str) -> Callable[[Any], bool]:
    return lambda event: isinstance(event, ContinueNeeded) and event.reply.purpose == purpose


@pytest.mark.parametrize(
    ("hangs_before", "phase", "took_s"),
    [
        (_continues("association"), SessionPhase.ASSOCIATE, 10),
        (_continues("hls"), SessionPhase.ASSOCIATE, 10),
        (_asks_for(CLOCK_CLASS), SessionPhase.REQUEST, 15 + 3),
        (_asks_for(ASSOCIATION_CLASS), SessionPhase.REQUEST, 15 + 3),
        (_asks_for(REGISTER_CLASS), SessionPhase.REQUEST, 15 + 3),
        (_continues("block"), SessionPhase.REQUEST, 15 + 3),
        (_continues("release"), SessionPhase.RELEASE, 3),
    ],
)
async def test_a_meter_that_hangs_is_left_by_the_deadline(
    hangs_before: Callable[[Any], bool],
    phase: SessionPhase,
    took_s: float,
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of(pdu_octets=256)
    meter.fault.hangs_before = hangs_before
    storage = storage_with(meter)
    result = await session(storage, meter)
    report = result.report
    assert (report.outcome, report.phase, report.cause) == (
        SessionOutcome.TRANSPORT,
        phase,
        "deadline-exceeded",
    )
    assert (report.ended_at - report.started_at).total_seconds() == pytest.approx(took_s)
    # All was committed before the release, so the meter counts as read.
    assert result.read is (phase is SessionPhase.RELEASE)
    assert (stored(storage) == truth(meter)) is result.read


async def test_a_connect_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)

    async def black_hole(*_: object) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    result = await Session(context(storage, black_hole), lease, 180).run()
    assert trio.current_time() == 5
    assert (result.report.phase, result.report.cause) == (
        SessionPhase.CONNECT,
        "deadline-exceeded",
    )


async def test_a_dripping_meter_is_left_by_the_deadline_of_its_answer(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    meter.fault = Fault(slice_octets=1, pause_s=9)
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert (result.report.phase, result.report.cause) == (
        SessionPhase.ASSOCIATE,
        "deadline-exceeded",
    )
    assert trio.current_time() == 10


async def test_the_session_as_a_whole_has_a_deadline(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(pdu_octets=128)
    meter.fault.pause_s = 9.9
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.TRANSPORT
    assert trio.current_time() <= 120 + 3


@pytest.mark.parametrize(
    ("client_sap", "cause", "most_octets"),
    [(1, "too-many-answers", 1_200_000), (17, "too-long", 9_000_000)],
)
async def test_a_flood_ends_the_session(
    client_sap: int, cause: str, most_octets: int, autojump_clock: MockClock
) -> None:
    """Answers to nobody's request, and frames to somebody else: neither is kept without end."""
    answer = bytes((0xC4, 1, 0xCF, 0, 9, 0x82, 0xF0, 0)) + bytes(0xF000)
    junk = WrapperFrame(1, client_sap, answer).to_octets()
    meter = SimulatedMeter.of(0, sim.Security.NONE)
    meter.fault.tamper = lambda n, octets: junk * 500 if n == 1 else octets
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert (result.report.outcome, result.report.cause) == (SessionOutcome.APPLICATION, cause)
    assert result.report.octets_in < most_octets


async def test_an_answer_without_end_ends_the_session(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(pdu_octets=1024)
    storage = storage_with(meter)
    result = await session(storage, meter, max_result_octets=2000)
    assert (result.report.outcome, result.report.cause) == (
        SessionOutcome.APPLICATION,
        "too-long",
    )
    assert meter.released


# --- lost connections -------------------------------------------------------------------------


async def test_a_reset_at_every_place_stores_nothing_by_halves(autojump_clock: MockClock) -> None:
    probe = SimulatedMeter.of()
    await session(storage_with(probe), probe)
    total = probe.octets_sent
    phases = set()
    for after in range(0, total, 211):
        meter = SimulatedMeter.of()
        meter.fault.resets_after = after
        storage = storage_with(meter)
        result = await session(storage, meter)
        phases.add(result.report.phase)
        assert (result.report.outcome, result.report.cause) == (
            SessionOutcome.TRANSPORT,
            "connection-lost",
        )
        assert stored(storage).items() <= truth(meter).items()
        assert len(stored(storage)) % 5 == 0  # whole rows only
        meter.fault.resets_after = None
        assert (await session(storage, meter)).read
        assert stored(storage) == truth(meter)
        assert storage.revisions == []
    assert phases >= {SessionPhase.ASSOCIATE, SessionPhase.REQUEST}


async def test_a_refused_connection(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    meter.refuses = True
    result = await session(storage_with(meter), meter)
    assert (result.report.phase, result.report.cause) == (
        SessionPhase.CONNECT,
        "connection-refused",
    )


# --- security ---------------------------------------------------------------------------------


def _is_security(result: SessionResult) -> bool:
    return result.report.outcome is SessionOutcome.SECURITY and not result.read


@pytest.mark.parametrize("wrong", ["ek", "ak"])
async def test_a_wrong_key_reads_nothing_and_moves_nothing(
    wrong: str, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    right = storage.secrets[meter.meter_id]
    storage.secrets[meter.meter_id] = attrs.evolve(right, **{wrong: bytes(16)})
    result = await session(storage, meter)
    assert _is_security(result), result
    assert (storage.values, storage.accepted) == ({}, {})
    assert result.report.phase is SessionPhase.ASSOCIATE
    # The second time only its public client was asked, whether the counter was to blame.
    assert meter.connections == 2
    assert {event.client_sap for event in meter.gets(1)} == {16}


async def test_a_counter_that_went_back_is_refused(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.accepted[meter.meter_id] = 5000  # the meter's begins at 1000
    result = await session(storage, meter)
    assert _is_security(result)
    assert result.report.cause == "counter-replayed"
    assert (storage.values, storage.accepted) == ({}, {meter.meter_id: 5000})


async def test_a_plain_answer_in_a_protected_association_ends_it(
    autojump_clock: MockClock,
) -> None:
    plain = SimulatedMeter.of(0, sim.Security.NONE)
    recorded: list[bytes] = []

    def record(_: int, octets: bytes) -> bytes:
        recorded.append(octets)
        return octets

    plain.fault.tamper = record
    await session(storage_with(plain), plain)
    for number in range(2, len(recorded) - 1):
        meter = SimulatedMeter.of()
        answer = recorded[number]
        meter.fault.tamper = lambda n, octets, at=number, answer=answer: (
            answer if n == at else octets
        )
        storage = storage_with(meter)
        result = await session(storage, meter)
        assert _is_security(result), (number, result)
        assert storage.values == {}


@pytest.mark.parametrize("number", [0, 1, 2, 5])
async def test_a_flipped_bit_is_refused(number: int, autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()

    def flip(n: int, octets: bytes) -> bytes:
        return octets[:-3] + bytes((octets[-3] ^ 4,)) + octets[-2:] if n == number else octets

    meter.fault.tamper = flip
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert not result.read
    assert storage.values == {}
    assert result.report.outcome in (SessionOutcome.SECURITY, SessionOutcome.APPLICATION)


def _forget_title(storage: FakeStorage, meter: SimulatedMeter) -> None:
    storage.meters[meter.meter_id] = attrs.evolve(storage.meters[meter.meter_id], system_title=None)


async def test_a_meter_is_held_to_the_title_that_it_has_proved(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    _forget_title(storage, meter)
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert storage.meters[meter.meter_id].system_title == meter.meter.identity.system_title
    order = [step for step in storage.done if step in ("pin_system_title", "accept", "save")]
    assert order[0] == "pin_system_title"
    await session(storage, meter)
    assert storage.calls["pin_system_title"] == 1


async def test_another_device_with_the_same_keys_is_not_read(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    _forget_title(storage, meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    # Somebody has pinned it since, or the title is another meter's.
    storage.meters[meter.meter_id] = attrs.evolve(
        storage.meters[meter.meter_id], system_title=b"HES\0\0\0\0\x63"
    )
    meter.fault.pushes_before = _pushes(payload(serial=None), _continues("hls"))
    result = await converse(storage, meter, lease, 180)
    assert _is_security(result)
    assert result.report.cause == "system-title-mismatch"
    assert (storage.values, storage.accepted) == ({}, {})
    assert not meter.gets(CLOCK_CLASS)
    assert not meter.released
    assert {kept.reason for kept in storage.quarantined} <= {"system-title-mismatch"}


async def test_a_title_that_nobody_vouches_for_is_not_pinned(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(0, sim.Security.LLS)
    storage = storage_with(meter)
    _forget_title(storage, meter)
    assert (await session(storage, meter)).report.outcome is SessionOutcome.OK
    assert storage.calls["pin_system_title"] == 0


async def test_an_untrusted_exception_ends_the_session(autojump_clock: MockClock) -> None:
    refusal = ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
    framed = WrapperFrame(1, 1, refusal.encode()).to_octets()
    meter = SimulatedMeter.of()
    meter.fault.tamper = lambda n, octets: framed if n == 3 else octets
    storage = storage_with(meter)
    result = await session(storage, meter)
    assert _is_security(result)
    assert result.report.cause == "exception-deciphering-error"


@pytest.mark.parametrize(
    ("change", "cause", "outcome"),
    [
        ({"server_sap": 0x4000}, "transport-unsupported", SessionOutcome.APPLICATION),
        ({"mechanism": Mechanism.HLS}, "mechanism-unsupported", SessionOutcome.APPLICATION),
        ({"mechanism": Mechanism.HLS_ECDSA}, "mechanism-unsupported", SessionOutcome.APPLICATION),
        ({"suite": 1}, "mechanism-unsupported", SessionOutcome.APPLICATION),
    ],
)
async def test_what_is_not_built_is_not_tried(
    change: dict[str, Any], cause: str, outcome: SessionOutcome, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(hdlc=True)
    storage = storage_with(meter)
    known = storage.meters[meter.meter_id]
    known = attrs.evolve(known, association=attrs.evolve(known.association, **change))
    storage.meters[meter.meter_id] = known
    result = await session(storage, meter)
    assert (result.report.cause, result.report.outcome) == (cause, outcome)
    assert meter.connections == 0


@pytest.mark.parametrize("secrets", [Secrets(), Secrets(ek=bytes(16)), None])
async def test_missing_keys_connect_to_nobody(
    secrets: Secrets | None, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    if secrets is None:
        storage.trouble["secrets"] = [KeyUnavailableError("kek")]
    else:
        storage.secrets[meter.meter_id] = secrets
    result = await session(storage, meter)
    assert _is_security(result)
    assert result.report.cause == "key-unavailable"
    assert meter.connections == 0


async def test_a_used_up_counter_sends_nothing(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.own_counters[meter.meter_id] = 2**32 - 5
    result = await session(storage, meter)
    assert (result.report.cause, result.report.octets_out) == ("counter-exhausted", 0)


async def test_a_push_that_moved_the_counter_meanwhile_is_no_replay(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)

    def moved(event: Any) -> bool:
        if _asks_for(REGISTER_CLASS)(event):
            storage.accepted[meter.meter_id] = 9_999  # by the meter's other connection
        return False

    meter.fault.hangs_before = moved
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert stored(storage) == truth(meter)
    assert storage.accepted[meter.meter_id] == 9_999


# --- answers that say no ----------------------------------------------------------------------


async def test_a_profile_that_the_meter_refuses_is_told_by_its_result(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    learnt = storage.knowledge[meter.meter_id]
    gone = attrs.evolve(learnt.profiles[0], obis=type(LOAD_PROFILE).parse("1.0.99.2.0.255"))
    storage.knowledge[meter.meter_id] = attrs.evolve(learnt, profiles=(gone, learnt.profiles[0]))
    await trio.sleep(900)
    result = await session(storage, meter)
    report = result.report
    assert (report.outcome, report.phase, report.cause) == (
        SessionOutcome.APPLICATION,
        SessionPhase.REQUEST,
        "data-access-object-undefined",
    )
    # The other profile was read all the same, and the meter was released.
    assert result.stored == 5
    assert meter.released


async def test_a_profile_that_has_changed_is_learnt_anew(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    right = storage.knowledge[meter.meter_id]
    stale = attrs.evolve(right.profiles[0], columns=right.profiles[0].columns[:-1])
    storage.knowledge[meter.meter_id] = attrs.evolve(right, profiles=(stale,))
    await trio.sleep(900)
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert result.stored == 5
    assert storage.knowledge[meter.meter_id] == right


# --- storage and lease ------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["secrets", "load", "reserve", "save", "publish"])
async def test_storage_that_goes_away_ends_the_session_and_shuts_the_gate(
    step: str, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    storage.trouble[step] = [StorageUnavailableError("away")]
    async with network(meter) as reached:
        surroundings = context(storage, reached.connect)
        result = await Session(surroundings, lease, 180).run()
        assert not surroundings.gate.is_open
    assert result.report.outcome is SessionOutcome.STORAGE
    assert result.report.cause == "storage-unavailable"
    assert storage.values == {}
    if step == "publish":
        assert result.report.phase is SessionPhase.STORE
    if step in ("save", "publish"):
        assert meter.released


async def test_a_batch_that_is_shed_ends_its_session_and_no_other(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    storage.trouble["publish"] = [OverloadedError("profile of 100 rows not taken for 15.0 s")]
    async with network(meter) as reached:
        surroundings = context(storage, reached.connect)
        result = await Session(surroundings, lease, 180).run()
        assert surroundings.gate.is_open
    assert result.report.outcome is SessionOutcome.STORAGE
    assert result.report.cause == "storage-overloaded"
    assert meter.released
    assert storage.values == {}


async def test_nobody_is_asked_on_while_storage_is_away(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(meter) as reached:
        surroundings = context(storage, reached.connect)

        def shut(event: Any) -> bool:
            if _asks_for(REGISTER_CLASS)(event):
                surroundings.gate.shut()  # somebody else has met it
            return False

        meter.fault.hangs_before = shut
        result = await Session(surroundings, lease, 180).run()
    assert result.report.outcome is SessionOutcome.STORAGE
    assert len({event.invoke_id for event in meter.gets(REGISTER_CLASS)}) == 1
    assert meter.gets(PROFILE_CLASS)[-1].attribute.index != 2
    assert meter.released


async def test_after_the_lease_nothing_is_sent_and_nothing_published(
    autojump_clock: MockClock,
) -> None:
    for lease_s in (0.5, 2, 4, 6, 8, 10):
        meter = SimulatedMeter.of()
        meter.fault.pause_s = 1.0
        storage = storage_with(meter)
        begun = trio.current_time()
        result = await session(storage, meter, lease_s=lease_s)
        assert result.report.cause == "lease-lost"
        assert storage.values == {}
        assert not meter.released
        # The answer that was on its way is awaited, nothing else.
        assert trio.current_time() - begun <= lease_s + 1


async def test_a_lease_lost_before_storing_publishes_nothing(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await session(storage, meter)
    before = dict(storage.values)
    await trio.sleep(900)

    def slow(event: Any) -> bool:
        if _asks_for(PROFILE_CLASS)(event):
            meter.fault.pause_s = 5
        return False

    meter.fault.hangs_before = slow
    meter.fault.slice_octets = 50
    result = await session(storage, meter, lease_s=4)
    assert result.report.cause == "lease-lost"
    assert storage.values == before


async def test_a_lease_that_the_writer_finds_lost_ends_the_session_quietly(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.trouble["publish"] = [LeaseLostError("somebody else's")]
    with capture_logs() as captured:
        result = await session(storage, meter, rows_per_request=10)
    assert (result.report.outcome, result.report.phase, result.report.cause) == (
        SessionOutcome.STORAGE,
        SessionPhase.STORE,
        "lease-lost",
    )
    assert (result.read, result.backlog, captured) == (False, False, [])
    assert len([g for g in meter.gets(PROFILE_CLASS) if g.attribute.index == 2]) == 1
    assert not meter.released


async def test_a_batch_that_is_refused_for_good_is_told(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.trouble["publish"] = [PermanentError("no")]
    result = await session(storage, meter)
    assert (result.report.outcome, result.report.phase, result.report.cause) == (
        SessionOutcome.APPLICATION,
        SessionPhase.STORE,
        "refused",
    )


# --- cancellation and crashes -----------------------------------------------------------------


async def test_a_cancelled_session_still_releases_its_meter(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(meter) as reached:
        with trio.CancelScope() as scope:

            def cancel(event: Any) -> bool:
                if _asks_for(REGISTER_CLASS)(event):
                    scope.cancel()
                return False

            meter.fault.hangs_before = cancel
            await Session(context(storage, reached.connect), lease, 180).run()
        assert scope.cancelled_caught
        assert meter.released
        assert await reached.all_closed()


async def test_a_cancelled_session_waits_no_longer_than_its_release(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    meter.fault.hangs_before = _asks_for(REGISTER_CLASS)
    storage = storage_with(meter)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(meter) as reached:
        with trio.move_on_after(1):
            await Session(context(storage, reached.connect), lease, 180).run()
        assert trio.current_time() == 1 + 3


async def test_our_own_bug_is_told_without_what_was_in_it(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    storage.trouble["publish"] = [ZeroDivisionError("payload and keys")]
    with capture_logs() as captured:
        result = await session(storage, meter)
    assert (result.report.outcome, result.report.cause) == (
        SessionOutcome.APPLICATION,
        "internal-error",
    )
    assert [line["event"] for line in captured] == ["collector_task_crashed"]
    assert "payload and keys" not in repr(captured)


async def test_policies_hold_for_what_we_accept(autojump_clock: MockClock) -> None:
    """A meter with GMAC whose policy lets plain answers pass is still talked to protected."""
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    known = storage.meters[meter.meter_id]
    storage.meters[meter.meter_id] = attrs.evolve(
        known, association=attrs.evolve(known.association, policy=Policy.PLAIN)
    )
    result = await session(storage, meter)
    assert result.report.outcome is SessionOutcome.OK
    assert {kept.quality for kept in storage.values.values()} == {Quality.UNAUTHENTICATED}
    assert not any(isinstance(event, ActionRequested) for event in meter.events)
