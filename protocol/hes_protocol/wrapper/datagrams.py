"""The wrapper over UDP: one datagram is one frame (IEC 62056-47)."""

from __future__ import annotations

from hes_protocol.errors import FramingError
from hes_protocol.wrapper.frame import WrapperFrame
from hes_protocol.wrapper.link import WrapperLink


class WrapperDatagramLink(WrapperLink):
    """
    As `WrapperLink`, where each `receive_data` is a datagram and what is sent goes in one.

    Datagrams may come from anybody, so one that is no frame is dropped and counted: it says
    nothing about the next. At most `MAX_WAITING` wait to be fetched; the oldest go first, as they
    would in the network.
    """

    MAX_WAITING = 16

    def __init__(self, source: int, destination: int | None = None, max_apdu: int = 0xFFFF) -> None:
        super().__init__(source, destination, max_apdu)
        self._max_apdu = max_apdu
        self._waiting: list[WrapperFrame] = []

    def receive_data(self, data: bytes) -> None:
        """Take one datagram."""
        try:
            frame = WrapperFrame.from_datagram(data, self._max_apdu)
        except FramingError:
            self.frames_discarded += 1
            return
        if self._is_expected(frame):
            self._waiting.append(frame)
        else:
            self.frames_discarded += 1
        if len(self._waiting) > self.MAX_WAITING:
            del self._waiting[0]
            self.frames_discarded += 1

    def next_apdu(self) -> bytes | None:
        """The APDU of the next datagram addressed to us, or None until another comes."""
        if not self._waiting:
            return None
        frame = self._waiting.pop(0)
        self.peer_sap = frame.source
        return frame.apdu
