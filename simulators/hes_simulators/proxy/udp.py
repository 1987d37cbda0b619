"""
Datagrams through the proxy: each client that is heard gets a socket of its own towards the server.

Owns what a datagram can suffer: it is late, overtaken, doubled, spoilt or lost. A client that has
been silent for long is forgotten, and the one silent for longest makes room for a new one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import attrs
import trio

from hes_simulators.proxy.settings import Direction, Toxics
from hes_simulators.proxy.tcp import Counters, corrupted

MAX_CLIENTS: Final = 4096
MAX_UNDER_WAY: Final = 65_536
_IDLE_S: Final = 120.0
_MAX_DATAGRAM: Final = 65_535
_HOLD_S: Final = 0.2

Address = tuple[str, int]


class DatagramWay:
    """
    One direction: decides what becomes of each datagram, and when it goes.

    Args: toxics: gives what holds now. random: its own. counters: counted into. nursery: for
        those that are late.
    """

    def __init__(
        self,
        toxics: Callable[[], Toxics],
        random: Random,
        counters: Counters,
        nursery: trio.Nursery,
    ) -> None:
        self._toxics = toxics
        self._random = random
        self._counters = counters
        self._nursery = nursery
        self._passed = 0
        self._free_at = 0.0
        self._under_way = 0

    def pass_on(self, datagram: bytes, send: Callable[[bytes], None]) -> None:
        """Let one datagram through, or not, now or later."""
        toxics, counters, random = self._toxics(), self._counters, self._random
        if toxics.blackhole_after is not None and self._passed >= toxics.blackhole_after:
            counters.swallowed += len(datagram)
            return
        self._passed += len(datagram)
        if random.random() < toxics.drop or self._under_way >= MAX_UNDER_WAY:
            counters.dropped += 1
            return
        counters.octets += len(datagram)
        if random.random() < toxics.corrupt:
            counters.corrupted += 1
            datagram = corrupted(datagram, random)
        copies = 1
        if random.random() < toxics.duplicate:
            counters.duplicated += 1
            copies = 2
        for _ in range(copies):
            self._later(self._delay_s(toxics, len(datagram)), datagram, send)

    def _delay_s(self, toxics: Toxics, octets: int) -> float:
        delay_s = toxics.latency_s + self._random.random() * toxics.jitter_s
        if self._random.random() < toxics.reorder:
            self._counters.reordered += 1
            delay_s += _HOLD_S
        if toxics.bandwidth:
            now = trio.current_time()
            self._free_at = max(self._free_at, now) + octets / toxics.bandwidth
            delay_s += self._free_at - now
        return delay_s

    def _later(self, delay_s: float, datagram: bytes, send: Callable[[bytes], None]) -> None:
        if delay_s <= 0:
            send(datagram)
            return

        async def wait() -> None:
            try:
                await trio.sleep(delay_s)
                send(datagram)
            finally:
                self._under_way -= 1

        self._under_way += 1
        self._nursery.start_soon(wait)


class DatagramSocket:
    """An IPv4 datagram socket that is waited on by trio, and written to without waiting."""

    def __init__(self, *, bind: Address | None = None, connect: Address | None = None) -> None:
        """Raises: OSError: the address cannot be had."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if bind is not None:
                self._socket.bind(bind)
            if connect is not None:
                self._socket.connect(connect)
            self._waited = trio.socket.from_stdlib_socket(self._socket)
        except OSError:
            self._socket.close()
            raise

    @property
    def port(self) -> int:
        """Ours."""
        return int(self._socket.getsockname()[1])

    async def receive(self) -> tuple[bytes, Address]:
        """
        The next datagram, and whose it is.

        Raises: OSError: an ICMP error of something that was sent before.
        """
        return await self._waited.recvfrom(_MAX_DATAGRAM)

    def send(self, datagram: bytes, to: Address | None = None) -> None:
        """Give it to the system, which drops what it has no room for, as a network does."""
        with suppress(OSError):
            if to is None:
                self._socket.send(datagram)
            else:
                self._socket.sendto(datagram, to)

    def close(self) -> None:
        """End it, and wake whoever waits for datagrams."""
        self._waited.close()


@attrs.define(eq=False)
class _Client:
    """What a client has of its own."""

    upward: DatagramSocket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def heard(self) -> None:
        """It is not forgotten for a while."""
        self.scope.deadline = trio.current_time() + _IDLE_S


class DatagramProxy:
    """
    Passes datagrams between clients of `listening` and `server`.

    Args: listening: bound; closed at the end. server: where they go. way: makes a direction.
    """

    def __init__(
        self,
        listening: DatagramSocket,
        server: Address,
        way: Callable[[Direction, trio.Nursery], DatagramWay],
    ) -> None:
        self._listening = listening
        self._server = server
        self._way = way
        self._clients: dict[Address, _Client] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                up = self._way(Direction.UP, nursery)
                down = self._way(Direction.DOWN, nursery)
                while True:
                    with suppress(OSError):
                        datagram, address = await self._listening.receive()
                        client = self._client(address, nursery, down)
                        up.pass_on(datagram, client.upward.send)
        finally:
            self._listening.close()

    def _client(self, address: Address, nursery: trio.Nursery, down: DatagramWay) -> _Client:
        """Whose datagram it is; the one that was heard last stands at the end."""
        client = self._clients.pop(address, None)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                self._clients.pop(next(iter(self._clients))).scope.cancel()
            client = _Client(DatagramSocket(connect=self._server))
            nursery.start_soon(self._answers, address, client, down)
        self._clients[address] = client
        client.heard()
        return client

    async def _answers(self, address: Address, client: _Client, down: DatagramWay) -> None:
        def back(datagram: bytes) -> None:
            self._listening.send(datagram, address)

        try:
            with client.scope:
                while True:
                    with suppress(OSError):  # nobody listens there yet
                        datagram, _ = await client.upward.receive()
                        client.heard()
                        down.pass_on(datagram, back)
        finally:
            client.upward.close()
            if self._clients.get(address) is client:
                del self._clients[address]
