"""The LLC header: three octets before each APDU on HDLC (IEC 62056-46, LLC protocol data unit)."""

from __future__ import annotations

from typing import Final

from hes_protocol.errors import FramingError

COMMAND: Final = b"\xe6\xe6\x00"
RESPONSE: Final = b"\xe6\xe7\x00"
_GENERAL_BLOCK_TRANSFER: Final = b"\xe0"


def is_llc(information: bytes) -> bool:
    """True where the information field begins with an LLC header, of either direction."""
    return information.startswith((COMMAND, RESPONSE))


def strip(information: bytes) -> bytes:
    """
    The APDU in an information field.

    Raises: FramingError: "bad-llc": neither E6 E6 00 nor E6 E7 00 stands before it.
    """
    if not is_llc(information):
        raise FramingError("bad-llc", f"0x{information[:3].hex()}", offset=0)
    return information[3:]


def apdu_in(information: bytes) -> bytes:
    """
    The APDU in an information field, for a general block also where no LLC header stands before it.

    Landis+Gyr E450 and E570: only the first block of a general-block-transfer has one.

    Raises: FramingError: "bad-llc".
    """
    if information[:1] == _GENERAL_BLOCK_TRANSFER:
        return information
    return strip(information)


def add(apdu: bytes, *, response: bool) -> bytes:
    """The information field that carries `apdu`: from server to client with `response`."""
    return (RESPONSE if response else COMMAND) + apdu
