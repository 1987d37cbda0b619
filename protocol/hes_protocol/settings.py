"""
What an association is made of before it begins: links, a client's settings, a server's rules.

Re-exported by `client.py` and `server.py`, where people look for them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, Protocol

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Method
from hes_protocol.errors import LocalProtocolError
from hes_protocol.security.control import Protection
from hes_protocol.security.mechanisms import IMPLEMENTED, NEED_SECRET, HlsFunction
from hes_protocol.security.suite0 import SuiteKeys
from hes_protocol.xdlms.ciphered import CipherForm
from hes_protocol.xdlms.results import DEFAULT_CONFORMANCE, Conformance

REPLY_TO_HLS: Final = Method(15, Obis.parse("0.0.40.0.0.255"), 1)
"""reply_to_HLS_authentication of the current association."""

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

    def wrap(self, *apdus: bytes) -> bytes:
        """The octets that carry one APDU, or several that belong together, to the peer."""

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


class Guard(Protocol):
    """
    What a server remembers of its clients' proofs, over associations and connections.

    The server says what happened and asks who may try; how many attempts there are, and how long
    a client is locked out, is a matter of the meter.
    """

    def admits(self, client_sap: int) -> bool:
        """Whether this client may try to authenticate now."""

    def failed(self, client_sap: int, code: str, *, opening: bool) -> None:
        """
        Something that claims to be of this client did not verify.

        Args: code: of the `SecurityError`; "authentication-failed" for a wrong secret or proof.
            opening: whether by that the client wanted to associate, or to prove itself.
        """

    def succeeded(self, client_sap: int) -> None:
        """The client's association is open."""


class NoGuard:
    """Remembers nothing and admits everybody, as often as they like."""

    def admits(self, client_sap: int) -> bool:  # noqa: ARG002
        """Everybody, always."""
        return True

    def failed(self, client_sap: int, code: str, *, opening: bool) -> None:
        """Forgotten at once."""

    def succeeded(self, client_sap: int) -> None:
        """Forgotten at once."""


NO_GUARD: Final = NoGuard()


