"""The outbound loop: leases, slots, pauses, and what one session may not do to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.meters import Secrets
from hes.domain.ports import SessionOutcome, SessionPhase
from hes.domain.work import Read, ReadKind, WorkKind
from hes.storage.due_items import NewItem
from hes_collectors.dlms import Context
from hes_collectors.dlms.outbound import run_outbound
from hes_collectors.dlms.session import Session
from hes_collectors.dlms.settler import settling
from hes_protocol.server import GetRequested
from hes_protocol.xdlms import DataNotification
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import payload
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock


def fleet(count: int) -> tuple[FakeStorage, list[SimulatedMeter]]:
    storage = FakeStorage(wall_clock)
    meters = [SimulatedMeter.of(index) for index in range(count)]
    for meter in meters:
        storage.add_meter(meter.inventory(), meter.secrets())
        # This key has counted before: no session begins by asking the public client.
        storage.own_counters[meter.meter_id] = 0
    return storage, meters


@asynccontextmanager
async def collecting(
    storage: FakeStorage, meters: list[SimulatedMeter], every_s: float = 60, **changes: Any
) -> AsyncIterator[Context]:
    """The loop at work, under a plan that reads all profiles, until the block ends."""
    async with network(*meters) as reached:
        surroundings = context(storage, reached.connect, **changes)
        async with settling(surroundings) as settler, trio.open_nursery() as nursery:
            nursery.start_soon(plan, storage, every_s)
            nursery.start_soon(run_outbound, surroundings, settler)
            yield surroundings
            nursery.cancel_scope.cancel()


async def plan(storage: FakeStorage, every_s: float) -> None:
    """Make due items of all meters, every now and then."""
    storage.due.reads[1] = (Read(ReadKind.PROFILE),)
    while True:
        now, soon = wall_clock(), timedelta(seconds=every_s)
        storage.due.add(
            [
                NewItem(
                    meter_id,
                    WorkKind.PLAN,
                    now,
                    now,
                    now + soon,
                    now + timedelta(days=1),
                    plan_id=1,
                )
                for meter_id in storage.meters
            ]
        )
        await trio.sleep(every_s)


def complete(storage: FakeStorage, meters: list[SimulatedMeter]) -> bool:
    """Whether all that the meters captured up to a quarter of an hour ago is stored, rightly."""
    kept = {
        (key.meter_id, at, str(key.obis)): value.value
        for (key, at), value in storage.values.items()
    }
    captured = {
        (meter.meter_id, row.captured_at, obis): value
        for meter in meters
        for row in meter.truth()
        if row.captured_at <= wall_clock() - timedelta(minutes=2)
        for obis, value in row.values.items()
    }
    return kept.items() >= captured.items() and storage.revisions == []


async def test_every_meter_is_read_each_minute(autojump_clock: MockClock) -> None:
    storage, meters = fleet(3)
    async with collecting(storage, meters):
        await trio.sleep(595)
    assert complete(storage, meters)
    for meter in meters:
        assert 9 <= meter.connections <= 11
    assert {report.outcome for report in storage.reports} == {SessionOutcome.OK}
    assert len(storage.reports) == sum(meter.connections for meter in meters)
    assert storage.calls["save"] == 3  # learnt once


async def test_a_session_costs_one_call_of_its_own(autojump_clock: MockClock) -> None:
    """What it needs comes with the leases, what it says goes with others; it stores its rows."""
    storage, meters = fleet(10)
    async with collecting(storage, meters, every_s=900):
        await trio.sleep(890)
        before = storage.calls.copy()
        reports = len(storage.reports)
        await trio.sleep(60)
    calls = storage.calls - before
    assert len(storage.reports) == reports + 10
    assert calls.pop("publish") == 10
    assert calls.pop("take") <= 120  # it asks again and again whether anything is due
    assert calls.pop("finish") <= 4
    assert calls.pop("segments") <= 3
    # Each for a batch of leases; asked for when there are any.
    for batched in ("secrets_of", "counting", "load_many"):
        assert calls.pop(batched) <= 4
    assert not calls


async def test_a_lease_is_ended_only_after_the_receipt(autojump_clock: MockClock) -> None:
    storage, meters = fleet(1)
    async with collecting(storage, meters):
        await trio.sleep(30)
    order = [step for step in storage.done if step in ("publish", "finish")]
    assert order[-1] == "finish"
    assert "publish" in order
    assert storage.work[meters[0].meter_id].token is None


async def test_no_more_sessions_than_allowed_and_nobody_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    storage, meters = fleet(8)
    for meter in meters:
        meter.fault.pause_s = 0.5
    seen = set()
    async with collecting(storage, meters, max_sessions=3, every_s=1e6) as surroundings:
        for _ in range(3000):
            await trio.sleep(0.1)
            seen.add(surroundings.metrics.sessions_running._value.get())
    assert (min(seen), max(seen)) == (0, 3)
    assert [meter.connections for meter in meters] == [1] * 8
    assert complete(storage, meters)


async def test_faults_of_some_meters_do_not_touch_the_others(autojump_clock: MockClock) -> None:
    storage, meters = fleet(6)
    silent, refusing, resetting, foreign, crashing, healthy = meters
    silent.fault.hangs_before = lambda event: isinstance(event, GetRequested)
    refusing.refuses = True
    resetting.fault.resets_after = 700
    storage.secrets[foreign.meter_id] = Secrets(ek=bytes(16), ak=bytes(16))

    def crash(host: str) -> None:
        if host == crashing.inventory().address:
            raise ZeroDivisionError("a bug")

    async with network(*meters) as reached, trio.open_nursery() as nursery:

        async def connect(host: str, port: int, settings: Any) -> trio.abc.Stream:
            crash(host)
            return await reached.connect(host, port, settings)

        with capture_logs() as captured:
            surroundings = context(storage, connect)
            async with settling(surroundings) as settler, trio.open_nursery() as collector:
                collector.start_soon(plan, storage, 60)
                collector.start_soon(run_outbound, surroundings, settler)
                await trio.sleep(300)
                collector.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    assert complete(storage, [healthy])
    assert healthy.connections >= 5
    ended: dict[UUID, set[tuple[Any, ...]]] = {}
    for report in storage.reports:
        ended.setdefault(report.meter_id, set()).add((report.outcome, report.phase, report.cause))
    transport, request = SessionOutcome.TRANSPORT, SessionPhase.REQUEST
    assert ended[silent.meter_id] == {(transport, request, "deadline-exceeded")}
    assert ended[refusing.meter_id] == {(transport, SessionPhase.CONNECT, "connection-refused")}
    assert ended[resetting.meter_id] == {(transport, request, "connection-lost")}
    assert ended[crashing.meter_id] == {
        (SessionOutcome.APPLICATION, SessionPhase.CONNECT, "internal-error")
    }
    assert ended[healthy.meter_id] == {(SessionOutcome.OK, SessionPhase.DONE, None)}
    [(outcome, phase, _)] = ended[foreign.meter_id]
    assert (outcome, phase) == (SessionOutcome.SECURITY, SessionPhase.ASSOCIATE)
    events = {event.meter_id for event in storage.events}
    assert events == {foreign.meter_id}
    # A wrong key is tried twice (and the public client asked whether the counter was to blame),
    # then the meter is left alone until an operator has looked.
    assert foreign.connections == 2 * 2
    finished = [line for line in captured if line["event"] == "meter_session_finished"]
    assert len(finished) == len(storage.reports)


async def test_a_wrong_key_is_tried_once_more_and_then_quarantined(
    autojump_clock: MockClock,
) -> None:
    """Row 19 of the catalogue of faults: the meter is not locked out."""
    storage, [meter] = fleet(1)
    storage.secrets[meter.meter_id] = Secrets(ek=bytes(16), ak=bytes(16))
    with capture_logs() as captured:
        async with collecting(storage, [meter], poll_interval_s=30):
            await trio.sleep(20 * 3600)
            # After each refusal the public client is asked whether the counter was to blame.
            assert meter.connections == 2 * 2
            assert storage.due.quarantined == {meter.meter_id: "association-authentication-failure"}
            # An operator has set the key right.
            storage.secrets[meter.meter_id] = meter.secrets()
            storage.due.put_in_service([meter.meter_id])
            await trio.sleep(60)
            assert complete(storage, [meter])
    finished = [line for line in captured if line["event"] == "meter_session_finished"]
    assert [line["quarantine"] is not None for line in finished[:3]] == [False, True, False]


async def test_a_session_that_crashes_is_told_like_any_other(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where nothing catches it: a bug must be seen by operators, and be paced."""

    async def crash(_: Session) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr(Session, "run", crash)
    storage, [meter] = fleet(1)
    async with collecting(storage, [meter]):
        await trio.sleep(600)
    causes = {(report.outcome, report.cause) for report in storage.reports}
    assert causes == {(SessionOutcome.APPLICATION, "internal-error")}
    assert 3 <= len(storage.reports) <= 30
    assert storage.work[meter.meter_id].failures == len(storage.reports)
    assert storage.work[meter.meter_id].rests_why == "application: internal-error"


