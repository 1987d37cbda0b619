"""
One connection from outside: its frames, its deadlines, and what becomes of what it says.

Rule 1: a connection costs little and not for ever: a deadline for each message as a whole, one for
idling, a small budget of bad frames. Rule 2: it holds at most one message that is not stored yet
and reads no further until it is; so a storage that is away fills sockets of meters, not our
memory. Rule 3: whoever is known to read meters over their own connections (`dialled`) may use it
between two messages, never within one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import structlog
import trio
import trio.abc

from hes.domain.errors import HesError
from hes.domain.ports import SessionOutcome, SessionPhase, SessionPort, SessionReport
from hes.domain.reach import IPAddress
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.framing import Framer, Message, framer_for
from hes_collectors.dlms.intake import Arrival, PushResult, session_id
from hes_collectors.dlms.reception import Reception
from hes_protocol.errors import FramingError, RemoteProtocolError

_RECEIVE_OCTETS: Final = 16_384
_log = structlog.get_logger(__name__)


class InboundConnection:
    """
    Args: context: surroundings. stream: it is not closed here. peer: the other end's address.
    """

    def __init__(self, context: Context, stream: trio.abc.Stream, peer: IPAddress) -> None:
        self._context = context
        self._limits = context.settings.inbound
        self._reception = Reception(context)
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
        result = await self._reception.take(arrival)
        self._heard = True
        self._bad_in_a_row = 0
        self._account(result, message)

    def _account(self, result: PushResult, message: Message) -> None:
        if result.meter_id is not None and result.believed:
            self._octets_by_meter[result.meter_id] += len(message.frames)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Count and tell of a bad frame, with what is known of it but its octets."""
        self._bad_frames += 1
        self._bad_in_a_row += 1
        self._context.metrics.inbound_frames.labels("malformed").inc()
        tell_refused(self._peer, None if self._framer is None else self._framer.name, error)

    async def _report(self, started_at: datetime) -> None:
        """
        Keep a session per meter that was heard; what storage cannot take now is only logged.

        Who merely says that he is a meter leaves no session, at most a security event.
        """
        ended_at = self._context.now()
        reports = [
            push_report(self._connection_id, meter_id, started_at, ended_at, octets)
            for meter_id, octets in self._octets_by_meter.items()
        ]
        await keep_reports(self._context, reports)


def push_report(
    connection_id: UUID, meter_id: UUID, started_at: datetime, ended_at: datetime, octets_in: int
) -> SessionReport:
    """What one meter has pushed through one connection, or in one datagram."""
    return SessionReport(
        session_id=session_id(connection_id, meter_id),
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


async def keep_reports(context: Context, reports: Sequence[SessionReport]) -> None:
    """Keep finished sessions; what storage cannot take now is only logged. Raises: nothing."""
    if not reports:
        return
    try:
        await context.inbound_threads.run(_record, context.ports.sessions, reports)
    except HesError as error:
        _log.warning("inbound_sessions_not_recorded", error=type(error).__name__)


def tell_refused(peer: IPAddress, framing: str | None, error: RemoteProtocolError) -> None:
    """Log a refused frame, without its octets."""
    _log.warning(
        "inbound_frame_refused",
        peer=str(peer),
        framing=framing,
        code=error.code,
        detail=error.detail,
        offset=error.offset,
        apdu_tag=error.apdu_tag,
    )


def _record(sessions: SessionPort, reports: Sequence[SessionReport]) -> None:
    for report in reports:
        sessions.record(report)
