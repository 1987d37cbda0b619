"""
One connection from outside: its frames, its deadlines, and what becomes of what it says.

Rule 1: a connection costs little and not for ever: a deadline for each message as a whole, one for
idling, a small budget of bad frames. Rule 2: it holds at most one message that is not stored yet
and reads no further until it is; so a storage that is away fills sockets of meters, not our
memory. Rule 3: a meter that is read over its own connection (`dialled`) is so between two messages,
never within one. Rule 4: who says nothing is asked who it is, once.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final
from uuid import UUID, uuid4

import structlog
import trio
import trio.abc

from hes.domain.reach import IPAddress
from hes_collectors.dlms.calling import Calling
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.dialled import Dialled
from hes_collectors.dlms.framing import Framer, Message, framer_for
from hes_collectors.dlms.intake import Arrival
from hes_collectors.dlms.outcomes import ConnectionLostError
from hes_collectors.dlms.push_reports import keep_reports, tell_refused
from hes_collectors.dlms.reception import Reception
from hes_protocol.errors import FramingError, RemoteProtocolError

_RECEIVE_OCTETS: Final = 16_384
_log = structlog.get_logger(__name__)


class InboundConnection:
    """
    Args: context: surroundings. stream: it is not closed here. peer: the other end's address.
        dialled: the lines of this collector; None: meters only push.
    """

    def __init__(
        self,
        context: Context,
        stream: trio.abc.Stream,
        peer: IPAddress,
        dialled: Dialled | None = None,
    ) -> None:
        self.peer = peer
        self._context = context
        self._calling = None if dialled is None else Calling(context, dialled, self, stream)
        self._whole = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._woken = False
        self._ended_by = ""
        self._limits = context.settings.inbound
        self._reception = Reception(context)
        self._stream = stream
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
            ended = "crashed"
            try:
                with self._whole:
                    ended = await self._serve()
                ended = self._ended_by or ended
            finally:
                if self._calling is not None:
                    self._calling.leave()
            _log.info(
                "inbound_connection_finished",
                peer=str(self.peer),
                ended=ended,
                messages=self._messages,
                bad_frames=self._bad_frames,
                octets_in=self._octets_in,
            )
            # Who merely says that he is a meter leaves no session, at most a security event.
            octets = self._octets_by_meter
            await keep_reports(self._context, self._connection_id, started_at, octets)

    def wake(self) -> None:
        """See `dialled.Connection`."""
        self._woken = True
        if self._waiting is not None:
            self._waiting.cancel()

    def hang_up(self, reason: str) -> None:
        """See `dialled.Connection`."""
        self._ended_by = reason
        self._whole.cancel()

    async def _serve(self) -> str:
        """Returns: why the connection ended."""
        if self._calling is not None:
            await self._calling.begin()
        while True:
            try:
                ended = await self._between()
                if ended is not None:
                    return ended
                data = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionLostError):
                return "reset"
            if data is None:
                if self._woken or self._asks:
                    continue
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
        """Octets, none at the end of the stream, None at the deadline or when woken."""
        ask_at = math.inf if self._calling is None else self._calling.ask_at
        with trio.CancelScope(deadline=min(self._deadline, ask_at)) as self._waiting:
            data = bytes(await self._stream.receive_some(_RECEIVE_OCTETS))
            self._octets_in += len(data)
            if self._calling is not None and not self._heard:
                self._calling.ask_at = math.inf  # whoever speaks says who he is, or is nobody
            return data
        return None

    # --- meters that have dialled in ----------------------------------------------------------

    async def _between(self) -> str | None:
        """
        Use the connection between two messages; returns why it must end.

        Raises: as the stream.
        """
        self._woken = False
        calling = self._calling
        if calling is None or self._pending:
            return None
        if self._asks:
            known, pushes, unread = await calling.ask()
            for apdu, frame in pushes:
                await self._store(Message(apdu, frame))
            if unread and not await self._take(unread):
                return "refused"
            if known:
                # Who waits for a line that another one holds does not wait for ever.
                if calling.is_line or not self._heard:
                    self._set_idle()
                self._heard = True
            elif not (pushes or unread):
                return "silent"
        if not calling.has_turn:
            return None
        ended, left_over = await calling.serve()
        self._set_idle()
        if ended is None and left_over and not await self._take(left_over):
            return "refused"
        return ended

    @property
    def _asks(self) -> bool:
        """Whether it is time to ask who is there."""
        return self._calling is not None and trio.current_time() >= self._calling.ask_at

    # --- frames -------------------------------------------------------------------------------

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
                if self._calling is None or not await self._calling.is_heartbeat(message):
                    await self._store(message)
                else:
                    self._heard, self._bad_in_a_row = True, 0
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
            self._set_idle()
        was_pending, self._pending = self._pending, self._framer.pending
        if not self._pending:
            self._deadline = self._idle_until
        elif completed or not was_pending:
            self._deadline = min(now + self._limits.frame_s, self._idle_until)

    def _set_idle(self) -> None:
        """A message has come, or a session has ended: until when all may be silent from now on."""
        is_line = self._calling is not None and self._calling.is_line
        idle_s = self._limits.line_idle_s if is_line else self._limits.idle_s
        self._idle_until = trio.current_time() + idle_s
        if not self._pending:
            self._deadline = self._idle_until

    async def _store(self, message: Message) -> None:
        """
        Take one message in, waiting for storage as long as that takes.

        Raises: RemoteProtocolError: it is no push.
        """
        self._messages += 1
        arrival = Arrival(self.peer, message, self._context.now(), self._connection_id)
        result = await self._reception.take(arrival)
        self._heard = True
        self._bad_in_a_row = 0
        if result.meter_id is not None and result.believed:
            self._octets_by_meter[result.meter_id] += len(message.frames)
        if self._calling is not None:
            self._calling.heard(result)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Count and tell of a bad frame, with what is known of it but its octets."""
        self._bad_frames += 1
        self._bad_in_a_row += 1
        framing = None if self._framer is None else self._framer.name
        tell_refused(self._context, self.peer, framing, error)
