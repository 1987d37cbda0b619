"""
One client's association as the server sees it, from the AARQ that was admitted to the RLRE.

Owns the state, the open request, the answer that is being given by blocks, and the client's
counter. Every APDU gives a `Turn`: events, or what must be sent next. `server.py` owns the link
and knows which client is speaking.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

import attrs

from hes_protocol import _admission as admission
from hes_protocol import _answers as answers
from hes_protocol._channel import Channel, Opened, room
from hes_protocol._handshake import check_proof
from hes_protocol._long_get import LongGet
from hes_protocol._state import AssociationState, State, Step
from hes_protocol.acse import Diagnostic, ReleaseResponseReason, Rlre, Rlrq, UserDiagnostic
from hes_protocol.axdr import Data, DataTag, encode
from hes_protocol.errors import EncodingError, LocalProtocolError, SecurityError
from hes_protocol.events import (
    ActionRequested,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    GetRequested,
    ServerEvent,
)
from hes_protocol.requests import ActionResult, GetResult, Reply
from hes_protocol.security import gmac_token
from hes_protocol.settings import ServerAssociation
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResultCode,
    Apdu,
    Conformance,
    DataAccessResult,
    GetRequestNext,
    GetRequestNormal,
    decode_apdu,
)
from hes_protocol.xdlms.ciphered import CipherForm


def _nothing() -> tuple[ServerEvent, ...]:
    return ()


@attrs.frozen
class Due:
    """
    What is to be sent next.

    `build` makes the APDU when it is sent and not before, since it may draw a counter; `sent`
    takes the step that sending it means, and says what has happened.
    """

    reply: Reply
    build: Callable[[], bytes]
    sent: Callable[[], tuple[ServerEvent, ...]] = _nothing


@attrs.frozen
class Turn:
    """What an APDU has led to: events first, then, where there is one, what is due."""

    events: tuple[ServerEvent, ...] = ()
    due: Due | None = None


@attrs.frozen
class _Asked:
    """A request that the caller has to answer, and how it came."""

    request: GetRequestNormal | ActionRequestNormal
    opened: Opened


class ServerSession:
    """
    Args:
        rules: what this client may do.
        channel: its keys, titles and counters.
        admitted: what its AARQ has agreed to.
        challenge: StoC where HLS is to follow.
        client_counters: highest verified counter by client SAP; written after verification.
    """

    def __init__(
        self,
        rules: ServerAssociation,
        channel: Channel,
        admitted: admission.Admitted,
        challenge: bytes | None,
        client_counters: MutableMapping[int, int],
    ) -> None:
        self.channel = channel
        self._rules = rules
        self._admitted = admitted
        self._challenge = challenge
        self._client_counters = client_counters
        self._state = AssociationState()
        self._asked: _Asked | None = None
        self._long_get: LongGet | None = None
        channel.peer_title = admitted.aarq.calling_ap_title
        self._state.advance(Step.ASSOCIATE)
        self._commit(admitted.opened)

    @property
    def is_open(self) -> bool:
        """Whether the client is authenticated and may ask."""
        return self._state.current in (State.OPEN, State.AWAITING, State.BLOCKWISE)

    @property
    def is_over(self) -> bool:
        """Whether the association is released."""
        return self._state.current is State.IDLE

    @property
    def is_asking(self) -> bool:
        """Whether a request waits for the caller's answer."""
        return self._asked is not None

    def accept(self) -> Turn:
        """The AARE that accepts, after which the client is associated or challenged."""
        return Turn(
            due=Due(
                Reply("association"),
                lambda: admission.acceptance(
                    self._admitted, self._rules, self.channel, self._challenge
                ),
                self._accepted,
            )
        )

    def _accepted(self) -> tuple[ServerEvent, ...]:
        if self._challenge is not None:
            self._state.advance(Step.CHALLENGE)
            return ()
        self._state.advance(Step.ACCEPT)
        return (AssociationOpened(self._rules.client_sap),)

    # --- answers of the caller --------------------------------------------------------------

    def answer(self, result: GetResult | ActionResult) -> bytes:
        """
        The APDU that answers the open request, protected as the request was.

        Raises: LocalProtocolError: not what was asked, or no fresh counter.
        """
        asked = self._asked
        step, long_get = Step.ANSWER, None
        if asked is None:
            raise LocalProtocolError("nobody has asked for this")
        if isinstance(asked.request, GetRequestNormal) and isinstance(result, GetResult):
            blocks = self._offers(Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ)
            apdu, long_get = answers.get_response(
                asked.request, result, self._room(asked.opened), blocks=blocks
            )
            step = Step.ANSWER if long_get is None else Step.BLOCK
        elif isinstance(asked.request, ActionRequestNormal) and isinstance(result, ActionResult):
            apdu = answers.action_response(asked.request, result, self._room(asked.opened))
        else:
            raise LocalProtocolError("another service was asked")
        octets = self._protect(apdu, asked.opened)
        if long_get is not None:
            long_get.advance()
        self._long_get = long_get
        self._asked = None
        self._state.advance(step)
        return octets

    def _room(self, opened: Opened) -> int | None:
        ours, theirs = (
            self._rules.max_receive_pdu_size,
            self._admitted.client_max_receive_pdu_size,
        )
        limit = min(ours, theirs) if ours and theirs else ours or theirs
        if not limit:
            return None
        return room(limit, opened.protection, self._form(opened))

    def _form(self, opened: Opened) -> CipherForm:
        return self._rules.reply_form or opened.form

    def _offers(self, service: Conformance) -> bool:
        return bool(self._admitted.conformance & service)

    def _protect(self, apdu: bytes, opened: Opened) -> bytes:
        return self.channel.protect(apdu, opened.protection, self._form(opened))

    def _commit(self, opened: Opened) -> None:
        self.channel.commit(opened)
        if self.channel.peer_counter is not None:
            self._client_counters[self._rules.client_sap] = self.channel.peer_counter

    # --- what the client says ---------------------------------------------------------------

    def receive(self, octets: bytes) -> Turn:
        """
        Take an APDU other than an AARQ; one that fails verification changes nothing.

        Raises: RemoteProtocolError: it is broken and deserves no reply.
        """
        is_release = octets[0] == Rlrq.TAG
        rlrq = Rlrq.decode(octets) if is_release else None
        protected = octets if rlrq is None else rlrq.user_information or b""
        self.channel.peer_counter = self._client_counters.get(self._rules.client_sap)
        try:
            opened = self.channel.open(protected)
        except SecurityError as error:
            exception = answers.exception_for(error, self.channel.peer_counter)
            return Turn(due=Due(Reply("exception", error.code), lambda: exception))
        if rlrq is not None:
            self._commit(opened)
            return self._receive_rlrq(opened, informed=rlrq.user_information is not None)
        if self._state.current is State.CHALLENGED:
            return self._receive_proof(decode_apdu(opened.apdu), opened)
        self._commit(opened)
        try:
            apdu = decode_apdu(opened.apdu)
        except EncodingError as error:
            if error.code != "unknown-apdu":
                raise
            return self._refuse(answers.not_supported(), "unknown-apdu", opened)
        return self._receive_request(apdu, opened)

    def _receive_request(self, apdu: Apdu, opened: Opened) -> Turn:
        match apdu:
            case GetRequestNormal() if self._offers(Conformance.GET):
                return self._receive_get(apdu, opened)
            case GetRequestNext() if self._offers(Conformance.GET):
                return self._receive_next(apdu, opened)
            case ActionRequestNormal() if self._offers(Conformance.ACTION):
                self._ask(apdu, opened)
                return Turn(
                    (
                        ActionRequested(
                            apdu.invoke_id, apdu.method, apdu.parameters, self._rules.client_sap
                        ),
                    )
                )
            case _:
                return self._refuse(answers.not_supported(), "service-not-supported", opened)

    def _receive_get(self, apdu: GetRequestNormal, opened: Opened) -> Turn:
        selection = answers.selection_of(apdu)
        if isinstance(selection, DataAccessResult):
            self._give_up_blocks()
            return self._refuse(answers.refuse_get(apdu, selection), selection.name, opened)
        self._ask(apdu, opened)
        return Turn(
            (GetRequested(apdu.invoke_id, apdu.attribute, selection, self._rules.client_sap),)
        )

    def _receive_next(self, apdu: GetRequestNext, opened: Opened) -> Turn:
        long_get = self._long_get
        if long_get is not None and long_get.expects(apdu):
            self._state.advance(Step.NEXT_BLOCK)
            return Turn(
                due=Due(
                    Reply("block"),
                    lambda: self._protect(long_get.block(), opened),
                    lambda: self._block_sent(long_get),
                )
            )
        result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
        if long_get is None:
            result = DataAccessResult.NO_LONG_GET_IN_PROGRESS
        self._give_up_blocks()
        return self._refuse(answers.refuse_block(apdu, result), result.name, opened)

    def _block_sent(self, long_get: LongGet) -> tuple[ServerEvent, ...]:
        long_get.advance()
        if long_get.finished:
            self._long_get = None
        self._state.advance(Step.ANSWER if long_get.finished else Step.BLOCK)
        return ()

    def _receive_rlrq(self, opened: Opened, *, informed: bool) -> Turn:
        self._give_up_blocks()
        if not self._state.allows(Step.RELEASE):
            return self._refuse(answers.not_associated(), "no-association", opened)
        self._state.advance(Step.RELEASE)

        def build() -> bytes:
            information = None
            if informed:
                response = admission.initiate_response(self._rules, self._admitted.conformance)
                information = self._protect(response, opened)
            return Rlre(ReleaseResponseReason.NORMAL, information).encode()

        return Turn(due=Due(Reply("release"), build, self._released))

    def _released(self) -> tuple[ServerEvent, ...]:
        self._state.advance(Step.RELEASED)
        return (AssociationReleased(),)

    # --- HLS --------------------------------------------------------------------------------

    def _receive_proof(self, apdu: Apdu, opened: Opened) -> Turn:
        challenge = self._challenge
        assert challenge is not None
        if not isinstance(apdu, ActionRequestNormal) or apdu.method != self._rules.hls_object:
            self._commit(opened)
            return self._refuse(answers.not_associated(), "no-association", opened)
        try:
            counter = check_proof(
                self.channel,
                self.channel.peer_title,
                apdu.parameters,
                challenge,
                opened.invocation_counter,
            )
        except SecurityError as error:
            # Nothing changes, so that nobody can spoil another one's handshake.
            diagnostic = Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE)
            denial = answers.plain_action_response(apdu, ActionResultCode.OTHER_REASON)
            refused = self._refuse(denial, error.code, opened)
            return Turn((AssociationRefused(self._rules.client_sap, diagnostic),), refused.due)
        self.channel.commit_counter(counter)
        self._commit(opened)
        self._state.advance(Step.PROVE)
        return Turn(due=Due(Reply("hls"), lambda: self._prove(apdu, opened), self._confirmed))

    def _prove(self, apdu: ActionRequestNormal, opened: Opened) -> bytes:
        keys, title = self.channel.require_keys()
        challenge = self._admitted.aarq.authentication_value or b""
        token = gmac_token(keys, title, self.channel.draw_counter(), challenge)
        proof = encode(Data(DataTag.OCTET_STRING, token))
        response = answers.plain_action_response(apdu, ActionResultCode.SUCCESS, proof)
        return self._protect(response, opened)

    def _confirmed(self) -> tuple[ServerEvent, ...]:
        self._state.advance(Step.CONFIRM)
        return (AssociationOpened(self._rules.client_sap),)

    # --- common -----------------------------------------------------------------------------

    def _ask(self, apdu: GetRequestNormal | ActionRequestNormal, opened: Opened) -> None:
        self._give_up_blocks()
        self._state.advance(Step.REQUEST)
        self._asked = _Asked(apdu, opened)

    def _give_up_blocks(self) -> None:
        """A client that asks for something else has given up the rest of a long answer."""
        if self._state.current is State.BLOCKWISE:
            self._state.advance(Step.ABANDON)
        self._long_get = None

    def _refuse(self, apdu: bytes, detail: str, opened: Opened) -> Turn:
        """An answer of our own, protected as the request was, so that the client may trust it."""
        return Turn(due=Due(Reply("exception", detail), lambda: self._protect(apdu, opened)))
