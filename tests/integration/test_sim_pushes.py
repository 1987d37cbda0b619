"""What meters send unasked, over real sockets: forms, dialling in, and heads that are away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from hes_collectors.dlms.framing import Message, framer_for
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import Attribute, CaptureObject, CosemDateTime, Obis
from hes_protocol.hdlc import HdlcAddress, HdlcLink
from hes_protocol.models import ModelPush, PushForm, Transport
from hes_protocol.push import Push, read_push
from hes_protocol.security.control import Protection
from hes_protocol.security.suite0 import SuiteKeys, protect, unprotect
from hes_protocol.server import SetRequested
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import Ciphered, DataNotification, decode_apdu
from hes_protocol.xdlms.ciphered import GENERAL_GLO
from hes_protocol.xdlms.notification import DataNotificationConfirm
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators import Fleet, FleetSettings, Meter, MeterNetwork, Security
from hes_simulators.meter import DuePush, microseconds
from hes_simulators.reach import DialIn, Greeting, Reach, Target
from hes_simulators.scenario.pace import AcceleratedPace
from hes_simulators.scenario.population import District, Group, Population
from hes_simulators.state import Cut
from hes_simulators.tls import CertificateFolder
from hes_simulators.truth.journal import ListJournal
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
NETWORK = MeterNetwork(IPv4Network("127.52.0.0/16"))
CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
NAME = CaptureObject(1, Obis.parse("0.0.42.0.0.255"), 2)
IMPORT = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
EXPORT = CaptureObject(3, Obis.parse("1.0.2.8.0.255"), 2)
PLAIN, SEALED = Protection.PLAIN, Protection.AUTHENTICATED_ENCRYPTED


def setup_of(**changes: Any) -> ModelPush:
    defaults: dict[str, Any] = {
        "obis": Obis.parse("0.4.25.9.0.255"),
        "objects": (NAME, IMPORT, EXPORT),
        "form": PushForm.NAMED,
    }
    return ModelPush(**(defaults | changes))


@attrs.define
class Heard:
    """One message that a head-end has taken, and where from."""

    peer: str
    message: Message
    stream: trio.abc.Stream | None = attrs.field(default=None, repr=False)


class HeadEnd:
    """
    Listens as the collector does, framing by its own code, and keeps what it hears.

    `on_message` may answer; `takes` may be turned off.
    """

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self.on_message: Callable[[Heard], Awaitable[None]] | None = None
        self.on_connect: Callable[[trio.abc.Stream], Awaitable[None]] | None = None

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port)

    async def serve(self, stream: trio.SocketStream) -> None:
        peer = stream.socket.getpeername()[0]
        self.connections += 1
        self.open += 1
        try:
            await self._serve(stream, peer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, peer: str) -> None:
        if self.on_connect is not None:
            await self.on_connect(stream)
            return
        framer = None
        while data := bytes(await stream.receive_some(4096)):
            framer = framer or framer_for(data[0], InboundLimits())
            framer.receive_data(data)
            while (message := framer.next_message()) is not None:
                heard = Heard(peer, message, stream)
                self.heard.append(heard)
                if self.on_message is not None:
                    await self.on_message(heard)
        assert framer is None or not framer.pending

    async def until(self, count: int, seconds: float = 20) -> list[Heard]:
        with trio.fail_after(seconds):
            while len(self.heard) < count:  # noqa: ASYNC110 - sockets tell it
                await trio.sleep(0.005)
        return self.heard


@asynccontextmanager
async def at_work(
    reach: Callable[[Target], Reach], head_end: HeadEnd | None = None, **changes: Any
) -> AsyncIterator[tuple[Fleet, HeadEnd]]:
    """A head-end that listens and a fleet that knows where."""
    head_end = HeadEnd() if head_end is None else head_end
    arguments = {name: changes.pop(name) for name in ("journal", "pace") if name in changes}
    defaults: dict[str, Any] = {"meters": 3, "port": 0, "profile_days": 2, "network": NETWORK}
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        head_end.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, head_end.serve, listeners)
        settings = FleetSettings(**(defaults | changes), reach=reach(head_end.target))
        fleet = Fleet(settings, start_number=1, now=lambda: NOW, **arguments)
        await nursery.start(fleet.serve)
        yield fleet, head_end
        nursery.cancel_scope.cancel()


def pushing(target: Target) -> Reach:
    return Reach(push_to=target)


def dialling(**changes: Any) -> Callable[[Target], Reach]:
    return lambda target: Reach(
        listens=False, dial_in=DialIn(target=target, spread_s=0.05, reconnect_s=0.05, **changes)
    )


def opened(heard: Heard, meter: Meter) -> DataNotification:
    """What a message says; its tag is right if it has one."""
    apdu = decode_apdu(heard.message.apdu)
    if isinstance(apdu, Ciphered):
        assert (apdu.tag, apdu.system_title) == (GENERAL_GLO, meter.identity.system_title)
        keys = SuiteKeys(meter.identity.encryption_key, meter.identity.authentication_key)
        assert apdu.system_title is not None
        apdu = decode_apdu(unprotect(keys, apdu.system_title, apdu.content).plaintext)
    assert isinstance(apdu, DataNotification)
    return apdu


def said(notification: DataNotification) -> Push:
    """As the collector reads it."""
    clock = notification.date_time and CosemDateTime.from_octets(notification.date_time)
    return read_push(notification.body, clock or None)


def utc(moment: CosemDateTime | None) -> datetime:
    assert moment is not None
    told = moment.isoformat()
    assert told is not None
    return datetime.fromisoformat(told).astimezone(UTC)


def held(meter: Meter, quantity: str) -> int:
    """What a register really holds now."""
    return int(meter.totals(quantity, np.array([microseconds(NOW)]))[0])


def values(push: Push) -> dict[str, Any]:
    return {str(value.obis): value.data.value for value in push.values}


async def settled(fleet: Fleet, **wanted: int) -> None:
    """Until the fleet has counted so much."""
    with trio.fail_after(20):
        while any(  # noqa: ASYNC110 - sockets tell it
            getattr(fleet.counters, name) < count for name, count in wanted.items()
        ):
            await trio.sleep(0.005)


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [Transport.WRAPPER, Transport.HDLC, Transport.MBUS])
@pytest.mark.parametrize("protection", [PLAIN, SEALED])
@pytest.mark.parametrize("copies", [1, 40], ids=["short", "long"])
async def test_a_push_in_each_frame_says_what_the_meter_holds(
    transport: Transport, protection: Protection, copies: int
) -> None:
    """Long ones come in HDLC segments, M-Bus pieces."""
    setup = setup_of(
        transport=transport, protection=protection, objects=(NAME, *(IMPORT, EXPORT) * copies)
    )
    async with at_work(pushing) as (fleet, head_end):
        fleet.push(1, setup)
        [heard] = await head_end.until(1)
        meter = fleet.meter(1)
        assert heard.peer == "127.52.0.2"  # it calls from its own address
        if copies > 1 and transport is not Transport.WRAPPER:
            assert len(heard.message.frames) > len(heard.message.apdu) + 20
        push = said(opened(heard, meter))
        assert values(push) == {
            "0.0.42.0.0.255": b"HES00000002",
            "1.0.1.8.0.255": held(meter, "import_wh"),
            "1.0.2.8.0.255": held(meter, "export_wh"),
        }
        assert utc(push.captured_at) == NOW  # by the notification's own date-time
        await settled(fleet, pushes_sent=1)


@pytest.mark.parametrize("form", list(PushForm))
async def test_each_form_is_read_by_its_shape(form: PushForm) -> None:
    own = CaptureObject(40, Obis.parse("0.4.25.9.0.255"), 2)
    objects = (own, CLOCK, NAME, IMPORT) if form is PushForm.DESCRIBED else (CLOCK, NAME, IMPORT)
    setup = setup_of(form=form, objects=objects)
    async with at_work(pushing) as (fleet, head_end):
        fleet.push(0, setup)
        [heard] = await head_end.until(1)
        notification = opened(heard, fleet.meter(0))
        assert notification.date_time is None  # the clock is among the values
        push = said(notification)
        energy = held(fleet.meter(0), "import_wh")
        by_name = values(push)
        if form is PushForm.BARE:  # nothing has a name
            assert energy in [value.data.value for value in push.values]
        else:
            assert by_name["1.0.1.8.0.255"] == energy
            if form is not PushForm.FLAT_SCALED:  # there only registers are named
                assert by_name["0.0.42.0.0.255"] == b"HES00000001"
        assert utc(push.captured_at) == NOW


async def test_a_push_says_what_a_client_has_told_it_to_say() -> None:
    async with at_work(pushing, model="idis-single-phase") as (fleet, head_end):
        meter = fleet.meter(0)
        setup = meter.kind.model.pushes[0]
        wanted = Attribute(40, setup.obis, 2)
        objects = array(*(one.to_data() for one in (CLOCK, EXPORT)))
        request = SetRequested(1, wanted, objects, None, meter.kind.main_client.sap)
        assert meter.set(request).result is DataAccessResult.SUCCESS
        fleet.push(0, attrs.evolve(setup, window_s=0))
        [heard] = await head_end.until(1)
        told = opened(heard, meter).body.value
        assert [value.value for value in told[1:]] == [held(meter, "export_wh")]


async def test_a_push_goes_where_a_client_has_turned_it() -> None:
    """Two head-ends: the fleet's own hears no more of that push, and all of the other one."""
    other = HeadEnd()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        other.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, other.serve, listeners)
        allowed = (other.target,)
        async with at_work(pushing, model="idis-single-phase", destinations=allowed) as (
            fleet,
            own,
        ):
            turned, straight = fleet.meter(1).kind.model.pushes[:2]
            enum = DataTag.ENUM
            where = Data(DataTag.OCTET_STRING, str(other.target).encode())
            data = structure(Data(enum, 0), where, Data(enum, 0))
            sap = fleet.kind.main_client.sap
            request = SetRequested(1, Attribute(40, turned.obis, 3), data, None, sap)
            assert fleet.meter(1).set(request).result is DataAccessResult.SUCCESS
            for setup in (turned, straight):
                fleet.push(1, attrs.evolve(setup, window_s=0))
            await other.until(1)
            await own.until(1)
            await settled(fleet, pushes_sent=2)
            assert (len(other.heard), len(own.heard)) == (1, 1)
        nursery.cancel_scope.cancel()