@attrs.frozen(kw_only=True)
class ClientSettings:
    """
    One association as the client wants it.

    Keys and secrets never print. Whoever keeps the object from session to session saves making it
    and its ciphers: what must be fresh goes with `Associate`.

    Args:
        client_sap: our SAP. server_sap: the logical device's.
        mechanism: authentication mechanism_id, all but HLS_ECDSA.
        secret: LLS password, or HLS secret.
        hls_function: the manufacturer's f(challenge) for Mechanism.HLS.
        hls_object: object and method that take pass 3; some meters have it elsewhere than at the
            current association.
        encryption_key: global unicast encryption key, 16 octets.
        authentication_key: 16 octets.
        dedicated_key: 16 octets, fresh and random for each association; sent in the AARQ, which
            must encipher it.
        system_title: ours, 8 octets; needed for ciphering, HLS_GMAC and HLS_SHA256.
        protection: of each APDU that we send; other than PLAIN it asks for a ciphered context.
        minimum_protection: the least we accept of each APDU that we receive; `protection` unless
            given.
        initiate_protection: of the initiate-request in the AARQ; `protection` unless given. Some
            meters (Mikroelektronika) want it ciphered fully whatever protects the rest.
        cipher_form: how we cipher; an answer may come in any form that meets the policy. AARQ and
            RLRQ always go by the global key with the service's tag.
        max_receive_pdu_size: the largest APDU that we offer to take, octets; 0 for no limit. In a
            pre-established association it is also the largest that the server takes.
        conformance: proposed services.
        challenge: CtoS for HLS, 8..64 octets, fresh and random for each association.
        server_system_title: the title to expect; learnt from the AARE where None.
        server_counter: highest verified counter of the server so far; the next must be above.
        empty_system_title: an AARE may leave the server's title out, or empty;
            `server_system_title` must then say it. The tags still prove it.
        same_proof_counter: the server's proof (pass 4 of HLS_GMAC) may have the counter of the
            APDU that carries it. Meters that do so use one initialization vector for two tags,
            which wears down the key's authentication with every session: a flag for the models
            that cannot do better.
        user_id: calling-AE-invocation-id, where a meter tells people of one client SAP apart.
        called_ap_title, called_ae_qualifier: named in the AARQ, for meters that want to be named.
        calling_ae_qualifier: a certificate, in other suites.
        pre_established: the association stands without AARQ: `Associate` opens it without an
            APDU, for good. Only mechanism NONE; `server_system_title` must be known to decipher.
        no_rlrq: `Release` closes the association without an APDU, for meters that know no RLRQ
            or do not answer it: the caller closes the link.
        plain_rlrq: RLRQ without user-information, for meters that take no other; else it is
            protected where the rest is.
        high_priority: the priority bit of every request.
        general_blocks: prefer general-block-transfer to the blocks of each service, and offer to
            take so many blocks at once, 1..63; 0 to use it only where nothing else will do.
            Either way it must be in `conformance`.
        max_result_octets: the most that the blocks of one answer may add up to.
        max_blocks: the most blocks that one answer may have.
    """

    client_sap: int = 16
    server_sap: int = 1
    mechanism: Mechanism = attrs.field(default=Mechanism.NONE, converter=Mechanism)
    secret: bytes | None = attrs.field(default=None, repr=False)
    hls_function: HlsFunction | None = attrs.field(default=None, repr=False)
    hls_object: Method = REPLY_TO_HLS
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    dedicated_key: bytes | None = attrs.field(default=None, repr=False)
    system_title: bytes | None = None
    protection: Protection = attrs.field(default=Protection.PLAIN, converter=Protection)
    minimum_protection: Protection = attrs.field(
        default=attrs.Factory(lambda self: self.protection, takes_self=True), converter=Protection
    )
    initiate_protection: Protection = attrs.field(
        default=attrs.Factory(lambda self: self.protection, takes_self=True), converter=Protection
    )
    cipher_form: CipherForm = attrs.field(default=CipherForm.GLO, converter=CipherForm)
    max_receive_pdu_size: int = 0xFFFF
    conformance: Conformance = DEFAULT_CONFORMANCE
    challenge: bytes | None = attrs.field(default=None, repr=False)
    server_system_title: bytes | None = None
    server_counter: int | None = None
    empty_system_title: bool = False
    same_proof_counter: bool = False
    user_id: int | None = None
    called_ap_title: bytes | None = None
    called_ae_qualifier: bytes | None = None
    calling_ae_qualifier: bytes | None = None
    pre_established: bool = False
    no_rlrq: bool = False
    plain_rlrq: bool = False
    high_priority: bool = True
    general_blocks: int = 0
    max_result_octets: int = 16 * 1024 * 1024
    max_blocks: int = 65_536

    @cached_property
    def suite_keys(self) -> SuiteKeys | None:
        """
        The keys as a cipher object, made once for every session by these settings; None without.

        Raises: LocalProtocolError: a key that is not 16 octets.
        """
        if self.encryption_key is None:
            return None
        return SuiteKeys(self.encryption_key, self.authentication_key)


