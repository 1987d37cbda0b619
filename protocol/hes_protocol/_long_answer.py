"""An answer that a server gives by blocks (IEC 62056-5-3, GET and ACTION services)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from hes_protocol.axdr import write_length
from hes_protocol.xdlms import (
    ActionRequestNextPblock,
    ActionResponseWithPblock,
    DataBlock,
    GetRequestNext,
)
from hes_protocol.xdlms.descriptor import INVOKE_ID_MASK

# Tag, CHOICE, invoke id, last-block, block-number, CHOICE of the result; ACTION has no last one.
_HEADER_OCTETS: Final = 9

NextRequest: TypeAlias = GetRequestNext | ActionRequestNextPblock
"""What asks for a later block."""


def action_block(last: bool, number: int, octets: bytes, invoke: int) -> bytes:
    """One block of the answer to an ACTION."""
    block = DataBlock(last, number, octets)
    return ActionResponseWithPblock(block, invoke_id_and_priority=invoke).encode()


@attrs.define
class LongAnswer:
    """
    `octets` cut into blocks.

    Args: make: `encode_datablock` or `action_block`. asked_by: what asks for the later blocks.
        invoke_id_and_priority: of the request, echoed in every block. octets: what is cut. room:
        how long one response may be before it is ciphered, octets.
    """

    make: Callable[[bool, int, bytes, int], bytes]
    asked_by: type[NextRequest]
    invoke_id_and_priority: int
    octets: bytes = attrs.field(repr=False)
    room: int
    given_blocks: int = 0
    _block_octets: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        length = len(write_length(max(self.room, 0)))
        self._block_octets = max(1, self.room - _HEADER_OCTETS - length)

    @property
    def finished(self) -> bool:
        """Whether the last block was given."""
        return self.given_blocks * self._block_octets >= len(self.octets)

    def expects(self, request: NextRequest) -> bool:
        """Whether the request is for the next block of this answer."""
        return (
            isinstance(request, self.asked_by)
            and request.invoke_id == self.invoke_id_and_priority & INVOKE_ID_MASK
            and request.block_number == self.given_blocks
        )

    def block(self) -> bytes:
        """The next block as an APDU; it counts as given only when `advance` says so."""
        number = self.given_blocks + 1
        behind = number * self._block_octets
        return self.make(
            behind >= len(self.octets),
            number,
            self.octets[behind - self._block_octets : behind],
            self.invoke_id_and_priority,
        )

    def advance(self) -> None:
        """The next block has been given."""
        self.given_blocks += 1
