"""
Compact arrays: the type once, then elements without tags.

IEC 62056-5-3, 8, `compact-array`: a TypeDescription, a length in octets, the contents. Strings and
bit strings keep their lengths in the contents; null-data and don't-care take no octets there. A
type is compiled into a flat list of steps, run once for each element, so nothing recurses and an
array of 65535 values costs what it is, checked before it is built.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.axdr.data import CompactArray, Data, DataTag, TypeDescription
from hes_protocol.axdr.leaves import CONSTANTS, READERS, WRITERS, LeafReader, new_data
from hes_protocol.axdr.length import read_length, write_length
from hes_protocol.axdr.limits import (
    BIT_STRING_COST,
    CONTAINER_COST,
    LEAF_COST,
    MAX_DEPTH,
    Budget,
)
from hes_protocol.errors import EncodingError, LimitError, LocalProtocolError, TruncatedError

_LEAF_TYPES: Final = {tag: TypeDescription(tag) for tag in WRITERS}
_LEAF_TAGS: Final = {int(tag): tag for tag in WRITERS}
# Looked up once: an enumeration's members are not cheap to get at.
_ARRAY: Final = DataTag.ARRAY
_STRUCTURE: Final = DataTag.STRUCTURE
_BIT_STRING: Final = DataTag.BIT_STRING
_CONTAINERS: Final = {int(_ARRAY): _ARRAY, int(_STRUCTURE): _STRUCTURE}
_COST_CEILING: Final = 1 << 40


# A step reads a leaf (reader), takes a constant, or closes a container of the last `count` values.
_Step = tuple[LeafReader | None, Data | None, DataTag, int]
_LEAF_STEPS: Final[dict[DataTag, _Step]] = {
    tag: (None, CONSTANTS[tag], tag, 0) if tag in CONSTANTS else (READERS[tag], None, tag, 0)
    for tag in WRITERS
}


def read_compact_array(octets: bytes, offset: int, depth: int, budget: Budget) -> tuple[Data, int]:
    """
    Read a compact array.

    Args:
        octets: the whole buffer. offset: where tag 19 stands. depth: containers already open.
        budget: what the compact arrays of this buffer may still expand to.
    Returns: the value, a `CompactArray`, and the offset of the octet behind it.
    Raises:
        TruncatedError: the octets end early.
        EncodingError: "unknown-tag", "bad-length", "bad-contents" (the contents end within an
            element, or the elements have no octets and so no number).
        LimitError: "too-deep", "too-large", "too-many-values".
    Source: IEC 62056-5-3, 8, compact-array.
    """
    budget.begin(offset)
    description, cost, begin = _read_description(octets, offset + 1, depth + 1, budget)
    length, begin = read_length(octets, begin)
    end = begin + length
    if end > len(octets):
        raise TruncatedError("truncated", "contents of a compact array", offset=offset)
    elements: list[Data] = []
    if length:
        budget.spend(cost, offset)
        steps = _compile(description)
        try:
            while True:
                behind = _read_element(steps, elements, octets, begin, end)
                if behind == begin:
                    raise EncodingError("bad-contents", "elements of no octets", offset=begin)
                begin = behind
                if begin == end:
                    break
                budget.spend(cost, offset)
        except TruncatedError as error:
            raise EncodingError(
                "bad-contents", "the contents end within an element", offset=error.offset
            ) from error
    return Data(DataTag.COMPACT_ARRAY, CompactArray(description, tuple(elements))), end


def _read_description(
    octets: bytes, offset: int, depth: int, budget: Budget
) -> tuple[TypeDescription, int, int]:
    """The type, what one element costs, and the offset behind it."""
    end = len(octets)
    # Open descriptions: tag, array count, members so far, members missing, cost of the members.
    stack: list[tuple[DataTag, int, list[TypeDescription], int, int]] = []
    tag, count = _STRUCTURE, 0
    members: list[TypeDescription] = []
    missing, cost = 1, 0
    while True:
        if offset >= end:
            raise TruncatedError("truncated", "a type description is due", offset=offset)
        octet = octets[offset]
        leaf = _LEAF_TAGS.get(octet)
        if leaf is not None:
            members.append(_LEAF_TYPES[leaf])
            cost += BIT_STRING_COST if leaf is _BIT_STRING else LEAF_COST
            offset += 1
        elif octet in _CONTAINERS:
            if depth + len(stack) >= MAX_DEPTH:
                raise LimitError("too-deep", offset=offset)
            stack.append((tag, count, members, missing, cost))
            members, cost = [], 0
            if octet == _ARRAY:
                if offset + 3 > end:
                    raise TruncatedError("truncated", "an array's count is due", offset=offset)
                tag, missing = _ARRAY, 2
                count = int.from_bytes(octets[offset + 1 : offset + 3], "big")
                offset += 3
            else:
                tag, count = _STRUCTURE, 0
                missing, behind = read_length(octets, offset + 1)
                if missing > end - behind:
                    raise TruncatedError("truncated", f"{missing} members", offset=offset)
                budget.describe(missing, offset)
                missing += 1
                offset = behind
        else:
            raise EncodingError("unknown-tag", f"0x{octet:02x} in a type", offset=offset)
        missing -= 1
        while not missing:
            if not stack:
                return members[0], cost, offset
            description = TypeDescription(tag, tuple(members), count)
            total = CONTAINER_COST + (cost * count if tag is _ARRAY else cost)
            tag, count, members, missing, cost = stack.pop()
            members.append(description)
            cost = min(cost + total, _COST_CEILING)
            missing -= 1


def _compile(description: TypeDescription) -> list[_Step]:
    """
    The steps that read one element, members before their container.

    The caller has checked their number; an array repeats the steps of its element.
    """
    steps: list[_Step] = []
    # Depth first with an explicit list; a container stands there again, with the place where its
    # steps begin, to be closed.
    pending: list[tuple[TypeDescription, int]] = [(description, -1)]
    while pending:
        current, begin = pending.pop()
        tag = current.tag
        if tag in _LEAF_STEPS:
            steps.append(_LEAF_STEPS[tag])
        elif begin < 0:
            pending.append((current, len(steps)))
            # An array of none costs nothing, so its type must not be unfolded either.
            if tag is not _ARRAY or current.count:
                pending.extend([(member, -1) for member in reversed(current.elements)])
        elif tag is _ARRAY:
            steps[begin:] = steps[begin:] * current.count
            steps.append((None, None, tag, current.count))
        else:
            steps.append((None, None, tag, len(current.elements)))
    return steps


def _read_element(
    steps: list[_Step], elements: list[Data], octets: bytes, offset: int, end: int
) -> int:
    """Read one element onto `elements`, where its members stand until it is closed."""
    for reader, constant, tag, count in steps:
        if reader is not None:
            data, offset = reader(octets, offset, end)
            elements.append(data)
        elif constant is not None:
            elements.append(constant)
        elif count:
            members = tuple(elements[-count:])
            del elements[-count:]
            elements.append(new_data(tag, members))
        else:
            elements.append(Data(tag, ()))
    return offset


def write_compact_array(array: CompactArray, depth: int = 1) -> bytes:
    """
    Write a compact array, with its tag.

    Args: array: the type and its elements. depth: containers open, this one included.
    Raises: LocalProtocolError: an element is not of the described type, or the type is none.
    Source: IEC 62056-5-3, 8, compact-array.
    """
    contents = bytearray()
    for element in array.elements:
        contents += _write_element(array.description, element)
    if array.elements and not contents:
        raise LocalProtocolError("elements of no octets cannot be counted by the reader")
    return (
        bytes((DataTag.COMPACT_ARRAY,))
        + _write_description(array.description, depth)
        + write_length(len(contents))
        + contents
    )


def _write_description(description: TypeDescription, depth: int) -> bytes:
    out = bytearray()
    pending = [(description, depth)]
    while pending:
        current, outer = pending.pop()
        out.append(current.tag)
        if current.tag not in WRITERS and outer >= MAX_DEPTH:
            raise LocalProtocolError("too deep")
        if current.tag is DataTag.ARRAY:
            if len(current.elements) != 1 or not 0 <= current.count <= 0xFFFF:
                raise LocalProtocolError("an array's type has one element type and a count")
            out += current.count.to_bytes(2, "big")
        elif current.tag is DataTag.STRUCTURE:
            out += write_length(len(current.elements))
        elif current.elements or current.tag not in WRITERS:
            raise LocalProtocolError(f"no element type: {current.tag.name}")
        pending.extend((member, outer + 1) for member in reversed(current.elements))
    return bytes(out)


def _write_element(description: TypeDescription, element: Data) -> bytes:
    out = bytearray()
    pending = [(description, element)]
    while pending:
        expected, data = pending.pop()
        if data.tag is not expected.tag:
            raise LocalProtocolError(f"{data.tag.name} where the type says {expected.tag.name}")
        if data.tag is DataTag.ARRAY or data.tag is DataTag.STRUCTURE:
            is_array = data.tag is DataTag.ARRAY
            members = expected.elements * expected.count if is_array else expected.elements
            if len(members) != len(data.value):
                raise LocalProtocolError(f"{data.tag.name} of another size than its type says")
            pending.extend(zip(reversed(members), reversed(data.value), strict=True))
        else:
            out += WRITERS[data.tag](data.value)
    return bytes(out)
