"""Meters that dial in: who they are, who speaks first, one line each, at nobody else's cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

import hes_simulators as sim
from hes.domain.meters import Meter
from hes.domain.ports import SessionReport
from hes.domain.work import Read, ReadKind, WorkKind
from hes.storage.due_items import NewItem
from hes_collectors.dlms import InboundLimits
from hes_collectors.dlms.dialled import Dialled, dials_in
from hes_collectors.dlms.inbound import InboundServer
from hes_collectors.dlms.settler import settling
from hes_protocol.models import Model, parse_model
from hes_protocol.server import GetRequested
from hes_protocol.wrapper import WrapperFrame
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, notification, payload, wrapped
from tests.unit.hes_collectors.simulated import Fault, SimulatedMeter
from tests.unit.hes_collectors.support import context, wall_clock

PEER = "192.0.2.7"
OTHER = "192.0.2.8"
BEATING = parse_model(
    """
    name = "beating"
    maker = "m"
    source = "s"
    [[dial_in.heartbeat]]
    prefix = "0a020b"
    serial = [3, 11]
    answer = "da"
    """
)
WAITING = parse_model(
    'name = "waiting"\nmaker = "m"\nsource = "s"\n[dial_in]\nspeaks_first = "head_end"'
)
BEAT = WrapperFrame(1, 1, b"\x0a\x02\x0bHES00000001").to_octets()
BEAT_ANSWER = WrapperFrame(1, 1, b"\xda").to_octets()


class Line:
    """The meter's end of a connection that it has dialled."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.closed = trio.Event()
        self.closed_at = 0.0


class Setup:
    """A collector's inbound side on fakes, with meters that have no address."""

    def __init__(self, *meters: SimulatedMeter, model: Model | None = None, **changes: Any) -> None:
        self.storage = FakeStorage(wall_clock)
        self.storage.due.reads[1] = (Read(ReadKind.PROFILE),)
        limits = InboundLimits(**changes.pop("limits", {}))
        plain = context(self.storage, inbound=limits, **changes)
        self.context = attrs.evolve(plain, models={} if model is None else {model.name: model})
        for meter in meters:
            self.add(meter, model=None if model is None else model.name)

    def add(self, meter: SimulatedMeter, **changes: Any) -> Meter:
        known = attrs.evolve(meter.inventory(), **({"address": None, "port": None} | changes))
        self.storage.add_meter(known, meter.secrets())
        self.storage.own_counters[known.meter_id] = 0
        return known

    def add_item(self, meter: SimulatedMeter) -> None:
        """One run of a plan that reads its profiles."""
        now, hour = wall_clock(), timedelta(hours=1)
        assert self.storage.due.add(
            [
                NewItem(
                    meter.meter_id,
                    WorkKind.PLAN,
                    now,
                    now + hour / 4,  # its own turn within the run comes later
                    now + hour / 2,
                    now + hour,
                    plan_id=1,
                    zone="UTC",
                )
            ]
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with settling(self.context) as settler, trio.open_nursery() as nursery:
            self.nursery = nursery
            self.dialled = Dialled(self.context, settler)
            nursery.start_soon(self.dialled.run)
            self.server = InboundServer(self.context, self.dialled)
            yield
            nursery.cancel_scope.cancel()

    def connect(self, peer: str = PEER) -> Line:
        ours, theirs = memory_stream_pair()
        line = Line(ours)

        async def serve() -> None:
            await self.server.serve(theirs, ip_address(peer))
            line.closed_at = trio.current_time()
            line.closed.set()

        self.nursery.start_soon(serve)
        return line

    async def dial(self, meter: SimulatedMeter, greeting: bytes = b"", peer: str = PEER) -> Line:
        """A meter calls, perhaps says something, and answers from then on."""
        line = self.connect(peer)
        if greeting:
            await line.stream.send_all(greeting)
        self.nursery.start_soon(meter.serve, line.stream)
        return line

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.storage.events]

    @property
    def rows(self) -> int:
        """How many instants of profiles are stored."""
        return len({at for channel, at in self.storage.values if channel.source is not None})

    @property
    def sessions(self) -> list[SessionReport]:
        """Those in which we have asked."""
        return [report for report in self.storage.reports if report.octets_out]

    async def read(self, count: int = 1) -> None:
        """Wait until so many sessions have ended well."""
        await until(lambda: sum(one.cause is None for one in self.sessions) >= count)

    def unharmed(self, meter: SimulatedMeter) -> bool:
        """Whether nothing is held against a meter, and all that was due is."""
        due, meter_id = self.storage.due, meter.meter_id
        work = due.work[meter_id]
        return (
            (work.failures, work.rests_until) == (0, None)
            and meter_id not in due.quarantined
            and work.token is None
        )