async def test_a_meter_whose_counter_went_back_is_quarantined(autojump_clock: MockClock) -> None:
    """Row 15: its board was swapped or restored; nothing that it says is believed."""
    storage, [meter] = fleet(1)
    storage.accepted[meter.meter_id] = 5_000_000
    async with collecting(storage, [meter]):
        await trio.sleep(3600)
    assert meter.connections == 2
    assert set(storage.due.quarantined) == {meter.meter_id}
    assert {event.code for event in storage.events} == {"counter-replayed"}
    assert not storage.values
    assert storage.accepted[meter.meter_id] == 5_000_000


@pytest.mark.parametrize("left", [0, 2, 40])
async def test_our_counter_is_never_wrapped(left: int, autojump_clock: MockClock) -> None:
    """Row 18: what is left is used, then the key must be changed; nothing is sent before."""
    storage, [meter] = fleet(1)
    last = 2**32 - 1
    storage.own_counters[meter.meter_id] = last - left
    meter.meter.state.counters[1] = last - left
    async with collecting(storage, [meter], counter_block_size=16):
        await trio.sleep(3600)
    assert meter.meter.state.counters[1] <= last
    assert storage.due.quarantined == {meter.meter_id: "counter-exhausted"}
    codes = {event.code for event in storage.events}
    assert "counter-exhausted" in codes
    assert ("counter-near-its-end" in codes) == (left >= 16)


