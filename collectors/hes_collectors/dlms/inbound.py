"""
The inbound side: a TCP listener for meters that push, in wrapper, HDLC or M-Bus frames.

Rule 1: a connection costs little and not for ever: limits in total and per source, a deadline for
each message as a whole, one for idling, a small budget of bad frames. Rule 2: a connection holds
at most one message that is not stored yet and reads no further until it is; so a storage that is
away fills sockets of meters, not our memory. Rule 3: whatever a connection sends, it harms no
other. Source addresses say nothing about who a meter is; `intake` finds that out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
import trio
import trio.abc

from hes.domain.errors import HesError, StorageUnavailableError
from hes.domain.ports import SessionOutcome, SessionPhase, SessionPort, SessionReport
from hes.domain.reach import canonical
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.framing import Framer, Message, framer_for
from hes_collectors.dlms.intake import Arrival, Intake, PushOutcome, PushResult, session_id
from hes_collectors.dlms.outcomes import log_crash
from hes_protocol.errors import FramingError, RemoteProtocolError

_RECEIVE_OCTETS: Final = 16_384
_FIRST_RETRY_S: Final = 0.25
_MOST_DOUBLINGS: Final = 8
_log = structlog.get_logger(__name__)

IPAddress = IPv4Address | IPv6Address
Source = IPv4Address | IPv6Network


async def run_inbound(
    context: Context,
    *,
    task_status: trio.TaskStatus[Sequence[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """
    Listen and serve until cancelled; the listening sockets are closed then.

    `task_status` tells the addresses that are bound, so that port 0 can be asked for.
    Raises: OSError: the address cannot be bound.
    """
    settings = context.settings
    listeners = await trio.open_tcp_listeners(settings.listen_port, host=settings.listen_host)
    server = InboundServer(context)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve_socket, listeners)
        task_status.started([_address(listener.socket.getsockname()) for listener in listeners])


class InboundServer:
    """Admits connections and serves each; the streams are closed here."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open = 0
        self._open_by_source: Counter[Source] = Counter()

    async def serve_socket(self, stream: trio.SocketStream) -> None:
        """Serve a connection that the listener took."""
        try:
            peer = canonical(_address(stream.socket.getpeername())[0].partition("%")[0])
        except OSError:  # gone before we looked
            await trio.aclose_forcefully(stream)
            return
        await self.serve(stream, peer)

    async def serve(self, stream: trio.abc.Stream, peer: IPAddress) -> None:
        """Serve one connection to its end. Raises: nothing but trio.Cancelled."""
        metrics = self._context.metrics
        source = _source(peer)
        try:
            if not self._admits(source):
                metrics.inbound_connections.labels("refused").inc()
                return
            self._open += 1
            self._open_by_source[source] += 1
            metrics.inbound_connections.labels("admitted").inc()
            metrics.inbound_connections_open.inc()
            try:
                await _Connection(self._context, stream, peer).run()
            except Exception as error:  # noqa: BLE001 - one connection must not end the listener
                log_crash(error)
            finally:
                self._open -= 1
                self._open_by_source[source] -= 1
                if not self._open_by_source[source]:
                    del self._open_by_source[source]
                metrics.inbound_connections_open.dec()
        finally:
            await trio.aclose_forcefully(stream)

    def _admits(self, source: Source) -> bool:
        limits = self._context.settings.inbound
        return (
            self._open < limits.max_connections
            and self._open_by_source[source] < limits.max_connections_per_source
        )


