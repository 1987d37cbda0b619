"""
One connection to one meter: octets between a trio stream and the protocol's server.

Owns the loop and its deadline, nothing else: framing, associations and security are the
protocol's, the answers the meter's. Does not close the stream; that is the caller's.

An open connection is one task, waiting to receive: no buffer is held meanwhile.
"""

from __future__ import annotations

import math

import trio

from hes_protocol.errors import LocalProtocolError
from hes_protocol.server import Notify, Server, ServerLink
from hes_protocol.xdlms import DataNotification
from hes_simulators.conversation import Conversation, SessionSummary, linked
from hes_simulators.faults import WELL_BEHAVED, SessionFaults
from hes_simulators.meter import Meter

__all__ = ["Session", "SessionSummary", "serve_stream"]

_RECEIVE_OCTETS = 16_384


class Session:
    """
    A meter's end of one connection.

    Args:
        stream: connected; closed by the caller.
        summary: counted into while the session runs, so that it is right also when it breaks.
        idle_timeout_s: how long a client may say nothing whole.
        misdeeds: what the meter does wrong on this connection.
        link: another than the meter's own.
    """

    __slots__ = (
        "_answering",
        "_conversation",
        "_idle_timeout_s",
        "_scope",
        "_sending",
        "_sent",
        "_stream",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        meter: Meter,
        summary: SessionSummary,
        idle_timeout_s: float = math.inf,
        misdeeds: SessionFaults = WELL_BEHAVED,
        link: ServerLink | None = None,
    ) -> None:
        alter = misdeeds.alter if link is None else linked(link, misdeeds.alter)
        self._conversation = Conversation(meter, summary, alter)
        self._stream = misdeeds.stream(stream, meter)
        self._idle_timeout_s = idle_timeout_s
        self._scope = trio.CancelScope()
        self._sending = False
        self._answering = False
        self._sent: trio.Event | None = None  # made by who has to wait: hardly ever

    async def serve(self) -> None:
        """
        Be the meter until the client goes away, says nothing whole for too long, or `hang_up`.

        The time runs from APDU to APDU, so that a client which sends an octet now and then, or
        does not take its answers, is dropped as well.

        Raises: RemoteProtocolError: the client broke the protocol; the connection is of no use
            now. trio.BrokenResourceError: the connection broke.
        """
        conversation, server = self._conversation, self._conversation.server
        scope = self._scope
        scope.deadline = trio.current_time() + self._idle_timeout_s
        try:
            with scope:
                while data := await self._receive(server):
                    self._answering = True
                    for number, answer in enumerate(conversation.receive(data)):
                        self._wait_anew()
                        if number:  # who asks for a list, or much at once, holds nobody else up
                            await trio.lowlevel.checkpoint()
                        await self._write(answer)
                    await self._write(server.data_to_send())
                    self._answering = False
                    self._wake()
        finally:
            self._answering = False
            self._wake()
        late = trio.current_time() >= scope.deadline
        conversation.summary.timed_out = scope.cancelled_caught and late

    def _wait_anew(self) -> None:
        """Moving a deadline costs: it may come early by a sixteenth."""
        deadline = trio.current_time() + self._idle_timeout_s
        if deadline - self._scope.deadline > self._idle_timeout_s / 16:
            self._scope.deadline = deadline

    def hang_up(self) -> None:
        """End `serve` as soon as may be, from outside: the meter has no power any more."""
        self._scope.cancel()

    async def push(self, notify: Notify) -> int:
        """
        Send what nobody asked for, between the answers.

        Returns: how many octets went out; 0 where a fault keeps the push back.
        Raises: LocalProtocolError: no such client. trio.BrokenResourceError, ClosedResourceError:
            the connection is not there any more.
        """
        # What has a lower invocation counter goes first: a client takes them in no other order.
        while self._answering or self._sending:
            await self._wait()
        octets = b"".join(self._conversation.push(notify))
        await self._write(octets)
        return len(octets)

    async def push_confirmed(self, notify: Notify, timeout_s: float) -> int | None:
        """
        As `push`, and wait until the client has confirmed; `serve` must run meanwhile.

        Returns: how many octets it took; None: nothing was confirmed in that time.
        """
        if not isinstance(notify.notification, DataNotification):
            raise LocalProtocolError("only a data-notification is confirmed")
        confirmed = trio.Event()
        number = notify.notification.long_invoke_id
        self._conversation.when_confirmed(number, confirmed.set)
        octets = await self.push(notify)
        with trio.move_on_after(timeout_s):
            await confirmed.wait()
            return octets
        return None

    async def _receive(self, server: Server) -> bytes:
        """What the client sends; meanwhile the link may find that it has waited long enough."""
        while (waiting_s := server.timeout_s) is not None:
            with trio.move_on_after(waiting_s):
                return bytes(await self._stream.receive_some(_RECEIVE_OCTETS))
            await self._write(server.handle_timeout())
        return bytes(await self._stream.receive_some(_RECEIVE_OCTETS))

    async def _write(self, octets: bytes) -> None:
        """One at a time: an answer and a push may want to go at once."""
        if not octets:
            return
        while self._sending:
            await self._wait()
        self._sending = True
        try:
            await self._stream.send_all(octets)
        finally:
            self._sending = False
            self._wake()

    async def _wait(self) -> None:
        """Until somebody has sent what he had to."""
        if self._sent is None:
            self._sent = trio.Event()
        await self._sent.wait()

    def _wake(self) -> None:
        if self._sent is not None:
            self._sent.set()
            self._sent = None


async def serve_stream(
    stream: trio.abc.Stream,
    meter: Meter,
    summary: SessionSummary,
    idle_timeout_s: float = math.inf,
    misdeeds: SessionFaults = WELL_BEHAVED,
) -> None:
    """Be the meter on one connection; arguments and errors as of `Session` and its `serve`."""
    await Session(stream, meter, summary, idle_timeout_s, misdeeds).serve()
