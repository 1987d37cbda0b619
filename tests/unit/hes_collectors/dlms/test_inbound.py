"""Connections from outside: what they may cost, and that one harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

from hes.domain.errors import OverloadedError
from hes.domain.meters import Mechanism, Policy
from hes.domain.ports import SessionOutcome
from hes_collectors.dlms import Context, InboundLimits
from hes_collectors.dlms.inbound import InboundServer, run_inbound
from hes_protocol.cosem import CosemDateTime
from hes_protocol.hdlc import ControlKind
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.pushes import ciphered, hdlc, notification, wrapped
from tests.unit.hes_collectors.support import (
    AK,
    EK,
    METER_ID,
    SECRETS,
    START,
    context,
    meter,
    wall_clock,
)

PEER = ip_address("192.0.2.7")
Stream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


class Setup:
    """A server on fakes, connections to it, and what it logged and counted."""

    def __init__(self, **limits: Any) -> None:
        self.storage = FakeStorage(wall_clock)
        self.storage.add_meter(meter(), SECRETS)
        self.context: Context = context(self.storage, inbound=InboundLimits(**limits))
        self.server = InboundServer(self.context)

    def frames(self, result: str) -> float:
        counter = self.context.metrics.inbound_frames
        return float(counter.labels(result)._value.get())

    @property
    def open_connections(self) -> float:
        return float(self.context.metrics.inbound_connections_open._value.get())

    async def send(self, *octets: bytes, peer: str = str(PEER)) -> None:
        """Connect, send all, close, and wait for the server to be done with it."""
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.server.serve, theirs, ip_address(peer))
            for part in octets:
                await ours.send_all(part)
            await ours.send_eof()


@contextmanager
def logs() -> Iterator[list[Any]]:
    """Log lines, with what contextvars bind to them."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


def lines(captured: list[Any], event: str) -> list[Any]:
    return [line for line in captured if line["event"] == event]


@pytest.mark.parametrize("frame", [wrapped, hdlc])
async def test_pushes_are_stored(frame: Callable[[bytes], bytes]) -> None:
    setup = Setup()
    await setup.send(frame(ciphered(1)), frame(ciphered(2)))
    assert setup.frames("stored") == 2
    assert len(setup.storage.receipts) == 2
    [report] = setup.storage.reports
    assert (report.meter_id, report.inbound, report.outcome) == (
        METER_ID,
        True,
        SessionOutcome.OK,
    )
    assert report.octets_in == len(frame(ciphered(1))) + len(frame(ciphered(2)))
    assert setup.open_connections == 0


DATED = ciphered(1, apdu=notification(date_time=CosemDateTime.from_datetime(START).to_octets()))


@pytest.mark.parametrize(
    "frames",
    [
        wrapped(DATED),
        hdlc(DATED),
        hdlc(DATED, segment_octets=30),
        hdlc(DATED, segment_octets=30, kind=ControlKind.I),
    ],
)
async def test_single_octets_give_the_same_result(frames: bytes) -> None:
    whole, sliced = Setup(), Setup()
    await whole.send(frames)
    await sliced.send(*(bytes((octet,)) for octet in frames))
    assert sliced.storage.values == whole.storage.values != {}


async def test_a_slow_message_is_ended_by_its_deadline(autojump_clock: MockClock) -> None:
    """One octet every nine seconds never lets a timer between octets expire."""
    setup = Setup(frame_s=30, idle_s=900)
    ours, theirs = memory_stream_pair()

    async def drip() -> None:
        for octet in wrapped(ciphered(1)):
            try:
                await ours.send_all(bytes((octet,)))
            except trio.BrokenResourceError:
                return
            await trio.sleep(9)

    with logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            await setup.server.serve(theirs, PEER)
            assert trio.current_time() == 30
    assert setup.open_connections == 0
    assert setup.frames("malformed") == 1
    assert [line["code"] for line in lines(captured, "inbound_frame_refused")] == [
        "message-timeout"
    ]


