"""Datagrams through the proxy: late, doubled, overtaken, spoilt, lost; and answers find back."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from hes_simulators import proxy
from hes_simulators.proxy import Direction, Proxy, Toxics
from hes_simulators.proxy.tcp import Counters
from hes_simulators.proxy.udp import DatagramWay


@attrs.define
class Server:
    received: list[bytes] = attrs.field(factory=list)

    async def echo(self, waiting: trio.socket.SocketType) -> None:
        while True:
            datagram, client = await waiting.recvfrom(65_535)
            self.received.append(datagram)
            await waiting.sendto(datagram, client)


@asynccontextmanager
async def echo(**settings: Any) -> AsyncIterator[tuple[Proxy, Server]]:
    server = Server()
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waiting:
        await waiting.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.echo, waiting)
            async with proxy.serve(waiting.getsockname(), udp=True, **settings) as between:
                yield between, server
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(between: Proxy) -> AsyncIterator[trio.socket.SocketType]:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        await ours.connect(("127.0.0.1", between.port))
        yield ours


async def passed(
    toxics: Toxics, datagrams: list[bytes], seed: int = 0
) -> list[tuple[float, bytes]]:
    """When datagrams come out of one direction, one going in each 5 ms; no sockets, mocked time."""
    found: list[tuple[float, bytes]] = []
    begun = trio.current_time()

    def come(datagram: bytes) -> None:
        found.append((round(trio.current_time() - begun, 6), datagram))

    async with trio.open_nursery() as nursery:
        way = DatagramWay(lambda: toxics, Random(seed), Counters(), nursery)
        for datagram in datagrams:
            way.pass_on(datagram, come)
            await trio.sleep(0.005)
    return found


async def test_answers_find_back_to_who_asked() -> None:
    async with echo() as (between, _), client(between) as one, client(between) as other:
        for number in range(20):
            await one.send(b"one %d" % number)
            await other.send(b"other %d" % number)
            assert await one.recv(100) == b"one %d" % number
            assert await other.recv(100) == b"other %d" % number


async def test_settings_hold_for_their_direction_and_may_change() -> None:
    async with (
        echo(up=Toxics(corrupt=1, duplicate=1)) as (between, server),
        client(between) as ours,
    ):
        await ours.send(bytes(50))
        answers = [await ours.recv(100) for _ in range(2)]
        assert answers == server.received
        assert int.from_bytes(answers[0]).bit_count() == 1
        between.change({"corrupt": 0.0}, Direction.UP)
        await ours.send(bytes(50))
        assert [await ours.recv(100) for _ in range(2)] == [bytes(50)] * 2


async def test_latency_and_bandwidth(autojump_clock: trio.testing.MockClock) -> None:
    late = await passed(Toxics(latency_s=0.2), [b"a", b"b"])
    assert late == [(0.2, b"a"), (0.205, b"b")]
    slow = await passed(Toxics(bandwidth=1000), [bytes(100)] * 3)
    assert [at for at, _ in slow] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("toxics", "expected"),
    [
        (Toxics(), [b"a", b"b"]),
        (Toxics(duplicate=1), [b"a", b"a", b"b", b"b"]),
        (Toxics(drop=1), []),
        (Toxics(blackhole_after=0), []),
        (Toxics(blackhole_after=1), [b"a"]),
    ],
    ids=["clean", "twice", "lost", "hole", "hole after the first"],
)
async def test_twice_or_never(
    toxics: Toxics, expected: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    assert [datagram for _, datagram in await passed(toxics, [b"a", b"b"])] == expected


async def test_some_are_overtaken_by_the_seed(autojump_clock: trio.testing.MockClock) -> None:
    sent = [b"%d" % number for number in range(10)]

    async def order(seed: int) -> list[bytes]:
        return [datagram for _, datagram in await passed(Toxics(reorder=0.5), sent, seed)]

    first = await order(1)
    assert sorted(first) == sent != first
    assert first == await order(1) != await order(2)


async def test_one_bit_is_another(autojump_clock: trio.testing.MockClock) -> None:
    [(_, spoilt)] = await passed(Toxics(corrupt=1), [bytes(50)])
    assert int.from_bytes(spoilt).bit_count() == 1
