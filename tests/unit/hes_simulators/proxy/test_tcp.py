"""Connections through the proxy: each setting does to octets what it says, and nothing else."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import attrs
import pytest
import trio

from hes_simulators import proxy
from hes_simulators.faults import reset
from hes_simulators.proxy import Direction, Proxy, ProxyError, Toxics

TEXT = Random(1).randbytes(40_000)
Talk = Callable[[trio.SocketStream], Awaitable[None]]


@attrs.define
class Server:
    """What a server behind the proxy has seen."""

    received: bytearray = attrs.field(factory=bytearray)
    ended: trio.Event = attrs.field(factory=trio.Event)
    broken: bool = False

    async def echo(self, stream: trio.SocketStream) -> None:
        """Give back what comes; end when the client has ended."""
        async with stream:
            try:
                while data := await stream.receive_some(65_536):
                    self.received += data
                    await stream.send_all(data)
            except trio.BrokenResourceError:
                self.broken = True
            finally:
                self.ended.set()


@asynccontextmanager
async def echo(**settings: Any) -> AsyncIterator[tuple[Proxy, Server]]:
    """An echo server behind a proxy."""
    server = Server()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()[:2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.echo, [listener])
        async with proxy.serve(address, **settings) as between:
            yield between, server
        nursery.cancel_scope.cancel()


async def connect(between: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", between.port)


async def everything(stream: trio.SocketStream, text: bytes = b"") -> bytes:
    """Send it, say that it was all, and take what comes until the end."""
    received = bytearray()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            await stream.send_all(text)
            await stream.send_eof()

        nursery.start_soon(send)
        while data := await stream.receive_some(65_536):
            received += data
    return bytes(received)


async def broken(stream: trio.SocketStream) -> int | None:
    """How the connection broke: the system's number of the error; None: it ended in good order."""
    try:
        while await stream.receive_some(65_536):
            pass
    except trio.BrokenResourceError as error:
        assert isinstance(error.__cause__, OSError)
        return error.__cause__.errno
    return None


@pytest.mark.parametrize(
    "toxics",
    [
        Toxics(),
        Toxics(slice=7),
        Toxics(latency_s=0.05, jitter_s=0.05, slice=1000),
        Toxics(bandwidth=400_000),
        Toxics(slow_close_s=0.1),
    ],
    ids=str,
)
async def test_what_is_only_slow_arrives_whole_and_in_order(toxics: Toxics) -> None:
    async with echo(up=toxics, down=toxics) as (between, server), await connect(between) as stream:
        with trio.fail_after(20):
            assert await everything(stream, TEXT) == TEXT
        assert server.received == TEXT
        counters = between.counters
        assert counters[Direction.UP].octets == counters[Direction.DOWN].octets == len(TEXT)


async def test_latency_is_of_each_piece_and_of_one_direction() -> None:
    async with (
        echo(down=Toxics(latency_s=0.5)) as (between, _),
        await connect(between) as stream,
    ):
        begun = trio.current_time()
        for _ in range(3):
            await stream.send_all(b"x")
            await trio.sleep(0.05)
        received = b""
        while len(received) < 3:
            received += await stream.receive_some(1)
        # Three pieces under way at once: their latencies do not add up.
        assert 0.5 <= trio.current_time() - begun < 1.4


async def test_bandwidth_is_of_each_connection() -> None:
    async with (
        echo(up=Toxics(bandwidth=10_000)) as (between, _),
        await connect(between) as one,
        await connect(between) as other,
        trio.open_nursery() as nursery,
    ):
        begun = trio.current_time()
        nursery.start_soon(everything, one, TEXT[:10_000])
        await everything(other, TEXT[:10_000])
        assert 0.9 <= trio.current_time() - begun < 1.8


async def test_slices_are_seen_apart() -> None:
    async with (
        echo(down=Toxics(slice=3, slice_pause_s=0.02)) as (between, _),
        await connect(between) as stream,
    ):
        await stream.send_all(b"abcdefgh")
        pieces = [bytes(await stream.receive_some(100)) for _ in range(3)]
        assert pieces == [b"abc", b"def", b"gh"]


@pytest.mark.parametrize("latency_s", [0.0, 0.05])
async def test_reset_after_exactly_so_many_octets_is_a_reset_on_both_sides(
    latency_s: float,
) -> None:
    toxics = Toxics(reset_after=1000, latency_s=latency_s)
    async with echo(up=toxics) as (between, server), await connect(between) as stream:
        await stream.send_all(TEXT[:5000])
        assert await broken(stream) == errno.ECONNRESET
        await server.ended.wait()
        assert server.broken
        assert server.received == TEXT[:1000]
        assert between.counters[Direction.UP].resets == 1


async def test_corruption_flips_one_bit_of_each_piece_by_the_seed() -> None:
    async def once(seed: int) -> bytes:
        async with (
            echo(up=Toxics(corrupt=1, slice=100), seed=seed) as (between, _),
            await connect(between) as stream,
        ):
            return await everything(stream, TEXT[:1000])

    received = await once(1)
    for at in range(0, 1000, 100):
        piece, sent = received[at : at + 100], TEXT[at : at + 100]
        flipped = int.from_bytes(piece) ^ int.from_bytes(sent)
        assert flipped.bit_count() == 1
    assert received == await once(1)
    assert received != await once(2)


