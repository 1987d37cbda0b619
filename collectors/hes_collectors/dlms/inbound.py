"""
The inbound side: a TCP listener for meters that push or dial in, with TLS or without.

Rule 1: who gets in is for `admission` to say: limits in total and per source, and a pace. Rule 2:
whatever a connection does, it harms no other. Source addresses say nothing about who a meter is;
`intake` finds that out.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final

import structlog
import trio
import trio.abc

from hes.domain.reach import IPAddress, canonical
from hes_collectors.dlms.admission import Admission, source_of
from hes_collectors.dlms.connection import InboundConnection
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.dialled import Dialled
from hes_collectors.dlms.outcomes import log_crash
from hes_collectors.dlms.tls import Handshakes, server_context

_BACKLOG: Final = 4096
# A meter whose network has gone says nothing more: probes find out within two minutes. What the
# system does not know of is left out.
_KEEP_ALIVE: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)
_USER_TIMEOUT_MS: Final = 30_000
_log = structlog.get_logger(__name__)


async def run_inbound(
    context: Context,
    dialled: Dialled | None = None,
    *,
    task_status: trio.TaskStatus[Sequence[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """
    Listen and serve until cancelled; the listening sockets are closed then.

    `task_status` tells the addresses that are bound, so that port 0 can be asked for.
    Raises: OSError: the address cannot be bound. TlsFilesError.
    """
    settings = context.settings
    server = InboundServer(context, dialled)
    listeners = await trio.open_tcp_listeners(
        settings.listen_port, host=settings.listen_host, backlog=_BACKLOG
    )
    paced = [_PacedListener(listener, server.admission) for listener in listeners]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve_socket, paced)
        task_status.started([_address(listener.socket.getsockname()) for listener in listeners])


class _PacedListener(trio.abc.Listener[trio.SocketStream]):
    """Accepts as fast as admission says; who is not accepted yet waits in the backlog."""

    def __init__(self, inner: trio.SocketListener, admission: Admission) -> None:
        self._inner = inner
        self._admission = admission

    async def accept(self) -> trio.SocketStream:
        """See `trio.abc.Listener`."""
        await self._admission.pace()
        return await self._inner.accept()

    async def aclose(self) -> None:
        """See `trio.abc.Listener`."""
        await self._inner.aclose()


class InboundServer:
    """
    Admits connections and serves each; the streams are closed here.

    Args: dialled: the lines of meters that are read over connections of theirs; None: no meter is.
    Raises: TlsFilesError.
    """

    def __init__(self, context: Context, dialled: Dialled | None = None) -> None:
        self._context = context
        self._dialled = dialled
        limits = context.settings.inbound
        self.admission = Admission(limits)
        tls = context.settings.tls
        self._handshakes: Handshakes | None = None
        if tls is not None:
            self._handshakes = Handshakes(
                server_context(tls), at_once=limits.max_handshakes, within_s=limits.handshake_s
            )

    async def serve_socket(self, stream: trio.SocketStream) -> None:
        """Serve a connection that the listener took."""
        try:
            peer = canonical(_address(stream.socket.getpeername())[0].partition("%")[0])
            _keep_alive(stream.socket)
        except OSError:  # gone before we looked
            await trio.aclose_forcefully(stream)
            return
        await self.serve(stream, peer)

    async def serve(self, stream: trio.abc.Stream, peer: IPAddress) -> None:
        """Serve one connection to its end. Raises: nothing but trio.Cancelled."""
        metrics = self._context.metrics
        source = source_of(peer)
        try:
            refusal = self.admission.refusal(source)
            if refusal is not None:
                metrics.inbound_connections.labels("refused").inc()
                _log.debug("inbound_connection_refused", peer=str(peer), why=refusal)
                return
            self.admission.enter(source)
            metrics.inbound_connections.labels("admitted").inc()
            metrics.inbound_connections_open.inc()
            try:
                await self._serve(stream, peer)
            except Exception as error:  # noqa: BLE001 - one connection must not end the listener
                log_crash(error)
            finally:
                self.admission.leave(source)
                metrics.inbound_connections_open.dec()
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream, peer: IPAddress) -> None:
        if self._handshakes is not None:
            try:
                stream = await self._handshakes.shake(stream)
            except (trio.BrokenResourceError, trio.TooSlowError) as error:
                self._context.metrics.inbound_connections.labels("no-tls").inc()
                slow = isinstance(error, trio.TooSlowError)
                why = "handshake-timeout" if slow else _reason(error)
                _log.info("inbound_handshake_failed", peer=str(peer), why=why)
                return
        await InboundConnection(self._context, stream, peer, self._dialled).run()


def _reason(error: BaseException) -> str:
    """What TLS has against the other side, in the library's own code."""
    return str(getattr(error.__cause__, "reason", None) or "closed").lower()


def _keep_alive(sock: trio.socket.SocketType) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for level, option, value in _KEEP_ALIVE:
        sock.setsockopt(level, option, value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def _address(sockaddr: Any) -> tuple[str, int]:
    """Host and port of an IPv4 or IPv6 socket address."""
    return str(sockaddr[0]), int(sockaddr[1])
