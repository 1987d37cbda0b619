"""
The server's side of opening an association: whom it admits, and the AARE that says so.

Pure functions over APDUs and rules; `server.py` owns the state. Order of the checks: version,
context, mechanism, credentials, protection, and last what is proposed; the first that fails gives
the diagnostic. IEC 62056-5-3, "Establishment of application associations".
"""

from __future__ import annotations

from functools import lru_cache

import attrs

from hes_protocol._channel import Channel, Opened
from hes_protocol._proofs import reads_as_apdu
from hes_protocol.acse import (
    Aare,
    Aarq,
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
    ProviderDiagnostic,
    UserDiagnostic,
    context_name,
)
from hes_protocol.errors import EncodingError, SecurityError
from hes_protocol.security import Protection
from hes_protocol.security.mechanisms import HLS, NEED_TITLES, check_challenge, verify_secret
from hes_protocol.security.suite0 import KEY_OCTETS, SYSTEM_TITLE_OCTETS
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
    dedicated_key: bytes | None = attrs.field(default=None, repr=False)
    response_allowed: bool = True

    @property
    def with_hls(self) -> bool:
        """Whether the client must still prove itself."""
        return self.aarq.mechanism in HLS


def pre_established(rules: ServerAssociation) -> Admitted:
    """What a pre-established association has agreed to, which no AARQ says."""
    context = ApplicationContext.LOGICAL_NAME
    if rules.encryption_key is not None:
        context = ApplicationContext.LOGICAL_NAME_CIPHERED
    return Admitted(
        Aarq(context_name(context), calling_ap_title=rules.client_system_title),
        Opened(b""),
        rules.conformance,
        rules.max_receive_pdu_size,
    )


@attrs.frozen
class Refused:
    """
    Why an AARQ is refused; `initiate_error` where what it proposes is at fault.

    `result` is REJECTED_TRANSIENT where the same AARQ may be admitted later.
    """

    diagnostic: Diagnostic
    initiate_error: InitiateError | None = None
    detail: str = ""
    result: AssociationResult = AssociationResult.REJECTED_PERMANENT


LOCKED_OUT = Refused(
    Diagnostic(UserDiagnostic.AUTHENTICATION_FAILURE),
    detail="locked-out",
    result=AssociationResult.REJECTED_TRANSIENT,
)
"""No credentials are looked at for a while: the standard has no diagnostic of its own for that."""


def _refused(diagnostic: UserDiagnostic, detail: str = "") -> Refused:
    return Refused(Diagnostic(diagnostic), detail=detail)


def admit(aarq: Aarq, rules: ServerAssociation, channel: Channel) -> Admitted | Refused:
    """
    Decide about an AARQ. Changes nothing.

    Args: channel: with the keys of `rules` and the client's counter.
    Raises: EncodingError: user-information that is no APDU at all.
    """
    refused = (
        _check_version(aarq)
        or _check_pre_established(rules)
        or _check_context(aarq, rules, channel)
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
    negotiated = initiate.conformance & rules.conformance
    error_code = _initiate_error(initiate, negotiated, opened, rules)
    if error_code is not None:
        return Refused(Diagnostic(UserDiagnostic.NO_REASON_GIVEN), error_code)
    return Admitted(
        aarq,
        opened,
        negotiated,
        initiate.client_max_receive_pdu_size,
        initiate.dedicated_key,
        initiate.response_allowed,
    )


def _check_version(aarq: Aarq) -> Refused | None:
    if aarq.version1:
        return None
    code = ProviderDiagnostic.NO_COMMON_ACSE_VERSION
    return Refused(Diagnostic(code, DiagnosticSource.PROVIDER))


def _check_pre_established(rules: ServerAssociation) -> Refused | None:
    if rules.pre_established:
        return _refused(UserDiagnostic.NO_REASON_GIVEN, "pre-established")
    return None


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
    if rules.mechanism is Mechanism.LLS and not verify_secret(rules.secret, value):
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    titled = aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED
    if (titled or rules.mechanism in NEED_TITLES) and not _is_title(aarq.calling_ap_title, channel):
        return _refused(UserDiagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED)
    if rules.mechanism in HLS and not check_challenge(value):
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    if rules.mechanism is Mechanism.HLS_GMAC and reads_as_apdu(value):
        return _refused(UserDiagnostic.AUTHENTICATION_FAILURE)
    if rules.user_ids is not None and aarq.calling_ae_invocation_id not in rules.user_ids:
        return _refused(UserDiagnostic.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED)
    return None


def _is_title(title: bytes | None, channel: Channel) -> bool:
    return title is not None and len(title) == SYSTEM_TITLE_OCTETS and title != channel.system_title


def _initiate_error(
    initiate: InitiateRequest, negotiated: Conformance, opened: Opened, rules: ServerAssociation
) -> InitiateError | None:
    if initiate.dlms_version < DLMS_VERSION:
        return InitiateError.DLMS_VERSION_TOO_LOW
    if not negotiated:
        return InitiateError.INCOMPATIBLE_CONFORMANCE
    if 0 < initiate.client_max_receive_pdu_size < MIN_PDU_SIZE:
        return InitiateError.PDU_SIZE_TOO_SHORT
    key = initiate.dedicated_key
    if key is None:
        return None
    # A key that anybody could read on the line is none.
    if len(key) != KEY_OCTETS or key == rules.encryption_key or not opened.protection.encrypted:
        return InitiateError.REFUSED_BY_THE_VDE_HANDLER
    return None


def initiate_response(rules: ServerAssociation, conformance: Conformance) -> bytes:
    """The initiate-response that goes into AARE and RLRE."""
    return _initiate_response(conformance, rules.max_receive_pdu_size)


@lru_cache(maxsize=64)
def _initiate_response(conformance: Conformance, max_receive_pdu_size: int) -> bytes:
    return InitiateResponse(
        conformance=conformance, server_max_receive_pdu_size=max_receive_pdu_size
    ).encode()


def acceptance(
    admitted: Admitted, rules: ServerAssociation, channel: Channel, challenge: bytes | None
) -> bytes:
    """
    The AARE that accepts, with StoC where HLS is to follow.

    Raises: LocalProtocolError: no fresh counter.
    """
    aarq = admitted.aarq
    ciphered = aarq.context is ApplicationContext.LOGICAL_NAME_CIPHERED
    titled = admitted.with_hls or ciphered or aarq.calling_ap_title is not None
    title = b"" if rules.empty_system_title else channel.system_title
    information = initiate_response(rules, admitted.conformance)
    return Aare(
        aarq.application_context_name,
        AssociationResult.ACCEPTED,
        Diagnostic(
            UserDiagnostic.AUTHENTICATION_REQUIRED if admitted.with_hls else UserDiagnostic.NULL
        ),
        responding_ap_title=title if titled else None,
        authentication_required=aarq.mechanism_name is not None,
        mechanism_name=aarq.mechanism_name,
        authentication_value=challenge,
        user_information=channel.protect(
            information, admitted.opened.protection, admitted.opened.form
        ),
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
        refused.result,
        refused.diagnostic,
        user_information=information,
    ).encode()
