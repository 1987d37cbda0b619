"""
What a connection has to do with meters that dial in: whose it is said to be, and its turns.

Rule 1: what a push, a heartbeat or the public client shows is a claim; a push with a valid tag is a
proof. Rule 2: who says nothing is asked once, and only where that can help: a connection on which
something was said is not spoken to before it is known whose it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import trio
import trio.abc

from hes.domain.meters import Meter, Transport
from hes.domain.ports import Sender
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.dialled import Caller, Connection, Dialled, dials_in
from hes_collectors.dlms.framed import FramedStream, heartbeat_answer
from hes_collectors.dlms.framing import Message
from hes_collectors.dlms.identify import Shown, ask_who, meter_shown
from hes_collectors.dlms.intake import PushResult
from hes_collectors.dlms.lines import Given
from hes_collectors.dlms.reception import patiently
from hes_protocol.models import FirstSpeaker, Heartbeat
from hes_protocol.wrapper import WrapperFrame

# A line that stands in the way may be one whose meter has gone without a word.
_CLAIM_AGAIN_S: Final = 15.0
Push = tuple[bytes, bytes]


class Calling:
    """
    One connection's.

    Args: dialled: the lines of the collector. connection: see `dialled`. stream: its octets.
    """

    def __init__(
        self, context: Context, dialled: Dialled, connection: Connection, stream: trio.abc.Stream
    ) -> None:
        self._context = context
        self._dialled = dialled
        self._connection = connection
        self._stream = stream
        self._meter: Meter | None = None
        self._caller: Caller | None = None
        self.ask_at = trio.current_time() + context.settings.inbound.greeting_s
        """When to ask who is there, on trio's clock; infinite: not by itself."""

    @property
    def is_line(self) -> bool:
        """Whether this connection is a meter's line."""
        return self._caller is not None

    @property
    def has_turn(self) -> bool:
        """Whether there is a lease to be served."""
        return self._caller is not None and self._caller.turn is not None

    def leave(self) -> None:
        """The connection has ended."""
        if self._caller is not None:
            self._dialled.leave(self._caller)

    # --- whose connection it is ---------------------------------------------------------------

    def heard(self, result: PushResult) -> None:
        """A push came: whose it is, or says that it is."""
        # A plain push under a stricter policy is no reading, but as good a claim as any.
        if result.meter is not None and (result.believed or result.cause == "policy-violated"):
            self._claim(result.meter, proven=result.verified)

    async def ask(self) -> tuple[bool, Sequence[Push], bytes]:
        """
        Ask a silent one who it is, or claim the line again for whom it was said to be.

        Returns: whether that is somebody we know; what was pushed meanwhile; what came instead of
        an answer. Raises: ConnectionLostError, trio.BrokenResourceError,
            trio.ClosedResourceError: it has gone.
        """
        self.ask_at = math.inf
        if self._meter is not None:
            self._claim(self._meter, proven=False)
            return True, (), b""
        context, inbound = self._context, self._context.ports.inbound
        peer = self._connection.peer
        meter = await self._by_line()
        shown = Shown(answered=False)
        if meter is None:
            within_s = context.settings.deadlines.associate_s
            for transport in Transport:
                shown = await ask_who(context, self._stream, transport, within_s)
                if shown.answered or shown.unread:
                    break
            if shown.answered:
                meter = await patiently(context, meter_shown, inbound, peer, shown)
        if meter is not None:
            self._claim(meter, proven=False)
        return meter is not None, shown.pushes, shown.unread

    async def begin(self) -> None:
        """Where we are to speak first to the meter of this line, the connection is its own now."""
        if not self._dialled.some_wait:
            return
        meter = await self._by_line()
        model = None if meter is None else self._context.model_of(meter)
        told = None if model is None else model.dial_in
        if meter is not None and told is not None and told.speaks_first is FirstSpeaker.HEAD_END:
            self._claim(meter, proven=False)

    async def _by_line(self) -> Meter | None:
        """The meter that dials in of the configured line, if there is one."""
        context = self._context
        by_sender = context.ports.inbound.by_sender
        meter = await patiently(context, by_sender, Sender(self._connection.peer))
        return meter if meter is not None and dials_in(meter, context.model_of(meter)) else None

    def _claim(self, meter: Meter, *, proven: bool) -> None:
        self._meter = meter
        if self._caller is None:
            self._caller = self._dialled.join(meter, self._connection, proven=proven)
            if self._caller is None and dials_in(meter, self._context.model_of(meter)):
                self.ask_at = trio.current_time() + _CLAIM_AGAIN_S
        elif proven and self._caller.meter.meter_id == meter.meter_id:
            self._caller.proven = True

    # --- heartbeats ---------------------------------------------------------------------------

    async def is_heartbeat(self, message: Message) -> bool:
        """
        Answer a heartbeat as its model says; it is no push.

        Raises: trio.BrokenResourceError: it cannot be answered.
        """
        if not isinstance(message.sender, tuple) or not message.frames.startswith(b"\0"):
            return False  # they come in frames of the wrapper
        beat = next((one for one in self._heartbeats if one.matches(message.apdu)), None)
        if beat is None:
            return False
        context = self._context
        context.metrics.inbound_frames.labels("heartbeat").inc()
        if answer := heartbeat_answer(beat, WrapperFrame.from_datagram(message.frames)):
            with trio.move_on_after(context.settings.inbound.frame_s) as sending:
                await self._stream.send_all(answer)
            if sending.cancelled_caught:
                raise trio.BrokenResourceError("nobody takes what is answered")
        meter, serial = self._meter, beat.serial(message.apdu)
        if meter is None and serial is not None:
            sender = Sender(self._connection.peer, None, ((None, serial),))
            meter = await patiently(context, context.ports.inbound.by_sender, sender)
        if meter is not None:
            self._claim(meter, proven=False)
        return True

    @property
    def _heartbeats(self) -> Sequence[Heartbeat]:
        """Of the meter's model; of all models as long as nobody knows whose connection it is."""
        if self._meter is None:
            return self._dialled.heartbeats
        model = self._context.model_of(self._meter)
        return () if model is None or model.dial_in is None else model.dial_in.heartbeats

    # --- turns --------------------------------------------------------------------------------

    async def serve(self) -> tuple[str | None, bytes]:
        """
        Run the session that it is this meter's turn for, between two messages.

        Returns: why the connection must end, None: it stands; and octets that have come of the
            next message. Raises: nothing but trio.Cancelled.
        """
        caller = self._caller
        assert caller is not None, "see has_turn"
        assert caller.turn is not None
        turn, caller.turn = caller.turn, None
        peer = self._connection.peer
        if turn.lease.meter.transport is Transport.HDLC:
            return await self._dialled.serve(caller, turn, Given(self._stream, peer)), b""
        framed = FramedStream(self._stream, self._heartbeats)
        return await self._dialled.serve(caller, turn, Given(framed, peer)), framed.left_over
