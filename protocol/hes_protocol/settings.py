"""
What an association is made of before it begins: links, a client's settings, a server's rules.

Re-exported by `client.py` and `server.py`, where people look for them.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.errors import LocalProtocolError
from hes_protocol.security.control import Protection
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

IMPLEMENTED: Final = frozenset({Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC})
"""The mechanisms that both state machines know; the others come with their own issues."""

MIN_PDU_SIZE: Final = 64
"""The least that either side must take: a GMAC proof in general-glo form has 60 octets."""


class Link(Protocol):
    """
    What frames APDUs between two SAPs: `wrapper.WrapperLink`, `hdlc.HdlcLink`.

    A link may have something to say by itself. So an adapter writes `data_to_send()` before it
    waits for octets, waits no longer than `timeout_s`, and then writes `handle_timeout()`.
    """

    @property
    def timeout_s(self) -> float | None:
        """How long to wait for octets from now on; None: for as long as the caller likes."""

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

    def data_to_send(self) -> bytes:
        """What the link itself has to say before octets are waited for."""

    def handle_timeout(self) -> bytes:
        """
        `timeout_s` has passed without octets: what the link says to that.

        Raises: FramingError: "no-answer": it has been said often enough.
        """


class ServerLink(Link, Protocol):
    """A link that knows which client it last heard."""

    peer_sap: int | None
    """SAP of the client whose APDU came last, which `wrap` addresses."""

    def push(self, client_sap: int, apdu: bytes) -> bytes:
        """The octets that carry to a client an APDU that nobody asked for."""

    def ended_saps(self) -> tuple[int, ...]:
        """Clients whose link was set up anew or given up since the last call; see `Server`."""


@attrs.frozen(kw_only=True)
class ClientSettings:
    """
    One association as the client wants it.

    Keys and secrets never print. Beyond the plan: `initiate_protection`, `general_protection` and
    the two limits of an answer.

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
        initiate_protection: of the initiate-request in the AARQ; `protection` unless given. Some
            meters (Mikroelektronika) want it ciphered fully whatever protects the rest.
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
    initiate_protection: Protection = attrs.field(
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
        max_receive_pdu_size: the largest APDU that we take, octets, at least 64; 0 for no limit.
            Our own answers keep to the smaller of this and what the client takes.
        conformance: the services that we offer.
    Raises: LocalProtocolError: a mechanism that is not implemented, or something missing for it.
    """

    client_sap: int
    mechanism: Mechanism = attrs.field(default=Mechanism.NONE, converter=Mechanism)
    secret: bytes | None = attrs.field(default=None, repr=False)
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    minimum_protection: Protection = attrs.field(default=Protection.PLAIN, converter=Protection)
    max_receive_pdu_size: int = 0xFFFF
    conformance: Conformance = DEFAULT_CONFORMANCE

    def __attrs_post_init__(self) -> None:
        if self.mechanism not in IMPLEMENTED:
            raise LocalProtocolError(f"mechanism {self.mechanism.name} is not implemented")
        if self.mechanism is Mechanism.LLS and self.secret is None:
            raise LocalProtocolError("LLS needs a secret")
        if 0 < self.max_receive_pdu_size < MIN_PDU_SIZE:
            raise LocalProtocolError(f"max_receive_pdu_size is below {MIN_PDU_SIZE}")
        gmac = self.mechanism is Mechanism.HLS_GMAC
        if (gmac or self.minimum_protection) and self.encryption_key is None:
            raise LocalProtocolError("ciphering needs an encryption key")
        if (gmac or self.minimum_protection.authenticated) and self.authentication_key is None:
            raise LocalProtocolError("authentication needs an authentication key")
