"""
Requests and answers over one outbound connection, one APDU at a time.

Owns what must happen around every single APDU that we send: counters are reserved, the lease and
the storage gate are looked at last, right before the octets leave, and the answer has one deadline
from then on however slowly it drips in. What a link says of its own (a poll, an acknowledgement,
further segments, an APDU's frames once more) waits for a look at the lease as well: nothing at all
leaves without one. A push that the meter wants confirmed is so only once the caller says that it is
kept. Does not own phases, nor closing the stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio
import trio.abc

from hes.domain.errors import LeaseLostError
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.links import HeardLink
from hes_collectors.dlms.outcomes import ConnectionLostError, MeterRefusedError
from hes_protocol.client import (
    AccessCompleted,
    ActionCompleted,
    ActionListCompleted,
    AnswerDiscarded,
    AssociationAccepted,
    AssociationRejected,
    AssociationReleased,
    Client,
    ClientRequest,
    ContinueNeeded,
    ExceptionReceived,
    GetCompleted,
    GetListCompleted,
    NotificationReceived,
    Release,
    Reply,
    SetCompleted,
    SetListCompleted,
)
from hes_protocol.errors import LimitError, RemoteProtocolError
from hes_protocol.requests import CONFIRM
from hes_protocol.xdlms.results import ServiceError

_RECEIVE_OCTETS: Final = 65536
_MOST_DISCARDED: Final = 8
_FAREWELL_S: Final = 2.0
# What ends a farewell; all that it was for is done or told already.
_NO_FAREWELL: Final = (
    LeaseLostError,
    RemoteProtocolError,
    ConnectionLostError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
_SECURITY_ERRORS: Final = (ServiceError.DECIPHERING_ERROR, ServiceError.INVOCATION_COUNTER_ERROR)

Answer = (
    AssociationAccepted
    | AssociationRejected
    | GetCompleted
    | SetCompleted
    | ActionCompleted
    | GetListCompleted
    | SetListCompleted
    | ActionListCompleted
    | AccessCompleted
    | AssociationReleased
)


class AnswerTooLongError(LimitError):
    """The caller's own limit for an answer is passed; the request is given up, nothing is lost."""

    def __init__(self, most_octets: int) -> None:
        super().__init__("answer-too-long", f"more than {most_octets} octets")