@pytest.mark.parametrize(
    ("first", "then", "ended_s"),
    [
        (b"", b"", 30),  # silent from the beginning
        (b"\x7e", b"\x7e", 60),
        (hdlc(b"\x01"), b"", 60),  # no push
        (hdlc(ciphered(1)), b"", 900),
        (hdlc(ciphered(1)), b"\x7e", 900),
    ],
)
async def test_an_idle_connection_is_ended_by_its_deadline(
    first: bytes, then: bytes, ended_s: float, autojump_clock: MockClock
) -> None:
    setup = Setup(idle_s=900, frame_s=30)
    ours, theirs = memory_stream_pair()

    async def keep_alive() -> None:
        """Flags between frames are no message and keep nothing open."""
        await ours.send_all(first)
        while then:
            await trio.sleep(25)
            try:
                await ours.send_all(then)
            except trio.BrokenResourceError:
                return

    async with trio.open_nursery() as nursery:
        if first:
            nursery.start_soon(keep_alive)
        await setup.server.serve(theirs, PEER)
        assert trio.current_time() == ended_s
        nursery.cancel_scope.cancel()


async def test_each_message_has_its_own_deadline(autojump_clock: MockClock) -> None:
    setup = Setup(frame_s=30, idle_s=100)
    ours, theirs = memory_stream_pair()
    frame = wrapped(ciphered(1)), wrapped(ciphered(2)), wrapped(ciphered(3))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.server.serve, theirs, PEER)
        await ours.send_all(frame[0][:10])
        await trio.sleep(25)
        await ours.send_all(frame[0][10:] + frame[1][:10])
        await trio.sleep(25)
        await ours.send_all(frame[1][10:])
        await trio.sleep(90)
        await ours.send_all(frame[2])
        await ours.send_eof()
    assert setup.frames("stored") == 3


# --- garbage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "code", "offset"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "unknown-framing", 0),
        (b"\x16\x03\x01\x02\x00", "unknown-framing", 0),
        (b"\x00\x02\x00\x01\x00\x10\x00\x05hello", "bad-version", 0),
        (wrapped(b"\x60\x01\x00"), None, None),
        (wrapped(b"\x99"), "unknown-apdu", 0),
        (wrapped(b"\x0f\x00"), "truncated", 1),
        (wrapped(notification()) + b"\x00\x01\x00\x01\x00\x10\x00\x00", "bad-length", None),
    ],
)
async def test_garbage_closes_its_connection_and_no_other(
    octets: bytes, code: str | None, offset: int | None
) -> None:
    setup = Setup()
    healthy, theirs = memory_stream_pair()
    hostile, its = memory_stream_pair()
    with logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setup.server.serve, theirs, ip_address("192.0.2.8"))
            await healthy.send_all(wrapped(ciphered(1))[:9])
            await hostile.send_all(octets)  # and does not close
            await setup.server.serve(its, PEER)
            await healthy.send_all(wrapped(ciphered(1))[9:])
            await healthy.send_eof()
    assert setup.frames("stored") == 1
    assert setup.frames("malformed") == 1
    [line] = lines(captured, "inbound_frame_refused")
    assert code is None or line["code"] == code
    assert offset is None or line["offset"] == offset
    assert line["peer"] == "192.0.2.7"
    assert "connection_id" in line
    ended = {line["peer"]: line["ended"] for line in lines(captured, "inbound_connection_finished")}
    assert ended == {"192.0.2.7": "refused", "192.0.2.8": "closed"}


async def test_bad_hdlc_frames_are_dropped_until_the_budget_is_spent() -> None:
    bad = bytearray(hdlc(ciphered(1)))
    bad[-3] ^= 1
    setup = Setup(bad_frames=3)
    await setup.send(bytes(bad) * 2 + hdlc(ciphered(2)))
    assert (setup.frames("malformed"), setup.frames("stored")) == (2, 1)
    await setup.send((bytes(bad) * 2 + hdlc(ciphered(3))) * 2)  # the second is a replay, not noise
    assert (setup.frames("malformed"), setup.frames("stored")) == (6, 2)
    await setup.send(bytes(bad) * 3 + hdlc(ciphered(4)))
    assert (setup.frames("malformed"), setup.frames("stored")) == (9, 2)


