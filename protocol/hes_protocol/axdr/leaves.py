"""
Values that hold no other values: one reader and one writer for each tag, in tables by tag.

The tables are what the decoder, the compact array and the encoder share: the contents of a value
are the same with its tag before it and, in a compact array, without. IEC 61334-6 (A-XDR) and the
`Data` CHOICE of IEC 62056-5-3, 8.

`read(octets, offset, end) -> (Data, next offset)` reads contents that begin at `offset` and stay
within `end`; `write(value) -> octets` is its inverse and raises LocalProtocolError for what has
no encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, cast

from hes_protocol.axdr.data import NULL, BitString, Data, DataTag
from hes_protocol.axdr.length import read_length, write_length
from hes_protocol.errors import LocalProtocolError, TruncatedError

LeafReader = Callable[[bytes, int, int], tuple[Data, int]]
LeafWriter = Callable[[Any], bytes]

DONT_CARE: Final = Data(DataTag.DONT_CARE)
CONSTANTS: Final = {DataTag.NULL_DATA: NULL, DataTag.DONT_CARE: DONT_CARE}

# struct formats of the numbers, by tag (IEC 62056-5-3: Integer8 .. Unsigned64, floats IEEE 754).
_FORMATS: Final = {
    DataTag.DOUBLE_LONG: ">i",
    DataTag.DOUBLE_LONG_UNSIGNED: ">I",
    DataTag.BCD: ">B",
    DataTag.INTEGER: ">b",
    DataTag.LONG: ">h",
    DataTag.UNSIGNED: ">B",
    DataTag.LONG_UNSIGNED: ">H",
    DataTag.LONG64: ">q",
    DataTag.LONG64_UNSIGNED: ">Q",
    DataTag.ENUM: ">B",
    DataTag.FLOAT32: ">f",
    DataTag.FLOAT64: ">d",
    DataTag.DELTA_INTEGER: ">b",
    DataTag.DELTA_LONG: ">h",
    DataTag.DELTA_DOUBLE_LONG: ">i",
    DataTag.DELTA_UNSIGNED: ">B",
    DataTag.DELTA_LONG_UNSIGNED: ">H",
    DataTag.DELTA_DOUBLE_LONG_UNSIGNED: ">I",
}
_NO_BITS: Final = Data(DataTag.BIT_STRING, BitString(0, b""))
_FIXED_OCTETS: Final = {DataTag.DATE_TIME: 12, DataTag.DATE: 5, DataTag.TIME: 4}
_STRINGS: Final = (DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING)

_new = object.__new__
_set_tag = cast("Any", Data).tag.__set__
_set_value = cast("Any", Data).value.__set__


def new_data(tag: DataTag, value: Any) -> Data:
    """
    `Data(tag, value)` in half the time: the slots are written directly.

    attrs' own __init__ of a frozen class would be most of what a decoded value costs.
    """
    data = _new(Data)
    _set_tag(data, tag)
    _set_value(data, value)
    return data


def _truncated(tag: DataTag, offset: int) -> TruncatedError:
    return TruncatedError("truncated", f"{tag.name} ends early", offset=offset)


def _constant_reader(tag: DataTag) -> LeafReader:
    constant = CONSTANTS[tag]

    def read(octets: bytes, offset: int, end: int) -> tuple[Data, int]:  # noqa: ARG001
        return constant, offset

    return read


def _octet_reader(tag: DataTag) -> LeafReader:
    """Values of one octet: all 256 of them are made once."""
    unpack = bool if tag is DataTag.BOOLEAN else None
    values = tuple(
        Data(tag, unpack(octet) if unpack else struct.unpack(_FORMATS[tag], bytes((octet,)))[0])
        for octet in range(256)
    )

    def read(octets: bytes, offset: int, end: int) -> tuple[Data, int]:
        if offset >= end:
            raise _truncated(tag, offset)
        return values[octets[offset]], offset + 1

    return read


def _number_reader(tag: DataTag) -> LeafReader:
    number = struct.Struct(_FORMATS[tag])
    unpack_from, size = number.unpack_from, number.size

    def read(octets: bytes, offset: int, end: int) -> tuple[Data, int]:
        behind = offset + size
        if behind > end:
            raise _truncated(tag, offset)
        return new_data(tag, unpack_from(octets, offset)[0]), behind

    return read


def _fixed_reader(tag: DataTag) -> LeafReader:
    size = _FIXED_OCTETS[tag]

    def read(octets: bytes, offset: int, end: int) -> tuple[Data, int]:
        behind = offset + size
        if behind > end:
            raise _truncated(tag, offset)
        return new_data(tag, octets[offset:behind]), behind

    return read


def _string_reader(tag: DataTag) -> LeafReader:
    empty = Data(tag, b"")

    def read(octets: bytes, offset: int, end: int) -> tuple[Data, int]:
        if offset < end and octets[offset] < 0x80:
            begin = offset + 1
            behind = begin + octets[offset]
        else:
            length, begin = read_length(octets, offset)
            behind = begin + length
        if behind > end:
            raise _truncated(tag, offset)
        if behind == begin:
            return empty, begin
        return new_data(tag, octets[begin:behind]), behind

    return read


def read_bit_string(octets: bytes, offset: int, end: int) -> tuple[Data, int]:
    """A BIT STRING's length and octets, as every reader in `READERS`."""
    length, begin = read_length(octets, offset)
    if not length:
        return _NO_BITS, begin
    behind = begin + (length + 7) // 8
    if behind > end:
        raise _truncated(DataTag.BIT_STRING, offset)
    return new_data(DataTag.BIT_STRING, BitString(length, octets[begin:behind])), behind


