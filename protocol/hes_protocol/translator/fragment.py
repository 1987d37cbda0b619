"""
What can be read of an APDU whose end did not come.

Nothing is made up: containers hold the elements that came whole, and the lengths and counts that
were promised stand beside them. Linear in the octets, without recursion; compact arrays, whose
elements may take no octets, are not unfolded.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.axdr import Data, DataTag, decode, read_length
from hes_protocol.axdr.limits import MAX_DEPTH
from hes_protocol.cosem.date_time import LENGTH_OCTETS
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.security.suite0 import HEADER_OCTETS
from hes_protocol.translator.result import Fragment
from hes_protocol.xdlms import Ciphered
from hes_protocol.xdlms.ciphered import GENERAL_DED, GENERAL_GLO, PLAIN_TAGS
from hes_protocol.xdlms.get import GET_RESPONSE
from hes_protocol.xdlms.notification import DATA_NOTIFICATION
from hes_protocol.xdlms.reader import ApduReader

_COMPACT_ARRAY: Final = bytes((DataTag.COMPACT_ARRAY,))
_CONTAINERS: Final = {int(tag): tag for tag in (DataTag.ARRAY, DataTag.STRUCTURE)}


def read_fragment(octets: bytes) -> Fragment | None:
    """What is there of a data-notification or get-response; None where it is none of these."""
    try:
        if octets[:1] == bytes((DATA_NOTIFICATION,)):
            return _data_notification(octets)
        if octets[:2] == bytes((GET_RESPONSE, 1)) and octets[3:4] == b"\x00":
            value, promised = decode_beginning(octets, 4)
            return Fragment("get-response-normal", None, promised, None, value)
        if octets[:2] == bytes((GET_RESPONSE, 2)):
            return _datablock(octets)
    except RemoteProtocolError:
        return None
    return None


def read_ciphered_fragment(octets: bytes) -> tuple[Ciphered, int] | None:
    """
    A ciphered APDU whose content is cut, and how many octets its content was to have.

    None where it is no ciphered APDU, or nothing of the ciphertext came.
    """
    tag = octets[0] if octets else 0
    general = tag in (GENERAL_GLO, GENERAL_DED)
    if not general and tag not in PLAIN_TAGS:
        return None
    try:
        reader = ApduReader(octets)
        title = reader.octet_string() if general else None
        promised, behind = read_length(octets, reader.offset)
    except RemoteProtocolError:
        return None
    content = octets[behind:]
    if len(content) <= HEADER_OCTETS or len(content) >= promised:
        return None
    return Ciphered(tag, content, title), promised


def decode_beginning(octets: bytes, offset: int = 0) -> tuple[Data | None, tuple[int, ...]]:
    """
    Read as much of one value as is there.

    Returns: the value, None where not even its beginning is one; and of each container that is
        not full, outermost first, how many elements it was to have.
    """
    open_containers: list[tuple[DataTag, int, list[Data]]] = []
    root: list[Data] = []
    while not root:
        try:
            tag = _CONTAINERS.get(octets[offset]) if offset < len(octets) else None
            if octets[offset : offset + 1] == _COMPACT_ARRAY:
                break
            if tag is not None and len(open_containers) < MAX_DEPTH:
                count, offset = read_length(octets, offset + 1)
                open_containers.append((tag, count, []))
            else:
                data, offset = decode(octets, offset)
                (open_containers[-1][2] if open_containers else root).append(data)
        except RemoteProtocolError:
            break
        _close(open_containers, root, full_only=True)
    promised = tuple(count for _, count, _ in open_containers)
    _close(open_containers, root, full_only=False)
    return (root[0] if root else None), promised


def _close(
    open_containers: list[tuple[DataTag, int, list[Data]]], root: list[Data], *, full_only: bool
) -> None:
    while open_containers:
        tag, count, elements = open_containers[-1]
        if full_only and len(elements) < count:
            return
        open_containers.pop()
        parent = open_containers[-1][2] if open_containers else root
        parent.append(Data(tag, tuple(elements)))


def _data_notification(octets: bytes) -> Fragment:
    reader = ApduReader(octets)
    reader.unsigned(4)
    if octets[reader.offset : reader.offset + 1] == bytes((DataTag.OCTET_STRING,)):
        reader.offset += 1
    date_time = reader.octet_string()
    value, promised = decode_beginning(octets, reader.offset)
    return Fragment(
        "data-notification",
        None,
        promised,
        date_time if len(date_time) == LENGTH_OCTETS else None,
        value,
    )


def _datablock(octets: bytes) -> Fragment | None:
    reader = ApduReader(octets)
    reader.take(2)
    reader.boolean()
    number = reader.unsigned(4)
    if reader.octet() != 0:
        return None
    length, behind = read_length(octets, reader.offset)
    value, promised = decode_beginning(octets, behind) if number == 1 else (None, ())
    return Fragment("get-response-with-datablock", length, promised, None, value)
