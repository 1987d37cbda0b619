"""
Notification bodies with attribute descriptors that have no tags of A-XDR.

Sagemcom XT211 (pushes of Czech utilities) sends structures of two: a `Cosem-Attribute-Descriptor`
as requests have it, class_id, instance_id and attribute_id in nine octets without any tag, and the
attribute's value as `Data`. Such a body is no `Data`; it is read as if the descriptor were a
structure of long-unsigned, octet-string and integer, which is what a push_object_list holds.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.axdr import MAX_DEPTH, Data, DataTag, decode, read_length
from hes_protocol.errors import EncodingError, LimitError

_DESCRIPTOR_OCTETS: Final = 9
_MAX_ATTRIBUTE: Final = 32
# A structure of two and the upper octet of a class_id.
_BEGINNING: Final = b"\x02\x02\x00"
_COMPACT_ARRAY: Final = bytes((DataTag.COMPACT_ARRAY,))
_CONTAINERS: Final = {int(tag): tag for tag in (DataTag.ARRAY, DataTag.STRUCTURE)}


def decode_untagged(octets: bytes, offset: int) -> Data:
    """
    Read a body that fills the rest of the octets.

    Raises: EncodingError: it is none of these either. TruncatedError. LimitError: too deep.
    """
    if _BEGINNING not in octets:
        raise EncodingError("no-descriptors", offset=offset)
    open_containers: list[tuple[DataTag, int, list[Data]]] = []
    found = False
    while True:
        tag = _CONTAINERS.get(octets[offset]) if offset < len(octets) else None
        if octets[offset : offset + 1] == _COMPACT_ARRAY:
            # Each would draw on a budget of its own (see `axdr.limits`).
            raise EncodingError("no-descriptors", offset=offset)
        if tag is None:
            data, offset = decode(octets, offset)
        else:
            count, behind = read_length(octets, offset + 1)
            if len(open_containers) >= MAX_DEPTH:
                raise LimitError("too-deep", offset=offset)
            elements: list[Data] = []
            if tag is DataTag.STRUCTURE and count == 2 and _is_descriptor(octets, behind):
                elements.append(_descriptor(octets[behind : behind + _DESCRIPTOR_OCTETS]))
                behind += _DESCRIPTOR_OCTETS
                found = True
            offset = behind
            if count > len(elements):
                open_containers.append((tag, count, elements))
                continue
            data = Data(tag, tuple(elements))
        while open_containers:
            tag, count, elements = open_containers[-1]
            elements.append(data)
            if len(elements) < count:
                break
            open_containers.pop()
            data = Data(tag, tuple(elements))
        else:
            if not found or offset != len(octets):
                raise EncodingError("no-descriptors", offset=offset)
            return data


def _is_descriptor(octets: bytes, offset: int) -> bool:
    """Whether nine octets can only be a descriptor: a standard class, a name, an attribute."""
    descriptor = octets[offset : offset + _DESCRIPTOR_OCTETS]
    return (
        len(descriptor) == _DESCRIPTOR_OCTETS
        and descriptor[0] == 0
        and descriptor[1] != 0
        and descriptor[7] == 0xFF
        and 1 <= descriptor[8] <= _MAX_ATTRIBUTE
    )


def _descriptor(octets: bytes) -> Data:
    return Data(
        DataTag.STRUCTURE,
        (
            Data(DataTag.LONG_UNSIGNED, int.from_bytes(octets[:2], "big")),
            Data(DataTag.OCTET_STRING, octets[2:8]),
            Data(DataTag.INTEGER, octets[8]),
        ),
    )