async def test_a_push_waits_for_its_window_and_a_last_gasp_does_not() -> None:
    async with at_work(pushing, model="idis-single-phase") as (fleet, head_end):
        waits, goes = fleet.meter(1).kind.model.pushes[:2]
        edges = [bytes.fromhex(f"ffffffffff{hour}0000ff8000ff") for hour in ("02", "03")]
        windows = array(structure(*(Data(DataTag.OCTET_STRING, edge) for edge in edges)))
        sap = fleet.kind.main_client.sap
        request = SetRequested(1, Attribute(40, waits.obis, 4), windows, None, sap)
        assert fleet.meter(1).set(request).result is DataAccessResult.SUCCESS
        for setup, reason in ((waits, ""), (waits, "power_down"), (goes, "")):
            fleet.push(1, attrs.evolve(setup, window_s=0), reason)
        await head_end.until(2)
        await trio.sleep(0.1)
        assert (len(head_end.heard), fleet.counters.pushes_sent) == (2, 2)


async def test_a_preamble_goes_first() -> None:
    text = Data(DataTag.VISIBLE_STRING, b"HES_V0001")
    async with at_work(pushing) as (fleet, head_end):
        for form in (PushForm.BARE, PushForm.FLAT):
            fleet.push(0, setup_of(form=form, preamble=text))
        for heard in await head_end.until(2):
            assert opened(heard, fleet.meter(0)).body.value[0] == text