async def test_a_message_cut_by_the_end_is_told() -> None:
    setup = Setup()
    with logs() as captured:
        await setup.send(wrapped(ciphered(1))[:-1])
    assert [line["code"] for line in lines(captured, "inbound_frame_refused")] == ["message-cut"]
    assert setup.storage.values == {}


async def test_a_forged_push_is_an_event_and_the_connection_goes_on() -> None:
    setup = Setup()
    with logs() as captured:
        await setup.send(
            wrapped(ciphered(5, ak=bytes(16))) + wrapped(notification()) + wrapped(ciphered(1))
        )
    assert [event.code for event in setup.storage.events] == ["tag-mismatch", "policy-violated"]
    assert setup.frames("security") == 2
    assert setup.frames("stored") == 1
    assert setup.storage.accepted == {METER_ID: 1}
    [report] = setup.storage.reports
    assert (report.outcome, report.cause) == (SessionOutcome.OK, None)
    assert report.octets_in == len(wrapped(ciphered(1)))
    told = repr(captured)
    assert EK.hex() not in told
    assert AK.hex() not in told


async def test_who_only_claims_to_be_a_meter_leaves_no_session() -> None:
    setup = Setup()
    await setup.send(wrapped(ciphered(5, ak=bytes(16))) + wrapped(notification()))
    await setup.send(wrapped(ciphered(1)))
    await setup.send(wrapped(ciphered(1)))
    codes = [event.code for event in setup.storage.events]
    assert codes == ["tag-mismatch", "policy-violated", "counter-replayed"]
    assert len(setup.storage.reports) == 1


async def test_a_crash_of_ours_ends_one_connection_only() -> None:
    setup = Setup()
    setup.storage.trouble["by_system_title"] = [ZeroDivisionError(EK)]
    with logs() as captured:
        await setup.send(wrapped(ciphered(1)))
        await setup.send(wrapped(ciphered(2)))
    [crash] = lines(captured, "collector_task_crashed")
    assert crash["error"] == "ZeroDivisionError"
    assert repr(EK) not in repr(captured)  # the message of an exception may hold anything
    assert setup.frames("stored") == 1
    assert setup.open_connections == 0


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peers", "admitted"),
    [
        (["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::"], 2),
        (["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"], 3),
    ],
)
async def test_a_source_of_ipv6_is_its_network(peers: list[str], admitted: int) -> None:
    setup = Setup(max_connections_per_source=2)
    async with trio.open_nursery() as nursery:
        for peer in peers:
            _, theirs = memory_stream_pair()
            nursery.start_soon(setup.server.serve, theirs, ip_address(peer))
        await trio.testing.wait_all_tasks_blocked()
        assert setup.open_connections == admitted
        nursery.cancel_scope.cancel()


async def test_connections_are_limited_per_source_and_in_total() -> None:
    setup = Setup(max_connections=3, max_connections_per_source=2)
    held = []
    async with trio.open_nursery() as nursery:
        for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
            ours, theirs = memory_stream_pair()
            held.append(ours)
            nursery.start_soon(setup.server.serve, theirs, ip_address(peer))
            await trio.testing.wait_all_tasks_blocked()
        assert setup.open_connections == 3
        connections = setup.context.metrics.inbound_connections
        assert connections.labels("admitted")._value.get() == 3
        assert connections.labels("refused")._value.get() == 2
        for refused in (held[2], held[4]):
            assert await refused.receive_some() == b""
        await held[0].send_eof()
        await trio.testing.wait_all_tasks_blocked()
        # A place that was freed can be taken again.
        ours, theirs = memory_stream_pair()
        nursery.start_soon(setup.server.serve, theirs, ip_address("192.0.2.1"))
        await ours.send_all(wrapped(ciphered(1)))
        await trio.testing.wait_all_tasks_blocked()
        assert setup.frames("stored") == 1
        nursery.cancel_scope.cancel()
    assert setup.open_connections == 0


