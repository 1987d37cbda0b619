"""
The client's side of an association: bytes in, events out; requests in, bytes out.

Owns what one client SAP and one server SAP say to each other over one link: AARQ/AARE, the HLS
handshake, GET, SET, ACTION and ACCESS with lists and blocks, notifications, RLRQ/RLRE, and how
each APDU is protected. Does not own the transport, time, retries, or the durable counter:
`next_counter` is called once for each ciphered APDU, in `send`, and `server_counter` is read back
by the caller.

Rule 1: one request at a time; the next one may be sent after its completing event, or after
`abandon()`; pushes and their confirms are outside of this. Rule 2: `send` returns octets to write,
`receive_data` takes octets that were read, `next_event` is called until it gives None. Rule 3: an
APDU that fails verification raises `SecurityError` and changes nothing, neither state nor
counters; the order is tag, counter, state. Rule 4: only `RemoteProtocolError` for what the peer
did, `LocalProtocolError` for what we did. Rule 5: what an AARE says outside its protected
user-information nobody vouches for: it is compared with what we asked, and with HLS nothing is
open before the server has proved who it is.

Implements IEC 62056-5-3 (client side of clauses "AA establishment", GET, SET, ACTION, ACCESS,
DataNotification, EventNotification, security).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from hes_protocol import _handshake as handshake
from hes_protocol._block_layer import BlockLayer
from hes_protocol._channel import Channel, Opened, room
from hes_protocol._invocations import Confirm, Confirms, Invocations, is_confirmed
from hes_protocol._opening import Opening
from hes_protocol._pending import ANSWERS, Answer, Pending
from hes_protocol._requests import blocks_of
from hes_protocol._state import AssociationState, State, Step
from hes_protocol.acse import (
    Aare,
    AssociationResult,
    Diagnostic,
    ReleaseRequestReason,
    Rlre,
    Rlrq,
    UserDiagnostic,
)
from hes_protocol.errors import AssociationError, LocalProtocolError
from hes_protocol.events import (
    AccessCompleted,
    AccessResult,
    ActionCompleted,
    ActionListCompleted,
    AnswerDiscarded,
    AssociationAccepted,
    AssociationRejected,
    AssociationReleased,
    ClientEvent,
    ContinueNeeded,
    ExceptionReceived,
    GetCompleted,
    GetListCompleted,
    NotificationReceived,
    SetCompleted,
    SetListCompleted,
)
from hes_protocol.requests import (
    Access,
    Action,
    ActionList,
    Associate,
    ClientRequest,
    Get,
    GetList,
    Release,
    Reply,
    Selection,
    ServiceRequest,
    Set,
    SetList,
)
from hes_protocol.security import Protection
from hes_protocol.settings import ClientSettings, Link
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResponse,
    ActionResponseNormal,
    ActionResultCode,
    Apdu,
    ConfirmedServiceError,
    Conformance,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    decode_apdu,
)
from hes_protocol.xdlms.action import ACTION_RESPONSE
from hes_protocol.xdlms.ciphered import CipherForm
from hes_protocol.xdlms.initiate import INITIATE_RESPONSE
from hes_protocol.xdlms.refusal import CONFIRMED_SERVICE_ERROR, EXCEPTION_RESPONSE

__all__ = [
    "Access",
    "AccessCompleted",
    "AccessResult",
    "Action",
    "ActionCompleted",
    "ActionList",
    "ActionListCompleted",
    "AnswerDiscarded",
    "Associate",
    "AssociationAccepted",
    "AssociationRejected",
    "AssociationReleased",
    "Client",
    "ClientEvent",
    "ClientRequest",
    "ClientSettings",
    "ContinueNeeded",
    "ExceptionReceived",
    "Get",
    "GetCompleted",
    "GetList",
    "GetListCompleted",
    "Link",
    "NotificationReceived",
    "Release",
    "Reply",
    "Selection",
    "ServiceRequest",
    "Set",
    "SetCompleted",
    "SetList",
    "SetListCompleted",
]


_ACTION_RESPONSE: Final = bytes((ACTION_RESPONSE,))


class Client:
    """
    One association, from the client's side.

    Args:
        settings: what to ask and what to accept.
        link: frames APDUs; owned by this object from here on.
        next_counter: gives each invocation counter once, ever higher; called once per ciphered
            APDU (and once for the GMAC of HLS pass 3).
    Raises: LocalProtocolError: settings lack what they need, or ask for what is not implemented.
    """

    def __init__(
        self, settings: ClientSettings, link: Link, next_counter: Callable[[], int]
    ) -> None:
        handshake.check_settings(settings)
        self._settings = settings
        self._link = link
        self._channel = Channel(
            settings.suite_keys,
            settings.system_title,
            settings.minimum_protection,
            next_counter,
        )
        self._channel.peer_title = settings.server_system_title
        self._channel.peer_counter = settings.server_counter
        self._state = AssociationState()
        self._events: deque[ClientEvent] = deque()
        self._pending: Pending | None = None
        self._reply: Reply | None = None
        self._invocations = Invocations(settings.high_priority)
        self._confirms = Confirms()
        self._max_send_pdu_size = 0
        self._conformance = settings.conformance
        self._blocks = BlockLayer(
            settings.general_blocks, settings.max_result_octets, settings.max_blocks
        )
        self._block_reply: Reply | None = None
        self._confirming: deque[ContinueNeeded] = deque()
        self._opening = Opening(settings, self._channel)

    @property
    def server_counter(self) -> int | None:
        """Highest verified counter of the server; keep it for the next association."""
        return self._channel.peer_counter

    @property
    def server_system_title(self) -> bytes | None:
        """The server's title: the expected one, or the one learnt from an accepted AARE."""
        return self._channel.peer_title

    @property
    def pending_invoke_id(self) -> int | None:
        """The invoke_id of the request that is still unanswered, None if there is none."""
        return None if self._pending is None else self._pending.invoke_id

    def send(self, request: ClientRequest | Reply) -> bytes:
        """
        Turn a request, or the `reply` of a `ContinueNeeded`, into octets for the transport.

        Raises: LocalProtocolError: not allowed in this state, or settings lack what it needs;
            nothing has changed but that a counter may be lost.
        """
        match request:
            case Associate():
                return self._send_associate(request)
            case Release():
                return self._send_release()
            case Reply():
                return self._send_reply(request)
            case _:
                return self._send_request(request)

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport, any part of a frame or several frames.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """
        self._link.receive_data(data)

    def next_event(self) -> ClientEvent | None:
        """
        The next thing that happened, or None until more octets come.

        Raises: RemoteProtocolError: the APDU at hand is broken, forbidden here, or fails
            verification; it is consumed, and the association stands where it stood.
        """
        while not self._events:
            waited = self._blocks.waited()
            if waited is not None:
                self._receive_whole(waited)
            elif self._confirming and not self._blocks.is_busy:
                self._events.append(self._confirming.popleft())
            else:
                apdu = self._link.next_apdu()
                if apdu is None:
                    return None
                self._receive(apdu)
        return self._events.popleft()

    @property
    def timeout_s(self) -> float | None:
        """How long to wait for octets before `handle_timeout`; None: as long as one likes."""
        return self._link.timeout_s

    def data_to_send(self) -> bytes:
        """What the link itself has to say; write it before you wait for octets."""
        return self._link.data_to_send()

    def handle_timeout(self) -> bytes:
        """
        No octets have come for `timeout_s`: what the link says to that.

        Raises: FramingError: "no-answer".
        """
        return self._link.handle_timeout()

    def resend(self) -> bytes:
        """
        After a silence: the general blocks that were not answered, once more; empty if all were.

        Whether and when is the caller's to say: links that repeat by themselves do not need it.
        """
        return self._frames(self._blocks.resend())

    def abandon(self) -> None:
        """Give up the pending request: its answer, should it come late, is discarded."""
        if self._pending is not None and self._state.allows(Step.ABANDON):
            if self._state.current is State.AWAITING:
                self._invocations.give_up(self._pending)
            self._state.advance(Step.ABANDON)
            self._forget_request()

    def _forget_request(self) -> None:
        self._pending = None
        self._reply = None
        self._blocks.abandon()
        self._block_reply = None

    # --- sending ----------------------------------------------------------------------------

    def _send_associate(self, request: Associate) -> bytes:
        self._state.require(Step.ASSOCIATE)
        if self._settings.pre_established:
            self._open_without_aarq()
            return b""
        fresh, apdu = self._opening.request(request)
        octets = self._link.wrap(apdu)
        self._opening.begin(fresh)
        self._invocations.begin()
        self._negotiate(Conformance.NONE, 0)
        self._state.advance(Step.ASSOCIATE)
        return octets

    def _open_without_aarq(self) -> None:
        # It has stood all the time: no counter is forgotten.
        settings = self._settings
        self._negotiate(settings.conformance, settings.max_receive_pdu_size)
        self._state.advance(Step.ASSOCIATE)
        self._open(Step.ACCEPT)

    def _send_request(self, request: ServiceRequest) -> bytes:
        self._state.require(Step.REQUEST)
        pending, apdu = self._invocations.prepare(request, self._conformance, self._room(request))
        octets = self._wrap(apdu)
        self._invocations.use(pending)
        if is_confirmed(request):
            self._pending = pending
            self._state.advance(Step.REQUEST)
        return octets

    def _room(self, request: ServiceRequest) -> int | None:
        general = is_confirmed(request) and self._goes_by_general_blocks(request)
        if general or not self._max_send_pdu_size:
            return None
        settings = self._settings
        form = CipherForm.GENERAL_GLO if isinstance(request, Access) else settings.cipher_form
        return room(self._max_send_pdu_size, settings.protection, form)

    def _goes_by_general_blocks(self, request: ServiceRequest) -> bool:
        blocks = self._blocks
        own = blocks_of(request) & self._conformance
        return blocks.is_preferred or (blocks.is_negotiated and not own)

    def _negotiate(self, conformance: Conformance, max_send_pdu_size: int) -> None:
        self._conformance = conformance
        self._max_send_pdu_size = max_send_pdu_size
        self._block_reply = None
        self._blocks.begin(
            negotiated=bool(conformance & Conformance.GENERAL_BLOCK_TRANSFER),
            limit=max_send_pdu_size,
        )

    def _send_release(self) -> bytes:
        self._state.require(Step.RELEASE)
        if self._settings.no_rlrq or self._settings.pre_established:
            self._state.advance(Step.RELEASE)
            self._state.advance(Step.RELEASED)
            self._events.append(AssociationReleased())
            return b""
        apdu = Rlrq(
            ReleaseRequestReason.NORMAL,
            handshake.release_information(self._settings, self._channel),
        ).encode()
        octets = self._link.wrap(apdu)
        self._state.advance(Step.RELEASE)
        return octets

    def _send_reply(self, reply: Reply) -> bytes:
        if reply is self._block_reply:
            self._block_reply = None
            return self._frames(self._blocks.blocks()) if self._blocks.is_due else b""
        if reply is not self._reply:
            return self._send_confirm(self._confirms.find(reply))
        octets = self._send_proof() if self._pending is None else self._send_next(self._pending)
        self._reply = None
        return octets

    def _send_confirm(self, confirm: Confirm) -> bytes:
        if self._blocks.is_busy:
            raise LocalProtocolError("general blocks are under way")
        protected = self._channel.protect(confirm.apdu, confirm.protection, CipherForm.GENERAL_GLO)
        octets = self._link.wrap(protected)
        self._confirms.remove(confirm)
        return octets

    def _send_proof(self) -> bytes:
        self._state.require(Step.PROVE)
        pending = self._invocations.next(None)
        apdu = ActionRequestNormal(
            self._settings.hls_object,
            self._opening.make_proof(),
            invoke_id_and_priority=pending.invoke,
        ).encode()
        octets = self._wrap(apdu)
        self._invocations.use(pending)
        self._pending = pending
        self._state.advance(Step.PROVE)
        return octets

    def _send_next(self, pending: Pending) -> bytes:
        self._state.require(Step.NEXT_BLOCK)
        octets = self._wrap(pending.next_apdu())
        pending.advance()
        self._state.advance(Step.NEXT_BLOCK)
        return octets

    def _wrap(self, apdu: bytes) -> bytes:
        settings = self._settings
        protected = self._channel.protect(apdu, settings.protection, settings.cipher_form)
        octets = self._frames(self._blocks.ask(protected))
        self._block_reply = None
        return octets

    def _frames(self, apdus: tuple[bytes, ...]) -> bytes:
        return self._link.wrap(*apdus) if apdus else b""

    # --- receiving --------------------------------------------------------------------------

    def _receive(self, octets: bytes) -> None:
        apdu = self._blocks.enter(octets)
        if apdu is not None:
            self._receive_whole(apdu)
        elif self._blocks.is_due and self._block_reply is None:
            self._block_reply = Reply("block")
            self._events.append(ContinueNeeded(self._block_reply))

    def _receive_whole(self, octets: bytes) -> None:
        tag = octets[0] if octets else None
        if tag == Aare.TAG:
            self._receive_aare(Aare.decode(octets))
        elif tag == Rlre.TAG:
            self._receive_rlre(Rlre.decode(octets))
        elif tag in (EXCEPTION_RESPONSE, CONFIRMED_SERVICE_ERROR):
            # Never ciphered by service; whether to believe them is the policy's to say.
            trusted = self._settings.minimum_protection is Protection.PLAIN
            self._receive_apdu(decode_apdu(octets), Opened(octets), trusted=trusted)
        else:
            opened = self._channel.open(octets)
            if self._state.current is State.PROVING and opened.apdu[:1] == _ACTION_RESPONSE:
                # Committed once the proof inside is verified as well.
                self._receive_proof(decode_apdu(opened.apdu), opened)
                return
            if self._channel.peer_title is not None:
                # A counter belongs to a title: before the AARE it may be another meter that pushes.
                self._channel.commit(opened)
            self._receive_apdu(decode_apdu(opened.apdu), opened, trusted=True)

    def _receive_apdu(self, apdu: Apdu, opened: Opened, *, trusted: bool) -> None:
        if isinstance(apdu, ANSWERS):
            self._receive_answer(apdu)
            return
        match apdu:
            case DataNotification() | EventNotification():
                self._receive_notification(apdu, opened.protection)
            case ExceptionResponse():
                self._receive_exception(apdu, trusted=trusted)
            case ConfirmedServiceError() if self._state.current is State.ASSOCIATING:
                self._reject(
                    Step.REJECT,
                    AssociationResult.REJECTED_PERMANENT,
                    Diagnostic(UserDiagnostic.NO_REASON_GIVEN),
                    handshake.initiate_error(apdu),
                )
            case _:
                raise AssociationError(
                    "unexpected-apdu", self._state.current.name.lower(), apdu_tag=opened.apdu[0]
                )

    def _receive_aare(self, aare: Aare) -> None:
        if self._state.current is not State.ASSOCIATING:
            raise AssociationError("unexpected-apdu", "an AARE", apdu_tag=Aare.TAG)
        if aare.result is not AssociationResult.ACCEPTED:
            error = handshake.initiate_error_of(aare.user_information)
            self._reject(Step.REJECT, aare.result, aare.diagnostic, error)
            return
        accepted = self._opening.accept(aare)
        self._negotiate(
            accepted.initiate.conformance, accepted.initiate.server_max_receive_pdu_size
        )
        if accepted.challenge is None:
            self._open(Step.ACCEPT)
        else:
            self._state.advance(Step.CHALLENGE)
            self._continue("hls")

    def _receive_proof(self, apdu: Apdu, opened: Opened) -> None:
        pending = self._pending
        assert pending is not None
        assert isinstance(apdu, ActionResponse)
        if not isinstance(apdu, ActionResponseNormal) or apdu.invoke_id != pending.invoke_id:
            self._channel.commit(opened)
            self._events.append(AnswerDiscarded(apdu.invoke_id))
        elif apdu.outcome.result != ActionResultCode.SUCCESS:
            self._channel.commit(opened)
            self._pending = None
            failed = Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE)
            self._reject(Step.DENY, AssociationResult.REJECTED_PERMANENT, failed)
        else:
            self._opening.check_proof(apdu.outcome, opened)
            self._pending = None
            self._open(Step.CONFIRM)

    def _receive_rlre(self, rlre: Rlre) -> None:
        if self._state.current is not State.RELEASING:
            raise AssociationError("unexpected-apdu", "an RLRE", apdu_tag=Rlre.TAG)
        trusted = self._settings.minimum_protection is Protection.PLAIN
        if not trusted and rlre.user_information is not None:
            opened = self._channel.open(rlre.user_information)
            self._channel.commit(opened)
            # Anything else that is true may be an answer that somebody has put in here.
            trusted = opened.apdu[0] == INITIATE_RESPONSE
        self._state.advance(Step.RELEASED)
        self._events.append(AssociationReleased(trusted))

    def _receive_exception(self, apdu: ExceptionResponse, *, trusted: bool) -> None:
        invoke_id = self.pending_invoke_id
        if trusted and self._state.allows(Step.EXCEPTION):
            self._state.advance(Step.EXCEPTION)
            self._forget_request()
        self._events.append(
            ExceptionReceived(
                apdu.state_error, apdu.service_error, apdu.invocation_counter, trusted, invoke_id
            )
        )

    def _receive_notification(
        self, apdu: DataNotification | EventNotification, protection: Protection
    ) -> None:
        self._events.append(NotificationReceived(apdu, protection))
        if isinstance(apdu, DataNotification) and apdu.confirmed:
            needed = Protection(protection | self._settings.protection)
            reply = self._confirms.add(apdu, needed)
            if reply is not None:
                # Not amid general blocks: its counter would overtake theirs.
                self._confirming.append(ContinueNeeded(reply))

    def _receive_answer(self, apdu: Answer) -> None:
        pending = self._pending
        awaited = self._state.current is State.AWAITING
        if pending is None or not awaited or not pending.is_answered_by(apdu):
            self._invocations.answered(apdu.invoke_id)
            self._events.append(AnswerDiscarded(apdu.invoke_id))
            return
        completed = pending.take(apdu, self._settings)
        if completed is None:
            self._state.advance(Step.BLOCK)
            self._continue("block")
        else:
            self._state.advance(Step.ANSWER)
            self._pending = None
            if self._blocks.is_busy:  # it has not waited for all blocks of the request
                self._blocks.abandon()
            self._events.append(completed)

    # --- events -----------------------------------------------------------------------------

    def _continue(self, purpose: str) -> None:
        self._reply = Reply(purpose)
        self._events.append(ContinueNeeded(self._reply))

    def _open(self, step: Step) -> None:
        self._state.advance(step)
        self._events.append(self._opening.opened())

    def _reject(
        self,
        step: Step,
        result: AssociationResult,
        diagnostic: Diagnostic,
        initiate_error: int | None = None,
    ) -> None:
        self._state.advance(step)
        self._events.append(AssociationRejected(result, diagnostic, initiate_error))
