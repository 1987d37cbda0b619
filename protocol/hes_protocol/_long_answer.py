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
    GetResponseWithDatablock,
)
from hes_protocol.xdlms.descriptor import INVOKE_ID_MASK

# Tag, CHOICE, invoke id, last-block, block-number, CHOICE of the result; ACTION has no last one.
_HEADER_OCTETS: Final = 9

NextRequest: TypeAlias = GetRequestNext | ActionRequestNextPblock
"""What asks for a later block."""


def get_block(last: bool, number: int, octets: bytes, invoke: int) -> bytes:
    """One block of the answer to a GET."""
    return GetResponseWithDatablock(last, number, octets, invoke_id_and_priority=invoke).encode()


def action_block(last: bool, number: int, octets: bytes, invoke: int) -> bytes:
    """One block of the answer to an ACTION."""
    block = DataBlock(last, number, octets)
    return ActionResponseWithPblock(block, invoke_id_and_priority=invoke).encode()


@attrs.define
class LongAnswer:
    """
    `octets` cut into blocks.

    Args: make: `get_block` or `action_block`. asked_by: what asks for the later blocks.
        invoke_id_and_priority: of the request, echoed in every block. octets: what is cut. room:
        how long one response may be before it is ciphered, octets.
    """

    make: Callable[[bool, int, bytes, int], bytes]
    asked_by: type[NextRequest]
    invoke_id_and_priority: int
    octets: bytes = attrs.field(repr=False)
    room: int
    given_blocks: int = 0

    @property
    def block_octets(self) -> int:
        """How much data goes into one block, at least one octet."""
        return max(1, self.room - _HEADER_OCTETS - len(write_length(max(self.room, 0))))

    @property
    def finished(self) -> bool:
        """Whether the last block was given."""
        return self.given_blocks * self.block_octets >= len(self.octets)

    def expects(self, request: NextRequest) -> bool:
        """Whether the request is for the next block of this answer."""
        return (
            isinstance(request, self.asked_by)
            and request.invoke_id == self.invoke_id_and_priority & INVOKE_ID_MASK
            and request.block_number == self.given_blocks
        )

    def block(self) -> bytes:
        """The next block as an APDU; it counts as given only when `advance` says so."""
        start = self.given_blocks * self.block_octets
        behind = start + self.block_octets
        return self.make(
            behind >= len(self.octets),
            self.given_blocks + 1,
            self.octets[start:behind],
            self.invoke_id_and_priority,
        )

    def advance(self) -> None:
        """The next block has been given."""
        self.given_blocks += 1
