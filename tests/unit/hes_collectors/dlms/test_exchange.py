"""What an exchange sends of its own over HDLC, and when it sends nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

import hes_simulators as sim
from hes.domain.errors import LeaseLostError
from hes.domain.meters import Association, Secrets
from hes_collectors.dlms import CollectorSettings
from hes_collectors.dlms.association import client_for
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.gate import LeaseGuard, StorageGate
from hes_collectors.dlms.links import link_for
from hes_collectors.dlms.session import Session
from hes_protocol.client import Associate
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, HdlcReceiver
from hes_protocol.quirks import STANDARD
from hes_protocol.server import GetRequested, ServerEvent
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock

PUBLIC, SERVER = HdlcAddress(16), HdlcAddress(1)
LEASE_S = 4.0

Pair = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


def frame(kind: ControlKind, receive_sequence: int = 0) -> bytes:
    control = Control(kind, receive_sequence=receive_sequence)
    return HdlcFrame(PUBLIC, SERVER, control).to_octets()


def kinds(octets: bytes) -> list[ControlKind]:
    receiver = HdlcReceiver()
    receiver.receive_data(octets)
    found = []
    while (heard := receiver.next_frame()) is not None:
        found.append(heard.control.kind)
    return found


def public_exchange(stream: trio.abc.Stream) -> Exchange:
    async def nowhere(*_: object) -> trio.abc.Stream:
        raise AssertionError

    meter = attrs.evolve(
        SimulatedMeter.of(security=sim.Security.NONE, hdlc=True).inventory(),
        association=Association(client_sap=16),
    )
    surroundings = context(FakeStorage(wall_clock), nowhere)
    link = link_for(meter, STANDARD)
    counters = OwnCounters(surroundings, meter, needed=False)
    return Exchange(
        stream,
        link,
        client_for(surroundings, meter, Secrets(), None, counters, link),
        counters,
        LeaseGuard(trio.current_time() + LEASE_S, StorageGate()),
        60.0,
        100_000,
        lambda *_: None,
    )


async def hear(stream: Pair) -> list[ControlKind]:
    return kinds(bytes(await stream.receive_some(65_536)))


@pytest.mark.parametrize(
    ("answers_after_s", "said"), [(1.0, [ControlKind.I]), (LEASE_S, []), (LEASE_S + 0.5, [])]
)
async def test_no_frame_of_an_apdu_is_sent_again_after_the_lease(
    answers_after_s: float, said: list[ControlKind], autojump_clock: MockClock
) -> None:
    """The meter has not heard the AARQ and says so (RR): it is sent again only under the lease."""
    ours, theirs = memory_stream_pair()
    lost: list[BaseException] = []

    async def associate() -> None:
        try:
            await public_exchange(ours).ask(Associate())
        except LeaseLostError as error:
            lost.append(error)
        await ours.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(associate)
        assert await hear(theirs) == [ControlKind.SNRM]
        await theirs.send_all(frame(ControlKind.UA))
        assert await hear(theirs) == [ControlKind.I]
        await trio.sleep(answers_after_s)
        await theirs.send_all(frame(ControlKind.RR))
        assert await hear(theirs) == said
        assert bool(lost) is not bool(said)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("lease_lost", [False, True])
async def test_a_link_is_given_up_only_under_the_lease(
    lease_lost: bool, autojump_clock: MockClock
) -> None:
    ours, theirs = memory_stream_pair()
    exchange = public_exchange(ours)

    async def talk() -> None:
        with trio.move_on_after(1):
            await exchange.ask(Associate())
        await trio.sleep(LEASE_S if lease_lost else 0)
        await exchange.hang_up()
        await ours.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        assert await hear(theirs) == [ControlKind.SNRM]
        await theirs.send_all(frame(ControlKind.UA))
        assert await hear(theirs) == [ControlKind.I]
        assert await hear(theirs) == ([] if lease_lost else [ControlKind.DISC])
        if not lease_lost:
            begun = trio.current_time()
            await theirs.send_all(frame(ControlKind.UA))
            assert await hear(theirs) == []  # its answer is the end
            assert trio.current_time() == begun


class Tapped(trio.abc.Stream):
    """A stream that keeps what is sent."""

    def __init__(self, inner: trio.abc.Stream, sent: bytearray) -> None:
        self._inner = inner
        self._sent = sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._sent += data
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _hangs_at(request: type[ServerEvent]) -> Callable[[ServerEvent], bool]:
    return lambda event: isinstance(event, request)


@pytest.mark.parametrize(
    ("ending", "hangs_before"),
    [
        ("refused", lambda _: False),
        ("silent", _hangs_at(GetRequested)),
        ("cancelled", _hangs_at(GetRequested)),
        ("done", lambda _: False),
    ],
)
async def test_however_a_session_ends_its_links_are_given_up(
    ending: str, hangs_before: Callable[[ServerEvent], bool], autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(hdlc=True)
    meter.fault.hangs_before = hangs_before
    secrets = Secrets(ek=bytes(16), ak=bytes(16)) if ending == "refused" else meter.secrets()
    storage = FakeStorage(wall_clock)
    storage.add_meter(meter.inventory(), secrets)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    sent: list[bytearray] = []
    async with network(meter) as reached:

        async def connect(host: str, port: int, settings: CollectorSettings) -> trio.abc.Stream:
            sent.append(bytearray())
            return Tapped(await reached.connect(host, port, settings), sent[-1])

        with trio.move_on_after(1 if ending == "cancelled" else 1000):
            await Session(context(storage, connect), lease, 180).run()
    # The public client's, then the session's.
    assert len(sent) == (1 if ending == "cancelled" else 2)
    for octets in sent:
        said = kinds(bytes(octets))
        assert ControlKind.DISC in said
        assert set(said[said.index(ControlKind.DISC) :]) == {ControlKind.DISC}
