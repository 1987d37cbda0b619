"""AARQ: a client asks for an association (IEC 62056-5-3, "ACSE APDUs"; BER)."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from hes_protocol.acse import ber, fields
from hes_protocol.acse.names import ApplicationContext, Mechanism
from hes_protocol.errors import EncodingError

_CALLED_AP_TITLE: Final = 0xA2
_CALLED_AE_QUALIFIER: Final = 0xA3
_CALLED_AP_INVOCATION_ID: Final = 0xA4
_CALLED_AE_INVOCATION_ID: Final = 0xA5
_CALLING_AP_TITLE: Final = 0xA6
_CALLING_AE_QUALIFIER: Final = 0xA7
_CALLING_AP_INVOCATION_ID: Final = 0xA8
_CALLING_AE_INVOCATION_ID: Final = 0xA9
_SENDER_ACSE_REQUIREMENTS: Final = 0x8A
_MECHANISM_NAME: Final = 0x8B
_CALLING_AUTHENTICATION_VALUE: Final = 0xAC

_READERS: Final[fields.FieldReaders] = {
    fields.PROTOCOL_VERSION: ("protocol_version", fields.read_bit_string),
    fields.APPLICATION_CONTEXT_NAME: ("application_context_name", fields.read_oid),
    _CALLED_AP_TITLE: ("called_ap_title", fields.read_octet_string),
    _CALLED_AE_QUALIFIER: ("called_ae_qualifier", fields.read_octet_string),
    _CALLED_AP_INVOCATION_ID: ("called_ap_invocation_id", fields.read_identifier),
    _CALLED_AE_INVOCATION_ID: ("called_ae_invocation_id", fields.read_identifier),
    _CALLING_AP_TITLE: ("calling_ap_title", fields.read_octet_string),
    _CALLING_AE_QUALIFIER: ("calling_ae_qualifier", fields.read_octet_string),
    _CALLING_AP_INVOCATION_ID: ("calling_ap_invocation_id", fields.read_identifier),
    _CALLING_AE_INVOCATION_ID: ("calling_ae_invocation_id", fields.read_identifier),
    _SENDER_ACSE_REQUIREMENTS: ("authentication_required", fields.read_requirements),
    _MECHANISM_NAME: ("mechanism_name", fields.read_octets),
    _CALLING_AUTHENTICATION_VALUE: ("authentication_value", fields.read_authentication_value),
    fields.IMPLEMENTATION_INFORMATION: ("implementation_information", fields.read_octets),
    fields.USER_INFORMATION: ("user_information", fields.read_octet_string),
}


@attrs.frozen
class Aarq:
    """
    An AARQ with every element that the standard names; others are skipped in decoding.

    `application_context_name` and `mechanism_name` are object identifiers without tag and length;
    `context` and `mechanism` read them. `protocol_version` is the BIT STRING as sent.
    `calling_ap_title` is the client's system title, `calling_ae_qualifier` its certificate in
    other suites, `calling_ae_invocation_id` the user id.
    `authentication_value` is the LLS secret or CtoS and never prints.
    """

    TAG: ClassVar[int] = 0x60

    application_context_name: bytes
    called_ap_title: bytes | None = None
    calling_ap_title: bytes | None = None
    calling_ae_qualifier: bytes | None = None
    calling_ae_invocation_id: int | None = None
    authentication_required: bool = False
    mechanism_name: bytes | None = None
    authentication_value: bytes | None = attrs.field(default=None, repr=False)
    user_information: bytes | None = attrs.field(default=None, repr=False)
    protocol_version: bytes | None = None
    called_ae_qualifier: bytes | None = None
    called_ap_invocation_id: int | None = None
    called_ae_invocation_id: int | None = None
    calling_ap_invocation_id: int | None = None
    implementation_information: bytes | None = None

    @property
    def version1(self) -> bool:
        """Whether version 1 of ACSE, the only one, is among those that are offered."""
        return self.protocol_version is None or fields.first_bit(self.protocol_version)

    @property
    def context(self) -> ApplicationContext | None:
        """The application context, None for an unknown one."""
        return fields.context_of(self.application_context_name)

    @property
    def mechanism(self) -> Mechanism | None:
        """The mechanism, NONE without a name, None for an unknown one."""
        return fields.mechanism_of(self.mechanism_name)

    @classmethod
    def decode(cls, octets: bytes) -> Aarq:
        """
        Read a whole AARQ.

        Raises: EncodingError: a wrong length, a repeated element, no context name.
        """
        found = fields.read_fields(octets, cls.TAG, _READERS)
        if "application_context_name" not in found:
            raise EncodingError("missing-element", "application-context-name", apdu_tag=cls.TAG)
        return cls(**found)

    def encode(self) -> bytes:
        """The octets of the APDU."""
        return ber.write_element(
            self.TAG,
            fields.write_octets(fields.PROTOCOL_VERSION, self.protocol_version),
            fields.write_oid(fields.APPLICATION_CONTEXT_NAME, self.application_context_name),
            fields.write_octet_string(_CALLED_AP_TITLE, self.called_ap_title),
            fields.write_octet_string(_CALLED_AE_QUALIFIER, self.called_ae_qualifier),
            fields.write_identifier(_CALLED_AP_INVOCATION_ID, self.called_ap_invocation_id),
            fields.write_identifier(_CALLED_AE_INVOCATION_ID, self.called_ae_invocation_id),
            fields.write_octet_string(_CALLING_AP_TITLE, self.calling_ap_title),
            fields.write_octet_string(_CALLING_AE_QUALIFIER, self.calling_ae_qualifier),
            fields.write_identifier(_CALLING_AP_INVOCATION_ID, self.calling_ap_invocation_id),
            fields.write_identifier(_CALLING_AE_INVOCATION_ID, self.calling_ae_invocation_id),
            fields.write_requirements(_SENDER_ACSE_REQUIREMENTS, self.authentication_required),
            fields.write_octets(_MECHANISM_NAME, self.mechanism_name),
            fields.write_authentication_value(
                _CALLING_AUTHENTICATION_VALUE, self.authentication_value
            ),
            fields.write_octets(fields.IMPLEMENTATION_INFORMATION, self.implementation_information),
            fields.write_octet_string(fields.USER_INFORMATION, self.user_information),
        )