class _Connection:
    def __init__(self, context: Context, stream: trio.abc.Stream, peer: IPAddress) -> None:
        self._context = context
        self._limits = context.settings.inbound
        self._stream = stream
        self._peer = peer
        self._connection_id = uuid4()
        self._framer: Framer | None = None
        # A connection that has sent no message yet is nobody's: it may begin one, and complete it.
        self._heard = False
        first_s = min(self._limits.frame_s, self._limits.idle_s)
        self._deadline = trio.current_time() + first_s
        self._idle_until = self._deadline + first_s
        self._pending = False
        self._bad_frames = 0
        self._bad_in_a_row = 0
        self._messages = 0
        self._octets_in = 0
        self._octets_by_meter: Counter[UUID] = Counter()

    async def run(self) -> None:
        """Serve until the meter closes, is too slow, or sends too much that is no frame."""
        started_at = self._context.now()
        with structlog.contextvars.bound_contextvars(connection_id=str(self._connection_id)):
            ended = await self._serve()
            _log.info(
                "inbound_connection_finished",
                peer=str(self._peer),
                ended=ended,
                messages=self._messages,
                bad_frames=self._bad_frames,
                octets_in=self._octets_in,
            )
            await self._report(started_at)

    async def _serve(self) -> str:
        """Returns: why the connection ended."""
        while True:
            try:
                data = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return "reset"
            if data is None:
                if not self._pending:
                    return "idle"
                self._refuse(FramingError("message-timeout", "a message did not complete"))
                return "timeout"
            if not data:
                if self._pending:
                    self._refuse(FramingError("message-cut", "closed within a message"))
                return "closed"
            if not await self._take(data):
                return "refused"

    async def _receive(self) -> bytes | None:
        """Octets, none at the end of the stream, None at the deadline."""
        with trio.move_on_at(self._deadline):
            data = bytes(await self._stream.receive_some(_RECEIVE_OCTETS))
            self._octets_in += len(data)
            return data
        return None

    async def _take(self, data: bytes) -> bool:
        """Deal with all messages that `data` completes; False if the connection must end."""
        try:
            if self._framer is None:
                self._framer = framer_for(data[0], self._limits)
        except FramingError as error:
            self._refuse(error)
            return False
        framer = self._framer
        framer.receive_data(data)
        completed = False
        while True:
            try:
                message = framer.next_message()
                if message is None:
                    break
                completed = True
                await self._store(message)
            except RemoteProtocolError as error:
                completed = True
                self._refuse(error)
                if self._bad_in_a_row >= framer.bad_frames:
                    return False
        self._set_deadline(completed=completed)
        return True

    def _set_deadline(self, *, completed: bool) -> None:
        """
        Until when the next octets may come.

        Both times run from message to message: a trickle of octets moves nothing. Args:
            completed: whether a message was completed, or given up, since this was last called.
        """
        assert self._framer is not None
        now = trio.current_time()
        if completed and self._heard:
            self._idle_until = now + self._limits.idle_s
        was_pending, self._pending = self._pending, self._framer.pending
        if not self._pending:
            self._deadline = self._idle_until
        elif completed or not was_pending:
            self._deadline = min(now + self._limits.frame_s, self._idle_until)

    async def _store(self, message: Message) -> None:
        """
        Take one message in, waiting for storage as long as that takes.

        Raises: RemoteProtocolError: it is no push.
        """
        self._messages += 1
        arrival = Arrival(self._peer, message, self._context.now(), self._connection_id)
        context = self._context
        intake = Intake(context.ports, arrival, context.push_layouts, context.models)
        gate, failures = self._context.gate, 0
        while True:
            try:
                result = await self._context.inbound_threads.run(intake.run)
            except StorageUnavailableError as error:
                gate.report(error)
                bound_s = _FIRST_RETRY_S * 2 ** min(failures, _MOST_DOUBLINGS)
                failures += 1
                await trio.sleep(_FIRST_RETRY_S * self._context.random.random())
                with trio.move_on_after(bound_s * self._context.random.uniform(0.5, 1.5)):
                    await gate.wait_open()
            else:
                gate.open()
                self._heard = True
                self._bad_in_a_row = 0
                self._account(result, message)
                return

    def _account(self, result: PushResult, message: Message) -> None:
        metrics = self._context.metrics
        metrics.inbound_frames.labels(result.outcome.value).inc()
        if result.receipt is not None:
            metrics.count_receipt("push", result.receipt)
        if result.outcome is PushOutcome.REFUSED:
            metrics.quarantine_refused.inc()
        if result.outcome is PushOutcome.SECURITY:
            metrics.security_events.labels(result.cause or "security").inc()
        tell = _log.debug if result.outcome is PushOutcome.STORED else _log.warning
        tell(
            "inbound_push_handled",
            peer=str(self._peer),
            outcome=result.outcome.value,
            cause=result.cause,
            meter_id=None if result.meter_id is None else str(result.meter_id),
            octets=len(message.frames),
            unnamed=result.unnamed,
        )
        if result.meter_id is not None and result.believed:
            self._octets_by_meter[result.meter_id] += len(message.frames)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Count and tell of a bad frame, with what is known of it but its octets."""
        self._bad_frames += 1
        self._bad_in_a_row += 1
        self._context.metrics.inbound_frames.labels("malformed").inc()
        _log.warning(
            "inbound_frame_refused",
            peer=str(self._peer),
            framing=None if self._framer is None else self._framer.name,
            code=error.code,
            detail=error.detail,
            offset=error.offset,
            apdu_tag=error.apdu_tag,
        )

    async def _report(self, started_at: datetime) -> None:
        """
        Keep a session per meter that was heard; what storage cannot take now is only logged.

        Who merely says that he is a meter leaves no session, at most a security event.
        """
        if not self._octets_by_meter:
            return
        ended_at = self._context.now()
        reports = [
            SessionReport(
                session_id=session_id(self._connection_id, meter_id),
                meter_id=meter_id,
                inbound=True,
                started_at=started_at,
                ended_at=ended_at,
                phase=SessionPhase.DONE,
                outcome=SessionOutcome.OK,
                cause=None,
                octets_in=octets_in,
                octets_out=0,
            )
            for meter_id, octets_in in self._octets_by_meter.items()
        ]
        try:
            await self._context.inbound_threads.run(_record, self._context.ports.sessions, reports)
        except HesError as error:
            _log.warning("inbound_sessions_not_recorded", error=type(error).__name__)


def _source(peer: IPAddress) -> Source:
    """What counts as one source: whoever has an IPv6 address has its whole /64."""
    return peer if isinstance(peer, IPv4Address) else IPv6Network((int(peer) >> 64 << 64, 64))


def _record(sessions: SessionPort, reports: Sequence[SessionReport]) -> None:
    for report in reports:
        sessions.record(report)


def _address(sockaddr: Any) -> tuple[str, int]:
    """Host and port of an IPv4 or IPv6 socket address."""
    return str(sockaddr[0]), int(sockaddr[1])
