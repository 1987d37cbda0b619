"""
Puts blocks together that come one way: a push by general-block-transfer without acknowledgements.

So push Landis+Gyr E450 and E570 (streaming, window 0). Nothing can be asked for again, so a gap
ends the transfer. What is acknowledged is `hes_protocol._general_blocks`' business.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.errors import LimitError, TruncatedError
from hes_protocol.xdlms.block_transfer import GENERAL_BLOCK_TRANSFER, GeneralBlockTransfer

MAX_OCTETS: Final = 64 * 1024
MAX_BLOCKS: Final = 1024


def is_one_way(block: GeneralBlockTransfer) -> bool:
    """Whether its sender says that it takes no acknowledgement: streaming, with window 0."""
    return block.streaming and block.window == 0


@attrs.define
class BlockAssembler:
    """
    One transfer at a time, in order; block 1 begins a new one and drops an unfinished one.

    Args: max_octets, max_blocks: the most that one transfer may have.
    """

    max_octets: int = MAX_OCTETS
    max_blocks: int = MAX_BLOCKS
    _received: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _blocks: int = attrs.field(default=0, init=False)
    _last: bytes = attrs.field(default=b"", init=False, repr=False)

    @property
    def pending_octets(self) -> int:
        """How much of an unfinished transfer is there."""
        return len(self._received)

    @property
    def pending(self) -> bytes:
        """What is there of an unfinished transfer."""
        return bytes(self._received)

    @property
    def due(self) -> int:
        """The number of the next block, 1 where no transfer is under way."""
        return self._blocks + 1

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """
        The whole APDU with its last block, None before. A block that comes twice is passed over.

        Raises: TruncatedError: "block-missing", a block was lost, or the transfer's beginning;
            LimitError: "too-long", "too-many-blocks". Both end the transfer.
        """
        if self._blocks and block.block_number == self._blocks and block.block_data == self._last:
            return None
        if block.block_number == 1:
            self.clear()
        elif block.block_number != self.due:
            due = self.due
            self.clear()
            raise TruncatedError(
                "block-missing",
                f"block {block.block_number} where {due} is due",
                apdu_tag=GENERAL_BLOCK_TRANSFER,
            )
        if len(self._received) + len(block.block_data) > self.max_octets:
            self.clear()
            raise LimitError(
                "too-long", f"more than {self.max_octets} octets", apdu_tag=GENERAL_BLOCK_TRANSFER
            )
        if self.due > self.max_blocks:
            self.clear()
            raise LimitError(
                "too-many-blocks", f"more than {self.max_blocks}", apdu_tag=GENERAL_BLOCK_TRANSFER
            )
        self._received += block.block_data
        self._blocks = block.block_number
        self._last = block.block_data
        if not block.last_block:
            return None
        whole = bytes(self._received)
        self.clear()
        return whole

    def clear(self) -> None:
        """Forget an unfinished transfer."""
        self._received.clear()
        self._blocks = 0
        self._last = b""
