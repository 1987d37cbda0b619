"""
The server's (meter's) side of an association: bytes in, events out; replies in, bytes out.

Owns which client SAP is associated how, the AARE with its diagnostics, the HLS handshake, taking
lists and ACCESS apart and putting blocks together and cutting them, exception-responses, and how
each APDU is protected. Does not own objects: a `GetRequested` is answered by the caller, in the
simulator from its object model.

Rule 1: one attribute or method at a time: until the caller has sent its answer (or the `reply` of a
`ContinueNeeded`), `next_event` gives None and later APDUs wait in the link. Rule 2: a client never
crashes the server: there is a reply, or a `RemoteProtocolError` and nothing has changed. Rule 3:
tag, then invocation counter, then state. Each client SAP has an association of its own.

Implements IEC 62056-5-3 (server side of clauses "AA establishment", GET, SET, ACTION, ACCESS,
DataNotification, EventNotification, security).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Final

from hes_protocol import _admission as admission
from hes_protocol import _answers as answers
from hes_protocol._block_layer import unassociated
from hes_protocol._channel import Channel
from hes_protocol._server_session import Due, ServerSession, Turn
from hes_protocol.acse import Aarq, Diagnostic, UserDiagnostic
from hes_protocol.errors import LocalProtocolError, RemoteProtocolError, TruncatedError
from hes_protocol.events import (
    ActionRequested,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    ContinueNeeded,
    GetRequested,
    NotificationConfirmed,
    ServerEvent,
    ServiceRequested,
    SetRequested,
)
from hes_protocol.requests import (
    ActionResult,
    GetResult,
    Notify,
    Reply,
    Selection,
    ServerReply,
    ServiceResult,
    SetResult,
)
from hes_protocol.security.mechanisms import check_challenge
from hes_protocol.security.suite0 import SYSTEM_TITLE_OCTETS
from hes_protocol.settings import NO_GUARD, Guard, ServerAssociation, ServerLink
from hes_protocol.xdlms import DataNotificationConfirm, decode_apdu
from hes_protocol.xdlms.ciphered import GENERAL_GLO, CipherForm
from hes_protocol.xdlms.notification import DATA_NOTIFICATION_CONFIRM

__all__ = [
    "ActionRequested",
    "ActionResult",
    "AssociationOpened",
    "AssociationRefused",
    "AssociationReleased",
    "ContinueNeeded",
    "GetRequested",
    "GetResult",
    "Guard",
    "NotificationConfirmed",
    "Notify",
    "Reply",
    "Selection",
    "Server",
    "ServerAssociation",
    "ServerEvent",
    "ServerLink",
    "ServerReply",
    "ServiceRequested",
    "ServiceResult",
    "SetRequested",
    "SetResult",
]


_AARQ: Final = Aarq.TAG
_CONFIRMING_TAGS: Final = (DATA_NOTIFICATION_CONFIRM, GENERAL_GLO)


class Server:
    """
    A logical device's associations over one link.

    Args:
        associations: by client SAP; a SAP that is not there is an unknown client. What changes in
            it holds from a client's next association on; one that stands keeps its rules and keys.
        link: frames APDUs and knows the client's SAP; owned by this object from here on.
        server_sap: ours.
        system_title: ours, 8 octets.
        next_counter: gives each invocation counter once, ever higher.
        next_challenge: gives a fresh StoC, 8..64 octets, for each HLS association.
        client_counters: highest verified counter by the association's `counter_id`; written after
            verification, so that the caller can keep it over connections.
        broadcast_counters: the same under the broadcast key, for associations that have one.
        guard: who may try to authenticate, and who hears what did not verify.
    Raises: LocalProtocolError: no system title.
    """

    def __init__(
        self,
        associations: Mapping[int, ServerAssociation],
        link: ServerLink,
        *,
        server_sap: int,
        system_title: bytes,
        next_counter: Callable[[], int],
        next_challenge: Callable[[], bytes],
        client_counters: MutableMapping[int, int],
        broadcast_counters: MutableMapping[int, int] | None = None,
        guard: Guard = NO_GUARD,
    ) -> None:
        if len(system_title) != SYSTEM_TITLE_OCTETS:
            raise LocalProtocolError("a system title has 8 octets")
        self.server_sap = server_sap
        self._associations = associations
        self._link = link
        self._system_title = system_title
        self._next_counter = next_counter
        self._next_challenge = next_challenge
        self._client_counters = client_counters
        self._broadcast_counters = {} if broadcast_counters is None else broadcast_counters
        self._guard = guard
        self._sessions: dict[int, ServerSession] = {}
        self._events: list[ServerEvent] = []  # two at most for each APDU
        self._asking: ServerSession | None = None
        self._due: Due | None = None
        self._due_sap = 0  # whom it is due to, where there is something
        self._due_ended = False
        for sap, rules in associations.items():
            if rules.pre_established:
                self._sessions[sap] = ServerSession.standing(
                    rules, self._channel(rules), client_counters, self._broadcast_counters, guard
                )

    def is_associated(self, client_sap: int) -> bool:
        """Whether this client's association is open, authentication included."""
        session = self._sessions.get(client_sap)
        return session is not None and session.is_open

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """
        self._link.receive_data(data)
        for client_sap in self._link.ended_saps():
            self._end(client_sap)

    def next_event(self) -> ServerEvent | None:
        """
        The next thing that happened; None until more octets come or the open request is answered.

        Raises: RemoteProtocolError: the APDU at hand deserves no reply; it is consumed, and the
            associations stand where they stood.
        """
        while not self._events:
            if self._asking is not None or self._due is not None:
                return None
            apdu = self._link.next_apdu()
            if apdu is None:
                return None
            self._receive(apdu)
        return self._events.pop(0)

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

    def send(self, reply: ServerReply) -> bytes:
        """
        Turn an answer, a push, or the `reply` of a `ContinueNeeded` into octets.

        Raises: LocalProtocolError: nobody asked, or not this; nothing has changed.
        """
        match reply:
            case Reply():
                return self._send_due(reply)
            case GetResult() | SetResult() | ActionResult():
                return self._send_answer(reply)
            case Notify():
                return self._send_notification(reply)

    # --- sending ----------------------------------------------------------------------------

    def _send_due(self, reply: Reply) -> bytes:
        due = self._due
        if due is None or reply is not due.reply:
            raise LocalProtocolError("this reply is not due")
        if self._due_ended:
            self._due, self._due_ended = None, False
            return b""
        octets = self._frames(due.build())
        self._due = None
        event = due.sent()
        if event is not None:
            self._events.append(event)
            if isinstance(event, AssociationReleased):
                del self._sessions[self._due_sap]
        return octets

    def _send_answer(self, result: ServiceResult) -> bytes:
        session = self._asking
        if session is None:
            raise LocalProtocolError("nobody has asked for this")
        if session not in self._sessions.values():  # its link has ended: nobody listens
            self._asking = None
            return b""
        apdus = session.answer(result)
        asked = session.asked
        if asked is None:
            self._asking = None
        else:
            self._events.append(asked)
        return self._frames(apdus)

    def _frames(self, apdus: tuple[bytes, ...]) -> bytes:
        return self._link.wrap(*apdus) if apdus else b""

    def _send_notification(self, notify: Notify) -> bytes:
        rules = self._associations.get(notify.client_sap)
        session = self._sessions.get(notify.client_sap)
        if session is not None:
            channel, blocks = session.channel, session.blocks
        elif rules is not None:
            channel, blocks = self._channel(rules), unassociated(rules)
        else:
            raise LocalProtocolError(f"no client SAP {notify.client_sap}")
        apdu = channel.protect(
            notify.notification.encode(), notify.protection, CipherForm.GENERAL_GLO
        )
        return b"".join(self._link.push(notify.client_sap, block) for block in blocks.push(apdu))

    def _end(self, client_sap: int) -> None:
        """The client has set up its link anew, or given it up: so ends its association."""
        session = self._sessions.pop(client_sap, None)
        if session is not None and session.is_open:
            self._events.append(AssociationReleased())
        if self._due is not None and self._due_sap == client_sap:
            self._due_ended = True

    # --- receiving --------------------------------------------------------------------------

    def _receive(self, octets: bytes) -> None:
        client_sap = self._link.peer_sap
        if client_sap is None:
            raise LocalProtocolError("the link does not know whom it heard")
        if not octets:
            raise TruncatedError("truncated", "an empty APDU", offset=0)
        session = self._sessions.get(client_sap)
        if octets[0] == _AARQ:
            event, due = self._receive_aarq(Aarq.decode(octets), client_sap)
        elif session is None:
            event, due = self._receive_unassociated(octets, client_sap)
        else:
            event, due = session.enter(octets)
            if session.asked is not None:
                self._asking = session
        if event is not None:
            self._events.append(event)
        if due is not None:
            self._due, self._due_sap = due, client_sap
            self._events.append(ContinueNeeded(due.reply))

    def _receive_unassociated(self, octets: bytes, client_sap: int) -> Turn:
        """A push may be confirmed without an association, as it may be sent."""
        rules = self._associations.get(client_sap)
        if rules is not None and octets[0] in _CONFIRMING_TAGS:
            confirmed = self._confirmed(octets, rules)
            if confirmed is not None:
                return confirmed, None
        return None, Due(Reply("exception", "no-association"), _not_associated)

    def _confirmed(self, octets: bytes, rules: ServerAssociation) -> NotificationConfirmed | None:
        channel = self._channel(rules)
        try:
            opened = channel.open(octets)
            apdu = decode_apdu(opened.apdu)
        except RemoteProtocolError:
            return None
        if not isinstance(apdu, DataNotificationConfirm):
            return None
        channel.commit(opened)
        if channel.peer_counter is not None:
            self._client_counters[rules.counter_id] = channel.peer_counter
        return NotificationConfirmed(rules.client_sap, apdu.long_invoke_id)

    def _receive_aarq(self, aarq: Aarq, client_sap: int) -> Turn:
        """An association that stands is untouched until this one is admitted."""
        rules = self._associations.get(client_sap)
        if rules is None:
            unknown = Diagnostic(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
            return _refuse(client_sap, admission.Refused(unknown, detail="unknown-client"), None)
        if not self._guard.admits(client_sap):
            return _refuse(client_sap, admission.LOCKED_OUT, rules)
        channel = self._channel(rules)
        decision = admission.admit(aarq, rules, channel)
        if isinstance(decision, admission.Refused):
            if decision.diagnostic.code == UserDiagnostic.AUTHENTICATION_FAILURE:
                code = decision.detail or "authentication-failed"
                self._guard.failed(client_sap, code, opening=True)
            return _refuse(client_sap, decision, rules)
        challenge = self._fresh_challenge(aarq) if decision.with_hls else None
        session = ServerSession(
            rules,
            channel,
            decision,
            challenge,
            self._client_counters,
            self._broadcast_counters,
            self._guard,
        )
        self._sessions[client_sap] = session
        return session.accept()

    def _channel(self, rules: ServerAssociation) -> Channel:
        channel = Channel(
            rules.suite_keys,
            self._system_title,
            rules.minimum_protection,
            self._next_counter,
            broadcast_key=rules.broadcast_key,
        )
        channel.peer_counter = self._client_counters.get(rules.counter_id)
        return channel

    def _fresh_challenge(self, aarq: Aarq) -> bytes:
        challenge = self._next_challenge()
        if not check_challenge(challenge) or challenge == aarq.authentication_value:
            raise LocalProtocolError("no fresh challenge of 8 to 64 octets")
        return challenge


def _not_associated() -> tuple[bytes, ...]:
    return (answers.not_associated(),)


def _refuse(client_sap: int, refused: admission.Refused, rules: ServerAssociation | None) -> Turn:
    reply = Reply("association", refused.detail or refused.diagnostic.name)
    due = Due(reply, partial(_refusal, refused, rules))
    return AssociationRefused(client_sap, refused.diagnostic), due


def _refusal(refused: admission.Refused, rules: ServerAssociation | None) -> tuple[bytes, ...]:
    return (admission.refusal(refused, rules),)
