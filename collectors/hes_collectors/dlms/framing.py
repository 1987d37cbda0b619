"""
From the octets of an inbound connection to APDUs with the frames that carried them. Sans-io.

Which framing a connection speaks shows in its first octet: 0x7E opens an HDLC frame, 0x00 a
wrapper header, 0x68 an M-Bus long frame. It does not change afterwards. General blocks that come
one way, in whatever framing, are put together here as segments are.
"""

from __future__ import annotations

from collections.abc import Hashable
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
from hes_protocol.mbus import MAX_FRAME_OCTETS, MBusFrame, MBusReassembler, MBusReceiver
from hes_protocol.wrapper import WrapperReceiver
from hes_protocol.xdlms.assembler import BlockAssembler
from hes_protocol.xdlms.block_transfer import decode_general_block_transfer

_WRAPPER_FIRST: Final = 0x00
_HDLC_FIRST: Final = 0x7E
_MBUS_FIRST: Final = 0x68
_CARRIERS: Final = frozenset({ControlKind.I, ControlKind.UI})
# How much longer than the longest APDU the frames may be that carry it: enough for segments of
# twenty octets, while meters send no less than about a hundred.
_FRAMES_PER_APDU: Final = 2
_GENERAL_BLOCK_TRANSFER: Final = b"\xe0"
_MAX_SENDERS: Final = 8


@attrs.frozen
class Message:
    """
    One APDU and the frame or frames that carried it, as they arrived.

    `sender` tells those apart who share a connection.
    """

    apdu: bytes = attrs.field(repr=False)
    frames: bytes = attrs.field(repr=False)
    sender: Hashable = attrs.field(default=None, eq=False)


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

    Raises: FramingError: "unknown-framing": neither HDLC, nor M-Bus, nor the wrapper begins so.
    """
    if first_octet == _HDLC_FIRST:
        return BlockFramer(HdlcFramer(limits), limits)
    if first_octet == _MBUS_FIRST:
        return BlockFramer(MBusFramer(limits), limits)
    if first_octet == _WRAPPER_FIRST:
        return BlockFramer(WrapperFramer(limits), limits)
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
        if frame is None:
            return None
        return Message(frame.apdu, frame.to_octets(), (frame.source, frame.destination))


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
            return Message(_apdu(information), bytes(frames), pair)
        self._frames[pair] = frames
        for lost in self._frames.keys() - self._reassembler.pending_pairs:
            del self._frames[lost]
        if sum(map(len, self._frames.values())) > self._most_octets:
            self._frames.clear()
            self._reassembler.reset()
            raise LimitError("too-long", f"frames of more than {self._most_octets} octets")
        return None


class MBusFramer:
    """
    M-Bus long frames: pieces of APDUs.

    Noise between frames is passed over as on HDLC. A push whose pieces do not follow each other is
    lost, and the next one is not.
    """

    name = "mbus"

    def __init__(self, limits: InboundLimits) -> None:
        self.bad_frames = limits.bad_frames
        self._noise_octets = limits.max_frame_octets
        self._receiver = MBusReceiver(min(limits.max_frame_octets, MAX_FRAME_OCTETS))
        self._reassembler = MBusReassembler(limits.max_apdu_octets)
        self._most_octets = limits.max_frame_octets + _FRAMES_PER_APDU * limits.max_apdu_octets
        self._frames: dict[Hashable, bytearray] = {}

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
            if self._receiver.octets_skipped > self._noise_octets:
                self._receiver.octets_skipped = 0
                raise FramingError("no-frame", "only noise", offset=self._receiver.offset)
            if frame is None:
                return None
            self._receiver.octets_skipped = 0
            message = self._join(frame)
            if message is not None:
                return message

    def _join(self, frame: MBusFrame) -> Message | None:
        sender = (frame.address, frame.source_sap, frame.destination_sap)
        frames = self._frames.pop(sender, bytearray())
        if self._reassembler.begins_anew(frame):
            frames = bytearray()
        frames += frame.to_octets()
        apdu = self._reassembler.receive_frame(frame)
        if apdu is not None:
            return Message(apdu, bytes(frames), sender)
        self._frames[sender] = frames
        for lost in self._frames.keys() - self._reassembler.pending_pieces().keys():
            del self._frames[lost]
        if sum(map(len, self._frames.values())) > self._most_octets:
            self._frames.clear()
            self._reassembler.reset()
            raise LimitError("too-long", f"frames of more than {self._most_octets} octets")
        return None


class BlockFramer:
    """
    Any framer, with general blocks put together that come one way: nothing is acknowledged.

    The frames of a push that goes by blocks are kept beside it, as those of segments are.
    """

    def __init__(self, inner: Framer, limits: InboundLimits) -> None:
        self.name = inner.name
        self.bad_frames = inner.bad_frames
        self._inner = inner
        self._limits = limits
        self._most_octets = limits.max_frame_octets + _FRAMES_PER_APDU * limits.max_apdu_octets
        self._transfers: dict[Hashable, tuple[BlockAssembler, bytearray]] = {}

    @property
    def pending(self) -> bool:
        """Whether a frame, its segments or blocks have begun that are not complete."""
        return self._inner.pending or bool(self._transfers)

    def receive_data(self, data: bytes) -> None:
        """Take octets."""
        self._inner.receive_data(data)

    def next_message(self) -> Message | None:
        """
        The next APDU. Raises: as the framer inside; EncodingError: "block-missing", or octets that
            are no block; LimitError: blocks that add up to too much.
        """
        while (message := self._inner.next_message()) is not None:
            if not message.apdu.startswith(_GENERAL_BLOCK_TRANSFER):
                return message
            joined = self._join(message)
            if joined is not None:
                return joined
        return None

    def _join(self, message: Message) -> Message | None:
        block = decode_general_block_transfer(message.apdu)
        known = self._transfers.pop(message.sender, None)
        if known is None or block.block_number == 1 != known[0].due - 1:
            known = BlockAssembler(max_octets=self._limits.max_apdu_octets), bytearray()
        assembler, frames = known
        frames += message.frames
        # When it raises, the frames are gone, as what was joined is.
        apdu = assembler.take(block)
        if apdu is not None:
            return Message(apdu, bytes(frames), message.sender)
        if len(frames) > self._most_octets:
            raise LimitError("too-long", f"frames of more than {self._most_octets} octets")
        if len(self._transfers) >= _MAX_SENDERS:
            del self._transfers[next(iter(self._transfers))]
        self._transfers[message.sender] = known
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