async def test_invocation_counters_of_pushes_rise() -> None:
    setup = setup_of(protection=SEALED)
    async with at_work(pushing) as (fleet, head_end):
        for count in range(1, 6):
            fleet.push(0, setup)
            await head_end.until(count)
        counters, numbers = [], []
        for heard in head_end.heard:
            apdu = decode_apdu(heard.message.apdu)
            assert isinstance(apdu, Ciphered)
            counters.append(apdu.invocation_counter)
            numbers.append(opened(heard, fleet.meter(0)).long_invoke_id)
        assert counters == sorted(set(counters))
        assert numbers == [1, 2, 3, 4, 5]


async def test_a_push_by_datagram() -> None:
    journal = ListJournal()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as listening:
        await listening.bind(("127.0.0.1", 0))
        target = Target("127.0.0.1", listening.getsockname()[1])
        setup = setup_of(transport=Transport.UDP, protection=SEALED)
        async with at_work(lambda _: Reach(push_to=target), journal=journal) as (fleet, _):
            fleet.push(2, setup)
            with trio.fail_after(10):
                octets, (host, _port) = await listening.recvfrom(2000)
            frame = WrapperFrame.from_datagram(octets)
            heard = Heard(host, Message(frame.apdu, octets))
            assert host == "127.52.0.3"
            assert (frame.source, frame.destination) == (1, 1)
            assert values(said(opened(heard, fleet.meter(2))))["0.0.42.0.0.255"] == b"HES00000003"
            await settled(fleet, pushes_sent=1)
    [note] = journal.of("sent")
    assert note.serial == "HES00000003"
    assert note.facts["octets"] == len(octets)
    assert note.facts["outcome"] == "sent"


