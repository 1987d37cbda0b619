"""
What goes into an association: what a client asks, what a server answers or pushes.

Frozen values without behaviour; `client.py` and `server.py` say when each of them is allowed,
`events.py` has what comes out.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import Data
from hes_protocol.cosem.objects import Attribute, EntrySelection, Method, RangeSelection
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.notification import DataNotification, EventNotification
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult

Selection: TypeAlias = RangeSelection | EntrySelection
"""Selective access: selector 1 (by range) or 2 (by entry) of class_id 7, attribute 2."""


# --- both roles -----------------------------------------------------------------------------


CONFIRM: Final = "confirm"
"""`Reply.purpose` of what confirms a push."""


@attrs.frozen
class Reply:
    """
    What the state machine itself must send next; opaque, to be given to `send` unchanged.

    `purpose` says why: "block" (next block wanted, or given), "hls" (pass 3 of the
    HLS handshake), "confirm" (of a data-notification), "association" (an AARE), "release" (an
    RLRE), "exception" (a refusal). `detail` is, for a refusal, the code of the error that led to
    it, e.g. "tag-mismatch".
    """

    purpose: str
    detail: str = ""


# --- client ---------------------------------------------------------------------------------


@attrs.frozen
class Associate:
    """
    Open the association of the settings: AARQ and, with HLS, passes 3 and 4.

    `challenge` is CtoS, `dedicated_key` the association's key, in place of the settings'; needed
    for the second such association of one `Client`, since they are used once.
    """

    challenge: bytes | None = attrs.field(default=None, repr=False)
    dedicated_key: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Get:
    """Read one attribute, whole or by `selection`; blocks are put together."""

    attribute: Attribute
    selection: Selection | None = None


@attrs.frozen
class Set:
    """
    Write one attribute, whole or by `selection`; by blocks where `data` is too long for one APDU.

    Not `confirmed`: nothing will come back, no event follows, and the next request may be sent at
    once.
    """

    attribute: Attribute
    data: Data = attrs.field(repr=False)
    selection: Selection | None = None
    confirmed: bool = True


@attrs.frozen
class Action:
    """Invoke one method; `data` is its parameter, None for none. `confirmed` as of `Set`."""

    method: Method
    data: Data | None = attrs.field(default=None, repr=False)
    confirmed: bool = True


@attrs.frozen
class GetList:
    """Read several attributes by one request."""

    gets: tuple[Get, ...]


@attrs.frozen
class SetList:
    """Write several attributes by one request; their own `confirmed` does not count."""

    sets: tuple[Set, ...]


@attrs.frozen
class ActionList:
    """Invoke several methods by one request; their own `confirmed` does not count."""

    actions: tuple[Action, ...]


@attrs.frozen
class Access:
    """Read, write and invoke by one ACCESS request, in this order."""

    specifications: tuple[Get | Set | Action, ...]


@attrs.frozen
class Release:
    """Close the association: RLRQ."""


ServiceRequest: TypeAlias = Get | Set | Action | GetList | SetList | ActionList | Access
"""What may be asked in an open association."""

ClientRequest: TypeAlias = Associate | ServiceRequest | Release


# --- server ---------------------------------------------------------------------------------


@attrs.frozen
class GetResult:
    """
    The answer to a `GetRequested`: one encoded `Data`, or a result other than SUCCESS.

    The server cuts what exceeds the client's max_receive_pdu_size into blocks and sends the
    later ones as `ContinueNeeded` when the client asks for them. For all but the last element of
    a list `send` gives no octets yet.
    """

    invoke_id: int
    result: DataAccessResult = DataAccessResult.SUCCESS
    octets: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class SetResult:
    """The answer to a `SetRequested`; no octets come of it where the client wants no answer."""

    invoke_id: int
    result: DataAccessResult = DataAccessResult.SUCCESS


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

    Allowed at any time and without an association, as meters do; changes no state. Where a
    data-notification asks for it, `NotificationConfirmed` tells that the client has it.
    """

    notification: DataNotification | EventNotification
    client_sap: int
    protection: Protection = Protection.PLAIN


ServiceResult: TypeAlias = GetResult | SetResult | ActionResult
"""What answers a request."""

ServerReply: TypeAlias = ServiceResult | Notify | Reply
