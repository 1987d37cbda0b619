"""
Answers that are to use up the memory, the time or the stack of whoever believes them.

Owns their octets. Each shape is what comes in the place of the first answer to a GET, and what
comes for each request after it. IEC 62056-5-3: A-XDR of `Data`, GET-response, and
general-block-transfer.
"""

from __future__ import annotations

from collections.abc import Iterator

from hes_protocol.xdlms.block_transfer import MAX_WINDOW, GeneralBlockTransfer
from hes_protocol.xdlms.get import GET_RESPONSE, GetResponseWithDatablock
from hes_simulators.faults.kinds import Bomb

_BLOCK_OCTETS = 480
_MOST_BLOCKS = 0xFFFF
_BURST = 2 * MAX_WINDOW
_DEPTH = 2000
_SUCCESS = b"\x00"
_NULL = b"\x00"
_ONE_MEMBER = b"\x02\x01"  # structure, one element
# An array of as many elements as four octets can say, the first of them a string of 2 GiB.
_OVERSIZED = b"\x01\x84\xff\xff\xff\xff" + b"\x09\x84\x7f\xff\xff\xff" + bytes(4)
# One element, a structure of array[65535] of array[65535] of null-data, which take no octets, and
# one unsigned, which takes the only one.
_COMPACT = b"\x13" + b"\x02\x02\x01\xff\xff\x01\xff\xff\x00\x11" + b"\x01\x07"


def bomb(shape: Bomb, invoke: int) -> Iterator[tuple[bytes, ...]]:
    """
    The plain APDUs of a bomb, those for each request; the last ones come again and again.

    Args: invoke: invoke-id-and-priority of the request.
    """
    if shape is Bomb.GBT_OVERRUN:
        for first in range(1, _MOST_BLOCKS - _BURST, _BURST):
            last = first + _BURST - 1
            numbers = range(first, last + 1)
            yield tuple(_general(number, 0, streaming=number < last) for number in numbers)
        return
    for part in _one_by_one(shape, invoke):
        yield (part,)


def _one_by_one(shape: Bomb, invoke: int) -> Iterator[bytes]:
    match shape:
        case Bomb.NESTED:
            yield from _in_blocks(_ONE_MEMBER * _DEPTH + _NULL, invoke)
        case Bomb.OVERSIZED:
            yield _normal(invoke, _OVERSIZED)
        case Bomb.COMPACT_ARRAY:
            yield _normal(invoke, _COMPACT)
        case Bomb.ENDLESS_BLOCKS:
            number = 1
            while True:
                yield _datablock(invoke, number, bytes(_BLOCK_OCTETS), last=False)
                number = min(number + 1, 0xFFFF_FFFF)
        case Bomb.GBT_GAP:
            for number in (1, *range(3, _MOST_BLOCKS)):
                yield _general(number, 0)
        case Bomb.GBT_WRONG_ACK:
            yield _general(1, 0)
            yield _general(2, 60_000)
        case Bomb.GBT_NEVER_LAST:
            for number in range(1, _MOST_BLOCKS):
                yield _general(number, 0)


def _normal(invoke: int, data: bytes) -> bytes:
    return bytes((GET_RESPONSE, 1, invoke)) + _SUCCESS + data


def _in_blocks(data: bytes, invoke: int) -> Iterator[bytes]:
    starts = range(0, len(data), _BLOCK_OCTETS)
    for number, start in enumerate(starts, 1):
        part = data[start : start + _BLOCK_OCTETS]
        yield _datablock(invoke, number, part, last=number == len(starts))


def _datablock(invoke: int, number: int, part: bytes, *, last: bool) -> bytes:
    block = GetResponseWithDatablock(last, number, part, invoke_id_and_priority=invoke)
    return block.encode()


def _general(number: int, acknowledged: int, *, streaming: bool = False) -> bytes:
    # Not streaming, after each block the client has its turn, so it is asked for every one.
    return GeneralBlockTransfer(
        False, streaming, 1, number, acknowledged, bytes(_BLOCK_OCTETS)
    ).encode()
