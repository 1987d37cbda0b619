"""
A connection that a meter has dialled, during a session: frame by frame.

Between sessions the octets are `connection`'s. So that none is lost when a session ends, the client
gets one frame of the wrapper at a time, and what is no APDU, the model's heartbeats, it does not
get at all. HDLC finds its frames again by its flags and needs none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio.abc

from hes_protocol.models import Heartbeat
from hes_protocol.wrapper import HEADER_OCTETS, WrapperFrame

_RECEIVE_OCTETS: Final = 16_384
_VERSION: Final = b"\x00\x01"


def heartbeat_answer(beat: Heartbeat, frame: WrapperFrame) -> bytes | None:
    """The frame that answers a heartbeat, None: none is wanted."""
    answer = beat.answer_to(frame.apdu)
    return answer and WrapperFrame(frame.destination, frame.source, answer).to_octets()


class FramedStream(trio.abc.Stream):
    """
    Args: inner: the connection. heartbeats: of the meter's model.

    `left_over` is what has come of a frame that is not whole yet; it is for whoever reads on.
    """

    def __init__(self, inner: trio.abc.Stream, heartbeats: Sequence[Heartbeat]) -> None:
        self._inner = inner
        self._heartbeats = heartbeats
        self._buffer = bytearray()

    @property
    def left_over(self) -> bytes:
        """See the class."""
        return bytes(self._buffer)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        """One whole frame; b"" at the end of the stream."""
        while True:
            octets = self._cut()
            if octets is None:
                data = await self._inner.receive_some(_RECEIVE_OCTETS)
                if not data:
                    return b""
                self._buffer += data
            elif not await self._is_heartbeat(octets):
                return octets

    def _cut(self) -> bytes | None:
        """A frame, or all there is where it is none: the client says what is wrong with it."""
        buffer = self._buffer
        if buffer[:2] != _VERSION[: len(buffer)]:
            length = len(buffer)
        elif len(buffer) < HEADER_OCTETS:
            return None
        else:
            length = HEADER_OCTETS + int.from_bytes(buffer[6:8], "big")
        if length > len(buffer):
            return None
        octets = bytes(buffer[:length])
        del buffer[:length]
        return octets

    async def _is_heartbeat(self, octets: bytes) -> bool:
        apdu = octets[HEADER_OCTETS:]
        for beat in self._heartbeats:
            if beat.matches(apdu):
                answer = heartbeat_answer(beat, WrapperFrame.from_datagram(octets))
                if answer:
                    await self._inner.send_all(answer)
                return True
        return False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As of the connection."""
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As of the connection."""
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Nothing: whoever has the connection closes it."""
