"""
One client's association as the server sees it, from the AARQ that was admitted to the RLRE.

Owns the state, the handshake, how each APDU is protected, and the client's counters; what is asked
in the open association is `_services.py`'s. Every APDU gives a `Turn`: events, or what must be sent
next. `server.py` owns the link and knows which client is speaking.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from hes_protocol import _admission as admission
from hes_protocol import _answers as answers
from hes_protocol._block_layer import BlockLayer
from hes_protocol._channel import Channel, KeyKind, Opened, room
from hes_protocol._proofs import check_proof, make_proof
from hes_protocol._services import Said, Services
from hes_protocol._state import AssociationState, State, Step
from hes_protocol.acse import Diagnostic, ReleaseResponseReason, Rlre, Rlrq, UserDiagnostic
from hes_protocol.axdr import encode
from hes_protocol.errors import EncodingError, SecurityError
from hes_protocol.events import (
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    NotificationConfirmed,
    ServerEvent,
    ServiceRequested,
)
from hes_protocol.requests import Reply, ServiceResult
from hes_protocol.security import Protection
from hes_protocol.settings import Guard, ServerAssociation
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionResultCode,
    Apdu,
    DataNotificationConfirm,
    decode_apdu,
)
from hes_protocol.xdlms.access import ACCESS_REQUEST
from hes_protocol.xdlms.ciphered import CipherForm
from hes_protocol.xdlms.initiate import INITIATE_REQUEST
from hes_protocol.xdlms.notification import DATA_NOTIFICATION_CONFIRM

_MAX_BLOCKS: Final = 65_536
_RLRQ: Final = Rlrq.TAG
_PLAIN: Final = Protection.PLAIN
_ACCESS: Final = bytes((ACCESS_REQUEST,))
_CONFIRM: Final = bytes((DATA_NOTIFICATION_CONFIRM,))


def _whole(apdu: bytes) -> tuple[bytes, ...]:
    return (apdu,)


def _nothing() -> None:
    return None


def _check_release(opened: Opened) -> None:
    # Anything else that is true may be a request that somebody has put in there.
    if opened.apdu and opened.apdu[0] != INITIATE_REQUEST:
        raise SecurityError("policy-violated", "not to release", apdu_tag=Rlrq.TAG)


class Due(NamedTuple):
    """
    What is to be sent next.

    `build` makes what the link is to carry when it is sent and not before, since it may draw a
    counter: one APDU, or several blocks; `sent` takes the step that sending it means, and says
    what has happened.
    """

    reply: Reply
    build: Callable[[], tuple[bytes, ...]]
    sent: Callable[[], ServerEvent | None] = _nothing

    def __repr__(self) -> str:
        # What is bound in `build` may be anything.
        return f"Due(reply={self.reply!r})"


Turn: TypeAlias = tuple[ServerEvent | None, Due | None]
"""What an APDU has led to: first what has happened, then what is due."""


_NOTHING: Final[Turn] = (None, None)


class ServerSession:
    """
    Args:
        rules: what this client may do.
        channel: its keys, titles and counters.
        admitted: what its AARQ has agreed to.
        challenge: StoC where HLS is to follow.
        client_counters, broadcast_counters: highest verified counter by `counter_id` under the
            unicast and under the broadcast key; written after verification.
        guard: hears what did not verify, and whether the client is through.
    """

    def __init__(
        self,
        rules: ServerAssociation,
        channel: Channel,
        admitted: admission.Admitted,
        challenge: bytes | None,
        client_counters: MutableMapping[int, int],
        broadcast_counters: MutableMapping[int, int],
        guard: Guard,
    ) -> None:
        self.channel = channel
        self._rules = rules
        self._guard = guard
        self._admitted = admitted
        self._challenge = challenge
        # Who has no such key has no counter either.
        self._counters: dict[KeyKind, MutableMapping[int, int]] = {}
        if channel.has_key(KeyKind.UNICAST):
            self._counters[KeyKind.UNICAST] = client_counters
        if channel.has_key(KeyKind.BROADCAST):
            self._counters[KeyKind.BROADCAST] = broadcast_counters
        self._state = AssociationState()
        self._services = Services(rules, admitted.conformance, self._state)
        # The request that the caller is asked, and how long a plain answer to it may be.
        self._asked_by = admitted.opened
        self._room: int | None = None
        ours, theirs = rules.max_receive_pdu_size, admitted.client_max_receive_pdu_size
        # The longest APDU that we send, octets, 0 for any.
        self._limit = min(ours, theirs) if ours and theirs else ours or theirs
        self.blocks = BlockLayer(
            rules.general_blocks, rules.max_request_octets, _MAX_BLOCKS, server=True
        )
        self.blocks.begin(
            negotiated=answers.blocks_of(admitted.conformance).general,
            limit=self._limit,
        )
        channel.peer_title = admitted.aarq.calling_ap_title
        channel.begin(admitted.dedicated_key)
        self._state.advance(Step.ASSOCIATE)
        self._commit(admitted.opened)

    @classmethod
    def standing(
        cls,
        rules: ServerAssociation,
        channel: Channel,
        client_counters: MutableMapping[int, int],
        broadcast_counters: MutableMapping[int, int],
        guard: Guard,
    ) -> ServerSession:
        """A pre-established association, which is open and stays so."""
        admitted = admission.pre_established(rules)
        session = cls(rules, channel, admitted, None, client_counters, broadcast_counters, guard)
        session._state.advance(Step.ACCEPT)
        return session

    @property
    def is_open(self) -> bool:
        """Whether the client is authenticated and may ask."""
        return self._state.current in (State.OPEN, State.AWAITING, State.BLOCKWISE)

    @property
    def asked(self) -> ServiceRequested | None:
        """What waits for the caller's answer."""
        return self._services.asked

    def accept(self) -> Turn:
        """The AARE that accepts, after which the client is associated or challenged."""
        return None, Due(Reply("association"), self._acceptance, self._accepted)

    def _acceptance(self) -> tuple[bytes, ...]:
        if not self._admitted.response_allowed and self._challenge is None:
            return ()  # an unconfirmed association: it is open, and nobody is told
        aare = admission.acceptance(self._admitted, self._rules, self.channel, self._challenge)
        return (aare,)

    def _accepted(self) -> AssociationOpened | None:
        if self._challenge is not None:
            self._state.advance(Step.CHALLENGE)
            return None
        self._state.advance(Step.ACCEPT)
        return self._opened()

    def _opened(self) -> AssociationOpened:
        self._guard.succeeded(self._rules.client_sap)
        aarq = self._admitted.aarq
        return AssociationOpened(
            self._rules.client_sap,
            aarq.calling_ae_invocation_id,
            aarq.calling_ap_title,
            self._admitted.client_max_receive_pdu_size,
        )

    # --- answers of the caller --------------------------------------------------------------

    def answer(self, result: ServiceResult) -> tuple[bytes, ...]:
        """
        Answer what is asked; `asked` then says what is asked next.

        Returns: the APDU, protected as the request was, or its first blocks; none where none is
            due yet or none is wanted.
        Raises: LocalProtocolError: not what was asked, or no fresh counter.
        """
        answer = self._services.answer(result, self._room)
        if answer is None:
            return ()
        apdu, long_answer = answer
        apdus = () if apdu is None else self._leave(apdu, self._asked_by)
        self._services.given(long_answer)
        return apdus

    def _room_for(self, opened: Opened) -> int | None:
        """How long the plain answer to a request may be; None where general blocks fit any."""
        if not self._limit or self.blocks.is_preferred:
            return None
        if opened.protection is _PLAIN:
            return self._limit
        # ACCESS has no tag of its own to be ciphered with.
        general = opened.apdu[:1] == _ACCESS
        form = CipherForm.GENERAL_GLO if general else self._rules.reply_form or opened.form
        return room(self._limit, opened.protection, form)

    def _leave(self, apdu: bytes, opened: Opened) -> tuple[bytes, ...]:
        return self.blocks.answer(self._protect(apdu, opened))

    def _protect(self, apdu: bytes, opened: Opened) -> bytes:
        if opened.protection is _PLAIN:
            return apdu
        form = self._rules.reply_form or opened.form
        return self.channel.protect(apdu, opened.protection, form)

    # --- counters ---------------------------------------------------------------------------

    def _commit(self, opened: Opened) -> None:
        if opened.invocation_counter is not None:
            self.channel.commit(opened)
            self._keep_counter(opened.key)

    def _keep_counter(self, kind: KeyKind) -> None:
        counter, counters = self.channel.verified(kind), self._counters.get(kind)
        if counter is not None and counters is not None:
            counters[self._rules.counter_id] = counter

    # --- what the client says ---------------------------------------------------------------

    def enter(self, octets: bytes) -> Turn:
        """
        Take an APDU of the link other than an AARQ, or a block of one.

        Raises: RemoteProtocolError: it is broken and deserves no reply.
        """
        whole = self.blocks.enter(octets)
        if whole is not None:
            return self._receive(whole, by_blocks=whole is not octets)
        if not self.blocks.is_due:
            return _NOTHING
        return None, Due(Reply("block"), self.blocks.blocks)

    def _receive(self, octets: bytes, *, by_blocks: bool) -> Turn:
        """
        Take an APDU other than an AARQ; one that fails verification changes nothing.

        Raises: RemoteProtocolError: it is broken and deserves no reply.
        """
        rlrq = Rlrq.decode(octets) if octets[0] == _RLRQ else None
        protected = octets if rlrq is None else rlrq.user_information or b""
        if rlrq is not None and not protected and self._rules.plain_rlrq:
            return self._receive_rlrq(Opened(b""), informed=False)
        for kind, counters in self._counters.items():  # another connection may have moved them
            self.channel.set_verified(kind, counters.get(self._rules.counter_id))
        try:
            opened = self.channel.open(protected)
            if rlrq is not None:
                _check_release(opened)
        except SecurityError as error:
            sap = self._rules.client_sap
            self._guard.failed(sap, error.code, opening=not self.is_open)
            exception = answers.exception_for(error, self.channel.peer_counter)
            answer = self.blocks.answer if by_blocks else _whole
            return None, Due(Reply("exception", error.code), partial(answer, exception))
        confirms = opened.apdu[:1] == _CONFIRM
        if not by_blocks and not confirms:
            self.blocks.abandon()  # a new request: who asks it has given up what was under way
        if rlrq is not None:
            self._commit(opened)
            return self._receive_rlrq(opened, informed=rlrq.user_information is not None)
        if self._state.current is State.CHALLENGED and not confirms:
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
        if isinstance(apdu, DataNotificationConfirm):
            return NotificationConfirmed(self._rules.client_sap, apdu.long_invoke_id), None
        room = self._room_for(opened)
        outcome = self._services.receive(apdu, room)
        if outcome is None:
            return _NOTHING
        if isinstance(outcome, Said):
            plain, purpose, detail, sent = outcome
            return None, Due(Reply(purpose, detail), partial(self._leave, plain, opened), sent)
        self._asked_by, self._room = opened, room
        return outcome, None

    def _receive_rlrq(self, opened: Opened, *, informed: bool) -> Turn:
        if self._rules.no_rlrq:
            return _NOTHING
        self._services.give_up()
        if not self._state.allows(Step.RELEASE):
            return self._refuse(answers.not_associated(), "no-association", opened)
        if self._rules.pre_established:
            return self._refuse(answers.not_supported(), "pre-established", opened)
        self._state.advance(Step.RELEASE)
        release = partial(self._release, opened if informed else None)
        return None, Due(Reply("release"), release, self._released)

    def _release(self, informed: Opened | None) -> tuple[bytes, ...]:
        information = None
        if informed is not None:
            response = admission.initiate_response(self._rules, self._admitted.conformance)
            information = self._protect(response, informed)
        return (Rlre(ReleaseResponseReason.NORMAL, information).encode(),)

    def _released(self) -> AssociationReleased:
        self._state.advance(Step.RELEASED)
        return AssociationReleased()

    # --- HLS --------------------------------------------------------------------------------

    def _receive_proof(self, apdu: Apdu, opened: Opened) -> Turn:
        challenge = self._challenge
        assert challenge is not None
        if not isinstance(apdu, ActionRequestNormal) or apdu.method != self._rules.hls_object:
            self._commit(opened)
            return self._refuse(answers.not_associated(), "no-association", opened)
        if not self._guard.admits(self._rules.client_sap):
            return self._deny(apdu, "locked-out", opened)  # since it was challenged
        try:
            counter = check_proof(
                self._rules,
                self.channel,
                apdu.parameters,
                opened,
                challenge=self._admitted.aarq.authentication_value or b"",
                own_challenge=challenge,
            )
        except SecurityError as error:
            self._guard.failed(self._rules.client_sap, error.code, opening=True)
            return self._deny(apdu, error.code, opened)
        if counter is not None:
            self.channel.commit_counter(counter)
            self._keep_counter(KeyKind.UNICAST)
        self._commit(opened)
        self._state.advance(Step.PROVE)
        return None, Due(Reply("hls"), partial(self._prove, apdu, opened), self._confirmed)

    def _deny(self, apdu: ActionRequestNormal, detail: str, opened: Opened) -> Turn:
        """No to a proof. Nothing changes, so that nobody can spoil another one's handshake."""
        diagnostic = Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE)
        denial = answers.plain_action_response(apdu, ActionResultCode.OTHER_REASON)
        _, due = self._refuse(denial, detail, opened)
        return AssociationRefused(self._rules.client_sap, diagnostic), due

    def _prove(self, apdu: ActionRequestNormal, opened: Opened) -> tuple[bytes, ...]:
        assert self._challenge is not None
        proof = encode(
            make_proof(
                self._rules,
                self.channel,
                challenge=self._admitted.aarq.authentication_value or b"",
                own_challenge=self._challenge,
            )
        )
        response = answers.plain_action_response(apdu, ActionResultCode.SUCCESS, proof)
        return self._leave(response, opened)

    def _confirmed(self) -> AssociationOpened:
        self._state.advance(Step.CONFIRM)
        return self._opened()

    # --- common -----------------------------------------------------------------------------

    def _refuse(self, apdu: bytes, detail: str, opened: Opened) -> Turn:
        """An answer of our own, protected as the request was, so that the client may trust it."""
        return None, Due(Reply("exception", detail), partial(self._leave, apdu, opened))
