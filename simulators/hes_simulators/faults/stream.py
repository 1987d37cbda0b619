"""
When and how far what a meter says goes through its connection.

Owns nothing of what is said. `reset` ends any connection as a device does that has lost power.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import trio

from hes_simulators.faults.kinds import Distribution, Drip, Latency
from hes_simulators.streams import MeterStream

# l_onoff, l_linger: close sends RST and drops what was not sent (socket(7)).
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


async def reset(stream: trio.abc.Stream) -> None:
    """End a connection: by RST where it is a socket, also below TLS; else without a farewell."""
    await trio.aclose_forcefully(end_rudely(stream))


def end_rudely(stream: trio.abc.Stream) -> trio.abc.Stream:
    """Let whoever closes it send RST; gives what is below TLS and faults."""
    below = stream
    while True:
        if isinstance(below, trio.SSLStream):
            below = below.transport_stream
        elif isinstance(below, FaultyStream):
            below = below.inner
        else:
            break
    if isinstance(below, MeterStream | trio.SocketStream):
        with suppress(OSError):  # somebody else has closed it
            below.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    return below


class FaultyStream(trio.abc.Stream):
    """
    A stream on which a meter answers late, in drops, or not to the end. It receives as ever.

    Args:
        inner: owned by this object from here on.
        delay_s: gives the time that the next answer takes.
        drip: how it drips; None: it does not.
        resets_after: octets sent before the connection is reset; None: never.
    """

    def __init__(
        self,
        inner: trio.abc.Stream,
        *,
        delay_s: Callable[[], float] = lambda: 0.0,
        drip: Drip | None = None,
        resets_after: int | None = None,
    ) -> None:
        self.inner = inner
        self._delay_s = delay_s
        self._drip = drip
        self._left = math.inf if resets_after is None else resets_after

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send, in the time and as far as the faults let it.

        Raises: trio.BrokenResourceError: it has been reset.
        """
        delay_s = self._delay_s()
        if delay_s > 0:
            await trio.sleep(delay_s)
        if len(data) < self._left:
            self._left -= len(data)
            await self._send(data)
            return
        await self._send(data[: int(self._left)])
        await reset(self.inner)
        raise trio.BrokenResourceError("reset by a fault")

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        drip = self._drip
        if drip is None:
            await self.inner.send_all(data)
            return
        for at in range(0, len(data), drip.octets):
            await self.inner.send_all(data[at : at + drip.octets])
            await trio.sleep(drip.every_s)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the stream inside."""
        return await self.inner.receive_some(max_bytes)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream inside."""
        await self.inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As the stream inside."""
        await self.inner.aclose()


def delays(fault: Latency, random: Random) -> Callable[[], float]:
    """Gives the times that answers take, seconds, never negative."""

    def drawn() -> float:
        match fault.distribution:
            case Distribution.CONSTANT:
                return fault.seconds
            case Distribution.UNIFORM:
                return max(0.0, fault.seconds + random.uniform(-fault.spread, fault.spread))
            case Distribution.LOGNORMAL:
                # Its median is what people mean by "it takes so long".
                median = math.log(max(fault.seconds, 1e-9))
                return min(random.lognormvariate(median, fault.spread), _MOST_DELAY_S)

    return drawn


_MOST_DELAY_S: Final = 86_400.0