class Exchange:
    """
    One client on one stream.

    What arrives for one request is kept as evidence, so it has a budget: a meter that sends
    without end, or answers that nobody asked for, ends the session.

    Args:
        stream: connected; the caller closes it.
        link: the client's.
        client: the association's state machine.
        counters: our invocation counters.
        guard: looked at before each APDU; raises if nothing may be sent any more.
        request_s: for one APDU and its answer.
        most_octets: what may arrive between a request and its completing event.
        on_push: called with the APDU and the frame of each push that comes between answers.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        link: HeardLink,
        client: Client,
        counters: OwnCounters,
        guard: LeaseGuard,
        request_s: float,
        most_octets: int,
        on_push: Callable[[bytes, bytes], None],
    ) -> None:
        self._stream = stream
        self._link = link
        self._client = client
        self._counters = counters
        self._guard = guard
        self._request_s = request_s
        self._most_octets = most_octets
        self._evidence = bytearray()
        self._discarded = 0
        self._confirms: list[Reply] = []
        self.octets_in = 0
        self.octets_out = 0
        self.agreed: AssociationAccepted | None = None
        """What was agreed on when the association was opened."""
        self._on_push = on_push

    @property
    def evidence(self) -> bytes:
        """The octets of the last answer as they arrived, framed and ciphered."""
        return bytes(self._evidence)

    @property
    def link(self) -> HeardLink:
        """What frames the APDUs."""
        return self._link

    @property
    def frames_discarded(self) -> int:
        """Frames of the link that were broken, out of place or for somebody else."""
        return self._link.frames_discarded

    @property
    def server_counter(self) -> int | None:
        """The highest verified invocation counter of the meter."""
        return self._client.server_counter

    @property
    def server_system_title(self) -> bytes | None:
        """The title that the meter gave, or that was expected."""
        return self._client.server_system_title

    async def ask(self, request: ClientRequest, *, break_off_octets: int | None = None) -> Answer:
        """
        Send a request and wait for the event that completes it, sending what it needs between.

        Args: break_off_octets: ask for no further block once this much has arrived.
        Returns: the completing event; a data_access_result other than success is an answer.
        Raises: AnswerTooLongError: it was broken off; another request may follow.
            trio.TooSlowError: an APDU was not answered in time. ConnectionLostError,
            trio.BrokenResourceError: the connection ended. MeterRefusedError: an
            exception-response. RemoteProtocolError: the answer breaks the protocol or our limits.
            LeaseLostError, StorageUnavailableError: nothing more may be sent; nothing was.
        """
        self._begin()
        outgoing: ClientRequest | Reply = request
        # One scope for all APDUs, whose deadline moves: entering one costs more than a small APDU.
        with trio.CancelScope() as scope:
            while True:
                if not self._counters.ready:
                    scope.deadline = math.inf
                    await self._counters.ensure()
                self._guard.check()
                scope.deadline = trio.current_time() + self._request_s
                await self._send(outgoing)
                event = await self._next_event()
                if not isinstance(event, ContinueNeeded):
                    if isinstance(event, AssociationAccepted):
                        self.agreed = event
                    return event
                if break_off_octets is not None and len(self._evidence) > break_off_octets:
                    self._client.abandon()
                    raise AnswerTooLongError(break_off_octets)
                outgoing = event.reply
        raise trio.TooSlowError

    async def confirm(self) -> None:
        """
        Tell the meter that its pushes so far are kept; between requests only.

        A meter forgets what is confirmed, and sends again what is not. A connection that is lost
        is for the next request to tell.

        Raises: trio.TooSlowError: it could not be sent in time. LeaseLostError,
            StorageUnavailableError: nothing more may be sent.
        """
        with suppress(trio.BrokenResourceError):
            while self._confirms:
                await self._counters.ensure()
                self._guard.check()
                with trio.fail_after(self._request_s):
                    await self._send(self._confirms.pop(0))

    async def release(self) -> None:
        """
        Close the association, giving up a request that is still unanswered.

        The caller sets the deadline. Storage that is away is no reason to leave a meter waiting,
        so nothing is reserved for it: where no counter is left the meter times out by itself.

        Raises: as `ask`.
        """
        if not self._counters.ready:
            return
        self._guard.check_lease()
        self._client.abandon()
        self._begin()
        await self._send(Release())
        while not isinstance(await self._next_event(), AssociationReleased):
            pass

    async def hang_up(self) -> None:
        """
        Give the link up where it has an end of its own and still stands: DISC, and its answer.

        However the association ended, the meter is then free at once and not only when it has been
        idle for long. Within a short deadline of its own, cancelled or not; without effect where
        nobody was heard, and once the lease or the connection is lost.

        Raises: nothing.
        """
        if not self.octets_in:
            return
        self._begin()
        with trio.move_on_after(_FAREWELL_S, shield=True), suppress(*_NO_FAREWELL):
            await self._write(self._link.disconnect())
            while self._link.timeout_s is not None:
                await self._receive()

    def _begin(self) -> None:
        self._evidence = bytearray()
        self._discarded = 0

    async def _send(self, outgoing: ClientRequest | Reply) -> None:
        await self._write(self._client.send(outgoing))

    async def _write(self, octets: bytes) -> None:
        """Whatever it is. Raises: LeaseLostError: it did not leave."""
        if octets:
            self._guard.check_lease()
            self.octets_out += len(octets)
            await self._stream.send_all(octets)

    async def _next_event(self) -> Answer | ContinueNeeded:
        while True:
            event = self._client.next_event()
            if event is None:
                await self._write(self._client.data_to_send())
                await self._receive()
            elif isinstance(event, NotificationReceived):
                self._on_push(self._link.last_apdu, self._link.last_frame())
            elif isinstance(event, ContinueNeeded) and event.reply.purpose == CONFIRM:
                self._confirms.append(event.reply)
            elif isinstance(event, ExceptionReceived):
                raise _refusal(event)
            elif isinstance(event, AnswerDiscarded):
                self._discarded += 1
                if self._discarded > _MOST_DISCARDED:
                    raise LimitError("too-many-answers", "answers that nobody waits for")
            else:
                return event

    async def _receive(self) -> None:
        """Take what comes; where the link has waited long enough, it says its word again."""
        data: bytes | bytearray | None = None
        waiting_s = self._link.timeout_s
        if waiting_s is None:
            data = await self._stream.receive_some(_RECEIVE_OCTETS)
        else:
            with trio.move_on_after(waiting_s):
                data = await self._stream.receive_some(_RECEIVE_OCTETS)
        if data is None:
            await self._write(self._link.handle_timeout())
            return
        if not data:
            raise ConnectionLostError("the meter closed the connection")
        self.octets_in += len(data)
        self._evidence += data
        if len(self._evidence) > self._most_octets:
            raise LimitError("too-long", f"more than {self._most_octets} octets for one request")
        self._client.receive_data(bytes(data))


def _refusal(event: ExceptionReceived) -> MeterRefusedError:
    """
    An exception-response as the end of the session.

    An untrusted one (in plaintext where the policy asks for protection) ends it as well: that is
    how a meter answers a wrong key, and the association is not usable for anybody who believes
    otherwise. Nothing is learnt from it.
    """
    code = event.service_error.name.lower().replace("_", "-")
    security = not event.trusted or event.service_error in _SECURITY_ERRORS
    return MeterRefusedError(f"exception-{code}", security=security)