def _write_constant(value: Any) -> bytes:
    if value is not None:
        raise LocalProtocolError("null-data and don't-care carry no value")
    return b""


def _write_boolean(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


def _number_writer(tag: DataTag) -> LeafWriter:
    pack = struct.Struct(_FORMATS[tag]).pack

    def write(value: Any) -> bytes:
        try:
            return pack(value)
        except (struct.error, OverflowError) as error:
            raise LocalProtocolError(f"{tag.name} cannot hold this value") from error

    return write


def _write_string(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise LocalProtocolError("a string's value is bytes")
    return write_length(len(value)) + value


def _fixed_writer(tag: DataTag) -> LeafWriter:
    size = _FIXED_OCTETS[tag]

    def write(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != size:
            raise LocalProtocolError(f"{tag.name} has {size} octets")
        return value

    return write


def _write_bit_string(value: Any) -> bytes:
    if not isinstance(value, BitString) or len(value.octets) != (value.length + 7) // 8:
        raise LocalProtocolError("a bit string has an octet for each eight bits begun")
    return write_length(value.length) + value.octets


def _readers() -> dict[DataTag, LeafReader]:
    readers: dict[DataTag, LeafReader] = {tag: _constant_reader(tag) for tag in CONSTANTS}
    readers[DataTag.BOOLEAN] = _octet_reader(DataTag.BOOLEAN)
    readers[DataTag.BIT_STRING] = read_bit_string
    for tag, number in _FORMATS.items():
        one_octet = struct.calcsize(number) == 1
        readers[tag] = _octet_reader(tag) if one_octet else _number_reader(tag)
    readers |= {tag: _string_reader(tag) for tag in _STRINGS}
    readers |= {tag: _fixed_reader(tag) for tag in _FIXED_OCTETS}
    return readers


def _writers() -> dict[DataTag, LeafWriter]:
    writers: dict[DataTag, LeafWriter] = dict.fromkeys(CONSTANTS, _write_constant)
    writers[DataTag.BOOLEAN] = _write_boolean
    writers[DataTag.BIT_STRING] = _write_bit_string
    writers |= {tag: _number_writer(tag) for tag in _FORMATS}
    writers |= dict.fromkeys(_STRINGS, _write_string)
    writers |= {tag: _fixed_writer(tag) for tag in _FIXED_OCTETS}
    return writers


WRITERS: Final = _writers()
# By the tag's octet; None for containers and for what is no tag at all.
READERS: Final[tuple[LeafReader | None, ...]] = tuple(
    _readers().get(cast("DataTag", octet)) for octet in range(256)
)
