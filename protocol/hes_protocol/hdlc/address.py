"""HDLC addresses: one, two or four octets, upper and lower part (IEC 62056-46)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import attrs

from hes_protocol.errors import FramingError, LocalProtocolError, TruncatedError


def _size(address: Any) -> int:
    if address.lower is None:
        return 1
    return 2 if address.upper < 0x80 and address.lower < 0x80 else 4


@attrs.frozen(cache_hash=True)
class HdlcAddress:
    """
    Who sends, or who is meant.

    `upper` is the logical device or, for a client, its SAP; `lower` the physical device, None in
    an address of one octet. `size` is 1, 2 or 4 octets: meters answer only to the size they are
    set to, so it is part of the address; left out, it is the smallest that fits.

    Source: IEC 62056-46, "Extended addressing", "Inopportune address lengths".
    """

    upper: int
    lower: int | None = None
    size: int = attrs.field(default=attrs.Factory(_size, takes_self=True))

    @classmethod
    def of(cls, upper: int, lower: int | None = None, size: int | None = None) -> HdlcAddress:
        """
        The address of a logical device or a SAP, with as much around it as `size` wants.

        Args: lower: physical device; 0 where the size has one and nothing is said.
            size: octets; None for the smallest that fits.
        """
        if lower is None and (upper >= 0x80 or (size or 1) > 1):
            lower = 0
        return cls(upper, lower) if size is None else cls(upper, lower, size)

    def to_octets(self) -> bytes:
        """
        The octets as sent; the lowest bit of each says whether it is the last.

        Raises: LocalProtocolError: the parts do not fit `size`.
        """
        bits = 14 if self.size == 4 else 7
        lower = self.lower or 0
        fits = 0 <= self.upper < 1 << bits and 0 <= lower < 1 << bits
        if self.size not in (1, 2, 4) or not fits or (self.size == 1) != (self.lower is None):
            raise LocalProtocolError(f"no HDLC address: {self}")
        if self.size == 1:
            return bytes((self.upper << 1 | 1,))
        if self.size == 2:
            return bytes((self.upper << 1, lower << 1 | 1))
        return bytes(
            (
                self.upper >> 7 << 1,
                (self.upper & 0x7F) << 1,
                lower >> 7 << 1,
                (lower & 0x7F) << 1 | 1,
            )
        )

    @classmethod
    def read(cls, octets: bytes | bytearray, offset: int = 0) -> tuple[HdlcAddress, int]:
        """
        Read the address that begins at `offset`.

        Returns: the address, and the offset of the octet behind it.
        Raises: as `address_end`.
        """
        behind = address_end(octets, offset)
        return address_from(bytes(octets[offset:behind])), behind


def address_end(octets: bytes | bytearray, offset: int) -> int:
    """
    The offset of the octet behind the address that begins at `offset`.

    Raises:
        TruncatedError: the octets end before the address does.
        FramingError: "bad-address": three octets, or more than four.
    """
    for behind, octet in enumerate(octets[offset : offset + 4], offset + 1):
        if octet & 1:
            if behind - offset == 3:
                raise FramingError("bad-address", "three octets", offset=offset)
            return behind
    if len(octets) < offset + 4:
        raise TruncatedError("truncated", "an address is due", offset=offset)
    raise FramingError("bad-address", "more than four octets", offset=offset)


@lru_cache(maxsize=1024)
def address_from(octets: bytes) -> HdlcAddress:
    """The address in 1, 2 or 4 octets; a link sees few, and each frame has two."""
    parts = [octet >> 1 for octet in octets]
    if len(parts) == 1:
        return HdlcAddress(parts[0], None, 1)
    if len(parts) == 2:
        return HdlcAddress(parts[0], parts[1], 2)
    return HdlcAddress(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)
