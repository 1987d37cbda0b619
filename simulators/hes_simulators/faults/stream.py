"""
When and how far what a meter says goes through its connection.

Owns nothing of what is said. `reset` ends any connection as a device does that has lost power.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio

# l_onoff, l_linger: close sends RST and drops what was not sent (socket(7)).
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


async def reset(stream: trio.abc.Stream) -> None:
    """End a connection: by RST where it is a socket, also below TLS; else without a farewell."""
    below = stream
    while isinstance(below, trio.SSLStream):
        below = below.transport_stream
    if isinstance(below, trio.SocketStream):
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    await trio.aclose_forcefully(below)