async def test_a_full_quarantine_refuses_and_counts() -> None:
    setup = Setup()
    setup.storage.max_quarantined = 1
    unknown = (wrapped(ciphered(n, title=b"UNKNOWN!")) for n in range(5))
    await setup.send(*unknown)
    assert setup.frames("quarantined") == 1
    assert setup.frames("refused") == 4
    assert setup.context.metrics.quarantine_refused._value.get() == 4


async def test_a_wrapper_length_allocates_nothing() -> None:
    setup = Setup(max_apdu_octets=1024)
    await setup.send(b"\x00\x01\x00\x01\x00\x10\xff\xff")
    assert setup.frames("malformed") == 1


# --- storage that is away ---------------------------------------------------------------------


async def test_while_storage_is_away_nothing_is_read_and_nothing_lost(
    autojump_clock: MockClock,
) -> None:
    setup = Setup(idle_s=900)
    setup.storage.away = True
    ours, theirs = memory_stream_pair()
    taken: list[bytes] = []

    class Watched(trio.abc.ReceiveStream):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            data = bytes(await theirs.receive_some(len(wrapped(ciphered(1)))))
            taken.append(data)
            return data

        async def aclose(self) -> None:
            await theirs.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            setup.server.serve, trio.StapledStream(theirs.send_stream, Watched()), PEER
        )
        for counter in (1, 2, 3):
            await ours.send_all(wrapped(ciphered(counter)))
        await ours.send_eof()
        await trio.sleep(3600)  # longer than any deadline of the connection
        assert len(taken) == 1
        assert not setup.context.gate.is_open
        setup.storage.away = False
    assert setup.frames("stored") == 3
    assert setup.storage.accepted == {METER_ID: 3}
    assert setup.context.gate.is_open
    # What was received before the pause was received then.
    assert len({at for _, at in setup.storage.values}) == 2


async def test_a_push_for_which_there_is_no_room_comes_again_and_stops_nobody(
    autojump_clock: MockClock,
) -> None:
    setup = Setup()
    setup.storage.trouble["publish"] = [OverloadedError("push of 1 rows not taken for 30.0 s")] * 2
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setup.server.serve, theirs, PEER)
        await ours.send_all(wrapped(ciphered(1)))
        await ours.send_eof()
    assert setup.frames("stored") == 1
    assert setup.context.metrics.storage_pauses._value.get() == 0


async def test_sessions_that_cannot_be_recorded_are_told(autojump_clock: MockClock) -> None:
    setup = Setup()
    ours, theirs = memory_stream_pair()
    with logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setup.server.serve, theirs, PEER)
            await ours.send_all(wrapped(ciphered(1)))
            await trio.testing.wait_all_tasks_blocked()
            setup.storage.away = True
            await ours.send_eof()
    assert len(lines(captured, "inbound_sessions_not_recorded")) == 1


# --- sockets ----------------------------------------------------------------------------------


async def test_a_real_socket_is_served_and_port_0_is_told() -> None:
    storage = FakeStorage(wall_clock)
    known = meter(policy=Policy.PLAIN, mechanism=Mechanism.NONE, peer="127.0.0.1")
    storage.add_meter(known, SECRETS)
    surroundings = context(storage, listen_host="127.0.0.1", listen_port=0)
    async with trio.open_nursery() as nursery:
        [(host, port)] = await nursery.start(run_inbound, surroundings)
        assert (host, port > 0) == ("127.0.0.1", True)
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(hdlc(notification()))
            await stream.send_eof()
            assert await stream.receive_some() == b""  # closed by the server, when it was done
        nursery.cancel_scope.cancel()
    assert len(storage.receipts) == 1


async def test_a_reset_connection_is_only_a_reset() -> None:
    setup = Setup()
    ours, theirs = memory_stream_pair()
    await ours.send_all(wrapped(ciphered(1))[:20])

    with logs() as captured:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(setup.server.serve, theirs, PEER)
            await trio.testing.wait_all_tasks_blocked()
            theirs.receive_stream.close()
    [line] = lines(captured, "inbound_connection_finished")
    assert line["ended"] == "reset"