@attrs.frozen(kw_only=True)
class ServerAssociation:
    """
    What one client SAP may do.

    Args:
        client_sap: the client's SAP, the key in the server's mapping.
        mechanism: the only mechanism_id that this client may use.
        secret: LLS password, or HLS secret.
        hls_function: the manufacturer's f(challenge) for Mechanism.HLS.
        hls_object: object and method that take pass 3.
        encryption_key, authentication_key: 16 octets each; needed for ciphering and HLS_GMAC.
        broadcast_key: global broadcast encryption key, for a pre-established association; without
            one, an APDU that was ciphered with such a key is refused. Every meter of the group
            knows it, so it opens no other association.
        minimum_protection: the least that each APDU of the client must have.
        reply_form: how answers are ciphered; as the request was, unless given.
        max_receive_pdu_size: the largest APDU that we take, octets, at least 64; 0 for no limit.
            Our own answers keep to the smaller of this and what the client takes.
        conformance: the services that we offer.
        user_ids: the calling-AE-invocation-ids that may associate; None for any and none.
        same_proof_counter: the client's proof (pass 3 of HLS_GMAC) may have the counter of the
            APDU that carries it, as dlms-cosem 25.1.0 does.
        pre_established: the association stands without AARQ, which is refused.
        client_system_title: the title of a pre-established client, which no AARQ tells.
        empty_system_title: the AARE gives an empty title, as some meters do.
        no_rlrq: RLRQ is not answered, as some meters do not.
        plain_rlrq: RLRQ may come without user-information whatever the policy; anybody on the
            line can then end the association.
        general_blocks: prefer general-block-transfer to the blocks of each service, also for
            pushes, and offer to take so many blocks at once, 1..63; 0 to use it only where
            nothing else will do, or where the client has asked by it.
        max_list_elements: the most attributes and methods that one request may name.
        max_request_octets: the most that the blocks of one request may add up to.
        counter_id: under which number the server's `client_counters` keep this client's; its SAP
            unless given. A counter belongs to a key: rules with another key have another number.
    Raises: LocalProtocolError: a mechanism that is not implemented, or something missing for it.
    """

    client_sap: int
    mechanism: Mechanism = attrs.field(default=Mechanism.NONE, converter=Mechanism)
    secret: bytes | None = attrs.field(default=None, repr=False)
    hls_function: HlsFunction | None = attrs.field(default=None, repr=False)
    hls_object: Method = REPLY_TO_HLS
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    authentication_key: bytes | None = attrs.field(default=None, repr=False)
    broadcast_key: bytes | None = attrs.field(default=None, repr=False)
    minimum_protection: Protection = attrs.field(default=Protection.PLAIN, converter=Protection)
    reply_form: CipherForm | None = attrs.field(
        default=None, converter=attrs.converters.optional(CipherForm)
    )
    max_receive_pdu_size: int = 0xFFFF
    conformance: Conformance = DEFAULT_CONFORMANCE
    user_ids: frozenset[int] | None = None
    same_proof_counter: bool = False
    pre_established: bool = False
    client_system_title: bytes | None = None
    empty_system_title: bool = False
    no_rlrq: bool = False
    plain_rlrq: bool = False
    general_blocks: int = 0
    max_list_elements: int = 128
    max_request_octets: int = 65_536
    counter_id: int = attrs.field(
        default=attrs.Factory(lambda self: self.client_sap, takes_self=True)
    )

    @cached_property
    def suite_keys(self) -> SuiteKeys | None:
        """The keys as a cipher object, made once for every connection; None without."""
        if self.encryption_key is None:
            return None
        return SuiteKeys(self.encryption_key, self.authentication_key)

    def __attrs_post_init__(self) -> None:
        check_mechanism(self)
        if 0 < self.max_receive_pdu_size < MIN_PDU_SIZE:
            raise LocalProtocolError(f"max_receive_pdu_size is below {MIN_PDU_SIZE}")
        gmac = self.mechanism is Mechanism.HLS_GMAC
        if (gmac or self.minimum_protection) and self.encryption_key is None:
            raise LocalProtocolError("ciphering needs an encryption key")
        if (gmac or self.minimum_protection.authenticated) and self.authentication_key is None:
            raise LocalProtocolError("authentication needs an authentication key")
        if self.broadcast_key is not None and (
            not self.pre_established or self.encryption_key is None
        ):
            raise LocalProtocolError("a broadcast key is for a pre-established association")


def check_mechanism(settings: ClientSettings | ServerAssociation) -> None:
    """
    Refuse a mechanism that is not implemented, or that lacks what it needs beside keys.

    Raises: LocalProtocolError.
    """
    mechanism = settings.mechanism
    if mechanism not in IMPLEMENTED:
        raise LocalProtocolError(f"mechanism {mechanism.name} is not implemented")
    if mechanism in NEED_SECRET and settings.secret is None:
        raise LocalProtocolError(f"{mechanism.name} needs a secret")
    if mechanism is Mechanism.HLS and settings.hls_function is None:
        raise LocalProtocolError("HLS needs the manufacturer's function")
    if settings.pre_established and mechanism is not Mechanism.NONE:
        raise LocalProtocolError("nobody authenticates in a pre-established association")