async def test_a_counter_of_the_meters_near_its_end_is_told(autojump_clock: MockClock) -> None:
    """Row 18, the meter's side: told while there is time; a wrapped one is a replay."""
    storage, [meter] = fleet(1)
    meter.meter.state.next_counter = 0xF000_0000
    async with collecting(storage, [meter], every_s=1e6):
        await trio.sleep(30)
    assert complete(storage, [meter])
    [event] = storage.events
    assert event.code == "counter-near-its-end"
    assert "the meter's" in event.detail


async def test_a_meter_that_knows_no_ciphering_any_more_is_left_alone(
    autojump_clock: MockClock,
) -> None:
    """Row 21: set back to its defaults, or another one; it is never spoken to more weakly."""
    storage, [meter] = fleet(1)
    weak = SimulatedMeter.of(0, sim.Security.LLS)
    async with collecting(storage, [weak]):
        await trio.sleep(3600)
    assert 3 <= weak.connections <= 40
    assert storage.work[meter.meter_id].failures >= 3
    assert not storage.values


async def test_failures_are_tried_again_later_and_later(autojump_clock: MockClock) -> None:
    storage, [meter] = fleet(1)
    meter.refuses = True
    async with collecting(storage, [meter]):
        await trio.sleep(3600)
        assert storage.work[meter.meter_id].failures >= 5
        reports = len(storage.reports)
        assert 6 <= reports <= 60
        meter.refuses = False
        await trio.sleep(1000)
    assert complete(storage, [meter])
    assert storage.work[meter.meter_id].failures == 0


async def test_one_line_per_session_with_its_ids_and_no_secrets(
    autojump_clock: MockClock,
) -> None:
    storage, [meter] = fleet(1)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        async with collecting(storage, [meter], every_s=1e6):
            await trio.sleep(30)
    [line] = [line for line in captured if line["event"] == "meter_session_finished"]
    [report] = storage.reports
    assert line["meter_id"] == str(meter.meter_id)
    assert line["session_id"] == str(report.session_id)
    assert (line["outcome"], line["phase"], line["log_level"]) == ("ok", "done", "info")
    assert line["stored"] == len(storage.values)
    told = repr(captured)
    for secret in (meter.meter.identity.encryption_key, meter.meter.identity.authentication_key):
        assert secret.hex() not in told
        assert repr(secret) not in told


# --- storage that is away ---------------------------------------------------------------------


@pytest.mark.parametrize("away_from_s", [0, 0.2, 20])
async def test_while_storage_is_away_nobody_is_asked_and_afterwards_all_is_there(
    away_from_s: float, autojump_clock: MockClock
) -> None:
    storage, meters = fleet(4)
    async with collecting(storage, meters) as surroundings:
        await trio.sleep(away_from_s)
        storage.away = True
        await trio.sleep(120)  # sessions that had begun are over
        asked = sum(meter.connections for meter in meters)
        receipts = len(storage.receipts)
        await trio.sleep(3600)
        assert sum(meter.connections for meter in meters) == asked
        assert len(storage.receipts) == receipts
        assert not surroundings.gate.is_open
        storage.away = False
        await trio.sleep(60)
        assert surroundings.gate.is_open
        assert complete(storage, meters)
    assert surroundings.metrics.storage_pauses._value.get() == 1


