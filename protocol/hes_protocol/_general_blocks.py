"""
general-block-transfer with acknowledgements, the same for both roles (IEC 62056-5-3).

Sits between link and protection: any APDU, ciphered or not, goes in blocks that carry no protection
of their own. Every block that either side sends has a number, those without data too, which only
acknowledge; it names the last block that came in order, and how many its sender can take.

Rule 1: a block with streaming = 0 gives the turn to the other side: that sends its own blocks, or
an empty one that acknowledges. Rule 2: blocks that do not follow in order are dropped; the
acknowledgement then names the last one that did, and the sender goes on from there. So nothing is
kept for a gap, and a late block of an earlier exchange cannot slip into it. Rule 3: after a silence
`resend` says again what has not been answered; when, is the caller's to know. Rule 4: before the
other side has named its window it is one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from hes_protocol._channel import is_ciphered
from hes_protocol.axdr import write_length
from hes_protocol.errors import AssociationError, LimitError, LocalProtocolError
from hes_protocol.xdlms.block_transfer import (
    GENERAL_BLOCK_TRANSFER,
    MAX_WINDOW,
    GeneralBlockTransfer,
)

MAX_NUMBER: Final = 0xFFFF
# Tag, block control, block number, block number acknowledged.
_HEADER_OCTETS: Final = 6


def block_octets(limit: int | None) -> int:
    """
    How much data goes into one block.

    Args: limit: the longest APDU that the receiver takes, None for no limit.
    Returns: octets, at least one.
    """
    length = MAX_NUMBER if limit is None else limit
    return max(1, length - _HEADER_OCTETS - len(write_length(length)))


def one_way(apdu: bytes, limit: int) -> Iterator[GeneralBlockTransfer]:
    """
    `apdu` as blocks that nobody acknowledges: streaming, window 0.

    Raises: LocalProtocolError: more blocks than there are numbers.
    """
    size = block_octets(limit)
    count = _count(apdu, size)
    for number in range(1, count + 1):
        data = apdu[(number - 1) * size : number * size]
        yield GeneralBlockTransfer(number == count, True, 0, number, 0, data)


def _count(apdu: bytes, size: int) -> int:
    count = max(1, -(-len(apdu) // size))
    if count > MAX_NUMBER:
        raise LocalProtocolError(f"{count} blocks are more than there are numbers")
    return count


@attrs.define
class BlockExchange:
    """
    One request and its answer, whichever of them go by blocks.

    Args:
        window: how many blocks we take at once, 1..63.
        max_octets, max_blocks: the most that what we receive may have; blocks that come again
            count again.
        answering: an APDU of ours is still to come when we acknowledge: a server that is being
            asked.
    """

    window: int
    max_octets: int
    max_blocks: int
    answering: bool = False
    _apdu: bytes | None = attrs.field(default=None, init=False, repr=False)
    _size: int = attrs.field(default=1, init=False)
    _first: int = attrs.field(default=1, init=False)  # number of our APDU's first block
    _last: int = attrs.field(default=0, init=False)  # of its last one
    _sent: int = attrs.field(default=0, init=False)  # highest number that we have sent
    _next: int = attrs.field(default=1, init=False)  # where the other side wants us to go on
    _peer_window: int = attrs.field(default=1, init=False)
    _taken: int = attrs.field(default=0, init=False)  # blocks received, in order or not
    _in_order: int = attrs.field(default=0, init=False)  # number of the last one in order
    _acknowledged: int = attrs.field(default=-1, init=False)  # as we have said last
    _received: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _opening: GeneralBlockTransfer | None = attrs.field(default=None, init=False, repr=False)
    _complete: bool = attrs.field(default=False, init=False)
    _due: bool = attrs.field(default=False, init=False)
    _server: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.window <= MAX_WINDOW:
            raise LocalProtocolError("a window has 1 to 63 blocks")
        self._server = self.answering

    @property
    def is_due(self) -> bool:
        """Whether it is our turn: `blocks` has something to send."""
        return self._due

    @property
    def is_complete(self) -> bool:
        """Whether the other side's APDU has come whole."""
        return self._complete

    @property
    def is_sending(self) -> bool:
        """Whether blocks of our APDU are not acknowledged yet."""
        return self._apdu is not None and self._next <= self._last

    @property
    def beginning(self) -> bytes:
        """The first octets of an APDU that is still coming, empty where none is."""
        return b"" if self._opening is None or self._complete else self._opening.block_data

    def follows(self, block: GeneralBlockTransfer) -> bool:
        """
        Whether the block belongs to this exchange, rather than being the first of another.

        Block 1 once more is a repetition, but for one case: where our answer is out and nothing
        is ciphered, a client with a constant invoke id may ask the same again.
        """
        opening = self._opening
        if self._server and self._apdu is not None and not self._complete and block.block_data:
            return False  # what we are answering came whole
        if opening is None or block.block_number != 1:
            return True
        same = opening.last_block == block.last_block and opening.block_data == block.block_data
        answered = self._complete and self._apdu is not None and self._sent >= self._last
        return same and (not answered or not block.block_data or is_ciphered(block.block_data))

    def is_behind(self, block: GeneralBlockTransfer) -> bool:
        """Whether a late block of an exchange that was given up comes into this one."""
        return not self._taken and block.block_number_ack > self._sent

    # --- what we send -----------------------------------------------------------------------

    def load(self, apdu: bytes, limit: int | None) -> None:
        """
        The APDU that we have to send; its first blocks are due.

        Args: limit: the longest block that the other side takes, octets.
        Raises: LocalProtocolError: an earlier one is still being sent, or it has too many blocks.
        """
        if self.is_sending:
            raise LocalProtocolError("an APDU is still being sent")
        size = block_octets(limit)
        last = self._sent + _count(apdu, size)
        if last > MAX_NUMBER:
            raise LocalProtocolError("there are no more block numbers")
        self._apdu, self._size = apdu, size
        self._first, self._last = self._sent + 1, last
        self._next = self._first
        self.answering = False
        self._due = True

    def blocks(self) -> tuple[GeneralBlockTransfer, ...]:
        """
        What is due: the blocks that the other side can take, or an acknowledgement.

        Raises: LocalProtocolError: nothing is due, or no number is left.
        """
        if not self._due:
            raise LocalProtocolError("no block is due")
        return self._speak()

    def resend(self) -> tuple[GeneralBlockTransfer, ...]:
        """After a silence: what was not answered, once more; nothing where all is well."""
        if not self.is_sending and (self._complete or not self._taken):
            return ()
        return self._speak()

    def _speak(self) -> tuple[GeneralBlockTransfer, ...]:
        spoken = tuple(self._window()) if self.is_sending else (self._acknowledgement(),)
        self._sent = max(self._sent, spoken[-1].block_number)
        self._acknowledged = self._in_order
        self._due = False
        return spoken

    def _window(self) -> Iterator[GeneralBlockTransfer]:
        behind = min(self._last + 1, self._next + max(1, self._peer_window))
        for number in range(self._next, behind):
            yield self._block(number, streaming=number + 1 < behind)

    def _acknowledgement(self) -> GeneralBlockTransfer:
        # A number that was not answered is used again: only what has come anew makes a new one.
        repeated = self._acknowledged == self._in_order and self._sent > self._last
        number = self._sent if repeated else self._sent + 1
        if number > MAX_NUMBER:
            raise LocalProtocolError("there are no more block numbers")
        return self._block(number, streaming=False)

    def _block(self, number: int, *, streaming: bool) -> GeneralBlockTransfer:
        data, last = b"", not self.answering
        if self._apdu is not None and self._first <= number <= self._last:
            start = (number - self._first) * self._size
            data, last = self._apdu[start : start + self._size], number == self._last
        elif number < self._first:
            last = False
        return GeneralBlockTransfer(last, streaming, self.window, number, self._in_order, data)

    # --- what we receive --------------------------------------------------------------------

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """
        The other side's whole APDU with its last block, None before; see `is_due` after each.

        Raises: AssociationError: "transfer-aborted"; "bad-block-number", a number that cannot be,
            nothing has changed. LimitError: "too-long", "too-many-blocks": the exchange is over.
        """
        self._check(block)
        self._taken += 1
        self._peer_window = block.window
        self._next = block.block_number_ack + 1
        if self._opening is None and block.block_number == 1:
            self._opening = block
        whole = None
        if self._complete:
            # Only acknowledgements can follow; a lost one leaves no gap that matters.
            self._in_order = max(self._in_order, block.block_number)
        elif block.block_number == self._in_order + 1:
            whole = self._append(block)
        if not block.streaming:
            self._due = self.is_sending or self._owes_acknowledgement(block)
        return whole

    def _owes_acknowledgement(self, block: GeneralBlockTransfer) -> bool:
        # To what only acknowledges, a server that has nothing to say says nothing: the two would
        # go on for ever. A client does, since the server may wait for it to go on.
        return not self._complete and (bool(block.block_data) or not self.answering)

    def _check(self, block: GeneralBlockTransfer) -> None:
        if block.block_number == 0 or self._is_abort(block):
            raise AssociationError("transfer-aborted", apdu_tag=GENERAL_BLOCK_TRANSFER)
        if block.block_number > self._in_order + MAX_WINDOW and not self._complete:
            raise self._bad_number(f"{block.block_number} where {self._in_order + 1} is due")
        if block.block_number_ack > self._sent:
            raise self._bad_number(f"{block.block_number_ack} acknowledged, {self._sent} sent")
        if self._taken >= self.max_blocks:
            raise LimitError(
                "too-many-blocks", f"more than {self.max_blocks}", apdu_tag=GENERAL_BLOCK_TRANSFER
            )
        if len(self._received) + len(block.block_data) > self.max_octets:
            raise LimitError(
                "too-long", f"more than {self.max_octets} octets", apdu_tag=GENERAL_BLOCK_TRANSFER
            )

    def _is_abort(self, block: GeneralBlockTransfer) -> bool:
        """An empty last block amid data, or where our APDU is through and an answer is due."""
        return (
            block.last_block
            and not block.block_data
            and not self._complete
            and block.block_number == self._in_order + 1
            and (bool(self._received) or (self._apdu is None and not self.answering))
        )

    def _bad_number(self, detail: str) -> AssociationError:
        return AssociationError("bad-block-number", detail, apdu_tag=GENERAL_BLOCK_TRANSFER)

    def _append(self, block: GeneralBlockTransfer) -> bytes | None:
        self._in_order = block.block_number
        self._received += block.block_data
        if not block.last_block or not self._received:
            return None
        whole = bytes(self._received)
        self._received.clear()
        self._complete = True
        return whole
