"""
What comes out of an association: what either side learns.

Frozen values without behaviour; `requests.py` has what goes in. Octets of COSEM data stay octets
here, so that a profile is decoded once, by columns; `data()` gives the tree to those who want it.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from hes_protocol.acse.names import AssociationResult, Diagnostic
from hes_protocol.axdr import Data, decode_all
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.requests import Reply, Selection
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.action import ActionReturn
from hes_protocol.xdlms.get import GetDataResult
from hes_protocol.xdlms.notification import DataNotification, EventNotification
from hes_protocol.xdlms.results import (
    ActionResultCode,
    Conformance,
    DataAccessResult,
    ServiceError,
    StateError,
)

# --- both roles -----------------------------------------------------------------------------


@attrs.frozen
class ContinueNeeded:
    """
    The exchange needs one more APDU from us before anything else may be sent.

    The caller does what it must do before each APDU (lease, deadline), then writes
    `send(event.reply)` to the transport. The invocation counter is drawn in `send`, not before.
    A "confirm" hinders nothing: it may be sent at any time, or never.
    """

    reply: Reply


@attrs.frozen
class AssociationReleased:
    """
    The association is closed by RLRQ and RLRE; the same object may associate again.

    `trusted` is False, for a client, where the RLRE carried no protected initiate-response though
    the policy asks for protection: the standard allows that, and all it can do is to end what we
    had asked to end.
    """

    trusted: bool = True


# --- client ---------------------------------------------------------------------------------


@attrs.frozen
class AssociationAccepted:
    """
    The association is open: the AARE accepted and, with HLS, the server proved who it is.

    `max_send_pdu_size` is the largest APDU that the server takes, 0 for no limit.
    `server_system_title` is None where the server gave none and none was expected; with the
    other two it says who the server is, when a meter has dialled in. Nobody vouches for any of
    them in an association that is neither authenticated nor ciphered.
    """

    conformance: Conformance
    max_send_pdu_size: int
    server_system_title: bytes | None
    protection: Protection
    ae_qualifier: bytes | None = None
    ae_invocation_id: int | None = None


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
class SetCompleted:
    """The answer to a confirmed `Set`."""

    invoke_id: int
    result: DataAccessResult


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
class GetListCompleted:
    """
    The answers to a `GetList`, in its order.

    A server that refuses the list as a whole has given that result for each of its elements; the
    same holds for the other lists.
    """

    invoke_id: int
    results: tuple[GetDataResult, ...]


@attrs.frozen
class SetListCompleted:
    """The answers to a `SetList`, in its order."""

    invoke_id: int
    results: tuple[DataAccessResult, ...]


@attrs.frozen
class ActionListCompleted:
    """The answers to an `ActionList`, in its order."""

    invoke_id: int
    results: tuple[ActionReturn, ...]


AccessResult: TypeAlias = GetDataResult | DataAccessResult | ActionReturn
"""How one specification of an `Access` went: a `Get`, a `Set` or an `Action`, as in a list."""


@attrs.frozen
class AccessCompleted:
    """The answers to an `Access`, in its order; `invoke_id` is the long one, of 24 bits."""

    invoke_id: int
    results: tuple[AccessResult, ...]


@attrs.frozen
class NotificationReceived:
    """
    A push arrived; it does not touch a pending request.

    Where the server wants it confirmed, `ContinueNeeded` follows. `protection` is how it was
    protected; its tag, where it has one, is verified.
    """

    apdu: DataNotification | EventNotification
    protection: Protection


@attrs.frozen
class ExceptionReceived:
    """
    An exception-response. If `trusted` (protected as the policy asks) it ends the request whose
    answer was awaited; between two blocks none is.

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
    | SetCompleted
    | ActionCompleted
    | GetListCompleted
    | SetListCompleted
    | ActionListCompleted
    | AccessCompleted
    | NotificationReceived
    | ExceptionReceived
    | AnswerDiscarded
    | AssociationReleased
)


# --- server ---------------------------------------------------------------------------------


@attrs.frozen
class AssociationOpened:
    """
    The client of this SAP is authenticated and may ask; with HLS, after pass 4.

    `user_id` is who of the client's people is asking, where the AARQ says so; `system_title` the
    client's, and `max_send_pdu_size` the longest APDU that it takes, 0 for any. These two do not
    take part in comparisons.
    """

    client_sap: int
    user_id: int | None = None
    system_title: bytes | None = attrs.field(default=None, eq=False)
    max_send_pdu_size: int = attrs.field(default=0, eq=False)


@attrs.frozen
class AssociationRefused:
    """A client was refused; the AARE or ACTION response that says so comes as `ContinueNeeded`."""

    client_sap: int
    diagnostic: Diagnostic


@attrs.frozen
class GetRequested:
    """
    A client reads an attribute; the server waits for `GetResult`.

    A list and an ACCESS come as one request after the other, all with the same invoke_id.
    """

    invoke_id: int
    attribute: Attribute
    selection: Selection | None
    client_sap: int


@attrs.frozen
class SetRequested:
    """A client writes an attribute; the server waits for `SetResult`."""

    invoke_id: int
    attribute: Attribute
    data: Data = attrs.field(repr=False)
    selection: Selection | None
    client_sap: int


@attrs.frozen
class ActionRequested:
    """A client invokes a method; the server waits for `ActionResult`."""

    invoke_id: int
    method: Method
    data: Data | None = attrs.field(repr=False)
    client_sap: int


@attrs.frozen
class NotificationConfirmed:
    """The client of this SAP has got the data-notification with this long_invoke_id."""

    client_sap: int
    long_invoke_id: int


ServiceRequested: TypeAlias = GetRequested | SetRequested | ActionRequested
"""What the caller must answer."""

ServerEvent: TypeAlias = (
    ContinueNeeded
    | AssociationOpened
    | AssociationRefused
    | ServiceRequested
    | NotificationConfirmed
    | AssociationReleased
)
