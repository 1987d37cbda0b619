"""
From the octets of an inbound connection to APDUs with the frames that carried them. Sans-io.

Which framing a connection speaks shows in its first octet: 0x7E opens an HDLC frame, 0x00 a
wrapper header, 0x68 an M-Bus long frame. It does not change afterwards. General blocks that come
one way, in whatever framing, are put together here as segments are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hes_collectors.dlms.framing.blocks import BlockFramer
from hes_collectors.dlms.framing.hdlc import HdlcFramer
from hes_collectors.dlms.framing.mbus import MBusFramer
from hes_collectors.dlms.framing.message import Framer, Message
from hes_collectors.dlms.framing.wrapper import WrapperFramer
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import FramingError

__all__ = [
    "BlockFramer",
    "Framer",
    "HdlcFramer",
    "MBusFramer",
    "Message",
    "WrapperFramer",
    "framer_for",
]

_BY_FIRST_OCTET: Final[Mapping[int, Callable[[InboundLimits], Framer]]] = {
    0x00: WrapperFramer,
    0x68: MBusFramer,
    0x7E: HdlcFramer,
}


def framer_for(first_octet: int, limits: InboundLimits) -> Framer:
    """
    The framer for a connection that begins with this octet.

    Raises: FramingError: "unknown-framing": neither HDLC, nor M-Bus, nor the wrapper begins so.
    """
    framing = _BY_FIRST_OCTET.get(first_octet)
    if framing is None:
        raise FramingError("unknown-framing", f"first octet 0x{first_octet:02x}", offset=0)
    return BlockFramer(framing(limits), limits)
