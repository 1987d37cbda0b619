"""
What goes in and comes out of an association, for both roles.

Owns requests (what a client asks), replies (what a server answers) and events (what either side
learns). All are frozen values without behaviour; `client.py` and `server.py` say when each of
them is allowed. Octets of COSEM data stay octets here, so that a profile is decoded once, by
columns; `data()` gives the tree to those who want it.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from hes_protocol.acse.names import AssociationResult, Diagnostic
from hes_protocol.axdr import Data, decode_all
from hes_protocol.cosem.objects import Attribute, EntrySelection, Method, RangeSelection
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.notification import DataNotification, EventNotification
from hes_protocol.xdlms.results import (
    ActionResultCode,
    Conformance,
    DataAccessResult,
    ServiceError,
    StateError,
)

Selection: TypeAlias = RangeSelection | EntrySelection
"""Selective access: selector 1 (by range) or 2 (by entry) of class_id 7, attribute 2."""


# --- both roles -----------------------------------------------------------------------------


@attrs.frozen
class Reply:
    """
    What the state machine itself must send next; opaque, to be given to `send` unchanged.

    `purpose` says why, for traces: "block" (next block wanted), "hls" (pass 3 of the HLS
    handshake), "association" (an AARE), "release" (an RLRE), "exception" (a refusal). `detail`
    is, for a refusal, the code of the error that led to it, e.g. "tag-mismatch".
    """

    purpose: str
    detail: str = ""


@attrs.frozen
class ContinueNeeded:
    """
    The exchange needs one more APDU from us before anything else may be sent.

    The caller does what it must do before each APDU (lease, deadline), then writes
    `send(event.reply)` to the transport. The invocation counter is drawn in `send`, not before.
    """

    reply: Reply


@attrs.frozen
class AssociationReleased:
    """
    The association is closed by RLRQ and RLRE; the same object may associate again.

    `trusted` is False, for a client, where the RLRE carried no protected user-information though
    the policy asks for protection: the standard allows that, and all it can do is to end what we
    had asked to end.
    """

    trusted: bool = True


# --- client: requests -----------------------------------------------------------------------


@attrs.frozen
class Associate:
    """
    Open the association of the settings: AARQ and, with HLS, passes 3 and 4.

    `challenge` is CtoS in place of the settings'; needed for the second HLS association of one
    `Client`, since a challenge is used once.
    """

    challenge: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Get:
    """Read one attribute, whole or by `selection`; blocks are put together."""

    attribute: Attribute
    selection: Selection | None = None


@attrs.frozen
class Action:
    """Invoke one method; `data` is its parameter, None for none."""

    method: Method
    data: Data | None = None


@attrs.frozen
class Release:
    """Close the association: RLRQ."""


ClientRequest: TypeAlias = Associate | Get | Action | Release


# --- client: events -------------------------------------------------------------------------


@attrs.frozen
class AssociationAccepted:
    """
    The association is open: the AARE accepted and, with HLS, the server proved who it is.

    `max_send_pdu_size` is the largest APDU that the server takes, 0 for no limit.
    `server_system_title` is None where the server gave none.
    """

    conformance: Conformance
    max_send_pdu_size: int
    server_system_title: bytes | None
    protection: Protection


@attrs.frozen
class AssociationRejected:
    """
    The server refused: no association, and the client may try again.

    `initiate_error` is the octet of a confirmed-service-error's initiate-error, where the AARE
    carried one.
    """

    result: AssociationResult
    diagnostic: Diagnostic
    initiate_error: int | None = None


@attrs.frozen
class GetCompleted:
    """
    The answer to a `Get`.

    `octets` is one encoded `Data`, the blocks joined, still undecoded; empty unless `result` is
    SUCCESS. Whether it decodes is known only to whoever decodes it.
    """

    invoke_id: int
    result: DataAccessResult
    octets: bytes = attrs.field(default=b"", repr=False)

    def data(self) -> Data:
        """
        The value as a tree.

        Raises: EncodingError: the octets are no single `Data`. LimitError: too deep.
        """
        return decode_all(self.octets)


@attrs.frozen
class ActionCompleted:
    """
    The answer to an `Action`.

    `octets` is the encoded `Data` of the return parameters, empty where there are none;
    `data_result` is the access result that the server gave in their place, None where it gave
    none.
    """

    invoke_id: int
    result: ActionResultCode
    octets: bytes = attrs.field(default=b"", repr=False)
    data_result: DataAccessResult | None = None

    def data(self) -> Data:
        """
        The return parameters as a tree.

        Raises: EncodingError: the octets are no single `Data`. LimitError: too deep.
        """
        return decode_all(self.octets)


@attrs.frozen
class NotificationReceived:
    """
    A push arrived inside the association; it does not touch a pending request.

    `protection` is how it was protected; its tag, where it has one, is verified.
    """

    apdu: DataNotification | EventNotification
    protection: Protection


@attrs.frozen
class ExceptionReceived:
    """
    An exception-response. If `trusted` (protected as the policy asks) it ends the pending request.

    A plaintext exception-response in a protected association may come from anybody: it is told
    here with `trusted` False, moves no state and no counter, and the request is still pending.
    `invocation_counter` is the counter that the server says it expects: a hint.
    """

    state_error: StateError
    service_error: ServiceError
    invocation_counter: int | None
    trusted: bool
    invoke_id: int | None = None


@attrs.frozen
class AnswerDiscarded:
    """An answer to no pending request (late, or with a foreign invoke_id); nothing has changed."""

    invoke_id: int


ClientEvent: TypeAlias = (
    ContinueNeeded
    | AssociationAccepted
    | AssociationRejected
    | GetCompleted
    | ActionCompleted
    | NotificationReceived
    | ExceptionReceived
    | AnswerDiscarded
    | AssociationReleased
)


# --- server: events -------------------------------------------------------------------------


@attrs.frozen
class AssociationOpened:
    """The client of this SAP is authenticated and may ask; with HLS, after pass 4."""

    client_sap: int


@attrs.frozen
class AssociationRefused:
    """A client was refused; the AARE or ACTION response that says so comes as `ContinueNeeded`."""

    client_sap: int
    diagnostic: Diagnostic


@attrs.frozen
class GetRequested:
    """A client reads an attribute; the server waits for `GetResult`."""

    invoke_id: int
    attribute: Attribute
    selection: Selection | None
    client_sap: int


@attrs.frozen
class ActionRequested:
    """A client invokes a method; the server waits for `ActionResult`."""

    invoke_id: int
    method: Method
    data: Data | None
    client_sap: int


ServerEvent: TypeAlias = (
    ContinueNeeded
    | AssociationOpened
    | AssociationRefused
    | GetRequested
    | ActionRequested
    | AssociationReleased
)


# --- server: replies ------------------------------------------------------------------------


@attrs.frozen
class GetResult:
    """
    The answer to a `GetRequested`: one encoded `Data`, or a result other than SUCCESS.

    The server cuts what exceeds the client's max_receive_pdu_size into blocks and sends the
    later ones as `ContinueNeeded` when the client asks for them.
    """

    invoke_id: int
    result: DataAccessResult = DataAccessResult.SUCCESS
    octets: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class ActionResult:
    """The answer to an `ActionRequested`; `octets` is the encoded return parameter, if any."""

    invoke_id: int
    result: ActionResultCode = ActionResultCode.SUCCESS
    octets: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class Notify:
    """
    Push `notification` to `client_sap`, protected by that association's keys as general-glo.

    Allowed at any time and without an association, as meters do; changes no state.
    """

    notification: DataNotification
    client_sap: int
    protection: Protection = Protection.PLAIN


ServerReply: TypeAlias = GetResult | ActionResult | Notify | Reply
