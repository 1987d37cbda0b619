"""M-Bus long frames on an inbound connection."""

from __future__ import annotations

from hes_collectors.dlms.framing.message import KeptFrames, Message, NoiseLimit
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import LimitError
from hes_protocol.mbus import MAX_FRAME_OCTETS, MBusFrame, MBusReassembler, MBusReceiver


class MBusFramer:
    """
    M-Bus long frames: pieces of APDUs.

    A push whose pieces do not follow each other is
    lost, and the next one is not.
    """

    name = "mbus"

    def __init__(self, limits: InboundLimits) -> None:
        self.bad_frames = limits.bad_frames
        self._noise = NoiseLimit(limits)
        self._receiver = MBusReceiver(min(limits.max_frame_octets, MAX_FRAME_OCTETS))
        self._reassembler = MBusReassembler(limits.max_apdu_octets)
        self._frames = KeptFrames(limits)

    @property
    def pending(self) -> bool:
        """Whether a frame or an APDU has begun that is not complete."""
        return self._receiver.buffered_octets > 0 or self._reassembler.pending

    def receive_data(self, data: bytes) -> None:
        """Take octets."""
        self._receiver.receive_data(data)

    def next_message(self) -> Message | None:
        """
        The next APDU.

        Raises: FramingError: a frame or what was joined was dropped, or there is nothing but
            noise. LimitError: pieces that add up to too much.
        """
        while True:
            frame = self._receiver.next_frame()
            self._noise.check(self._receiver, found=frame is not None)
            if frame is None:
                return None
            message = self._join(frame)
            if message is not None:
                return message

    def _join(self, frame: MBusFrame) -> Message | None:
        sender = (frame.address, frame.source_sap, frame.destination_sap)
        frames = self._frames.take(sender)
        if self._reassembler.begins_anew(frame):
            frames = bytearray()
        frames += frame.to_octets()
        apdu = self._reassembler.receive_frame(frame)
        if apdu is not None:
            return Message(apdu, bytes(frames), sender)
        try:
            self._frames.keep(sender, frames, self._reassembler.pending_senders)
        except LimitError:
            self._reassembler.reset()
            raise
        return None
