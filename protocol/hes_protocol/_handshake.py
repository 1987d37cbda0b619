"""
The client's side of opening an association: its AARQ, and what it accepts as an AARE.

Pure functions over settings and APDUs; `client.py` owns the state. IEC 62056-5-3, "Establishment
of application associations" and "HLS authentication".
"""

from __future__ import annotations

import attrs

from hes_protocol._channel import Channel, Opened
from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    Mechanism,
    UserDiagnostic,
    context_name,
    mechanism_name,
)
from hes_protocol.axdr import Data, DataTag
from hes_protocol.errors import (
    EncodingError,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)
from hes_protocol.security import Protection, SuiteKeys, gmac_token, verify_gmac_token
from hes_protocol.security.hls_gmac import check_challenge
from hes_protocol.security.suite0 import SYSTEM_TITLE_OCTETS
from hes_protocol.settings import REPLY_TO_HLS, ClientSettings, check_mechanism
from hes_protocol.xdlms import (
    ActionRequestNormal,
    ActionReturn,
    ConfirmedService,
    ConfirmedServiceError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from hes_protocol.xdlms.refusal import INITIATE


@attrs.frozen
class Accepted:
    """What an AARE that accepts has agreed to; `opened` is its user-information."""

    initiate: InitiateResponse
    server_title: bytes | None
    challenge: bytes | None = attrs.field(repr=False)
    opened: Opened


def keys_of(settings: ClientSettings) -> SuiteKeys | None:
    """The settings' keys as a cipher object, made once; None without an encryption key."""
    if settings.encryption_key is None:
        return None
    return SuiteKeys(settings.encryption_key, settings.authentication_key)


def check_settings(settings: ClientSettings) -> None:
    """
    Refuse settings that cannot work, before anything is sent.

    Raises: LocalProtocolError: a mechanism that is not implemented, something missing.
    """
    check_mechanism(settings)
    title = settings.system_title
    if title is not None and len(title) != SYSTEM_TITLE_OCTETS:
        raise LocalProtocolError("a system title has 8 octets")
    kinds = (settings.protection, settings.initiate_protection, settings.minimum_protection)
    gmac = settings.mechanism is Mechanism.HLS_GMAC
    if (gmac or any(kinds)) and (settings.encryption_key is None or title is None):
        raise LocalProtocolError("ciphering needs an encryption key and a system title")
    if (gmac or any(kind.authenticated for kind in kinds)) and settings.authentication_key is None:
        raise LocalProtocolError("authentication needs an authentication key")


def context_of(settings: ClientSettings) -> ApplicationContext:
    """Ciphered if anything is going to be."""
    if settings.protection or settings.initiate_protection:
        return ApplicationContext.LOGICAL_NAME_CIPHERED
    return ApplicationContext.LOGICAL_NAME


def initiate_request(settings: ClientSettings) -> bytes:
    """The initiate-request that goes into AARQ and, in a ciphered context, RLRQ."""
    return InitiateRequest(
        conformance=settings.conformance,
        client_max_receive_pdu_size=settings.max_receive_pdu_size,
    ).encode()


def association_request(
    settings: ClientSettings, channel: Channel, challenge: bytes | None
) -> bytes:
    """
    The AARQ.

    Args: challenge: CtoS for HLS, None for other mechanisms.
    Raises: LocalProtocolError: a challenge of a wrong length, no fresh counter.
    """
    named = settings.mechanism is not Mechanism.NONE
    value = settings.secret if settings.mechanism is Mechanism.LLS else challenge
    if challenge is not None and not check_challenge(challenge):
        raise LocalProtocolError("a challenge has 8 to 64 octets")
    return Aarq(
        context_name(context_of(settings)),
        calling_ap_title=settings.system_title,
        authentication_required=named,
        mechanism_name=mechanism_name(settings.mechanism),
        authentication_value=value if named else None,
        user_information=channel.protect(initiate_request(settings), settings.initiate_protection),
    ).encode()


def accept(
    aare: Aare, settings: ClientSettings, channel: Channel, challenge: bytes | None
) -> Accepted:
    """
    Check an AARE that says `accepted`. Changes nothing.

    Raises: SecurityError: another context, mechanism or system title than ours, no or a
        reflected challenge, user-information weaker than the policy or not verified.
        EncodingError: no initiate-response inside.
    """
    if aare.context is not context_of(settings):
        raise SecurityError("policy-violated", "another application context", apdu_tag=Aare.TAG)
    _check_mechanism(aare, settings)
    title = _server_title(aare, settings)
    server_challenge = None
    if settings.mechanism is Mechanism.HLS_GMAC:
        server_challenge = _server_challenge(aare, challenge)
    opened = channel.open(aare.user_information or b"", peer_title=title)
    initiate = decode_apdu(opened.apdu)
    if not isinstance(initiate, InitiateResponse):
        raise EncodingError("unexpected-apdu", "in user-information", apdu_tag=Aare.TAG)
    return Accepted(initiate, title, server_challenge, opened)


def _check_mechanism(aare: Aare, settings: ClientSettings) -> None:
    # With NONE and LLS the name may be left out of the AARE; with HLS it must be there.
    asked, given = settings.mechanism, aare.mechanism
    omitted = aare.mechanism_name is None and asked in (Mechanism.NONE, Mechanism.LLS)
    more_wanted = (
        aare.diagnostic.code == UserDiagnostic.AUTHENTICATION_REQUIRED
        and asked is not Mechanism.HLS_GMAC
    )
    if (given is not asked and not omitted) or more_wanted:
        raise SecurityError("mechanism-mismatch", apdu_tag=Aare.TAG)


def _server_title(aare: Aare, settings: ClientSettings) -> bytes | None:
    given, expected = aare.responding_ap_title, settings.server_system_title
    if given is not None and expected is not None and given != expected:
        raise SecurityError("system-title-mismatch", apdu_tag=Aare.TAG)
    title = expected if given is None else given
    needed = settings.mechanism is Mechanism.HLS_GMAC or context_of(settings).ciphered
    if not needed:
        return title
    if title is None or len(title) != SYSTEM_TITLE_OCTETS or title == settings.system_title:
        raise SecurityError("system-title-mismatch", "none, or ours", apdu_tag=Aare.TAG)
    return title


def _server_challenge(aare: Aare, challenge: bytes | None) -> bytes:
    given = aare.authentication_value
    if given is None or not check_challenge(given):
        raise SecurityError("authentication-failed", "no challenge", apdu_tag=Aare.TAG)
    if given == challenge:
        # Whoever reflects our challenge wants us to compute his answer.
        raise SecurityError("authentication-failed", "our own challenge", apdu_tag=Aare.TAG)
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


def proof_request(channel: Channel, challenge: bytes, invoke_id_and_priority: int) -> bytes:
    """
    Pass 3: the ACTION that proves us, not yet ciphered. Draws the counter of the proof.

    Args: challenge: StoC.
    """
    keys, title = channel.require_keys()
    token = gmac_token(keys, title, channel.draw_counter(), challenge)
    return ActionRequestNormal(
        REPLY_TO_HLS,
        Data(DataTag.OCTET_STRING, token),
        invoke_id_and_priority=invoke_id_and_priority,
    ).encode()


def check_proof(
    channel: Channel,
    peer_title: bytes | None,
    proof: Data | None,
    challenge: bytes,
    carried_by: int | None,
) -> int:
    """
    Check the other side's proof: pass 4 for a client, pass 3 for a server. Changes nothing.

    Args: peer_title: the prover's system title. proof: what the ACTION carries. challenge: what
        we sent. carried_by: invocation counter of the APDU that carries it, None if plaintext.
    Returns: the counter in the proof, to be committed.
    Raises: SecurityError: no such proof, a wrong one, or a counter that is not fresh.
    """
    keys, _ = channel.require_keys()
    if proof is None or proof.tag is not DataTag.OCTET_STRING or peer_title is None:
        raise SecurityError("authentication-failed", "no proof")
    counter = verify_gmac_token(keys, peer_title, proof.value, challenge)
    known = -1 if channel.peer_counter is None else channel.peer_counter
    if counter <= known or counter == carried_by:
        raise SecurityError("counter-replayed", "in a proof")
    return counter


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
    if protection is Protection.PLAIN:
        return None
    return channel.protect(initiate_request(settings), Protection(protection))