async def test_storage_away_in_the_middle_of_sessions_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    storage, meters = fleet(4)
    for meter in meters:
        meter.fault.pause_s = 0.3
    async with collecting(storage, meters, rows_per_request=8) as surroundings:
        for _ in range(6):
            await trio.sleep(3.1)
            storage.away = True
            await trio.sleep(7)
            storage.away = False
        await trio.sleep(120)
        assert surroundings.gate.is_open
        assert complete(storage, meters)
    assert all(work.failures == 0 for work in storage.work.values())
    kept = [report for report in storage.reports if report.outcome is SessionOutcome.STORAGE]
    assert kept, "reports of sessions that storage broke are kept once it is back"


async def test_a_lease_that_ended_while_storage_was_away_is_lost_quietly(
    autojump_clock: MockClock,
) -> None:
    storage, [meter] = fleet(1)
    meter.fault.pause_s = 1
    with capture_logs() as captured:
        async with collecting(storage, [meter]):
            await trio.sleep(5)
            storage.away = True
            await trio.sleep(400)
            storage.away = False
            await trio.sleep(100)
            assert complete(storage, [meter])
    assert [line for line in captured if line["event"] == "lease_lost"]


async def test_a_push_in_a_session_outlives_storage_that_is_away(
    autojump_clock: MockClock,
) -> None:
    storage, [meter] = fleet(1)
    push = [DataNotification(1, None, payload(serial=None))]

    def pushes(event: Any) -> list[DataNotification]:
        if isinstance(event, GetRequested) and push:
            storage.away = True
            return [push.pop()]
        return []

    meter.fault.pushes_before = pushes
    async with collecting(storage, [meter]):
        await trio.sleep(60)
        assert storage.values == {}
        storage.away = False
        await trio.sleep(60)
    assert "1.0.1.7.0.255" in {str(key.obis) for key, _ in storage.values if key.source is None}
    assert (storage.quarantined, storage.events) == ([], [])
    assert complete(storage, [meter])


async def test_probing_storage_is_paced(autojump_clock: MockClock) -> None:
    storage, meters = fleet(1)
    storage.away = True
    async with collecting(storage, meters):
        await trio.sleep(600)
    assert 100 <= storage.calls["take"] <= 300


async def test_an_unexpected_error_of_taking_leases_does_not_end_the_loop(
    autojump_clock: MockClock,
) -> None:
    storage, [meter] = fleet(1)
    storage.trouble["take"] = [ZeroDivisionError("a driver's secret")] * 20
    with capture_logs() as captured:
        async with collecting(storage, [meter]):
            await trio.sleep(10)
            assert 2 <= storage.calls["take"] <= 10  # paced
            await trio.sleep(200)
            assert complete(storage, [meter])
    told = [line for line in captured if line["event"] == "lease_take_failed"]
    assert [(line["error"], line["log_level"]) for line in told] == [("ZeroDivisionError", "error")]
    assert "a driver's secret" not in repr(captured)


# --- the end ----------------------------------------------------------------------------------


async def test_cancellation_releases_meters_and_gives_leases_back(
    autojump_clock: MockClock,
) -> None:
    storage, meters = fleet(3)
    for meter in meters:
        meter.fault.pause_s = 0.2
    async with collecting(storage, meters):
        await trio.sleep(2)
        assert all(meter.open_connections for meter in meters)
        cancelled_at = trio.current_time()
    assert trio.current_time() - cancelled_at <= 3
    for meter in meters:
        assert meter.released
        work = storage.work[meter.meter_id]
        assert (work.token, work.failures) == (None, 0)


async def test_cancellation_does_not_wait_for_silent_meters_or_storage(
    autojump_clock: MockClock,
) -> None:
    storage, [meter] = fleet(1)
    meter.fault.hangs_before = lambda event: isinstance(event, GetRequested)
    async with collecting(storage, [meter]):
        await trio.sleep(2)
        storage.away = True
        cancelled_at = trio.current_time()
    assert trio.current_time() - cancelled_at <= 3 + 5
    assert storage.work[meter.meter_id].token is not None  # the lease ends by itself


async def test_meters_without_an_address_are_left_alone(autojump_clock: MockClock) -> None:
    storage, [meter] = fleet(1)
    known = storage.meters[meter.meter_id]
    storage.meters[meter.meter_id] = attrs.evolve(known, address=None, port=None)
    async with collecting(storage, [meter]):
        await trio.sleep(100)
    assert meter.connections == 0
