"""
Where APDUs leave and enter an association: whole, or by general-block-transfer.

Between link and protection, the same for both roles; owns at most one exchange of blocks, and the
pushes that come one way. Rule 1: who is asked by blocks answers by blocks. Rule 2: blocks that are
not to be acknowledged are a push of the server's and touch no exchange. Rule 3: what was not
negotiated passes through, so that it is refused where all else is that nobody knows. Rule 4: an
APDU that was ciphered after the one whose blocks are still coming waits for it: invocation
counters must rise.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol._general_blocks import BlockExchange, one_way
from hes_protocol.errors import AssociationError, LimitError, LocalProtocolError
from hes_protocol.settings import ServerAssociation
from hes_protocol.xdlms import BlockAssembler
from hes_protocol.xdlms.assembler import is_one_way
from hes_protocol.xdlms.begun import begun_counter
from hes_protocol.xdlms.block_transfer import (
    GENERAL_BLOCK_TRANSFER,
    MAX_WINDOW,
    GeneralBlockTransfer,
    decode_general_block_transfer,
)

_MOST_WAITING: Final = 16
_TAG: Final = bytes((GENERAL_BLOCK_TRANSFER,))


@attrs.define
class BlockLayer:
    """
    Args:
        window: blocks that we take at once, 0 if they are used only where nothing else will do.
        max_octets, max_blocks: the most that what we receive may have.
        server: which role we play.
    """

    window: int
    max_octets: int
    max_blocks: int
    server: bool = False
    _negotiated: bool = attrs.field(default=False, init=False)
    _limit: int | None = attrs.field(default=None, init=False)
    _exchange: BlockExchange | None = attrs.field(default=None, init=False)
    _pushes: BlockAssembler | None = attrs.field(default=None, init=False)
    _waiting: list[bytes] = attrs.field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.window <= MAX_WINDOW:
            raise LocalProtocolError(f"a window has at most {MAX_WINDOW} blocks")

    def begin(self, *, negotiated: bool, limit: int) -> None:
        """A new association. Args: limit: the longest APDU that the other side takes, 0 for any."""
        self._negotiated = negotiated
        self._limit = limit or None
        self._exchange = None
        self._waiting.clear()

    @property
    def is_negotiated(self) -> bool:
        """Whether both sides know general-block-transfer: then nothing is too long."""
        return self._negotiated

    @property
    def is_preferred(self) -> bool:
        """Whether what is long goes by these blocks rather than by those of its service."""
        if not self._negotiated:
            return False
        exchange = self._exchange
        asked_so = self.server and exchange is not None and exchange.is_complete
        return self.window > 0 or asked_so

    @property
    def is_busy(self) -> bool:
        """Whether blocks of one APDU are under way, in either direction."""
        exchange = self._exchange
        return exchange is not None and (exchange.is_sending or bool(exchange.beginning))

    @property
    def is_due(self) -> bool:
        """Whether `blocks` has something to send: the other side waits for it."""
        return self._exchange is not None and self._exchange.is_due

    # --- leaving ----------------------------------------------------------------------------

    def ask(self, apdu: bytes) -> tuple[bytes, ...]:
        """
        A client's request, or its answer to a push, as APDUs for the link.

        Raises: LocalProtocolError: longer than the server takes, and it knows no blocks.
        """
        if self._fits(apdu):
            self._exchange = None
            return (apdu,)
        return self._load(self._new(), apdu)

    def answer(self, apdu: bytes) -> tuple[bytes, ...]:
        """
        A server's answer as APDUs for the link: later blocks come by `blocks`.

        What is too long for a client that knows no blocks goes whole: whoever made it knows why.
        """
        exchange = self._exchange
        if exchange is not None and exchange.is_complete:
            return self._load(exchange, apdu)
        if self._negotiated and not self._fits(apdu):
            return self._load(self._new(), apdu)
        self._exchange = None
        return (apdu,)

    def push(self, apdu: bytes) -> tuple[bytes, ...]:
        """What nobody asked for as APDUs for the link, by one-way blocks where it is too long."""
        if not self._negotiated or self._limit is None or len(apdu) <= self._limit:
            return (apdu,)
        return tuple(block.encode() for block in one_way(apdu, self._limit))

    def blocks(self) -> tuple[bytes, ...]:
        """What is due. Raises: LocalProtocolError: nothing is."""
        if self._exchange is None:
            raise LocalProtocolError("no block is due")
        return tuple(block.encode() for block in self._exchange.blocks())

    def resend(self) -> tuple[bytes, ...]:
        """After a silence: what was not answered, once more; nothing without an exchange."""
        if self._exchange is None:
            return ()
        return tuple(block.encode() for block in self._exchange.resend())

    def abandon(self) -> None:
        """The exchange is given up."""
        self._exchange = None

    def _fits(self, apdu: bytes) -> bool:
        if self._limit is None or len(apdu) <= self._limit:
            return True
        if not self._negotiated:
            raise LocalProtocolError(f"{len(apdu)} octets, and the other side takes {self._limit}")
        return False

    def _new(self) -> BlockExchange:
        return BlockExchange(
            self.window or 1, self.max_octets, self.max_blocks, answering=self.server
        )

    def _load(self, exchange: BlockExchange, apdu: bytes) -> tuple[bytes, ...]:
        exchange.load(apdu, self._limit)
        self._exchange = exchange
        return self.blocks()

    # --- entering ---------------------------------------------------------------------------

    def enter(self, octets: bytes) -> bytes | None:
        """
        An APDU of the link: given back as it is, or the one that its blocks make; None before.

        Raises: RemoteProtocolError: a block that cannot be; an exchange or push that is aborted
            or too long is over, all others stand where they stood.
        """
        if octets[:1] != _TAG:
            return octets if self._exchange is None else self._in_order(octets)
        block = decode_general_block_transfer(octets)
        if not self.server and self._is_push(block):
            return self._in_order(self._inner(self._assembler().take(block)))
        if not self._negotiated:
            return octets
        return self._inner(self._take(block))

    def waited(self) -> bytes | None:
        """An APDU that has waited for the end of an exchange, None where there is none."""
        if not self._waiting or (self._exchange is not None and self._exchange.beginning):
            return None
        return self._waiting.pop(0)

    def _in_order(self, apdu: bytes | None) -> bytes | None:
        """Rule 4, for a client: whatever else a server's client sends is a new request."""
        exchange = self._exchange
        if apdu is None or self.server or exchange is None or not exchange.beginning:
            return apdu
        ours, theirs = begun_counter(apdu), begun_counter(exchange.beginning)
        if ours is None or theirs is None or ours[0] != theirs[0] or ours[1] < theirs[1]:
            return apdu
        if len(self._waiting) == _MOST_WAITING:
            return apdu
        self._waiting.append(apdu)
        return None

    def _is_push(self, block: GeneralBlockTransfer) -> bool:
        if is_one_way(block):
            return True
        due = self._assembler().due
        going_on = due > 1 and block.block_number == due
        return block.window == 0 and block.last_block and going_on

    def _assembler(self) -> BlockAssembler:
        """Of pushes, made when the first one comes by blocks: a server needs none."""
        if self._pushes is None:
            self._pushes = BlockAssembler(self.max_octets, self.max_blocks)
        return self._pushes

    def _take(self, block: GeneralBlockTransfer) -> bytes | None:
        exchange = self._exchange
        if exchange is None or not exchange.follows(block):
            exchange = self._new()
        if exchange.is_behind(block):
            return None
        try:
            whole = exchange.take(block)
        except LimitError:
            self._exchange = None
            raise
        except AssociationError as error:
            if error.code == "transfer-aborted":
                self._exchange = None
            raise
        self._exchange = exchange
        return whole

    def _inner(self, apdu: bytes | None) -> bytes | None:
        if apdu is not None and apdu[:1] in (_TAG, b""):
            raise AssociationError(
                "unexpected-apdu",
                "blocks in blocks" if apdu else "nothing in blocks",
                apdu_tag=GENERAL_BLOCK_TRANSFER,
            )
        return apdu


def unassociated(rules: ServerAssociation) -> BlockLayer:
    """For the pushes of a server to a client that has no association and negotiated nothing."""
    layer = BlockLayer(rules.general_blocks, 0, 0, server=True)
    layer.begin(negotiated=rules.general_blocks > 0, limit=rules.max_receive_pdu_size)
    return layer
