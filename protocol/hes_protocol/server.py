"""
The server's (meter's) side of an association: bytes in, events out; replies in, bytes out.

Owns which client SAP is associated how, the AARE with its diagnostics, the HLS handshake, the
cutting of long answers into blocks, exception-responses, and how each APDU is protected. Does not
own objects: a `GetRequested` is answered by the caller, in the simulator from its object model.

Rule 1: one request at a time: until the caller has sent its answer (or the `reply` of a
`ContinueNeeded`), `next_event` gives None and later APDUs wait in the link. Rule 2: a client never
crashes the server: there is a reply, or a `RemoteProtocolError` and nothing has changed. Rule 3:
tag, then invocation counter, then state. Each client SAP has an association of its own.

Implements IEC 62056-5-3 (server side of clauses "AA establishment", GET, ACTION, security).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Protocol

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.client import Link
from hes_protocol.events import (
    ActionRequested,
    ActionResult,
    AssociationOpened,
    AssociationRefused,
    AssociationReleased,
    ContinueNeeded,
    GetRequested,
    GetResult,
    Notify,
    Reply,
    Selection,
    ServerEvent,
    ServerReply,
)
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

__all__ = [
    "ActionRequested",
    "ActionResult",
    "AssociationOpened",
    "AssociationRefused",
    "AssociationReleased",
    "ContinueNeeded",
    "GetRequested",
    "GetResult",
    "Notify",
    "Reply",
    "Selection",
    "Server",
    "ServerAssociation",
    "ServerEvent",
    "ServerLink",
    "ServerReply",
]


class ServerLink(Link, Protocol):
    """A link that knows which client it last heard."""

    peer_sap: int | None
    """SAP of the client whose APDU came last, which `wrap` addresses; settable before a push."""


@attrs.frozen(kw_only=True)
class ServerAssociation:
    """
    What one client SAP may do.

    Args:
        client_sap: the client's SAP, the key in the server's mapping.
        mechanism: the only mechanism_id that this client may use.
        secret: LLS password.
        encryption_key, authentication_key: 16 octets each; needed for ciphering and HLS_GMAC.
        minimum_protection: the least that each APDU of the client must have.
        max_receive_pdu_size: the largest APDU that we take, octets; 0 for no limit. Our own
            answers keep to the smaller of this and what the client takes.
        conformance: the services that we offer.
    """

    client_sap: int
    mechanism: Mechanism = attrs.field(default=Mechanism.NONE, converter=Mechanism)
    secret: bytes | None = attrs.field(default=None, repr=False)
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    minimum_protection: Protection = attrs.field(default=Protection.PLAIN, converter=Protection)
    max_receive_pdu_size: int = 0xFFFF
    conformance: Conformance = DEFAULT_CONFORMANCE


class Server:
    """
    A logical device's associations over one link.

    Args:
        associations: by client SAP; a SAP that is not there is an unknown client.
        link: frames APDUs and knows the client's SAP; owned by this object from here on.
        server_sap: ours.
        system_title: ours, 8 octets.
        next_counter: gives each invocation counter once, ever higher.
        next_challenge: gives a fresh StoC, 8..64 octets, for each HLS association.
        client_counters: highest verified counter by client SAP; written after verification, so
            that the caller can keep it over connections.
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
    ) -> None:
        raise NotImplementedError

    def receive_data(self, data: bytes) -> None:
        """
        Take octets that came from the transport.

        Raises: FramingError, LimitError: octets that cannot be frames.
        """
        raise NotImplementedError

    def next_event(self) -> ServerEvent | None:
        """
        The next thing that happened; None until more octets come or the open request is answered.

        Raises: RemoteProtocolError: the APDU at hand deserves no reply; it is consumed, and
            nothing else has changed.
        """
        raise NotImplementedError

    def send(self, reply: ServerReply) -> bytes:
        """
        Turn an answer, a push, or the `reply` of a `ContinueNeeded` into octets.

        Raises: LocalProtocolError: nobody asked, or not this.
        """
        raise NotImplementedError
