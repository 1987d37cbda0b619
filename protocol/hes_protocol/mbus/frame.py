"""
Long frames of wired M-Bus that carry a piece of a DLMS APDU, both ways.

    68 L L 68 | C | A | CI | STSAP | DTSAP | data | CS 16

Link layer: EN 13757-2, frame format FT 1.2 with variable length; L counts C to the last octet of
data, CS is their sum modulo 256. Transport layer: EN 13757-1 (DLMS/COSEM over M-Bus), CI 00..1F:
bit 4 marks the last piece, the four bits below count the pieces; STSAP and DTSAP are the source's
and the destination's service access points.

Quirk (Sagemcom T210-D in Lower Austria): L has eight bits, and frames of 257 octets are sent with
L = 1. Where L octets on there is no end of a frame, L + 256 octets on there may be one.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.errors import FramingError, LocalProtocolError

START: Final = 0x68
STOP: Final = 0x16
HEADER_OCTETS: Final = 4
TRAILER_OCTETS: Final = 2
# C, A, CI, STSAP, DTSAP.
FIELDS_OCTETS: Final = 5
MAX_LENGTH: Final = 0xFF
OVERFLOW: Final = 0x100
MAX_FRAME_OCTETS: Final = HEADER_OCTETS + MAX_LENGTH + OVERFLOW + TRAILER_OCTETS
_SND_UD: Final = 0x53
_BROADCAST: Final = 0xFF
_LAST: Final = 0x10
_SEQUENCE: Final = 0x0F
_MAX_CI: Final = 0x1F


@attrs.frozen
class MBusFrame:
    """
    One piece of an APDU; `sequence` counts from 0 and starts again after 15.

    Pushes are sent as SND_UD (0x53) to everybody (0xFF).
    Source: EN 13757-2; EN 13757-1, "Transport layer".
    """

    data: bytes = attrs.field(repr=False)
    sequence: int = 0
    last: bool = True
    source_sap: int = 1
    destination_sap: int = 0x67
    control: int = _SND_UD
    address: int = _BROADCAST

    def to_octets(self) -> bytes:
        """
        The frame as it is sent; a length above 255 as those meters write it that send such.

        Raises: LocalProtocolError: longer than that can tell, or more than four bits of sequence.
        """
        length = FIELDS_OCTETS + len(self.data)
        if length > MAX_LENGTH + OVERFLOW or not 0 <= self.sequence <= _SEQUENCE:
            raise LocalProtocolError(f"a frame of {length} octets, piece {self.sequence}")
        information = self.sequence | (_LAST if self.last else 0)
        fields = (self.control, self.address, information, self.source_sap, self.destination_sap)
        body = bytes(fields) + self.data
        told = length & MAX_LENGTH
        return bytes((START, told, told, START)) + body + bytes((sum(body) & 0xFF, STOP))


def read_frame(octets: bytes | bytearray, length: int) -> MBusFrame:
    """
    Read the frame at the buffer's front, whose checksum and STOP are right.

    Raises: FramingError: "unknown-ci": what it carries is no piece of a DLMS APDU; "bad-length":
        it has no room for the fields of one.
    """
    information = octets[HEADER_OCTETS + 2]
    if information > _MAX_CI:
        raise FramingError("unknown-ci", f"0x{information:02x}", offset=HEADER_OCTETS + 2)
    if length < FIELDS_OCTETS:
        raise FramingError("bad-length", f"{length} octets", offset=1)
    return MBusFrame(
        data=bytes(octets[HEADER_OCTETS + FIELDS_OCTETS : HEADER_OCTETS + length]),
        sequence=information & _SEQUENCE,
        last=bool(information & _LAST),
        source_sap=octets[HEADER_OCTETS + 3],
        destination_sap=octets[HEADER_OCTETS + 4],
        control=octets[HEADER_OCTETS],
        address=octets[HEADER_OCTETS + 1],
    )
