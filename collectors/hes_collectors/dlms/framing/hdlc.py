"""HDLC frames on an inbound connection."""

from __future__ import annotations

from typing import Final

from hes_collectors.dlms.framing.message import KeptFrames, Message, NoiseLimit
from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import LimitError
from hes_protocol.hdlc import ControlKind, HdlcFrame, HdlcReassembler, HdlcReceiver, llc

_CARRIERS: Final = frozenset({ControlKind.I, ControlKind.UI})


class HdlcFramer:
    """
    HDLC frames: I and UI frames carry APDUs behind an LLC header, perhaps in segments.

    The frames of a message are kept beside its information. Frames of other kinds (a meter that
    sets up a link is not served yet) are passed over.
    """

    name = "hdlc"

    def __init__(self, limits: InboundLimits) -> None:
        self.bad_frames = limits.bad_frames
        self._noise = NoiseLimit(limits)
        self._receiver = HdlcReceiver(limits.max_frame_octets)
        self._reassembler = HdlcReassembler(limits.max_apdu_octets)
        self._frames = KeptFrames(limits)

    @property
    def pending(self) -> bool:
        """Whether a frame or a segmented field has begun that is not complete."""
        return self._receiver.buffered_octets > 0 or bool(self._reassembler.pending_pairs)

    def receive_data(self, data: bytes) -> None:
        """Take octets."""
        self._receiver.receive_data(data)

    def next_message(self) -> Message | None:
        """
        The next APDU.

        Raises: FramingError: a frame was dropped, or there is nothing but noise. LimitError:
            segments that add up to too much.
        """
        while True:
            frame = self._receiver.next_frame()
            self._noise.check(self._receiver, found=frame is not None)
            if frame is None:
                return None
            if frame.control.kind not in _CARRIERS:
                continue
            message = self._join(frame)
            if message is not None:
                return message

    def _join(self, frame: HdlcFrame) -> Message | None:
        """
        Collect the frames of one information field beside the field itself.

        Raises: FramingError, LimitError: what was collected of the field is gone.
        """
        pair = (frame.destination, frame.source)
        frames = self._frames.take(pair)
        if frame.control.kind is ControlKind.UI and llc.is_llc(frame.information):
            frames = bytearray()  # the reassembler begins anew as well
        frames += frame.to_octets()
        # When it raises, the frames are gone, as the reassembler's part is.
        information = self._reassembler.receive_frame(frame)
        if information is not None:
            return Message(llc.apdu_in(information), bytes(frames), pair)
        try:
            self._frames.keep(pair, frames, self._reassembler.pending_pairs)
        except LimitError:
            self._reassembler.reset()
            raise
        return None