# --- when -----------------------------------------------------------------------------------------


async def test_periodic_pushes_come_on_their_grid_within_their_windows() -> None:
    """A day in half a minute: pushes each hour, those of a window spread over ten minutes."""
    journal = ListJournal()
    start = datetime(2026, 3, 1, 5, 59, tzinfo=UTC)
    pace = AcceleratedPace(start, 2880.0, ahead=True)
    hourly = setup_of(every_s=3600)
    spread = setup_of(every_s=3600, window_s=600, offset_s=60, obis=Obis.parse("0.5.25.9.0.255"))
    async with at_work(pushing, pace=pace, pushes=(hourly, spread), meters=8, journal=journal) as (
        fleet,
        head_end,
    ):
        await head_end.until(8 * 2 * 3)
        assert fleet.counters.pushes_dropped == 0
    late: dict[str, list[timedelta]] = {}
    for note in journal.of("sent"):
        into = timedelta(minutes=note.at.minute, seconds=note.at.second)
        late.setdefault(str(note.facts["push"]), []).append(into)
    assert max(late["0.4.25.9.0.255"]) < timedelta(minutes=25)  # half a second of ours
    assert min(late["0.5.25.9.0.255"]) >= timedelta(seconds=60)
    assert len({into // timedelta(seconds=30) for into in late["0.5.25.9.0.255"]}) > 4


async def test_a_meter_without_power_sends_its_last_gasp_and_no_more() -> None:
    async with at_work(pushing) as (fleet, head_end):
        fleet.meter(0).cut(Cut.OUTAGE, NOW)
        fleet.push(0, setup_of())
        fleet.push(0, setup_of(window_s=3600), "power_down")  # no time for a window
        fleet.push(1, setup_of())
        await head_end.until(2)
        await settled(fleet, pushes_sent=2, pushes_dropped=1)
        assert {heard.peer for heard in head_end.heard} == {"127.52.0.1", "127.52.0.2"}


async def test_what_a_meter_wants_to_send_is_taken_from_it() -> None:
    async with at_work(pushing) as (fleet, head_end):
        meter = fleet.meter(1)
        meter.pushes_due.append(DuePush(setup_of(), "cover_opened", NOW))
        meter.pushes_due.append(DuePush(setup_of(), "cover_closed", NOW))
        fleet.speaks_up(meter)
        assert not meter.pushes_due
        await head_end.until(2)


# --- confirmation and repetition ------------------------------------------------------------------


def confirming(meter: Meter, *, from_number: int = 1) -> Callable[[Heard], Awaitable[None]]:
    """Confirm pushes, the first few not, under the meter's keys where they came sealed."""
    seen = 0

    async def confirm(heard: Heard) -> None:
        nonlocal seen
        seen += 1
        if seen < from_number:
            return
        notification = opened(heard, meter)
        assert notification.confirmed
        apdu = DataNotificationConfirm(notification.long_invoke_id_and_priority).encode()
        if isinstance(decode_apdu(heard.message.apdu), Ciphered):
            keys = SuiteKeys(meter.identity.encryption_key, meter.identity.authentication_key)
            content = protect(keys, b"HESTEST1", SEALED, 10 + seen, apdu)
            apdu = Ciphered(GENERAL_GLO, content, b"HESTEST1").encode()
        assert heard.stream is not None
        await heard.stream.send_all(WrapperFrame(1, 1, apdu).to_octets())

    return confirm


@pytest.mark.parametrize("protection", [PLAIN, SEALED])
async def test_a_push_is_repeated_until_it_is_confirmed(protection: Protection) -> None:
    setup = setup_of(protection=protection, confirmed=True, retries=20, retry_delay_s=0.05)
    security = Security.GMAC if protection else Security.NONE
    async with at_work(pushing, security=security, push_timeout_s=1.0) as (fleet, head_end):
        head_end.on_message = confirming(fleet.meter(0), from_number=3)
        fleet.push(0, setup)
        await head_end.until(3)
        await settled(fleet, pushes_confirmed=1, pushes_sent=1)
        assert (fleet.counters.pushes_sent, fleet.counters.pushes_failed) == (1, 0)
        notifications = [opened(heard, fleet.meter(0)) for heard in head_end.heard]
        # Each repetition says the same, under an invocation counter of its own.
        assert len({notification.encode() for notification in notifications}) == 1
        frames = {heard.message.apdu for heard in head_end.heard}
        assert len(frames) == (len(head_end.heard) if protection else 1)


async def test_a_push_that_nobody_confirms_is_given_up() -> None:
    setup = setup_of(confirmed=True, retries=1, retry_delay_s=0.01)
    async with at_work(pushing, push_timeout_s=0.3) as (fleet, head_end):
        fleet.push(0, setup)
        await settled(fleet, pushes_failed=1)
        assert len(head_end.heard) == 2
        assert fleet.counters.pushes_sent == 0


async def test_nobody_at_home_holds_nobody_up() -> None:
    """A target that is away, one that takes nothing, and one that is well: all at once."""

    async def stuck(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    head_end, slow = HeadEnd(), HeadEnd()
    slow.on_connect = stuck
    with trio.socket.socket() as nobody:
        await nobody.bind(("127.0.0.1", 0))
        away = Target("127.0.0.1", nobody.getsockname()[1])
        async with trio.open_nursery() as nursery:
            for one in (head_end, slow):
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                one.port = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, one.serve, listeners)
            reaches = {
                "away": Reach(push_to=away),
                "slow": Reach(push_to=slow.target),
                "well": Reach(push_to=head_end.target),
            }
            groups = [
                Group(name=name, model="hes-household", count=200, reach=reach)
                for name, reach in reaches.items()
            ]
            population = Population(groups, [District(name="Town")], 1)
            settings = FleetSettings(
                population=population,
                network=NETWORK,
                port=0,
                max_pushes=150,
                push_timeout_s=5,
            )
            fleet = Fleet(settings, start_number=1, now=lambda: NOW)
            await nursery.start(fleet.serve)
            for index in range(200, 400):
                fleet.push(index, setup_of(confirmed=True))
            for index in range(200):
                fleet.push(index, setup_of())
            for index in range(400, 500):
                fleet.push(index, setup_of())
            began = trio.current_time()
            await head_end.until(100)
            await settled(fleet, pushes_failed=150)
            assert trio.current_time() - began < 5  # the slow ones are still waited for
            assert fleet.counters.pushes_sent == 100
            assert fleet.counters.pushes_dropped == 100  # 50 of each queue
            nursery.cancel_scope.cancel()


# --- meters that dial in --------------------------------------------------------------------------


async def test_meters_call_say_who_they_are_and_keep_the_connection() -> None:
    async with at_work(dialling(heartbeat_s=0.2), meters=20) as (fleet, head_end):
        await head_end.until(40)
        assert head_end.connections == 20
        assert fleet.counters.open_dials == 20
        assert {heard.peer for heard in head_end.heard} == {
            f"127.52.0.{number}" for number in range(1, 21)
        }
        for heard in head_end.heard:
            meter = fleet.meter(int(heard.peer.rpartition(".")[2]) - 1)
            identity = meter.identity.serial.encode()
            assert values(said(opened(heard, meter))) == {"0.0.42.0.0.255": identity}


async def test_a_silent_meter_is_read_over_its_connection_and_pushes_through_it() -> None:
    head_end = HeadEnd()
    names: list[bytes] = []
    pushed: list[Heard] = []

    async def ask(stream: trio.abc.Stream) -> None:
        with trio.move_on_after(0.3):
            assert await stream.receive_some(1) == "nothing"  # it says nothing unasked
        record = next(iter(fleet.meter_file()))
        assert record["address"] is None
        reader = Reader(record, stream)
        await reader.associate()
        name = await reader.get(1, "0.0.42.0.0.255", 2)
        assert isinstance(name, Data)
        names.append(bytes(name.value))
        fleet.push(0, setup_of(protection=SEALED))
        octets = bytes(await stream.receive_some(4096))
        pushed.append(Heard("", Message(WrapperFrame.from_datagram(octets).apdu, octets)))
        await reader.get(1, "0.0.42.0.0.255", 2)
        await trio.sleep_forever()

    head_end.on_connect = ask
    async with at_work(dialling(greeting=Greeting.SILENT), head_end, meters=1) as (fleet, _):
        with trio.fail_after(20):
            while not pushed:  # noqa: ASYNC110 - sockets tell it
                await trio.sleep(0.01)
        assert names == [b"HES00000001"]
        assert "1.0.1.8.0.255" in values(said(opened(pushed[0], fleet.meter(0))))
        assert head_end.connections == 1


async def test_a_meter_may_speak_hdlc_over_the_connection_that_it_dialled() -> None:
    head_end = HeadEnd()
    connected = trio.Event()

    async def set_up(stream: trio.abc.Stream) -> None:
        link = HdlcLink(HdlcAddress(1), HdlcAddress(1))
        await stream.send_all(link.connect())
        while not link.connected:
            link.receive_data(bytes(await stream.receive_some(4096)))
        connected.set()

    head_end.on_connect = set_up
    async with at_work(dialling(greeting=Greeting.SILENT), head_end, meters=1, hdlc=True):
        with trio.fail_after(10):
            await connected.wait()


async def test_who_loses_the_connection_calls_again() -> None:
    head_end = HeadEnd()

    async def hang_up(heard: Heard) -> None:
        if len(head_end.heard) <= 6:
            assert heard.stream is not None
            await trio.aclose_forcefully(heard.stream)

    head_end.on_message = hang_up
    async with at_work(dialling(), head_end, meters=3) as (fleet, _):
        await head_end.until(9)
        await settled(fleet, open_dials=3)
        assert fleet.counters.dials >= 9


async def test_calls_are_bounded_while_nobody_answers() -> None:
    """A hundred meters lose the head-end: they try, fewer and fewer, four at a time."""
    with trio.socket.socket() as nobody:
        await nobody.bind(("127.0.0.1", 0))
        target = Target("127.0.0.1", nobody.getsockname()[1])
        reach = Reach(dial_in=DialIn(target=target, spread_s=0.0, reconnect_s=0.2))
        settings = FleetSettings(
            meters=100, port=0, network=NETWORK, reach=reach, max_dials=4, profile_days=2
        )
        fleet = Fleet(settings, start_number=1, now=lambda: NOW)
        async with trio.open_nursery() as nursery:
            await nursery.start(fleet.serve)
            await settled(fleet, dials_failed=100)
            await trio.sleep(1.0)
            await settled(fleet, dials_failed=150)  # a busy machine may need longer
            nursery.cancel_scope.cancel()
    # Full jitter below 0.2, 0.4, 0.8 s …: about three more in a second, not twenty.
    assert fleet.counters.dials_failed < 800
    # No more are under way when it ends than may be.
    assert 0 <= fleet.counters.dials - fleet.counters.dials_failed <= settings.max_dials


async def test_a_dark_meter_hangs_up_and_calls_when_it_has_power_again() -> None:
    async with at_work(dialling(most_reconnect_s=0.3), meters=2) as (fleet, head_end):
        await head_end.until(2)
        fleet.meter(0).cut(Cut.OUTAGE, NOW)
        with trio.fail_after(10):
            while head_end.open != 1:  # noqa: ASYNC110 - sockets tell it
                await trio.sleep(0.01)
        await trio.sleep(0.5)
        assert head_end.connections == 2
        fleet.meter(0).restore(Cut.OUTAGE, NOW)
        await head_end.until(3)
        assert head_end.connections == 3


async def test_a_meter_calls_by_tls(tmp_path: Path) -> None:
    folder = CertificateFolder(tmp_path)
    context = folder.context(folder.issue("head-end", ()), server=True)
    heard: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        safe = trio.SSLStream(stream, context, server_side=True)
        heard.append(bytes(await safe.receive_some(4096)))
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        target = Target("127.0.0.1", listener.socket.getsockname()[1])
        reach = Reach(dial_in=DialIn(target=target, tls=True))
        settings = FleetSettings(
            meters=1, port=0, network=NETWORK, reach=reach, tls_folder=tmp_path, profile_days=2
        )
        fleet = Fleet(settings, start_number=1, now=lambda: NOW)
        await nursery.start(fleet.serve)
        with trio.fail_after(10):
            while not heard:  # noqa: ASYNC110 - sockets tell it
                await trio.sleep(0.01)
        message = Heard("", Message(WrapperFrame.from_datagram(heard[0]).apdu, heard[0]))
        assert values(said(opened(message, fleet.meter(0)))) == {"0.0.42.0.0.255": b"HES00000001"}
        nursery.cancel_scope.cancel()
