"""
A-XDR octets into `Data`.

Rule 1: no recursion; containers that are open stand on a list, at most `MAX_DEPTH` of them.
Rule 2: a count is believed only as far as octets are left, since each element takes at least its
tag. Rule 3: compact arrays, whose elements may take none, draw on one budget per call (see
`compact`). Rule 4: a buffer holds `MAX_VALUES` at most, counted before they are read. So time and
memory are bounded by the octets that came, whatever they say.
"""

from __future__ import annotations

from typing import Final

from hes_protocol.axdr.compact import read_compact_array
from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.axdr.leaves import READERS, new_data, read_bit_string
from hes_protocol.axdr.length import read_length
from hes_protocol.axdr.limits import MAX_DEPTH, MAX_VALUES, Budget
from hes_protocol.errors import EncodingError, LimitError, TruncatedError

_CONTAINERS: Final = {int(tag): tag for tag in (DataTag.ARRAY, DataTag.STRUCTURE)}
_COMPACT_ARRAY: Final = int(DataTag.COMPACT_ARRAY)
_HOLDS_OTHERS: Final = {*_CONTAINERS, _COMPACT_ARRAY}
_BIT_STRING: Final = int(DataTag.BIT_STRING)
# Read by a branch of their own.
_READERS: Final = tuple(
    None if octet == _BIT_STRING else reader for octet, reader in enumerate(READERS)
)


def decode(octets: bytes, offset: int = 0, budget: Budget | None = None) -> tuple[Data, int]:
    """
    Read one value.

    Args:
        octets: the whole buffer. offset: where the value's tag stands.
        budget: of the buffer, where several values are read from it; one of its own otherwise.
    Returns: the value, and the offset of the octet behind it.
    Raises:
        TruncatedError: the octets end before the value does.
        EncodingError: "unknown-tag", "bad-length", "bad-contents".
        LimitError: "too-deep" (more than 16 containers within each other), "too-large" (a compact
            array that stands for far more values than it has octets), "too-many-values".
    Source: IEC 61334-6; IEC 62056-5-3, 8, type Data.
    """
    readers = _READERS
    end = len(octets)
    values_left = MAX_VALUES if budget is None else budget.values_left
    open_containers: list[tuple[DataTag, list[Data], int]] = []
    tag = DataTag.STRUCTURE
    elements: list[Data] = []
    missing = 1
    while True:
        # One value, or the beginning of one that holds others.
        if offset >= end:
            raise TruncatedError("truncated", "a tag is due", offset=offset)
        octet = octets[offset]
        reader = readers[octet]
        if reader is not None:
            data, offset = reader(octets, offset + 1, end)
            elements.append(data)
        elif len(open_containers) >= MAX_DEPTH and octet in _HOLDS_OTHERS:
            raise LimitError("too-deep", offset=offset)
        elif octet in _CONTAINERS:
            count, behind = read_length(octets, offset + 1)
            if count > end - behind:
                raise TruncatedError(
                    "truncated", f"{count} elements in {end - behind} octets", offset=offset
                )
            values_left -= count
            if values_left < 0:
                raise LimitError("too-many-values", f"above {MAX_VALUES}", offset=offset)
            open_containers.append((tag, elements, missing))
            tag = _CONTAINERS[octet]
            elements, missing, offset = [], count + 1, behind
        elif octet == _COMPACT_ARRAY:
            if budget is None:
                budget = Budget(end)
            budget.values_left = values_left
            data, offset = read_compact_array(octets, offset, len(open_containers), budget)
            values_left = budget.values_left
            elements.append(data)
        elif octet == _BIT_STRING:
            # Two objects for one value.
            values_left -= 1
            data, offset = read_bit_string(octets, offset + 1, end)
            elements.append(data)
        else:
            raise EncodingError("unknown-tag", f"0x{octet:02x}", offset=offset)
        # Close what is complete.
        missing -= 1
        while not missing:
            if not open_containers:
                if budget is not None:
                    budget.values_left = values_left
                return elements[0], offset
            data = new_data(tag, tuple(elements))
            tag, elements, missing = open_containers.pop()
            elements.append(data)
            missing -= 1


def decode_all(octets: bytes) -> Data:
    """
    Read one value that fills the buffer.

    Raises: as `decode`, and EncodingError "left-over": octets behind the value.
    Source: IEC 61334-6.
    """
    data, behind = decode(octets)
    if behind != len(octets):
        raise EncodingError("left-over", f"{len(octets) - behind} octets", offset=behind)
    return data
