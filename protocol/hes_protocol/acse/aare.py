"""AARE: a server accepts or refuses an association (IEC 62056-5-3, "ACSE APDUs"; BER)."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from hes_protocol.acse import ber, fields
from hes_protocol.acse.ber import Element
from hes_protocol.acse.names import (
    ApplicationContext,
    AssociationResult,
    Diagnostic,
    DiagnosticSource,
    Mechanism,
)
from hes_protocol.errors import EncodingError

_RESULT: Final = 0xA2
_RESULT_SOURCE_DIAGNOSTIC: Final = 0xA3
_RESPONDING_AP_TITLE: Final = 0xA4
_RESPONDING_AE_QUALIFIER: Final = 0xA5
_RESPONDING_AP_INVOCATION_ID: Final = 0xA6
_RESPONDING_AE_INVOCATION_ID: Final = 0xA7
_RESPONDER_ACSE_REQUIREMENTS: Final = 0x88
_MECHANISM_NAME: Final = 0x89
_RESPONDING_AUTHENTICATION_VALUE: Final = 0xAA

_SOURCES: Final = {0xA1: DiagnosticSource.USER, 0xA2: DiagnosticSource.PROVIDER}
_SOURCE_TAGS: Final = {source: tag for tag, source in _SOURCES.items()}


def _read_result(element: Element) -> AssociationResult:
    value = fields.read_integer(element)
    try:
        return AssociationResult(value)
    except ValueError:
        raise EncodingError("bad-result", f"{value}", offset=element.offset) from None


def _read_diagnostic(element: Element) -> Diagnostic:
    choice, behind = ber.read_element(element.value, 0, base=element.offset)
    if choice.tag not in _SOURCES or behind != len(element.value):
        raise EncodingError("bad-diagnostic", "no known source", offset=element.offset)
    return Diagnostic(fields.read_integer(choice), _SOURCES[choice.tag])


_READERS: Final[fields.FieldReaders] = {
    fields.PROTOCOL_VERSION: ("protocol_version", fields.read_bit_string),
    fields.APPLICATION_CONTEXT_NAME: ("application_context_name", fields.read_oid),
    _RESULT: ("result", _read_result),
    _RESULT_SOURCE_DIAGNOSTIC: ("diagnostic", _read_diagnostic),
    _RESPONDING_AP_TITLE: ("responding_ap_title", fields.read_octet_string),
    _RESPONDING_AE_QUALIFIER: ("responding_ae_qualifier", fields.read_octet_string),
    _RESPONDING_AP_INVOCATION_ID: ("responding_ap_invocation_id", fields.read_identifier),
    _RESPONDING_AE_INVOCATION_ID: ("responding_ae_invocation_id", fields.read_identifier),
    _RESPONDER_ACSE_REQUIREMENTS: ("authentication_required", fields.read_requirements),
    _MECHANISM_NAME: ("mechanism_name", fields.read_octets),
    _RESPONDING_AUTHENTICATION_VALUE: ("authentication_value", fields.read_authentication_value),
    fields.IMPLEMENTATION_INFORMATION: ("implementation_information", fields.read_octets),
    fields.USER_INFORMATION: ("user_information", fields.read_octet_string),
}
_REQUIRED: Final = ("application_context_name", "result", "diagnostic")


@attrs.frozen
class Aare:
    """
    An AARE with every element that the standard names; others are skipped in decoding.

    `responding_ap_title` is the server's system title, `authentication_value` StoC.
    """

    TAG: ClassVar[int] = 0x61

    application_context_name: bytes
    result: AssociationResult
    diagnostic: Diagnostic
    responding_ap_title: bytes | None = None
    responding_ae_qualifier: bytes | None = None
    responding_ae_invocation_id: int | None = None
    authentication_required: bool = False
    mechanism_name: bytes | None = None
    authentication_value: bytes | None = attrs.field(default=None, repr=False)
    user_information: bytes | None = attrs.field(default=None, repr=False)
    protocol_version: bytes | None = None
    responding_ap_invocation_id: int | None = None
    implementation_information: bytes | None = None

    @property
    def context(self) -> ApplicationContext | None:
        """The application context, None for an unknown one."""
        return fields.context_of(self.application_context_name)

    @property
    def mechanism(self) -> Mechanism | None:
        """The mechanism, NONE without a name, None for an unknown one."""
        return fields.mechanism_of(self.mechanism_name)

    @classmethod
    def decode(cls, octets: bytes) -> Aare:
        """
        Read a whole AARE.

        Raises: EncodingError: a wrong length, a repeated element, a required one missing.
        """
        found = fields.read_fields(octets, cls.TAG, _READERS)
        for name in _REQUIRED:
            if name not in found:
                raise EncodingError("missing-element", name, apdu_tag=cls.TAG)
        return cls(**found)

    def encode(self) -> bytes:
        """The octets of the APDU."""
        diagnostic = fields.write_integer(
            _SOURCE_TAGS[self.diagnostic.source], self.diagnostic.code
        )
        return ber.write_element(
            self.TAG,
            fields.write_octets(fields.PROTOCOL_VERSION, self.protocol_version),
            fields.write_oid(fields.APPLICATION_CONTEXT_NAME, self.application_context_name),
            fields.write_integer(_RESULT, self.result),
            ber.write_element(_RESULT_SOURCE_DIAGNOSTIC, diagnostic),
            fields.write_octet_string(_RESPONDING_AP_TITLE, self.responding_ap_title),
            fields.write_octet_string(_RESPONDING_AE_QUALIFIER, self.responding_ae_qualifier),
            fields.write_identifier(_RESPONDING_AP_INVOCATION_ID, self.responding_ap_invocation_id),
            fields.write_identifier(_RESPONDING_AE_INVOCATION_ID, self.responding_ae_invocation_id),
            fields.write_requirements(_RESPONDER_ACSE_REQUIREMENTS, self.authentication_required),
            fields.write_octets(_MECHANISM_NAME, self.mechanism_name),
            fields.write_authentication_value(
                _RESPONDING_AUTHENTICATION_VALUE, self.authentication_value
            ),
            fields.write_octets(fields.IMPLEMENTATION_INFORMATION, self.implementation_information),
            fields.write_octet_string(fields.USER_INFORMATION, self.user_information),
        )
