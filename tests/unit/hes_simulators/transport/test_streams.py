"""Connections as streams: what goes through, what ends them, who waits."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from hes_simulators.streams import MeterStream, serve_connections


def pair() -> tuple[MeterStream, MeterStream]:
    one, other = socket.socketpair()
    return MeterStream(one), MeterStream(other)


async def everything(stream: MeterStream) -> bytes:
    found = b""
    while octets := await stream.receive_some():
        found += octets
    return found


async def test_more_than_the_socket_takes_at_once_goes_through() -> None:
    ours, theirs = pair()
    said = bytes(range(256)) * 16_384
    found = []

    async def hear() -> None:
        found.append(await everything(theirs))

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        await ours.send_all(said)
        await ours.aclose()
    assert found == [said]


async def test_who_waits_hears_that_it_was_closed() -> None:
    ours, theirs = pair()
    async with theirs, trio.open_nursery() as nursery:
        nursery.start_soon(close_soon, ours)
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive_some(1)
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"late")


async def close_soon(stream: MeterStream) -> None:
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()


async def test_a_peer_that_has_gone_breaks_it() -> None:
    ours, theirs = pair()
    await theirs.aclose()
    async with ours:
        assert await ours.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"hello")


async def test_all_that_knock_at_once_are_served() -> None:
    async def echo(stream: MeterStream) -> None:
        async with stream:
            await stream.send_all(await stream.receive_some())

    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.setblocking(False)
    clients = [socket.create_connection(listening.getsockname()) for _ in range(100)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connections, [listening], echo)
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            stream = MeterStream(client)
            with trio.fail_after(5):
                assert await everything(stream) == b"%d" % number
            stream.close()
        nursery.cancel_scope.cancel()
    assert listening.fileno() < 0
