"""
From the octets of an inbound connection to APDUs with the frames that carried them. Sans-io.

Which framing a connection speaks shows in its first octet: 0x7E opens an HDLC frame, 0x00 a
wrapper header. It does not change afterwards.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import FramingError, LimitError
from hes_protocol.hdlc import (
    ControlKind,
    HdlcAddress,
    HdlcFrame,
    HdlcReassembler,
    HdlcReceiver,
    llc,
)
from hes_protocol.wrapper import WrapperReceiver

_WRAPPER_FIRST: Final = 0x00
_HDLC_FIRST: Final = 0x7E
_CARRIERS: Final = frozenset({ControlKind.I, ControlKind.UI})
# How much longer than the longest APDU the frames may be that carry it: enough for segments of
# twenty octets, while meters send no less than about a hundred.
_FRAMES_PER_APDU: Final = 2
_GENERAL_BLOCK_TRANSFER: Final = b"\xe0"


@attrs.frozen
class Message:
    """One APDU and the frame or frames that carried it, as they arrived."""

    apdu: bytes = attrs.field(repr=False)
    frames: bytes = attrs.field(repr=False)


class Framer(Protocol):
    """Octets in, messages out."""

    name: str
    bad_frames: int
    """How many refused frames in a row end the connection."""

    @property
    def pending(self) -> bool:
        """Whether a message has begun that is not complete."""

    def receive_data(self, data: bytes) -> None:
        """Take octets, any part of a frame or several."""

    def next_message(self) -> Message | None:
        """
        The next message, or None until more octets come.

        Raises: FramingError, LimitError: a bad frame; the next call goes on behind it if the
            framing allows that.
        """


def framer_for(first_octet: int, limits: InboundLimits) -> Framer:
    """
    The framer for a connection that begins with this octet.

    Raises: FramingError: "unknown-framing": neither HDLC nor the wrapper begins so.
    """
    if first_octet == _HDLC_FIRST:
        return HdlcFramer(limits)
    if first_octet == _WRAPPER_FIRST:
        return WrapperFramer(limits)
    raise FramingError("unknown-framing", f"first octet 0x{first_octet:02x}", offset=0)


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
        return None if frame is None else Message(frame.apdu, frame.to_octets())


class HdlcFramer:
    """
    HDLC frames: I and UI frames carry APDUs behind an LLC header, perhaps in segments.

    The frames of a message are kept beside its information, within a budget of octets that all
    address pairs of a connection share. Frames of other kinds (a meter that sets up a link is not
    served yet) are passed over. So is noise between frames, up to the length of one frame: whoever
    sends more is no meter.
    """

    name = "hdlc"

    def __init__(self, limits: InboundLimits) -> None:
        self.bad_frames = limits.bad_frames
        self._noise_octets = limits.max_frame_octets
        self._receiver = HdlcReceiver(limits.max_frame_octets)
        self._reassembler = HdlcReassembler(limits.max_apdu_octets)
        self._most_octets = limits.max_frame_octets + _FRAMES_PER_APDU * limits.max_apdu_octets
        self._frames: dict[tuple[HdlcAddress, HdlcAddress], bytearray] = {}

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
            if self._receiver.octets_skipped > self._noise_octets:
                self._receiver.octets_skipped = 0
                raise FramingError("no-frame", "only noise", offset=self._receiver.offset)
            if frame is None:
                return None
            self._receiver.octets_skipped = 0
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
        frames = self._frames.pop(pair, None)
        if frames is None or (
            frame.control.kind is ControlKind.UI and llc.is_llc(frame.information)
        ):
            frames = bytearray()  # the reassembler begins anew as well
        frames += frame.to_octets()
        # When it raises, the frames are gone, as the reassembler's part is.
        information = self._reassembler.receive_frame(frame)
        if information is not None:
            return Message(_apdu(information), bytes(frames))
        self._frames[pair] = frames
        for lost in self._frames.keys() - self._reassembler.pending_pairs:
            del self._frames[lost]
        if sum(map(len, self._frames.values())) > self._most_octets:
            self._frames.clear()
            self._reassembler.reset()
            raise LimitError("too-long", f"frames of more than {self._most_octets} octets")
        return None


def _apdu(information: bytes) -> bytes:
    """
    The APDU in an information field.

    Landis+Gyr E450 and E570 put the LLC header before the first block of a general-block-transfer
    only, and send the later ones without.
    Raises: FramingError: neither.
    """
    if information.startswith(_GENERAL_BLOCK_TRANSFER):
        return information
    return llc.strip(information)
