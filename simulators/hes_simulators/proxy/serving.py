"""
The fault proxy itself: listens, connects onward, and lets settings be changed while it runs.

Owns sockets and connections; what happens to octets is `tcp` and `udp`. It listens on loopback
only: who wants faults in front of a device elsewhere runs the proxy where the client is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from random import Random
from typing import Any, Final

import attrs
import trio

from hes_simulators.faults.stream import reset
from hes_simulators.proxy.settings import CLEAN, Direction, ProxyError, Toxics
from hes_simulators.proxy.tcp import Counters, Pump, carry
from hes_simulators.proxy.udp import Address, DatagramProxy, DatagramSocket, DatagramWay
from hes_simulators.randomness import stream_key

_BACKLOG: Final = 4096
_CONNECT_S: Final = 10.0


class Proxy:
    """
    A running proxy. `up` and `down` may be set at any time; they hold from the next octet on.

    Args: server: where everything goes. up, down: what happens on the way. seed: what is random
        follows from it and from the number of the connection.
    """

    def __init__(
        self, server: Address, *, up: Toxics = CLEAN, down: Toxics = CLEAN, seed: int = 0
    ) -> None:
        self.server = server
        self.up = up
        self.down = down
        self.port = 0
        self.connections = 0
        self.refused = 0
        self.counters = {direction: Counters() for direction in Direction}
        self._seed = seed
        self._open: set[trio.SocketStream] = set()

    @property
    def open_connections(self) -> int:
        """TCP connections under way."""
        return len(self._open)

    def toxics(self, direction: Direction) -> Toxics:
        """What holds in a direction."""
        return self.up if direction is Direction.UP else self.down

    def change(self, changes: Mapping[str, Any], *directions: Direction) -> None:
        """
        Other values for some settings, in both directions unless said.

        Raises: ProxyError: no such setting, or out of range; nothing has changed.
        """
        wanted = directions or tuple(Direction)
        changed = {one: self.toxics(one).changed(changes) for one in wanted}
        self.up = changed.get(Direction.UP, self.up)
        self.down = changed.get(Direction.DOWN, self.down)

    async def cut_all(self) -> int:
        """Reset every connection that there is; gives how many there were."""
        there = tuple(self._open)
        for client in there:
            await reset(client)
        return len(there)

    def state(self) -> dict[str, Any]:
        """Settings and counters, as JSON has them."""
        return {
            "server": "{}:{}".format(*self.server),
            "port": self.port,
            "open": self.open_connections,
            "connections": self.connections,
            "refused": self.refused,
            **{
                str(one): attrs.asdict(self.toxics(one)) | {"counters": attrs.asdict(counters)}
                for one, counters in self.counters.items()
            },
        }

    # --- TCP --------------------------------------------------------------------------------

    async def serve_tcp(self, listeners: list[trio.SocketListener]) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        number = self.connections
        self.connections += 1
        server = await self._connected()
        if server is None:
            self.refused += 1
            await reset(client)
            return
        self._open.add(client)
        try:
            up, down = (self._pump(direction, number) for direction in Direction)
            await carry(client, server, up, down)
        finally:
            self._open.discard(client)

    async def _connected(self) -> trio.SocketStream | None:
        try:
            with trio.fail_after(_CONNECT_S):
                return await trio.open_tcp_stream(*self.server)
        except (OSError, trio.TooSlowError):
            return None

    def _pump(self, direction: Direction, number: int) -> Pump:
        random = self._random(direction, number)
        return Pump(lambda: self.toxics(direction), random, self.counters[direction])

    def _random(self, direction: Direction, number: int) -> Random:
        return Random(stream_key(self._seed, "proxy", direction, number))  # noqa: S311

    # --- UDP --------------------------------------------------------------------------------

    async def serve_udp(self, listening: DatagramSocket) -> None:
        """Serve until cancelled."""

        def way(direction: Direction, nursery: trio.Nursery) -> DatagramWay:
            random, counters = self._random(direction, 0), self.counters[direction]
            return DatagramWay(lambda: self.toxics(direction), random, counters, nursery)

        await DatagramProxy(listening, self.server, way).run()


@asynccontextmanager
async def serve(
    server: Address,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    up: Toxics = CLEAN,
    down: Toxics = CLEAN,
    seed: int = 0,
    udp: bool = False,
) -> AsyncIterator[Proxy]:
    """
    A proxy in front of `server` until the block ends; connections end with it.

    Args: host, port: where it listens, on loopback; port 0 lets the system choose, see
        `Proxy.port`. udp: datagrams instead of connections. Others: as `Proxy`.
    Raises: ProxyError: it cannot listen there.
    """
    check_loopback(host)
    proxy = Proxy(server, up=up, down=down, seed=seed)
    try:
        if udp:
            datagrams = DatagramSocket(bind=(host, port))
            proxy.port = datagrams.port
        else:
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
            proxy.port = listeners[0].socket.getsockname()[1]
    except OSError as error:
        raise ProxyError(f"{host}:{port}: {error.strerror}") from error
    async with trio.open_nursery() as nursery:
        if udp:
            nursery.start_soon(proxy.serve_udp, datagrams)
        else:
            nursery.start_soon(proxy.serve_tcp, listeners)
        yield proxy
        nursery.cancel_scope.cancel()


def check_loopback(host: str) -> None:
    """
    Raises: ProxyError: an address that others could reach.
    """
    try:
        address = IPv4Address(host)
    except ValueError:
        raise ProxyError(f"{host[:80]} is no IPv4 address") from None
    if not address.is_loopback:
        raise ProxyError(f"{host} is not on loopback (127.0.0.0/8)")
