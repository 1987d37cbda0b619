"""
The server's side of opening an association: whom it admits, and the AARE that says so.

Pure functions over APDUs and rules; `server.py` owns the state. Order of the checks: context,
mechanism, credentials, protection, and last what is proposed; the first that fails gives the
diagnostic. IEC 62056-5-3, "Establishment of application associations".
"""

from __future__ import annotations

from hmac import compare_digest

import attrs

from hes_protocol._channel import Channel, Opened
from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    Mechanism,
    UserDiagnostic,
    context_name,
)
from hes_protocol.errors import EncodingError, SecurityError
from hes_protocol.security import Protection
from hes_protocol.security.hls_gmac import check_challenge
from hes_protocol.security.suite0 import SYSTEM_TITLE_OCTETS
from hes_protocol.settings import MIN_PDU_SIZE, ServerAssociation
from hes_protocol.xdlms import (
    ConfirmedService,
    ConfirmedServiceError,
    Conformance,
    InitiateError,
    InitiateRequest,
    InitiateResponse,
    decode_apdu,
)
from hes_protocol.xdlms.initiate import DLMS_VERSION
from hes_protocol.xdlms.refusal import INITIATE


@attrs.frozen
class Admitted:
    """What an AARQ has agreed to; `opened` is its user-information."""

    aarq: Aarq
    opened: Opened
    conformance: Conformance
    client_max_receive_pdu_size: int

    @property
    def with_hls(self) -> bool:
        """Whether the client must still prove itself."""
        return self.aarq.mechanism is Mechanism.HLS_GMAC


@attrs.frozen
class Refused:
    """Why an AARQ is refused; `initiate_error` where what it proposes is at fault."""

    diagnostic: Diagnostic
    initiate_error: InitiateError | None = None
    detail: str = ""


def _refused(diagnostic: UserDiagnostic, detail: str = "") -> Refused:
    return Refused(Diagnostic(diagnostic), detail=detail)


def admit(aarq: Aarq, rules: ServerAssociation, channel: Channel) -> Admitted | Refused:
    """
    Decide about an AARQ. Changes nothing.

    Args: channel: with the keys of `rules` and the client's counter.
    Raises: EncodingError: user-information that is no APDU at all.
    """
    refused = (
        _check_context(aarq, rules, channel)
        or _check_mechanism(aarq, rules)
        or _check_credentials(aarq, rules, channel)
    )
    if refused is not None:
        return refused
    try:
        opened = channel.open(aarq.user_information or b"", peer_title=aarq.calling_ap_title)
    except SecurityError as error:
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE, error.code)
    initiate = decode_apdu(opened.apdu)
    if not isinstance(initiate, InitiateRequest):
        raise EncodingError("unexpected-apdu", "in user-information", apdu_tag=Aarq.TAG)
    error_code = _initiate_error(initiate, rules)
    if error_code is not None:
        return Refused(Diagnostic(UserDiagnostic.NO_REASON_GIVEN), error_code)
    return Admitted(
        aarq,
        opened,
        initiate.conformance & rules.conformance,
        initiate.client_max_receive_pdu_size,
    )


def _check_context(aarq: Aarq, rules: ServerAssociation, channel: Channel) -> Refused | None:
    context = aarq.context
    plain_allowed = rules.minimum_protection is Protection.PLAIN
    if context is ApplicationContext.LOGICAL_NAME_CIPHERED and channel.keys is not None:
        return None
    if context is ApplicationContext.LOGICAL_NAME and plain_allowed:
        return None
    return _refused(UserDiagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)


def _check_mechanism(aarq: Aarq, rules: ServerAssociation) -> Refused | None:
    if aarq.mechanism is rules.mechanism:
        return None
    if aarq.mechanism is Mechanism.NONE:
        return _refused(UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED)
    return _refused(UserDiagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED)


def _check_credentials(aarq: Aarq, rules: ServerAssociation, channel: Channel) -> Refused | None:
    value = aarq.authentication_value or b""
    if rules.mechanism is Mechanism.LLS and not compare_digest(value, rules.secret or b""):
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    ciphered = aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED
    if not ciphered and rules.mechanism is not Mechanism.HLS_GMAC:
        return None
    title = aarq.calling_ap_title
    if title is None or len(title) != SYSTEM_TITLE_OCTETS or title == channel.system_title:
        return _refused(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
    if rules.mechanism is Mechanism.HLS_GMAC and not check_challenge(value):
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    return None


def _initiate_error(initiate: InitiateRequest, rules: ServerAssociation) -> InitiateError | None:
    if initiate.dlms_version < DLMS_VERSION:
        return InitiateError.DLMS_VERSION_TOO_LOW
    if not initiate.conformance & rules.conformance:
        return InitiateError.INCOMPATIBLE_CONFORMANCE
    if 0 < initiate.client_max_receive_pdu_size < MIN_PDU_SIZE:
        return InitiateError.PDU_SIZE_TOO_SHORT
    return None


def initiate_response(rules: ServerAssociation, conformance: Conformance) -> bytes:
    """The initiate-response that goes into AARE and RLRE."""
    return InitiateResponse(
        conformance=conformance, server_max_receive_pdu_size=rules.max_receive_pdu_size
    ).encode()


def acceptance(
    admitted: Admitted, rules: ServerAssociation, channel: Channel, challenge: bytes | None
) -> bytes:
    """
    The AARE that accepts, with StoC where HLS is to follow.

    Raises: LocalProtocolError: no fresh counter.
    """
    aarq = admitted.aarq
    titled = admitted.with_hls or aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED
    information = initiate_response(rules, admitted.conformance)
    return Aare(
        aarq.application_context_name,
        AssociationResult.ACCEPTED,
        Diagnostic(
            UserDiagnostic.AUTHENTICATION_REQUIRED if admitted.with_hls else UserDiagnostic.NULL
        ),
        responding_ap_title=channel.system_title if titled else None,
        authentication_required=aarq.mechanism_name is not None,
        mechanism_name=aarq.mechanism_name,
        authentication_value=challenge,
        user_information=channel.protect(information, admitted.opened.protection),
    ).encode()


def refusal(refused: Refused, rules: ServerAssociation | None) -> bytes:
    """The AARE that refuses, naming the context that the client should have used."""
    needs_ciphering = rules is not None and rules.minimum_protection is not Protection.PLAIN
    information = None
    if refused.initiate_error is not None:
        information = ConfirmedServiceError(
            ConfirmedService.INITIATE_ERROR, INITIATE, refused.initiate_error
        ).encode()
    return Aare(
        context_name(
            ApplicationContext.LOGICAL_NAME_CIPHERED
            if needs_ciphering
            else ApplicationContext.LOGICAL_NAME
        ),
        AssociationResult.REJECTED_PERMANENT,
        refused.diagnostic,
        user_information=information,
    ).encode()
