"""A client's request whose answer is due, and the blocks that have come of it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from hes_protocol.errors import AssociationError, LimitError
from hes_protocol.settings import ClientSettings
from hes_protocol.xdlms import ActionResponseNormal, GetResponseNormal, GetResponseWithDatablock

AnswerType: TypeAlias = type[GetResponseNormal] | type[ActionResponseNormal]


@attrs.define
class Pending:
    """`blocks` is the number of the block that came last, 0 before the first."""

    invoke_id: int
    answered_by: AnswerType
    blocks: int = 0
    received: bytearray = attrs.field(factory=bytearray, repr=False)

    def take(self, block: GetResponseWithDatablock, settings: ClientSettings) -> None:
        """
        Append a block; if it is refused nothing has changed.

        Raises: AssociationError: not the block that is due. LimitError: the answer exceeds
            `max_result_octets` or `max_blocks`.
        """
        due = self.blocks + 1
        if block.block_number != due:
            raise AssociationError("bad-block-number", f"{block.block_number} where {due} is due")
        if len(self.received) + len(block.raw_data) > settings.max_result_octets:
            raise LimitError("too-long", f"more than {settings.max_result_octets} octets")
        if due > settings.max_blocks:
            raise LimitError("too-many-blocks", f"more than {settings.max_blocks}")
        self.received += block.raw_data
        self.blocks = due
