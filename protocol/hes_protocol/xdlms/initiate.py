"""
initiate-request and initiate-response: what AARQ and AARE negotiate (IEC 62056-5-3).

A-XDR but for the conformance block, which is BER with the tag [APPLICATION 31]: two octets,
`5F 1F`, in the standard; `5F` alone in meters that follow its first edition.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs

from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms.reader import ApduReader, write_octet_string, write_signed, write_unsigned
from hes_protocol.xdlms.results import Conformance

INITIATE_REQUEST: Final = 0x01
INITIATE_RESPONSE: Final = 0x08
DLMS_VERSION: Final = 6
VAA_NAME_LN: Final = 0x0007
VAA_NAME_SN: Final = 0xFA00

_APPLICATION_31: Final = b"\x5f\x1f"
_CONFORMANCE_HEADER: Final = b"\x5f\x1f\x04\x00"
_CONFORMANCE_BITS: Final = 0xFFFFFF


@attrs.frozen(kw_only=True)
class InitiateRequest:
    """
    What a client proposes.

    `dedicated_key` never prints; `quality_of_service` is None where it is left out.
    """

    conformance: Conformance
    client_max_receive_pdu_size: int
    dedicated_key: bytes | None = attrs.field(default=None, repr=False)
    response_allowed: bool = True
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        key = self.dedicated_key
        return (
            bytes((INITIATE_REQUEST,))
            + (b"\x00" if key is None else b"\x01" + write_octet_string(key))
            + (b"\x00" if self.response_allowed else b"\x01\x00")
            + _write_quality(self.quality_of_service)
            + write_unsigned(self.dlms_version)
            + _write_conformance(self.conformance)
            + write_unsigned(self.client_max_receive_pdu_size, 2)
        )


@attrs.frozen(kw_only=True)
class InitiateResponse:
    """What a server accepts; `vaa_name` is 7 with logical names."""

    conformance: Conformance
    server_max_receive_pdu_size: int
    vaa_name: int = VAA_NAME_LN
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        return (
            bytes((INITIATE_RESPONSE,))
            + _write_quality(self.quality_of_service)
            + write_unsigned(self.dlms_version)
            + _write_conformance(self.conformance)
            + write_unsigned(self.server_max_receive_pdu_size, 2)
            + write_unsigned(self.vaa_name, 2)
        )


def _write_quality(quality_of_service: int | None) -> bytes:
    return b"\x00" if quality_of_service is None else b"\x01" + write_signed(quality_of_service)


def _write_conformance(conformance: Conformance) -> bytes:
    # As a number: a flag's own operators look up its names.
    bits = int(conformance)
    if not 0 <= bits <= _CONFORMANCE_BITS:
        raise LocalProtocolError("conformance has 24 bits")
    return _CONFORMANCE_HEADER + bits.to_bytes(3, "big")


def _read_quality(reader: ApduReader) -> int | None:
    return reader.signed() if reader.present() else None


def _read_conformance(reader: ApduReader) -> Conformance:
    tag = reader.take(1)
    if reader.octets[reader.offset : reader.offset + 1] == _APPLICATION_31[1:]:
        tag += reader.take(1)
    if tag not in (_APPLICATION_31, _APPLICATION_31[:1]):
        raise reader.error("unexpected-tag", "conformance is due")
    if reader.take(2) != _CONFORMANCE_HEADER[2:]:
        raise reader.error("bad-length", "of conformance")
    return Conformance.from_wire(reader.unsigned(3))


def decode_initiate_request(octets: bytes) -> InitiateRequest:
    """
    Read a whole initiate-request.

    Those without a dedicated key, which is a secret, are remembered, so many of them: all meters of
    a client are asked the same. They are immutable.

    Raises: EncodingError: octets left over, no conformance. TruncatedError.
    """
    return _remembered(octets) if octets[1:2] == b"\x00" else _read_request(octets)


def _read_request(octets: bytes) -> InitiateRequest:
    reader = ApduReader(octets)
    request = InitiateRequest(
        dedicated_key=reader.octet_string() if reader.present() else None,
        response_allowed=reader.boolean() if reader.present() else True,
        quality_of_service=_read_quality(reader),
        dlms_version=reader.octet(),
        conformance=_read_conformance(reader),
        client_max_receive_pdu_size=reader.unsigned(2),
    )
    reader.end()
    return request


_remembered: Final = lru_cache(maxsize=64)(_read_request)


def decode_initiate_response(octets: bytes) -> InitiateResponse:
    """
    Read a whole initiate-response.

    Raises: EncodingError: octets left over, no conformance. TruncatedError.
    """
    reader = ApduReader(octets)
    response = InitiateResponse(
        quality_of_service=_read_quality(reader),
        dlms_version=reader.octet(),
        conformance=_read_conformance(reader),
        server_max_receive_pdu_size=reader.unsigned(2),
        vaa_name=reader.unsigned(2),
    )
    reader.end()
    return response
