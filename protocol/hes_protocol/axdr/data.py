"""
COSEM data as a tree of `Data`: what the A-XDR codec reads and writes.

Owns the tags (IEC 62056-5-3, `Data` CHOICE; Green Book "Common data types") and the value that
each tag carries in Python:

| tag | value |
|---|---|
| NULL_DATA, DONT_CARE | None |
| BOOLEAN | bool |
| integers, ENUM | int |
| BCD | int, the octet as sent (two digits) |
| FLOAT32, FLOAT64 | float |
| OCTET_STRING | bytes |
| VISIBLE_STRING, UTF8_STRING | bytes as sent; `text()` reads them |
| BIT_STRING | `BitString` |
| DATE_TIME, DATE, TIME | bytes of 12, 5, 4 octets; `hes_protocol.cosem.CosemDateTime` reads them |
| ARRAY, STRUCTURE | tuple of `Data` |
| COMPACT_ARRAY | `CompactArray` |

Strings stay octets because meters put anything there; decode(encode(x)) == x for every tree.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import attrs


class DataTag(IntEnum):
    """Tags of the `Data` CHOICE."""

    NULL_DATA = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255

    # Enum's own hashes the name, in Python: tags are looked up for each value that is read.
    __hash__ = int.__hash__


INTEGER_TAGS = frozenset(
    {
        DataTag.BCD,
        DataTag.DOUBLE_LONG,
        DataTag.DOUBLE_LONG_UNSIGNED,
        DataTag.INTEGER,
        DataTag.LONG,
        DataTag.UNSIGNED,
        DataTag.LONG_UNSIGNED,
        DataTag.LONG64,
        DataTag.LONG64_UNSIGNED,
        DataTag.ENUM,
        DataTag.DELTA_INTEGER,
        DataTag.DELTA_LONG,
        DataTag.DELTA_DOUBLE_LONG,
        DataTag.DELTA_UNSIGNED,
        DataTag.DELTA_LONG_UNSIGNED,
        DataTag.DELTA_DOUBLE_LONG_UNSIGNED,
    }
)
STRING_TAGS = frozenset({DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING})


@attrs.frozen(weakref_slot=False)
class BitString:
    """`length` bits, the first bit being the most significant one of `octets`."""

    length: int
    octets: bytes

    @classmethod
    def of(cls, number: int, length: int) -> BitString:
        """The last `length` bits of a number, the least significant one first."""
        text = f"{number & (1 << length) - 1:0{length}b}"[::-1] if length else ""
        octets = -(-length // 8)
        return cls(length, int(text.ljust(8 * octets, "0") or "0", 2).to_bytes(octets, "big"))

    @property
    def number(self) -> int:
        """The inverse of `of`."""
        return sum(1 << index for index in range(self.length) if self[index])

    def __getitem__(self, index: int) -> bool:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return bool(self.octets[index >> 3] & (0x80 >> (index & 7)))


@attrs.frozen(weakref_slot=False)
class TypeDescription:
    """
    The type of one element of a compact array.

    `elements` holds one description for an ARRAY (with its `count`), one per member for a
    STRUCTURE, none for anything else.
    """

    tag: DataTag
    elements: tuple[TypeDescription, ...] = ()
    count: int = 0


@attrs.frozen(weakref_slot=False)
class CompactArray:
    """A compact array (tag 19): its type description once, then elements that carry no tags."""

    description: TypeDescription
    elements: tuple[Data, ...]


@attrs.frozen(weakref_slot=False)
class Data:
    """One COSEM value with its tag; see the module's table for what `value` holds."""

    tag: DataTag
    value: Any = None

    def text(self) -> str:
        """
        The string in a VISIBLE_STRING, UTF8_STRING or OCTET_STRING, undecodable octets escaped.

        Raises: TypeError: this is no string.
        """
        if self.tag not in STRING_TAGS:
            raise TypeError(self.tag.name)
        encoding = "utf-8" if self.tag is DataTag.UTF8_STRING else "latin-1"
        octets: bytes = self.value
        return octets.decode(encoding, errors="backslashreplace")


NULL = Data(DataTag.NULL_DATA)


def structure(*members: Data) -> Data:
    """A STRUCTURE of `members`."""
    return Data(DataTag.STRUCTURE, members)


def array(*elements: Data) -> Data:
    """An ARRAY of `elements`."""
    return Data(DataTag.ARRAY, elements)
