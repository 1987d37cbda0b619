"""
TCP connections as cheap trio streams, and taking them as they come.

Owns sockets that are connected and the loop that accepts them; who is let in is `door`'s. What
`trio.SocketStream` does as well would be a third of what a session costs: here one exchange, an
answer and the next request, is one turn of the scheduler.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

_RECEIVE_OCTETS: Final = 65_536
# So many are accepted before those that are open have their turn.
_MOST_AT_ONCE: Final = 64
# accept(2): the machine or the process has no room now.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NO_ROOM_S: Final = 0.1
_log = structlog.get_logger(__name__)


class MeterStream(trio.abc.Stream):
    """
    A connection of a meter. One task at a time sends, and one receives.

    Args: connected: without Nagle's delay; not blocking from here on, and closed by this object.
    """

    __slots__ = ("socket",)

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send; no checkpoint where the socket takes all at once: who answers receives next.

        Raises: trio.BrokenResourceError, trio.ClosedResourceError.
        """
        sent = self._send(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self.socket)
            sent += self._send(memoryview(data)[sent:])

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost() from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """
        What has come, b"" at the end; always a checkpoint.

        Raises: trio.BrokenResourceError, trio.ClosedResourceError.
        """
        # First, as it lets the client have its turn, so that its request is there more often.
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self.socket.recv(max_bytes or _RECEIVE_OCTETS)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)
            except OSError as error:
                raise self._lost() from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room. Raises: trio.ClosedResourceError."""
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("this end has closed it")
        await trio.lowlevel.wait_writable(self.socket)

    async def aclose(self) -> None:
        """Close it."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it at once; whoever waits for it hears of it."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    def _lost(self) -> trio.ClosedResourceError | trio.BrokenResourceError:
        if self.socket.fileno() < 0:
            return trio.ClosedResourceError("this end has closed it")
        return trio.BrokenResourceError("the connection broke")


async def serve_connections(
    listening: Sequence[socket.socket], serve: Callable[[MeterStream], Awaitable[None]]
) -> None:
    """
    Serve each connection in a task of its own, until cancelled; the sockets are closed then.

    Args: listening: not blocking. serve: closes the stream; raises nothing but trio.Cancelled.
    """
    try:
        async with trio.open_nursery() as nursery:
            for one in listening:
                nursery.start_soon(_accept, one, serve, nursery)
    finally:
        for one in listening:
            trio.lowlevel.notify_closing(one)
            one.close()


async def _accept(
    listening: socket.socket,
    serve: Callable[[MeterStream], Awaitable[None]],
    nursery: trio.Nursery,
) -> None:
    while True:
        await trio.lowlevel.wait_readable(listening)
        try:
            for _ in range(_MOST_AT_ONCE):
                nursery.start_soon(serve, MeterStream(listening.accept()[0]))
        except BlockingIOError:
            continue
        except OSError as error:
            # One that was reset before it was accepted is its client's affair.
            if error.errno in _NO_ROOM:
                _log.error("sim_accept_failed", error=error.strerror)
                await trio.sleep(_NO_ROOM_S)
