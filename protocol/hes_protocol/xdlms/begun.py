"""What the first octets of a ciphered APDU say, before the rest of it has come."""

from __future__ import annotations

from typing import Final, TypeAlias

from hes_protocol.axdr import read_length
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.xdlms.ciphered import DEDICATED, GENERAL_DED, GENERAL_GLO, PLAIN_TAGS
from hes_protocol.xdlms.reader import ApduReader

_BROADCAST: Final = 0x40
Key: TypeAlias = tuple[bool, bool]
"""Dedicated or not, broadcast or not."""


def begun_counter(octets: bytes) -> tuple[Key, int] | None:
    """
    Key and invocation counter as they stand there, unverified.

    Returns: None where the APDU is not ciphered, or too little of it is there.
    """
    tag = octets[0] if octets else None
    general = tag in (GENERAL_GLO, GENERAL_DED)
    if not general and tag not in PLAIN_TAGS:
        return None
    reader = ApduReader(octets)
    try:
        if general:
            reader.octet_string()
        _, reader.offset = read_length(octets, reader.offset)
        control = reader.octet()
        return (tag in DEDICATED, bool(control & _BROADCAST)), reader.unsigned(4)
    except RemoteProtocolError:
        return None
