"""
The client's side of an association: bytes in, events out; requests in, bytes out.

Owns what one client SAP and one server SAP say to each other over one link: AARQ/AARE, the HLS
handshake, GET with blocks, ACTION, notifications, RLRQ/RLRE, and how each APDU is protected. Does
not own the transport, time, retries, or the durable counter: `next_counter` is called once for
each ciphered APDU, in `send`, and `server_counter` is read back by the caller.

Rule 1: one request at a time; the next one may be sent after its completing event, or after
`abandon()`. Rule 2: `send` returns octets to write, `receive_data` takes octets that were read,
`next_event` is called until it gives None. Rule 3: an APDU that fails verification raises
`SecurityError` and changes nothing, neither state nor counters; the order is tag, counter, state.
Rule 4: only `RemoteProtocolError` for what the peer did, `LocalProtocolError` for what we did.

Implements IEC 62056-5-3 (client side of clauses "AA establishment", GET, ACTION, security).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.events import (
    Action,
    ActionCompleted,
    AnswerDiscarded,
    Associate,
    AssociationAccepted,
    AssociationRejected,
    AssociationReleased,
    ClientEvent,
    ClientRequest,
    ContinueNeeded,
    ExceptionReceived,
    Get,
    GetCompleted,
    NotificationReceived,
    Release,
    Reply,
    Selection,
)
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

__all__ = [
    "Action",
    "ActionCompleted",
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
    "Link",
    "NotificationReceived",
    "Release",
    "Reply",
    "Selection",
]


class Link(Protocol):
    """What frames APDUs between two SAPs: `wrapper.WrapperLink` is the first."""

    def wrap(self, apdu: bytes) -> bytes:
        """The octets that carry `apdu` to the peer."""

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """

    def next_apdu(self) -> bytes | None:
        """
        The next whole APDU addressed to us, or None until more octets come.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """


@attrs.frozen(kw_only=True)
class ClientSettings:
    """
    One association as the client wants it.

    Keys and secrets never print. Beyond the plan: `general_protection` and the three limits.

    Args:
        client_sap: our SAP. server_sap: the logical device's.
        mechanism: authentication mechanism_id; LLS and HLS_GMAC are implemented beside NONE.
        secret: LLS password.
        encryption_key: global unicast encryption key, 16 octets.
        authentication_key: 16 octets.
        system_title: ours, 8 octets; needed for ciphering and HLS_GMAC.
        protection: of each APDU that we send; other than PLAIN it asks for a ciphered context.
        minimum_protection: the least we accept of each APDU that we receive; `protection` unless
            given.
        max_receive_pdu_size: the largest APDU that we offer to take, octets; 0 for no limit.
        conformance: proposed services.
        challenge: CtoS for HLS, 8..64 octets, fresh and random for each association.
        server_system_title: the title to expect; learnt from the AARE where None.
        server_counter: highest verified counter of the server so far; the next must be above.
        general_protection: cipher as general-glo-ciphering instead of the service's glo- tag.
        max_result_octets: the most that the blocks of one answer may add up to.
        max_blocks: the most blocks that one answer may have.
    """

    client_sap: int = 16
    server_sap: int = 1
    mechanism: Mechanism = attrs.field(default=Mechanism.NONE, converter=Mechanism)
    secret: bytes | None = attrs.field(default=None, repr=False)
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    system_title: bytes | None = None
    protection: Protection = attrs.field(default=Protection.PLAIN, converter=Protection)
    minimum_protection: Protection = attrs.field(
        default=attrs.Factory(lambda self: self.protection, takes_self=True), converter=Protection
    )
    max_receive_pdu_size: int = 0xFFFF
    conformance: Conformance = DEFAULT_CONFORMANCE
    challenge: bytes | None = attrs.field(default=None, repr=False)
    server_system_title: bytes | None = None
    server_counter: int | None = None
    general_protection: bool = False
    max_result_octets: int = 16 * 1024 * 1024
    max_blocks: int = 65_536


class Client:
    """
    One association, from the client's side.

    Args:
        settings: what to ask and what to accept.
        link: frames APDUs; owned by this object from here on.
        next_counter: gives each invocation counter once, ever higher; called once per ciphered
            APDU (and once for the GMAC of HLS pass 3).
    """

    def __init__(
        self, settings: ClientSettings, link: Link, next_counter: Callable[[], int]
    ) -> None:
        raise NotImplementedError

    @property
    def server_counter(self) -> int | None:
        """Highest verified counter of the server; keep it for the next association."""
        raise NotImplementedError

    @property
    def server_system_title(self) -> bytes | None:
        """The server's title: the expected one, or the one learnt from an AARE."""
        raise NotImplementedError

    @property
    def pending_invoke_id(self) -> int | None:
        """The invoke_id of the GET or ACTION that is still unanswered, None if there is none."""
        raise NotImplementedError

    def send(self, request: ClientRequest | Reply) -> bytes:
        """
        Turn a request, or the `reply` of a `ContinueNeeded`, into octets for the transport.

        Raises: LocalProtocolError: not allowed in this state, or settings lack what it needs.
        """
        raise NotImplementedError

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport, any part of a frame or several frames.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """
        raise NotImplementedError

    def next_event(self) -> ClientEvent | None:
        """
        The next thing that happened, or None until more octets come.

        Raises: RemoteProtocolError: the APDU at hand is broken, forbidden here, or fails
            verification; it is consumed, and nothing else has changed.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Give up the pending request: its answer, should it come late, is discarded."""
        raise NotImplementedError
