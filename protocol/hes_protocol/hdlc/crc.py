"""The check sequence of HDLC: CRC-16/X.25, in C speed from the standard library."""

from __future__ import annotations

import binascii
from typing import Final

# HDLC sends, and divides, the least significant bit first; binascii.crc_hqx divides by the same
# polynomial the most significant bit first. So the octets are mirrored before and the rest after.
_MIRRORED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def fcs16(octets: bytes | bytearray) -> int:
    """
    The check sequence (HCS or FCS) over `octets`.

    Returns: 16 bits; they are sent low octet first.
    Source: IEC 62056-46, "Frame check sequence field"; ISO/IEC 13239, 16-bit FCS.
    """
    rest = binascii.crc_hqx(octets.translate(_MIRRORED), 0xFFFF)
    return (_MIRRORED[rest & 0xFF] << 8 | _MIRRORED[rest >> 8]) ^ 0xFFFF
