"""A request that a server gets by blocks (IEC 62056-5-3, SET and ACTION services)."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from hes_protocol.axdr import Data, decode_all
from hes_protocol.xdlms import (
    ActionRequestWithFirstPblock,
    ActionRequestWithListAndFirstPblock,
    ActionRequestWithPblock,
    DataBlock,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetRequestWithListAndFirstDatablock,
)
from hes_protocol.xdlms.reader import ApduReader

FirstBlock: TypeAlias = (
    SetRequestWithFirstDatablock
    | SetRequestWithListAndFirstDatablock
    | ActionRequestWithFirstPblock
    | ActionRequestWithListAndFirstPblock
)
LaterBlock: TypeAlias = SetRequestWithDatablock | ActionRequestWithPblock

SETS = (
    SetRequestWithFirstDatablock,
    SetRequestWithListAndFirstDatablock,
    SetRequestWithDatablock,
)
"""Blocks of SET; all others are of ACTION."""

_LISTS = (SetRequestWithListAndFirstDatablock, ActionRequestWithListAndFirstPblock)


@attrs.define
class Incoming:
    """
    What has come so far.

    Args: first: what the request began with. max_octets: the most that all blocks may have, an
        empty one counting as one octet.
    """

    first: FirstBlock
    max_octets: int
    blocks: int = 0
    _received: list[bytes] = attrs.field(factory=list, repr=False)
    _received_octets: int = 0

    def continues(self, request: LaterBlock) -> bool:
        """Whether the block belongs to this request."""
        same_service = isinstance(self.first, SETS) is isinstance(request, SETS)
        return same_service and request.invoke_id == self.first.invoke_id

    def fits(self, block: DataBlock) -> bool:
        """Whether this is the block that is due."""
        return block.block_number == self.blocks + 1

    def take(self, block: DataBlock) -> bool:
        """Append a block that fits; False where it is too much."""
        self._received_octets += len(block.raw_data) or 1
        if self._received_octets > self.max_octets:
            return False
        self._received.append(block.raw_data)
        self.blocks += 1
        return True

    def values(self) -> tuple[Data, ...]:
        """
        What the blocks carry, one for each attribute or method.

        Raises: EncodingError, TruncatedError, LimitError: no values.
        """
        octets = b"".join(self._received)
        if not isinstance(self.first, _LISTS):
            return (decode_all(octets),)
        reader = ApduReader(octets, 0)
        values = tuple(reader.data() for _ in range(reader.count()))
        reader.end()
        return values
