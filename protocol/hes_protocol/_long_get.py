"""An answer that a server gives by blocks (IEC 62056-5-3, "Protocol for the GET service")."""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.axdr import write_length
from hes_protocol.xdlms import GetRequestNext, GetResponseWithDatablock
from hes_protocol.xdlms.descriptor import INVOKE_ID_MASK

# Tag, CHOICE, invoke id, last-block, block-number, CHOICE of the result.
_HEADER_OCTETS: Final = 9


@attrs.define
class LongGet:
    """
    `octets` cut into blocks.

    Args: invoke_id_and_priority: of the request, echoed in every block. octets: one encoded
        `Data`. room: how long one response may be before it is ciphered, octets.
    """

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

    def expects(self, request: GetRequestNext) -> bool:
        """Whether the request is for the next block of this answer."""
        return (
            request.invoke_id == self.invoke_id_and_priority & INVOKE_ID_MASK
            and request.block_number == self.given_blocks
        )

    def block(self) -> bytes:
        """The next block as an APDU; it counts as given only when `advance` says so."""
        start = self.given_blocks * self.block_octets
        behind = start + self.block_octets
        return GetResponseWithDatablock(
            behind >= len(self.octets),
            self.given_blocks + 1,
            self.octets[start:behind],
            invoke_id_and_priority=self.invoke_id_and_priority,
        ).encode()

    def advance(self) -> None:
        """The next block has been given."""
        self.given_blocks += 1