async def test_pieces_come_twice_or_after_the_next_or_not() -> None:
    async with (
        echo(up=Toxics(duplicate=1, slice=4)) as (between, _),
        await connect(between) as stream,
    ):
        assert await everything(stream, b"abcdefgh") == b"abcdabcdefghefgh"
        between.up = Toxics(reorder=1, slice=4)
    async with (
        echo(up=Toxics(reorder=1, slice=4)) as (between, _),
        await connect(between) as stream,
    ):
        assert await everything(stream, b"aaaabbbbccccddddeeee") == b"bbbbaaaaddddcccceeee"
    async with echo(up=Toxics(drop=1)) as (between, _), await connect(between) as stream:
        assert await everything(stream, b"abcdefgh") == b""
        assert between.counters[Direction.UP].dropped == 1


async def test_a_piece_that_nothing_overtakes_is_not_kept_for_ever() -> None:
    async with echo(up=Toxics(reorder=1)) as (between, _), await connect(between) as stream:
        await stream.send_all(b"request")
        with trio.fail_after(5):
            assert await stream.receive_some(100) == b"request"


async def test_a_black_hole_swallows_and_tells_nobody() -> None:
    async with echo(down=Toxics(blackhole_after=10)) as (between, server):
        async with await connect(between) as stream:
            await stream.send_all(TEXT[:100])
            received = b""
            with trio.move_on_after(0.5) as patience:
                while True:
                    data = await stream.receive_some(100)
                    assert data, "half-open: not even the end is told"
                    received += data
            assert patience.cancelled_caught
            assert received == TEXT[:10]
            await stream.send_eof()
            with trio.fail_after(5):
                await server.ended.wait()
            assert between.counters[Direction.DOWN].swallowed == 90
        with trio.fail_after(5):
            while between.open_connections:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)


async def test_a_slow_close_keeps_the_end_to_itself() -> None:
    async with (
        echo(down=Toxics(slow_close_s=0.4)) as (between, _),
        await connect(between) as stream,
    ):
        begun = trio.current_time()
        assert await everything(stream, b"bye") == b"bye"
        assert trio.current_time() - begun >= 0.4


async def test_resets_and_ends_are_passed_on() -> None:
    async with echo() as (between, server):
        stream = await connect(between)
        await stream.send_all(b"hello")
        assert await stream.receive_some(100) == b"hello"
        await reset(stream)
        with trio.fail_after(5):
            await server.ended.wait()
        assert server.broken


async def test_ends_of_all_kinds_end_one_connection_and_not_the_proxy() -> None:
    async def server(stream: trio.SocketStream) -> None:
        """Says something, and goes in one of three ways."""
        async with stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(bytes(100))
                how = await stream.receive_some(1)
                if how == b"r":
                    await reset(stream)
                elif how == b"e":
                    await stream.send_eof()
                    await stream.receive_some(1)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    toxics = [Toxics(), Toxics(reset_after=50), Toxics(blackhole_after=50), Toxics(latency_s=0.02)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server, [listener])
        async with proxy.serve(listener.socket.getsockname()[:2]) as between:
            for up in toxics:
                for down in toxics:
                    for how in (b"r", b"e", b"c"):
                        for ours in (reset, trio.SocketStream.aclose):
                            between.up, between.down = up, down
                            stream = await connect(between)
                            with suppress(trio.BrokenResourceError):
                                await stream.send_all(how * 100)
                            await ours(stream)
            with trio.fail_after(10):
                while between.open_connections:  # noqa: ASYNC110 - it has no event
                    await trio.sleep(0.01)
            assert between.connections == len(toxics) ** 2 * 6
        nursery.cancel_scope.cancel()


async def test_nobody_behind_it_is_a_reset() -> None:
    async with proxy.serve(("127.0.0.1", 1)) as between, await connect(between) as stream:
        with trio.fail_after(5):
            assert await broken(stream) == errno.ECONNRESET
        assert (between.refused, between.open_connections) == (1, 0)


async def test_changes_hold_from_the_next_octet_on_and_wrong_ones_change_nothing() -> None:
    async with echo() as (between, _), await connect(between) as stream:
        await stream.send_all(b"one")
        assert await stream.receive_some(100) == b"one"
        between.change({"duplicate": 1.0}, Direction.DOWN)
        await stream.send_all(b"two")
        received = b""
        while len(received) < 6:
            received += await stream.receive_some(100)
        assert received == b"twotwo"
        before = between.up, between.down
        for wrong in (
            {"latency_s": -1},
            {"latency_s": "1"},
            {"latency_s": float("nan")},
            {"slice": 1.5},
            {"corrupt": True},
            {"reset_after": -1},
            {"no_such": 1},
        ):
            with pytest.raises(ProxyError):
                between.change(wrong)
        assert (between.up, between.down) == before
        assert await between.cut_all() == 1
        assert await broken(stream) == errno.ECONNRESET


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::1", "localhost", ""])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ProxyError):
        async with proxy.serve(("127.0.0.1", 1), host=host):
            pass


async def test_hundreds_of_connections_at_once() -> None:
    count = 400
    async with echo(down=Toxics(latency_s=0.2, jitter_s=0.1)) as (between, _):
        answers: list[bytes] = []

        async def one(number: int) -> None:
            async with await connect(between) as stream:
                text = b"%06d" % number * 20
                answers.append(await everything(stream, text))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)
        assert sorted(answers) == [b"%06d" % number * 20 for number in range(count)]
        assert between.connections == count
