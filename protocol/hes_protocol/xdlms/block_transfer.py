"""general-block-transfer as a value; nothing here puts blocks together (IEC 62056-5-3)."""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms.reader import ApduReader, write_octet_string, write_unsigned

GENERAL_BLOCK_TRANSFER: Final = 0xE0
MAX_WINDOW: Final = 0x3F
_LAST: Final = 0x80
_STREAMING: Final = 0x40


@attrs.frozen
class GeneralBlockTransfer:
    """One block; `window` is how many blocks may follow unacknowledged, 0..63."""

    last_block: bool
    streaming: bool
    window: int
    block_number: int
    block_number_ack: int
    block_data: bytes = attrs.field(repr=False)

    def encode(self) -> bytes:
        """The octets of the APDU. Raises: LocalProtocolError: a value out of range."""
        if not 0 <= self.window <= MAX_WINDOW:
            raise LocalProtocolError("a window has six bits")
        control = self.window | self.last_block * _LAST | self.streaming * _STREAMING
        return (
            bytes((GENERAL_BLOCK_TRANSFER, control))
            + write_unsigned(self.block_number, 2)
            + write_unsigned(self.block_number_ack, 2)
            + write_octet_string(self.block_data)
        )


def decode_general_block_transfer(octets: bytes) -> GeneralBlockTransfer:
    """
    Read a whole general-block-transfer APDU.

    Raises: EncodingError: octets left over. TruncatedError.
    """
    reader = ApduReader(octets)
    control = reader.octet()
    block = GeneralBlockTransfer(
        last_block=bool(control & _LAST),
        streaming=bool(control & _STREAMING),
        window=control & MAX_WINDOW,
        block_number=reader.unsigned(2),
        block_number_ack=reader.unsigned(2),
        block_data=reader.octet_string(),
    )
    reader.end()
    return block
