"""Wrapper frames on an inbound connection."""

from __future__ import annotations

from hes_collectors.dlms.framing.message import Message
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.wrapper import WrapperReceiver


class WrapperFramer:
    """Wrapper frames, one APDU each; a bad header loses the stream."""

    name = "wrapper"
    bad_frames = 1

    def __init__(self, limits: InboundLimits) -> None:
        self._receiver = WrapperReceiver(limits.max_apdu_octets)

    @property
    def pending(self) -> bool:
        """Whether a frame has begun that is not complete."""
        return self._receiver.buffered_octets > 0

    def receive_data(self, data: bytes) -> None:
        """Take octets."""
        self._receiver.receive_data(data)

    def next_message(self) -> Message | None:
        """
        The next APDU. Raises: FramingError: the stream is lost.
        """
        frame = self._receiver.next_frame()
        if frame is None:
            return None
        return Message(frame.apdu, frame.to_octets(), (frame.source, frame.destination))
