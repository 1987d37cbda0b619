"""
One TCP connection through the proxy: two pumps, one for each direction, each with its toxics.

Owns what a byte stream can suffer. A pump reads what comes, cuts it into pieces and passes them on;
only where there is a latency do pieces wait in a line of their own, so that a thousand quiet
connections cost two tasks each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Final

import attrs
import trio

from hes_simulators.faults.stream import end_rudely, reset
from hes_simulators.proxy.settings import Toxics

_READ_OCTETS: Final = 16_384
_LINE_PIECES: Final = 256
_HOLD_S: Final = 0.2  # a piece that is to be overtaken waits no longer
_PARTS_PER_S: Final = 20  # how smooth a narrow band is

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class _CutError(Exception):
    """The connection is to be reset on both sides."""


@attrs.define
class Counters:
    """What went through, and what was done to it, in one direction of a proxy."""

    octets: int = 0
    corrupted: int = 0
    duplicated: int = 0
    reordered: int = 0
    dropped: int = 0
    swallowed: int = 0
    resets: int = 0


@attrs.define(eq=False)
class _Ends:
    """Which pumps of a connection have seen the end of their source."""

    up: trio.Event = attrs.field(factory=trio.Event)
    down: trio.Event = attrs.field(factory=trio.Event)


async def carry(
    client: trio.SocketStream,
    server: trio.SocketStream,
    up: Pump,
    down: Pump,
) -> None:
    """Pass octets both ways until both have ended, or one side breaks; closes both streams."""
    ends = _Ends()
    try:
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(up.run, client, server, ends.up, ends.down, nursery)
            nursery.start_soon(down.run, server, client, ends.down, ends.up, nursery)
            await ends.up.wait()
            await ends.down.wait()
            nursery.cancel_scope.cancel()
    except* (_CutError, *GONE):
        pass  # the connection's edge: others go on


class Pump:
    """
    One direction of one connection.

    Args: toxics: gives what holds now. random: this direction's own. counters: counted into.
    """

    def __init__(self, toxics: Callable[[], Toxics], random: Random, counters: Counters) -> None:
        self._toxics = toxics
        self._random = random
        self._counters = counters
        self._passed = 0
        self._held: bytes | None = None
        self._line: trio.MemorySendChannel[tuple[float, bytes]] | None = None
        self._last_due = 0.0
        self._is_hole = False

    async def run(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        ended: trio.Event,
        other_ended: trio.Event,
        nursery: trio.Nursery,
    ) -> None:
        """
        Pass on what comes until it ends.

        Raises: _CutError: both sides have been told by RST.
        """
        drained = trio.Event()
        try:
            await self._pass_on(source, sink, drained, nursery)
            await self._drain(drained)
            if self._is_hole:
                ended.set()
                await other_ended.wait()  # nobody is told that it ended
                return
            await trio.sleep(self._toxics().slow_close_s)
            with suppress(*GONE):
                await sink.send_eof()
        except GONE:
            if self._is_hole:
                ended.set()
                await other_ended.wait()
                return
            await self._cut(source, sink)
        finally:
            ended.set()

    async def _pass_on(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        drained: trio.Event,
        nursery: trio.Nursery,
    ) -> None:
        while (data := await self._receive(source)) != b"":
            # None: nothing has come that would overtake what was held.
            for piece in self._released() if data is None else self._pieces(data):
                await self._send(piece, sink, drained, nursery)
                if self._is_at(self._toxics().reset_after):
                    self._counters.resets += 1
                    await self._drain(drained)
                    await self._cut(source, sink)
        for piece in self._released():
            await self._send(piece, sink, drained, nursery)

    async def _receive(self, source: trio.SocketStream) -> bytes | None:
        """What comes; None: it took too long for what is held; empty: the end."""
        if self._held is None:
            return bytes(await source.receive_some(_READ_OCTETS))
        with trio.move_on_after(_HOLD_S):
            return bytes(await source.receive_some(_READ_OCTETS))
        return None

    def _is_at(self, limit: int | None) -> bool:
        return limit is not None and self._passed >= limit

    # --- what becomes of it -----------------------------------------------------------------

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """The octets in pieces, none across a limit, with what chance does to each of them."""
        at = 0
        while at < len(data):
            toxics = self._toxics()
            piece = data[at : at + self._size(toxics)]
            at += len(piece)
            yield from self._suffered(piece, toxics)

    def _size(self, toxics: Toxics) -> int:
        size = toxics.slice or _READ_OCTETS
        if toxics.bandwidth:
            size = min(size, max(1, toxics.bandwidth // _PARTS_PER_S))
        for limit in (toxics.reset_after, toxics.blackhole_after):
            if limit is not None and limit > self._passed:
                size = min(size, limit - self._passed)
        return size

    def _suffered(self, piece: bytes, toxics: Toxics) -> Iterator[bytes]:
        counters = self._counters
        if self._strikes(toxics.drop):
            counters.dropped += 1
            return
        if self._strikes(toxics.corrupt):
            counters.corrupted += 1
            piece = corrupted(piece, self._random)
        if self._strikes(toxics.reorder) and self._held is None:
            counters.reordered += 1
            self._held = piece
            return
        yield piece
        if self._strikes(toxics.duplicate):
            counters.duplicated += 1
            yield piece
        yield from self._released()

    def _strikes(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    def _released(self) -> list[bytes]:
        held, self._held = self._held, None
        return [] if held is None else [held]

    # --- passing it on ----------------------------------------------------------------------

    async def _send(
        self,
        piece: bytes,
        sink: trio.SocketStream,
        drained: trio.Event,
        nursery: trio.Nursery,
    ) -> None:
        toxics = self._toxics()
        if self._is_at(toxics.blackhole_after):
            self._is_hole = True
            self._counters.swallowed += len(piece)
            return
        self._is_hole = False
        self._passed += len(piece)
        self._counters.octets += len(piece)
        delay_s = toxics.latency_s + self._random.random() * toxics.jitter_s
        if delay_s and self._line is None:
            self._line, pieces = trio.open_memory_channel[tuple[float, bytes]](_LINE_PIECES)
            nursery.start_soon(self._deliver, pieces, sink, drained)
        if self._line is None:
            await sink.send_all(piece)
        else:
            # In a byte stream nothing overtakes, whatever the jitter.
            self._last_due = max(self._last_due, trio.current_time() + delay_s)
            await self._line.send((self._last_due, piece))
        if toxics.bandwidth:
            await trio.sleep(len(piece) / toxics.bandwidth)
        if toxics.slice_pause_s:
            await trio.sleep(toxics.slice_pause_s)

    async def _deliver(
        self,
        pieces: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
        drained: trio.Event,
    ) -> None:
        try:
            async with pieces:
                async for due, piece in pieces:
                    await trio.sleep_until(due)
                    await sink.send_all(piece)
        except GONE:
            pass  # the line is closed: the pump notices with its next piece
        finally:
            drained.set()

    async def _drain(self, drained: trio.Event) -> None:
        """What is under way arrives first."""
        if self._line is not None:
            self._line.close()
            await drained.wait()

    async def _cut(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        end_rudely(source)
        await reset(sink)
        raise _CutError


def corrupted(octets: bytes, random: Random) -> bytes:
    """One bit is another."""
    changed = bytearray(octets)
    if changed:
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)
