"""
What every framing gives, and the limits that hold for each: noise, and frames that are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final, Protocol

import attrs

from hes_collectors.dlms.settings import InboundLimits
from hes_protocol.errors import FramingError, LimitError

# How much longer than the longest APDU the frames may be that carry it: enough for segments of
# twenty octets, while meters send no less than about a hundred.
_FRAMES_PER_APDU: Final = 2


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


class KeptFrames:
    """
    The frames of messages that are not whole yet, by sender.

    All senders of a connection share one budget of octets.
    """

    def __init__(self, limits: InboundLimits) -> None:
        self._most_octets = limits.max_frame_octets + _FRAMES_PER_APDU * limits.max_apdu_octets
        self._frames: dict[Hashable, bytearray] = {}

    @property
    def octets(self) -> int:
        """How much is kept."""
        return sum(map(len, self._frames.values()))

    def take(self, sender: Hashable) -> bytearray:
        """What was kept of a sender's message; it is not kept any more."""
        return self._frames.pop(sender, None) or bytearray()

    def keep(self, sender: Hashable, frames: bytearray, pending: Collection[Hashable]) -> None:
        """
        Keep a sender's frames, and of the others those whose messages are still `pending`.

        Raises: LimitError: too much is kept; all of it is gone.
        """
        self._frames[sender] = frames
        for lost in self._frames.keys() - set(pending):
            del self._frames[lost]
        if self.octets > self._most_octets:
            self._frames.clear()
            raise LimitError("too-long", f"frames of more than {self._most_octets} octets")


class Receiver(Protocol):
    """What finds frames in noise."""

    octets_skipped: int

    @property
    def offset(self) -> int:
        """Where in the stream the octets begin that are not dealt with yet."""


class NoiseLimit:
    """Noise between frames is passed over up to the length of one: who sends more is no meter."""

    def __init__(self, limits: InboundLimits) -> None:
        self._most_octets = limits.max_frame_octets

    def check(self, receiver: Receiver, *, found: bool) -> None:
        """
        Look at what was skipped, each time that a frame was looked for.

        Args: found: whether there was one. Raises: FramingError: "no-frame": only noise.
        """
        too_much = receiver.octets_skipped > self._most_octets
        if found or too_much:
            receiver.octets_skipped = 0
        if too_much:
            raise FramingError("no-frame", "only noise", offset=receiver.offset)
