"""Who asks for very much gets some of it, and who asks little meanwhile does not wait for him."""

from __future__ import annotations

import socket
from collections import Counter
from datetime import UTC, datetime

import trio
import trio.testing

from hes_protocol.axdr import Data
from hes_protocol.client import Get, GetList, GetListCompleted
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators import Fleet, FleetSettings, Security, SessionSummary, serve_stream
from hes_simulators.streams import MeterStream
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
PROFILE = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
CLOCK = Attribute(8, Obis.parse("0.0.1.0.0.255"), 2)


def fleet() -> Fleet:
    settings = FleetSettings(meters=2, security=Security.LLS, max_receive_pdu_size=2000)
    return Fleet(settings, start_number=1, now=lambda: NOW)


async def asking(there: Fleet, index: int, nursery: trio.Nursery) -> Reader:
    """A reader of a meter, associated."""
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(serve_stream, theirs, there.meter(index), SessionSummary())
    reader = Reader(list(there.meter_file())[index], ours)
    await reader.associate()
    return reader


async def test_of_a_list_of_buffers_what_is_too_much_is_refused_for_now() -> None:
    there = fleet()
    async with trio.open_nursery() as nursery:
        reader = await asking(there, 0, nursery)
        asked = GetList((Get(PROFILE),) * 100)
        completed = await reader.ask(asked)
        assert isinstance(completed, GetListCompleted)
        found = Counter(one.result for one in completed.results)
        assert found == {
            DataAccessResult.SUCCESS: 16,
            DataAccessResult.TEMPORARY_FAILURE: 84,
        }
        assert completed.results[15].result is DataAccessResult.SUCCESS
        # Asked for again it is there.
        again = await reader.ask(GetList((Get(PROFILE), Get(CLOCK))))
        assert isinstance(again, GetListCompleted)
        assert {one.result for one in again.results} == {DataAccessResult.SUCCESS}
        nursery.cancel_scope.cancel()


async def ask_little(neighbour: Reader, answered: list[Data | DataAccessResult]) -> None:
    """One small question after the other, until cancelled."""
    while True:
        answered.append(await neighbour.get(8, "0.0.1.0.0.255", 2))


async def test_whoever_asks_little_is_answered_between_the_elements_of_a_list() -> None:
    there = fleet()
    answered: list[Data | DataAccessResult] = []
    async with trio.open_nursery() as nursery:
        hostile = await asking(there, 0, nursery)
        neighbour = await asking(there, 1, nursery)

        nursery.start_soon(ask_little, neighbour, answered)
        await hostile.ask(GetList((Get(CLOCK),) * 100))
        nursery.cancel_scope.cancel()
    assert len(answered) > 10


async def test_whoever_asks_little_is_answered_between_requests_that_came_together() -> None:
    """By sockets, where sending gives nobody else a turn."""
    there = fleet()
    answered: list[Data | DataAccessResult] = []
    async with trio.open_nursery() as nursery:
        neighbour = await asking(there, 1, nursery)
        ours, theirs = socket.socketpair()
        meter, summary = there.meter(0), SessionSummary()
        nursery.start_soon(serve_stream, MeterStream(theirs), meter, summary)
        stream = MeterStream(ours)
        hostile = Reader(next(iter(there.meter_file())), stream)
        await hostile.associate()
        clock = hostile.client.send(Get(CLOCK))
        await stream.send_all(clock * 100)

        nursery.start_soon(ask_little, neighbour, answered)
        answers = 0
        while answers < 100:
            answers += (await stream.receive_some()).count(b"\xc4\x01")
        nursery.cancel_scope.cancel()
    stream.close()
    theirs.close()
    assert len(answered) > 10
