"""
Lengths and counts of A-XDR: one octet up to 0x7F, else 0x81..0x84 and that many octets.

IEC 61334-6, 6.10 "Length field": definite lengths only, so 0x80 is refused; a length that could
have been written shorter is accepted, since meters send such.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError

MAX_LENGTH_OCTETS: Final = 4


def read_length(octets: bytes, offset: int = 0) -> tuple[int, int]:
    """
    Read a length or an element count.

    Args: octets: the whole buffer. offset: where the length begins.
    Returns: the length, and the offset of the octet behind it.
    Raises:
        TruncatedError: the buffer ends within the length.
        EncodingError: "bad-length": indefinite (0x80), or of more than four octets.
    Source: IEC 61334-6, 6.10.
    """
    if offset >= len(octets):
        raise TruncatedError("truncated", "a length is due", offset=offset)
    first = octets[offset]
    if first < 0x80:
        return first, offset + 1
    size = first & 0x7F
    if not 1 <= size <= MAX_LENGTH_OCTETS:
        raise EncodingError("bad-length", f"0x{first:02x} begins no length", offset=offset)
    behind = offset + 1 + size
    if behind > len(octets):
        raise TruncatedError("truncated", "the buffer ends within a length", offset=offset)
    return int.from_bytes(octets[offset + 1 : behind], "big"), behind


def write_length(length: int) -> bytes:
    """
    The shortest coding of a length or an element count.

    Raises: LocalProtocolError: negative, or above four octets.
    Source: IEC 61334-6, 6.10.
    """
    if 0 <= length < 0x80:
        return bytes((length,))
    size = (length.bit_length() + 7) // 8
    if length < 0 or size > MAX_LENGTH_OCTETS:
        raise LocalProtocolError(f"no length: {length}")
    return bytes((0x80 | size,)) + length.to_bytes(size, "big")
