"""
A concentrator: one connection, many meters behind it, told apart by the wrapper's port.

Owns whose turn a frame is. Each meter's association is its own: what one of them refuses or breaks
does not touch the others. Frames are answered in the order in which they came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
import trio

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.models import Transport
from hes_protocol.wrapper import WrapperReceiver
from hes_simulators.conversation import Conversation, SessionSummary, link_of, linked
from hes_simulators.meter import Meter

_RECEIVE_OCTETS: Final = 16_384
_MAX_REQUEST_OCTETS: Final = 4096
# Associations on one connection; the one that was silent for longest makes room.
MAX_CONVERSATIONS: Final = 512
_log = structlog.get_logger(__name__)


class ConcentratorSession:
    """
    The concentrator's end of one connection.

    Args:
        stream: connected; closed by the caller.
        meter_at: the meter that has a SAP here, None for nobody.
        summary: counted into, over all meters.
        idle_timeout_s: how long a client may say nothing whole to anybody.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        meter_at: Callable[[int], Meter | None],
        summary: SessionSummary,
        idle_timeout_s: float,
    ) -> None:
        self.frames_discarded = 0
        self._stream = stream
        self._meter_at = meter_at
        self._summary = summary
        self._idle_timeout_s = idle_timeout_s
        self._receiver = WrapperReceiver(_MAX_REQUEST_OCTETS)
        self._conversations: OrderedDict[int, Conversation] = OrderedDict()
        self._scope = trio.CancelScope()

    async def serve(self) -> None:
        """
        Serve until the client goes away, or says nothing whole for too long.

        Raises: FramingError: the stream is lost. trio.BrokenResourceError.
        """
        scope = self._scope
        scope.deadline = trio.current_time() + self._idle_timeout_s
        with scope:
            while data := await self._stream.receive_some(_RECEIVE_OCTETS):
                self._receiver.receive_data(bytes(data))
                while (frame := self._receiver.next_frame()) is not None:
                    await self._answer(frame.destination, frame.to_octets(), scope)
                    await trio.lowlevel.checkpoint()  # who asks much at once holds nobody up
        late = trio.current_time() >= scope.deadline
        self._summary.timed_out = scope.cancelled_caught and late

    def hang_up(self) -> None:
        """End `serve` as soon as may be, from outside."""
        self._scope.cancel()

    async def _answer(self, sap: int, octets: bytes, scope: trio.CancelScope) -> None:
        conversation = self._conversation(sap)
        if conversation is None:
            self.frames_discarded += 1
            return
        try:
            for answer in conversation.receive(octets):
                scope.deadline = trio.current_time() + self._idle_timeout_s
                if answer:
                    await self._stream.send_all(answer)
                else:  # an element of a list
                    await trio.lowlevel.checkpoint()
            if rest := conversation.server.data_to_send():
                await self._stream.send_all(rest)
        except RemoteProtocolError:
            # This meter has nothing to say to that; the others have not even heard it.
            self.frames_discarded += 1
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception:  # noqa: BLE001 - this meter's edge: the others go on
            del self._conversations[sap]
            self._summary.crashes += 1
            _log.exception("sim_session_crashed", serial=conversation.meter.identity.serial)

    def _conversation(self, sap: int) -> Conversation | None:
        meter = self._meter_at(sap)
        if meter is None:
            self._conversations.pop(sap, None)  # it has gone dark: so has its association
            return None
        conversation = self._conversations.pop(sap, None)
        if conversation is None:
            misdeeds = meter.kind.faults.shared_session(meter.identity)
            link = linked(link_of(Transport.WRAPPER, sap), misdeeds.alter)
            conversation = Conversation(meter, self._summary, link)
        self._conversations[sap] = conversation
        if len(self._conversations) > MAX_CONVERSATIONS:
            self._conversations.popitem(last=False)
        return conversation
