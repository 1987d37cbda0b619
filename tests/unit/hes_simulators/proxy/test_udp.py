"""Datagrams through the proxy: late, doubled, overtaken, spoilt, lost; and answers find back."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from hes_simulators import proxy
from hes_simulators.proxy import Direction, Proxy, Toxics


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


async def received(ours: trio.socket.SocketType, patience_s: float = 0.4) -> list[bytes]:
    """What comes until nothing has come for a while."""
    found = []
    while True:
        with trio.move_on_after(patience_s) as patience:
            found.append(await ours.recv(65_535))
        if patience.cancelled_caught:
            return found


async def test_answers_find_back_to_who_asked() -> None:
    async with echo() as (between, _), client(between) as one, client(between) as other:
        for number in range(20):
            await one.send(b"one %d" % number)
            await other.send(b"other %d" % number)
            assert await one.recv(100) == b"one %d" % number
            assert await other.recv(100) == b"other %d" % number


async def test_latency_and_bandwidth() -> None:
    async with (
        echo(up=Toxics(latency_s=0.2), down=Toxics(bandwidth=1000)) as (between, _),
        client(between) as ours,
    ):
        begun = trio.current_time()
        for _ in range(3):
            await ours.send(bytes(100))
        for _ in range(3):
            await ours.recv(1000)
        assert trio.current_time() - begun >= 0.5


@pytest.mark.parametrize(
    ("toxics", "expected"),
    [
        (Toxics(duplicate=1), [b"a", b"a"]),
        (Toxics(drop=1), []),
        (Toxics(blackhole_after=0), []),
    ],
    ids=str,
)
async def test_twice_or_never(toxics: Toxics, expected: list[bytes]) -> None:
    async with echo(up=toxics) as (between, server), client(between) as ours:
        await ours.send(b"a")
        assert await received(ours) == expected
        assert server.received == expected


async def test_some_are_overtaken_by_the_seed() -> None:
    async def order(seed: int) -> list[bytes]:
        async with (
            echo(up=Toxics(reorder=0.5), seed=seed) as (between, server),
            client(between) as ours,
        ):
            for number in range(10):
                await ours.send(b"%d" % number)
                await trio.sleep(0.005)
            await received(ours)
            return server.received

    first = await order(1)
    assert sorted(first) == [b"%d" % number for number in range(10)] != first
    assert first == await order(1) != await order(2)


async def test_one_bit_is_another() -> None:
    async with echo(up=Toxics(corrupt=1)) as (between, server), client(between) as ours:
        await ours.send(bytes(50))
        await received(ours)
        assert int.from_bytes(server.received[0]).bit_count() == 1
        between.change({"corrupt": 0.0}, Direction.UP)
        await ours.send(bytes(50))
        await received(ours)
        assert server.received[1] == bytes(50)
