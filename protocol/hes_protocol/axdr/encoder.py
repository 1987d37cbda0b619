"""`Data` into A-XDR octets; the inverse of `decoder`, without recursion too."""

from __future__ import annotations

from hes_protocol.axdr.compact import write_compact_array
from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.axdr.leaves import WRITERS
from hes_protocol.axdr.length import write_length
from hes_protocol.axdr.limits import MAX_DEPTH
from hes_protocol.errors import LocalProtocolError


def encode(data: Data) -> bytes:
    """
    Write one value.

    Args: data: any tree of `Data`, at most 16 containers deep.
    Returns: its octets; `decode` gives back an equal tree.
    Raises: LocalProtocolError: a value that its tag cannot hold, or too deep.
    Source: IEC 61334-6; IEC 62056-5-3, 8, type Data.
    """
    out = bytearray()
    writers = WRITERS
    pending: list[tuple[Data, int]] = [(data, 1)]
    while pending:
        current, depth = pending.pop()
        tag = current.tag
        writer = writers.get(tag)
        if writer is not None:
            out.append(tag)
            out += writer(current.value)
            continue
        if depth > MAX_DEPTH:
            raise LocalProtocolError("too deep")
        if tag is DataTag.COMPACT_ARRAY:
            out += write_compact_array(current.value, depth)
        else:
            out.append(tag)
            out += write_length(len(current.value))
            pending.extend((member, depth + 1) for member in reversed(current.value))
    return bytes(out)
