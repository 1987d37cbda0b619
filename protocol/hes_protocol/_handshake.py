"""
The client's side of opening an association: its AARQ, and what it accepts as an AARE.

Pure functions over settings and APDUs; `client.py` owns the state. IEC 62056-5-3, "Establishment
of application associations" and "HLS authentication".
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol._channel import Channel, Opened, room
from hes_protocol._proofs import reads_as_apdu
from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    Mechanism,
    UserDiagnostic,
    context_name,
    mechanism_name,
)
from hes_protocol.axdr import Data
from hes_protocol.errors import (
    AssociationError,
    EncodingError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)
from hes_protocol.requests import Associate
from hes_protocol.security import Protection
from hes_protocol.security.mechanisms import HLS, NEED_TITLES, check_challenge
from hes_protocol.security.suite0 import KEY_OCTETS, SYSTEM_TITLE_OCTETS
from hes_protocol.settings import ClientSettings, check_mechanism
from hes_protocol.xdlms import (
    ActionReturn,
    ConfirmedService,
    ConfirmedServiceError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from hes_protocol.xdlms.refusal import INITIATE

# A get-request of one attribute, whole.
_SHORTEST_REQUEST: Final = 13


@attrs.frozen
class Fresh:
    """What is new with each association: CtoS, and a dedicated key where there is to be one."""

    challenge: bytes | None = attrs.field(default=None, repr=False)
    dedicated_key: bytes | None = attrs.field(default=None, repr=False)

    def values(self) -> set[bytes]:
        """Both, as far as they are there."""
        return {value for value in (self.challenge, self.dedicated_key) if value is not None}


@attrs.frozen
class Accepted:
    """
    What an AARE that accepts has agreed to.

    `initiate` has no more conformance than was proposed; `challenge` is StoC, None where no HLS is
    to follow; `opened` is the user-information.
    """

    aare: Aare
    initiate: InitiateResponse
    server_title: bytes | None
    challenge: bytes | None = attrs.field(repr=False)
    opened: Opened


def check_settings(settings: ClientSettings) -> None:
    """
    Refuse settings that cannot work, before anything is sent.

    Raises: LocalProtocolError: a mechanism that is not implemented, something missing.
    """
    check_mechanism(settings)
    title = settings.system_title
    if title is not None and len(title) != SYSTEM_TITLE_OCTETS:
        raise LocalProtocolError("a system title has 8 octets")
    if settings.mechanism in NEED_TITLES and title is None:
        raise LocalProtocolError(f"{settings.mechanism.name} needs a system title")
    kinds = (settings.protection, settings.initiate_protection, settings.minimum_protection)
    gmac = settings.mechanism is Mechanism.HLS_GMAC
    if (gmac or any(kinds)) and (settings.encryption_key is None or title is None):
        raise LocalProtocolError("ciphering needs an encryption key and a system title")
    if (gmac or any(kind.authenticated for kind in kinds)) and settings.authentication_key is None:
        raise LocalProtocolError("authentication needs an authentication key")
    _check_dedicated(settings)
    if settings.pre_established and any(kinds) and settings.server_system_title is None:
        raise LocalProtocolError("no AARE will tell the server's system title")


def _check_dedicated(settings: ClientSettings) -> None:
    wanted = settings.cipher_form.dedicated or settings.dedicated_key is not None
    if wanted and not settings.initiate_protection.encrypted:
        raise LocalProtocolError("a dedicated key goes in an enciphered AARQ only")
    if wanted and settings.pre_established:
        raise LocalProtocolError("no AARQ will tell the dedicated key")


def fresh_for(request: Associate, settings: ClientSettings, used: set[bytes]) -> Fresh:
    """
    What the association is to begin with: of the request, else of the settings.

    Args: used: challenges and dedicated keys of earlier associations.
    Raises: LocalProtocolError: missing, used before, or of a wrong length.
    """
    challenge = dedicated_key = None
    if settings.mechanism in HLS:
        challenge = request.challenge or settings.challenge
        if challenge is None or challenge in used:
            raise LocalProtocolError("HLS needs a challenge that was not used before")
        if not check_challenge(challenge):
            raise LocalProtocolError("a challenge has 8 to 64 octets")
    if settings.cipher_form.dedicated or settings.dedicated_key is not None:
        dedicated_key = request.dedicated_key or settings.dedicated_key
        if dedicated_key is None or dedicated_key in used:
            raise LocalProtocolError("a dedicated key is used for one association")
        if len(dedicated_key) != KEY_OCTETS or dedicated_key == settings.encryption_key:
            raise LocalProtocolError("a dedicated key has 16 octets of its own")
    return Fresh(challenge, dedicated_key)


def context_of(settings: ClientSettings) -> ApplicationContext:
    """Ciphered if anything is going to be."""
    if settings.protection or settings.initiate_protection:
        return ApplicationContext.LOGICAL_NAME_CIPHERED
    return ApplicationContext.LOGICAL_NAME


def initiate_request(settings: ClientSettings, dedicated_key: bytes | None = None) -> bytes:
    """The initiate-request that goes into AARQ and, in a ciphered context, RLRQ."""
    return InitiateRequest(
        conformance=settings.conformance,
        client_max_receive_pdu_size=settings.max_receive_pdu_size,
        dedicated_key=dedicated_key,
    ).encode()


def association_request(settings: ClientSettings, channel: Channel, fresh: Fresh) -> bytes:
    """
    The AARQ.

    Raises: LocalProtocolError: no fresh counter.
    """
    named = settings.mechanism is not Mechanism.NONE
    value = settings.secret if settings.mechanism is Mechanism.LLS else fresh.challenge
    initiate = initiate_request(settings, fresh.dedicated_key)
    return Aarq(
        context_name(context_of(settings)),
        called_ap_title=settings.called_ap_title,
        called_ae_qualifier=settings.called_ae_qualifier,
        calling_ap_title=settings.system_title,
        calling_ae_qualifier=settings.calling_ae_qualifier,
        calling_ae_invocation_id=settings.user_id,
        authentication_required=named,
        mechanism_name=mechanism_name(settings.mechanism),
        authentication_value=value if named else None,
        user_information=channel.protect(initiate, settings.initiate_protection),
    ).encode()


def accept(
    aare: Aare, settings: ClientSettings, channel: Channel, challenge: bytes | None
) -> Accepted:
    """
    Check an AARE that says `accepted`. Changes nothing.

    Raises: SecurityError: another context, mechanism or system title than ours, no or a
        reflected challenge, user-information weaker than the policy or not verified.
        EncodingError: no initiate-response inside. AssociationError: a server that takes no APDU
        that is long enough to ask for anything.
    """
    if aare.context is not context_of(settings):
        raise SecurityError("policy-violated", "another application context", apdu_tag=Aare.TAG)
    _check_mechanism(aare, settings)
    title = _server_title(aare, settings)
    server_challenge = None
    if settings.mechanism in HLS:
        server_challenge = _server_challenge(aare, settings, challenge)
    opened = channel.open(aare.user_information or b"", peer_title=title)
    initiate = decode_apdu(opened.apdu)
    if not isinstance(initiate, InitiateResponse):
        raise EncodingError("unexpected-apdu", "in user-information", apdu_tag=Aare.TAG)
    _check_pdu_size(initiate.server_max_receive_pdu_size, settings)
    # What we have not proposed is not negotiated, whatever the server says.
    negotiated = attrs.evolve(initiate, conformance=initiate.conformance & settings.conformance)
    return Accepted(aare, negotiated, title, server_challenge, opened)


def _check_pdu_size(limit: int, settings: ClientSettings) -> None:
    if limit and room(limit, settings.protection, settings.cipher_form) < _SHORTEST_REQUEST:
        raise AssociationError("pdu-size-too-short", f"{limit} octets", apdu_tag=Aare.TAG)


def _check_mechanism(aare: Aare, settings: ClientSettings) -> None:
    # With NONE and LLS the name may be left out of the AARE; with HLS it must be there.
    asked, given = settings.mechanism, aare.mechanism
    omitted = aare.mechanism_name is None and asked in (Mechanism.NONE, Mechanism.LLS)
    more_wanted = (
        aare.diagnostic.code == UserDiagnostic.AUTHENTICATION_REQUIRED and asked not in HLS
    )
    if (given is not asked and not omitted) or more_wanted:
        raise SecurityError("mechanism-mismatch", apdu_tag=Aare.TAG)


def _server_title(aare: Aare, settings: ClientSettings) -> bytes | None:
    # An empty title says as little as none.
    given, expected = aare.responding_ap_title or None, settings.server_system_title
    if given is not None and expected is not None and given != expected:
        raise SecurityError("system-title-mismatch", apdu_tag=Aare.TAG)
    if settings.mechanism not in NEED_TITLES and not context_of(settings).ciphered:
        return given or expected
    title = expected if given is None and settings.empty_system_title else given
    if title is None or len(title) != SYSTEM_TITLE_OCTETS or title == settings.system_title:
        raise SecurityError("system-title-mismatch", "none, or ours", apdu_tag=Aare.TAG)
    return title


def _server_challenge(aare: Aare, settings: ClientSettings, challenge: bytes | None) -> bytes:
    given = aare.authentication_value
    if given is None or not check_challenge(given):
        raise SecurityError("authentication-failed", "no challenge", apdu_tag=Aare.TAG)
    if given == challenge:
        # Whoever reflects our challenge wants us to compute his answer.
        raise SecurityError("authentication-failed", "our own challenge", apdu_tag=Aare.TAG)
    if settings.mechanism is Mechanism.HLS_GMAC and reads_as_apdu(given):
        raise SecurityError("authentication-failed", "an APDU as challenge", apdu_tag=Aare.TAG)
    return given


def initiate_error_of(user_information: bytes | None) -> int | None:
    """The initiate-error of a rejecting AARE, None where it carries none that can be read."""
    if not user_information:
        return None
    try:
        apdu = decode_apdu(user_information)
    except RemoteProtocolError:
        return None
    return initiate_error(apdu) if isinstance(apdu, ConfirmedServiceError) else None


def initiate_error(error: ConfirmedServiceError) -> int | None:
    """The initiate-error's code, None for an error of another service."""
    if (error.service, error.kind) != (ConfirmedService.INITIATE_ERROR, INITIATE):
        return None
    return error.value


def proof_of(outcome: ActionReturn) -> Data | None:
    """The `Data` that a response carries, None for none."""
    returned = outcome.return_parameters
    return returned.data() if returned is not None and returned.octets else None


def release_information(settings: ClientSettings, channel: Channel) -> bytes | None:
    """
    The user-information of an RLRQ: in a ciphered context a protected initiate-request.

    So the server can tell that it is we who close the association.

    Raises: LocalProtocolError: no fresh counter.
    """
    protection = settings.protection or settings.initiate_protection
    if protection is Protection.PLAIN or settings.plain_rlrq:
        return None
    return channel.protect(initiate_request(settings), Protection(protection))