async def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - fakes tell nobody
            await trio.sleep(0.1)


def hello(meter: SimulatedMeter, counter: int = 7, *, ak: bytes | None = None) -> bytes:
    """A ciphered push with values; it says who the meter is, and proves it."""
    secrets, title = meter.secrets(), meter.meter.identity.system_title
    assert secrets.ek is not None
    assert secrets.ak is not None
    return wrapped(ciphered(counter, ek=secrets.ek, ak=ak or secrets.ak, title=title))


# --- who speaks first, who it is ------------------------------------------------------------------


async def test_a_meter_that_says_who_it_is_is_read_over_its_own_connection(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await setup.read()
        assert trio.current_time() < 5  # before a silent one would have been asked
        assert setup.rows == len(meter.truth())
        for count in (2, 3):
            await trio.sleep(500)
            setup.add_item(meter)
            await setup.read(count)
        assert setup.rows >= 97
        assert (meter.connections, len(setup.dialled)) == (1, 1)
        assert not line.closed.is_set()
        await line.stream.aclose()
        await line.closed.wait()
        assert len(setup.dialled) == 0
    assert setup.codes == []
    assert all(report.inbound for report in setup.sessions)


@pytest.mark.parametrize("security", [sim.Security.GMAC, sim.Security.SHA256, sim.Security.NONE])
@pytest.mark.parametrize("hdlc", [False, True])
async def test_a_silent_meter_is_asked_who_it_is(
    security: sim.Security, hdlc: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(security=security, hdlc=hdlc)
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter)
        await setup.read()
        assert trio.current_time() >= 5
        assert setup.rows == len(meter.truth())
        await trio.sleep(100)
        assert not line.closed.is_set()
    assert setup.codes == []


async def test_a_meter_whose_model_waits_is_spoken_to_at_once_on_its_line(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(model=WAITING)
    setup.add(meter, model="waiting", peer=PEER)
    async with setup.at_work():
        await setup.dial(meter)
        await setup.read()
        assert trio.current_time() < 5
    assert setup.rows == len(meter.truth())


async def test_heartbeats_are_answered_as_the_model_says_and_disturb_no_session(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter, model=BEATING)
    async with setup.at_work():
        line = setup.connect()
        for _ in range(3):
            await line.stream.send_all(BEAT)
            assert await line.stream.receive_some() == BEAT_ANSWER
        # One more comes in front of each answer of the session that follows.
        answered: list[bytes] = []
        beating = _Beating(line.stream, answered)
        setup.nursery.start_soon(meter.serve, beating)
        await setup.read()
        assert setup.rows == len(meter.truth())
        assert answered == [BEAT_ANSWER] * beating.beats
        assert beating.beats > 5
    assert setup.codes == []
    assert setup.context.metrics.inbound_frames.labels("malformed")._value.get() == 0


class _Beating(trio.abc.Stream):
    """A meter's stream that beats before whatever it sends, and keeps what answers that."""

    def __init__(self, inner: trio.abc.Stream, answered: list[bytes]) -> None:
        self._inner, self._answered = inner, answered
        self.beats = 0

    async def send_all(self, data: Any) -> None:
        self.beats += 1
        await self._inner.send_all(BEAT + bytes(data))

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            data = bytes(await self._inner.receive_some(max_bytes))
            while data.startswith(BEAT_ANSWER):
                self._answered.append(BEAT_ANSWER)
                data = data[len(BEAT_ANSWER) :]
            if data or not self._answered:
                return data

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_octets_one_by_one_give_the_same_result(autojump_clock: MockClock) -> None:
    """Row 4, on the connection that a meter has dialled."""
    meter = SimulatedMeter.of()
    meter.fault = Fault(slice_octets=1)
    setup = Setup(meter)
    async with setup.at_work():
        line = setup.connect()
        for octet in hello(meter):
            await line.stream.send_all(bytes((octet,)))
        setup.nursery.start_soon(meter.serve, line.stream)
        await setup.read()
    assert setup.rows == len(meter.truth())


async def test_a_push_around_a_session_is_neither_cut_nor_lost(autojump_clock: MockClock) -> None:
    """A turn waits until a message is whole; what follows the release in its octets is read on."""
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    late = hello(meter, 2000)

    class Pushing(_Beating):
        """Sends the first half of a push with the answer to RLRQ."""

        async def send_all(self, data: Any) -> None:
            await self._inner.send_all(bytes(data) + (late[:30] if meter.released else b""))

    async with setup.at_work():
        line = setup.connect()
        await line.stream.send_all(hello(meter)[:30])
        await trio.sleep(3)
        assert setup.storage.calls["take_dialled"] == 0
        await line.stream.send_all(hello(meter)[30:])
        setup.nursery.start_soon(meter.serve, Pushing(line.stream, []))
        await setup.read()
        await trio.sleep(3)
        assert not line.closed.is_set()
        receipts = len(setup.storage.receipts)
        await line.stream.send_all(late[30:])
        await until(lambda: len(setup.storage.receipts) == receipts + 1)
    assert setup.codes == []


# --- identity: a title and a valid tag ------------------------------------------------------------


async def test_a_forged_or_repeated_push_proves_nothing(autojump_clock: MockClock) -> None:
    """Rows 13 and 14: no lease is taken, no counter moves, nobody is spoken to."""
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        for octets in (hello(meter, 2**31, ak=bytes(16)), hello(meter, 5), hello(meter, 5)):
            line = setup.connect()
            await line.stream.send_all(octets)
            await wait_all_tasks_blocked()
            if octets == hello(meter, 5):
                await line.stream.aclose()
            else:
                await trio.sleep(10)
                assert setup.storage.calls["take_dialled"] == 0
                assert setup.storage.accepted == {}
            await trio.sleep(10)
        assert setup.codes == ["tag-mismatch", "counter-replayed"]
        assert setup.storage.accepted == {meter.meter_id: 5}
    assert setup.unharmed(meter)


async def test_who_only_claims_to_be_a_meter_costs_it_nothing(autojump_clock: MockClock) -> None:
    """It shows the meter's name to the public client, and does not know its keys."""
    meter, impostor = SimulatedMeter.of(), SimulatedMeter.of()
    secrets = attrs.evolve(meter.secrets(), ek=bytes(16), ak=bytes(range(16)))
    setup = Setup(meter)
    setup.storage.secrets[meter.meter_id] = secrets  # so the simulated one is the impostor
    async with setup.at_work():
        line = await setup.dial(impostor)
        await line.closed.wait()
        assert setup.codes == ["dial-in-unproven"]
        assert setup.storage.events[0].peer == PEER
        await trio.sleep(1)
        assert setup.unharmed(meter)
        assert setup.sessions == []  # nothing of it is kept
        taken = setup.storage.calls["release"]
        # From there nobody is believed for a while, longer each time; from elsewhere at once.
        line = await setup.dial(impostor)
        await trio.sleep(20)
        assert setup.storage.calls["release"] == taken
        await setup.dial(impostor, peer=OTHER)
        await until(lambda: setup.storage.calls["release"] == taken + 1)
        setup.storage.secrets[meter.meter_id] = meter.secrets()
        await setup.dial(meter, hello(meter), peer="192.0.2.9")
        await setup.read()
    assert setup.rows == len(meter.truth())


async def test_who_claims_to_be_one_meter_after_the_other_is_not_listened_to(
    autojump_clock: MockClock,
) -> None:
    meters = [SimulatedMeter.of(index) for index in range(14)]
    setup = Setup(*meters)
    for meter in meters:
        setup.storage.secrets[meter.meter_id] = attrs.evolve(meter.secrets(), ek=bytes(16))
    async with setup.at_work():
        for meter in meters:
            await setup.dial(meter)
            await trio.sleep(1)
        await trio.sleep(20)
        assert setup.codes == ["dial-in-unproven"] * 11
        # From elsewhere it may still be the meter.
        setup.storage.secrets[meters[-1].meter_id] = meters[-1].secrets()
        await setup.dial(meters[-1], peer=OTHER)
        await setup.read()


async def test_who_waits_for_a_line_that_another_holds_does_not_wait_for_ever(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter, limits={"idle_s": 100})
    async with setup.at_work():
        first = await setup.dial(meter, hello(meter, 900))
        await setup.read()
        second = await setup.dial(meter, peer=OTHER)
        await second.closed.wait()
        assert 100 <= second.closed_at <= 130
        assert not first.closed.is_set()


async def test_a_line_with_a_valid_tag_takes_the_place_of_another_and_no_other_does(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        first = await setup.dial(meter, hello(meter, 900))
        await setup.read(1)
        # Who says nothing but the name waits.
        contender = await setup.dial(meter, peer=OTHER)
        await trio.sleep(60)
        setup.add_item(meter)
        await setup.read(2)
        assert not first.closed.is_set()
        assert len(setup.dialled) == 1
        # Who has the keys does not.
        third = await setup.dial(meter, hello(meter, 901), peer=OTHER)
        await first.closed.wait()
        setup.add_item(meter)
        await setup.read(3)
        assert not third.closed.is_set()
        # Once that has ended, the one who waited has its turn, and proves itself by HLS.
        await third.stream.aclose()
        await trio.sleep(60)
        setup.add_item(meter)
        await setup.read(4)
        assert not contender.closed.is_set()
        assert len(setup.dialled) == 1
    assert setup.codes == []


async def test_a_session_on_a_line_that_is_replaced_gives_its_lease_back(
    autojump_clock: MockClock,
) -> None:
    """Row 2: the network has gone under a session; the meter has called again already."""
    meter = SimulatedMeter.of()
    meter.fault = Fault(hangs_before=lambda event: isinstance(event, GetRequested))
    setup = Setup(meter)
    async with setup.at_work():
        first = await setup.dial(meter, hello(meter, 900))
        await until(lambda: meter.gets(8) != [])
        meter.fault = Fault()
        await setup.dial(meter, hello(meter, 901))
        await first.closed.wait()
        await setup.read()
        assert trio.current_time() < 10
    assert setup.rows == len(meter.truth())
    assert setup.unharmed(meter)


async def test_a_password_goes_only_over_the_configured_line(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of(security=sim.Security.LLS)
    setup = Setup()
    setup.add(meter, peer="192.0.2.0/29")
    async with setup.at_work():
        stranger = SimulatedMeter.of(security=sim.Security.LLS)
        await setup.dial(stranger, peer="192.0.2.8")
        await trio.sleep(60)
        assert setup.storage.calls["take_dialled"] == 0
        await setup.dial(meter, peer="192.0.2.7")
        await setup.read()
    assert setup.rows == len(meter.truth())


# --- who is not spoken to -------------------------------------------------------------------------


def test_who_dials_in_is_for_the_model_to_say_and_else_who_has_no_address() -> None:
    known = SimulatedMeter.of().inventory()
    caller = attrs.evolve(known, address=None, port=None)
    pushing = parse_model(
        'name = "p"\nmaker = "m"\nsource = "s"\n[meter]\nlistens = false\n[client.c]\nsap = 1\n'
    )
    assert not dials_in(known, None)
    assert dials_in(caller, None)
    assert not dials_in(caller, pushing)
    assert dials_in(known, WAITING)


async def test_a_meter_that_only_pushes_and_one_with_an_address_are_not_spoken_to(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup()
    setup.add(meter, address="127.16.0.1", port=4059)
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await trio.sleep(60)
        assert (meter.events, setup.storage.calls["take_dialled"]) == ([], 0)
        assert not line.closed.is_set()


async def test_who_begins_to_speak_late_is_heard_and_not_asked_again(
    autojump_clock: MockClock,
) -> None:
    """A push that comes while we ask is stored as any other."""
    meter = SimulatedMeter.of()
    setup = Setup()
    setup.add(meter, address="127.16.0.1", port=4059)
    async with setup.at_work():
        line = setup.connect()
        await trio.sleep(6)
        assert (await line.stream.receive_some()).startswith(b"\0\x01\0\x10")  # public client
        await line.stream.send_all(hello(meter))
        await until(lambda: len(setup.storage.receipts) == 1)
        await trio.sleep(60)
        assert not line.closed.is_set()
    assert setup.context.metrics.inbound_frames.labels("malformed")._value.get() == 0


async def test_nobody_at_the_other_end_is_given_up_soon(autojump_clock: MockClock) -> None:
    """Half-open, row 2: no more than the two questions."""
    setup = Setup()
    async with setup.at_work():
        line = setup.connect()
        await line.closed.wait()
        assert 25 <= line.closed_at <= 30


async def test_a_meter_that_hangs_in_a_session_loses_its_line_at_the_deadline(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    meter.fault = Fault(hangs_before=lambda event: isinstance(event, GetRequested))
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await line.closed.wait()
        assert line.closed_at < setup.context.settings.deadlines.request_s + 10
        await trio.sleep(1)
        [report] = setup.sessions
        assert (report.cause, report.inbound) == ("deadline-exceeded", True)
        assert setup.storage.due.work[meter.meter_id].failures == 1  # it was the meter


async def test_so_many_sessions_run_at_once_and_no_more(autojump_clock: MockClock) -> None:
    """Row 40: all have called, they are read as there is room."""
    meters = [SimulatedMeter.of(index) for index in range(12)]
    setup = Setup(*meters, max_sessions=3)
    most = 0
    async with setup.at_work():
        for meter in meters:
            await setup.dial(meter, hello(meter), peer=f"192.0.2.{meter.meter.identity.index}")
        while len({one.meter_id for one in setup.sessions}) < len(meters):
            most = max(most, setup.dialled.running)
            await trio.sleep(0.05)
        assert trio.current_time() < 60
    assert most <= 3
    assert setup.rows == len(meters[0].truth())


async def test_lines_are_asked_for_by_turns(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, each query is about so many; who has waited longest comes first."""
    monkeypatch.setattr("hes_collectors.dlms.dialled._ASKED_AT_ONCE", 2)
    meters = [SimulatedMeter.of(index) for index in range(5)]
    setup = Setup(*meters)
    async with setup.at_work():
        for meter in meters:
            await setup.dial(meter, hello(meter), peer=f"192.0.2.{meter.meter.identity.index}")
        await setup.read(5)
        for meter in meters:
            setup.add_item(meter)
        before = trio.current_time()
        await setup.read(10)
        assert trio.current_time() - before < 10
    assert len({report.meter_id for report in setup.sessions}) == 5


async def test_cancellation_gives_leases_back_and_releases_the_meter(
    autojump_clock: MockClock,
) -> None:
    meter, waiting = SimulatedMeter.of(0), SimulatedMeter.of(1)
    meter.fault = Fault(hangs_before=lambda event: isinstance(event, GetRequested))
    setup = Setup(meter, waiting)
    async with setup.at_work():
        await setup.dial(meter, hello(meter))
        await until(lambda: meter.gets(8) != [])
    assert all(work.token is None for work in setup.storage.due.work.values())


async def test_while_storage_is_away_lines_stand_and_nobody_is_asked(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await setup.read()
        setup.storage.away = True
        await trio.sleep(300)
        events = len(meter.events)
        setup.storage.away = False
        setup.add_item(meter)
        await setup.read(2)
        assert len(meter.events) > events
        assert not line.closed.is_set()


async def test_a_plain_greeting_of_a_stricter_meter_is_an_event_and_a_claim(
    autojump_clock: MockClock,
) -> None:
    """Row 21: nothing is stored of it; who it is, HLS shows."""
    meter = SimulatedMeter.of()
    setup = Setup(meter)
    async with setup.at_work():
        await setup.dial(meter, wrapped(notification(payload())))
        await setup.read()
    assert setup.codes == ["policy-violated"]
    assert setup.rows == len(meter.truth())


async def test_who_is_there_is_told_to_presence(autojump_clock: MockClock) -> None:
    class Told:
        def __init__(self) -> None:
            self.here_at: list[set[UUID]] = []

        def here(self, meter_ids: Any, *, ttl_s: float) -> None:
            self.here_at.append(set(meter_ids))

    meter = SimulatedMeter.of()
    setup = Setup(meter)
    told = Told()
    setup.context = attrs.evolve(
        setup.context, ports=attrs.evolve(setup.context.ports, presence=told)
    )
    async with setup.at_work():
        line = await setup.dial(meter, hello(meter))
        await trio.sleep(100)
        assert told.here_at[0] == {meter.meter_id}
        with suppress(trio.BrokenResourceError):
            await line.stream.aclose()
        await trio.sleep(35)
        count = len(told.here_at)
        await trio.sleep(100)
        assert len(told.here_at) == count
