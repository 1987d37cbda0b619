"""Joins the segments of one information field (IEC 62056-46, "Segmentation")."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from hes_protocol.errors import FramingError, LimitError, LocalProtocolError
from hes_protocol.hdlc.address import HdlcAddress
from hes_protocol.hdlc.control import ControlKind
from hes_protocol.hdlc.frame import HdlcFrame
from hes_protocol.hdlc.llc import is_llc

MAX_INFORMATION: Final = 0x10000 + 3
_CARRIERS: Final = frozenset({ControlKind.I, ControlKind.UI})
_MAX_PAIRS: Final = 8

_Pair = tuple[HdlcAddress, HdlcAddress]


class _Segments:
    """Segments of one pair so far; `next_sequence` is the N(S) that is due, None for UI."""

    __slots__ = ("joined", "next_sequence")

    def __init__(self) -> None:
        self.joined = bytearray()
        self.next_sequence: int | None = None


class HdlcReassembler:
    """
    Segmented I or UI frames into information fields, each (destination, source) pair by itself.

    I frames are joined only in the order of their N(S). UI frames have no numbers: one that begins
    with an LLC header starts anew, since the rest of what came before was lost; such losses are
    counted in `fields_discarded`. A segment without information is refused: it brings a field no
    further, so that `max_octets` would never end it.

    Args: max_octets: the longest information field that is joined.
    """

    def __init__(self, max_octets: int = MAX_INFORMATION) -> None:
        self.fields_discarded = 0
        self._max_octets = max_octets
        self._pairs: dict[_Pair, _Segments] = {}

    @property
    def pending_octets(self) -> int:
        """Octets of information fields whose last segment has not come."""
        return sum(len(segments.joined) for segments in self._pairs.values())

    @property
    def pending_pairs(self) -> Set[_Pair]:
        """The (destination, source) pairs whose last segment has not come."""
        return self._pairs.keys()

    def pending_fields(self) -> dict[_Pair, bytes]:
        """What has come of the information fields whose last segment has not."""
        return {pair: bytes(segments.joined) for pair, segments in self._pairs.items()}

    def receive_frame(self, frame: HdlcFrame) -> bytes | None:
        """
        Take one I or UI frame.

        Returns: the whole information field with the last segment, None until then.
        Raises:
            FramingError: "bad-sequence": N(S) is not the one that was due, or I and UI mixed;
                "empty-segment"; the segments so far are dropped.
            LimitError: "too-long": above `max_octets`; they are dropped too.
            LocalProtocolError: a frame of another kind.
        """
        if frame.control.kind not in _CARRIERS:
            raise LocalProtocolError(f"{frame.control.kind} frames carry no segments")
        pair = (frame.destination, frame.source)
        sequence = frame.control.send_sequence if frame.control.kind is ControlKind.I else None
        segments = self._pairs.get(pair)
        if segments is not None and sequence is None and is_llc(frame.information):
            self._discard(pair)
            segments = None
        if frame.segmented and not frame.information:
            if segments is not None:
                self._discard(pair)
            raise FramingError("empty-segment")
        if segments is None:
            if not frame.segmented:
                if len(frame.information) > self._max_octets:
                    raise LimitError("too-long", f"{len(frame.information)} octets")
                return frame.information
            while len(self._pairs) >= _MAX_PAIRS:
                self._discard(next(iter(self._pairs)))
            segments = self._pairs[pair] = _Segments()
        elif sequence != segments.next_sequence:
            self._discard(pair)
            raise FramingError(
                "bad-sequence", f"N(S) {sequence} where {segments.next_sequence} is due"
            )
        if len(segments.joined) + len(frame.information) > self._max_octets:
            self._discard(pair)
            raise LimitError("too-long", f"segments of more than {self._max_octets} octets")
        segments.joined += frame.information
        segments.next_sequence = None if sequence is None else (sequence + 1) % 8
        if frame.segmented:
            return None
        del self._pairs[pair]
        return bytes(segments.joined)

    def reset(self) -> None:
        """Drop all segments: the link was set up anew, or given up."""
        self._pairs.clear()

    def _discard(self, pair: _Pair) -> None:
        del self._pairs[pair]
        self.fields_discarded += 1
