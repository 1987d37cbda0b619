"""
The little of BER that association control needs: elements with definite lengths, both ways.

ISO/IEC 8825-1, 8.1: tags of any number are read (so that unknown elements can be skipped),
lengths are definite, of up to four octets, and never beyond the element around them. Nothing
here recurses: nesting is at most the few levels that the callers open by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from hes_protocol.axdr.length import read_length, write_length
from hes_protocol.errors import EncodingError, TruncatedError

OBJECT_IDENTIFIER: Final = 0x06
OCTET_STRING: Final = 0x04
INTEGER: Final = 0x02
_HIGH_TAG_NUMBER: Final = 0x1F
_MAX_TAG_OCTETS: Final = 4
_MAX_INTEGER_OCTETS: Final = 8


class Element(NamedTuple):
    """
    An element: `tag` is its identifier octets as a number, `offset` where its value begins.

    A tuple, since an association's opening makes some thirty of them.
    """

    tag: int
    value: bytes
    offset: int = 0

    def __repr__(self) -> str:
        # Values may be passwords.
        return f"Element(tag={self.tag:#x}, offset={self.offset})"

    def only(self, tag: int) -> Element:
        """
        The single element inside this one.

        Raises: EncodingError: something else, or more, is inside.
        """
        value = self.value
        length = len(value) - 2
        if 0 <= length < 0x80 and value[0] == tag and value[1] == length:
            return Element(tag, value[2:], self.offset + 2)
        inner, behind = read_element(value, 0, base=self.offset)
        if inner.tag != tag:
            raise EncodingError(
                "unexpected-tag", f"0x{inner.tag:02x} where 0x{tag:02x} is due", offset=self.offset
            )
        if behind != len(value):
            raise EncodingError(
                "trailing-octets", "behind a single element", offset=self.offset + behind
            )
        return inner

    def integer(self) -> int:
        """
        The value as a signed integer.

        Raises: EncodingError: empty, or too long to be a code.
        """
        if not 1 <= len(self.value) <= _MAX_INTEGER_OCTETS:
            raise EncodingError("bad-length", "of an integer", offset=self.offset)
        return int.from_bytes(self.value, "big", signed=True)


def _read_high_tag(octets: bytes, offset: int, base: int) -> tuple[int, int]:
    tag = octets[offset - 1]
    for _ in range(_MAX_TAG_OCTETS):
        if offset >= len(octets):
            raise TruncatedError("truncated", "within a tag", offset=base + offset)
        octet = octets[offset]
        tag = tag << 8 | octet
        offset += 1
        if octet < 0x80:
            return tag, offset
    raise EncodingError("bad-tag", "a tag of more than four octets", offset=base + offset)


def _read_long_length(octets: bytes, offset: int, base: int) -> tuple[int, int]:
    try:
        return read_length(octets, offset)
    except TruncatedError as exc:
        raise TruncatedError("truncated", "within a length", offset=base + offset) from exc
    except EncodingError as exc:
        raise EncodingError("bad-length", exc.detail, offset=base + offset) from exc


def read_element(octets: bytes, offset: int, *, base: int = 0) -> tuple[Element, int]:
    """
    Read one element.

    Args: octets: the value of the element around it, or the whole APDU. offset: where it begins.
        base: offset of `octets` in the APDU, for errors.
    Returns: the element and the offset behind it, in `octets`.
    Raises: TruncatedError: it ends behind `octets`. EncodingError: a tag or length that is none.
    Source: ISO/IEC 8825-1, 8.1.2 and 8.1.3.
    """
    end = len(octets)
    if offset >= end:
        raise TruncatedError("truncated", "an element is due", offset=base + offset)
    tag = octets[offset]
    offset += 1
    if tag & _HIGH_TAG_NUMBER == _HIGH_TAG_NUMBER:
        tag, offset = _read_high_tag(octets, offset, base)
    if offset < end and octets[offset] < 0x80:
        length, start = octets[offset], offset + 1
    else:
        length, start = _read_long_length(octets, offset, base)
    behind = start + length
    if behind > end:
        raise TruncatedError(
            "truncated", f"0x{tag:02x} is longer than what is around it", offset=base + start
        )
    return Element(tag, octets[start:behind], base + start), behind


def read_apdu(octets: bytes, tag: int) -> Iterator[Element]:
    """
    The elements of the ACSE APDU `tag`, which must fill `octets` exactly.

    Raises: EncodingError: another tag, a wrong length, octets left over. TruncatedError.
    """
    apdu, behind = read_element(octets, 0)
    if apdu.tag != tag:
        raise EncodingError("unexpected-tag", "another APDU", offset=0, apdu_tag=tag)
    if behind != len(octets):
        raise EncodingError("trailing-octets", "behind the APDU", offset=behind, apdu_tag=tag)
    offset = 0
    while offset < len(apdu.value):
        element, offset = read_element(apdu.value, offset, base=apdu.offset)
        yield element


def write_element(tag: int, *values: bytes) -> bytes:
    """One element with a one-octet tag around the joined `values`."""
    value = b"".join(values)
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    return bytes((tag,)) + write_length(len(value)) + value


def write_integer(value: int) -> bytes:
    """An INTEGER in the fewest octets. Source: ISO/IEC 8825-1, 8.3."""
    if 0 <= value < 0x80:
        return bytes((INTEGER, 1, value))
    magnitude = value if value >= 0 else ~value
    octets = value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
    return write_element(INTEGER, octets)
