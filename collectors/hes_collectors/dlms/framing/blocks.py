"""General blocks that come one way, in whatever framing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from hes_collectors.dlms.framing.message import Framer, KeptFrames, Message
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import LimitError
from hes_protocol.xdlms.assembler import BlockAssembler
from hes_protocol.xdlms.block_transfer import decode_general_block_transfer

_GENERAL_BLOCK_TRANSFER: Final = b"\xe0"
_MAX_SENDERS: Final = 8


class BlockFramer:
    """
    Any framer, with general blocks put together that come one way: nothing is acknowledged.

    The frames of a push that goes by blocks are kept beside it, as those of segments are.
    """

    def __init__(self, inner: Framer, limits: InboundLimits) -> None:
        self.name = inner.name
        self.bad_frames = inner.bad_frames
        self._inner = inner
        self._limits = limits
        self._frames = KeptFrames(limits)
        self._transfers: dict[Hashable, BlockAssembler] = {}

    @property
    def pending(self) -> bool:
        """Whether a frame, its segments or blocks have begun that are not complete."""
        return self._inner.pending or bool(self._transfers)

    def receive_data(self, data: bytes) -> None:
        """Take octets."""
        self._inner.receive_data(data)

    def next_message(self) -> Message | None:
        """
        The next APDU. Raises: as the framer inside; EncodingError: "block-missing", or octets that
            are no block; LimitError: blocks that add up to too much.
        """
        while (message := self._inner.next_message()) is not None:
            if not message.apdu.startswith(_GENERAL_BLOCK_TRANSFER):
                return message
            joined = self._join(message)
            if joined is not None:
                return joined
        return None

    def _join(self, message: Message) -> Message | None:
        block = decode_general_block_transfer(message.apdu)
        assembler = self._transfers.pop(message.sender, None)
        frames = self._frames.take(message.sender)
        repeats_first = assembler is not None and assembler.due == 2
        if assembler is None or (block.block_number == 1 and not repeats_first):
            assembler, frames = self._assembler(), bytearray()
        frames += message.frames
        # When it raises, the frames are gone, as what was joined is.
        apdu = assembler.take(block)
        if apdu is not None:
            return Message(apdu, bytes(frames), message.sender)
        if len(self._transfers) >= _MAX_SENDERS:
            del self._transfers[next(iter(self._transfers))]
        self._transfers[message.sender] = assembler
        try:
            self._frames.keep(message.sender, frames, self._transfers)
        except LimitError:
            self._transfers.clear()
            raise
        return None

    def _assembler(self) -> BlockAssembler:
        return BlockAssembler(max_octets=self._limits.max_apdu_octets)
