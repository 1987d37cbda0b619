"""APDUs in pieces: joins those of a sender, cuts those of ours (EN 13757-1, "Transport layer")."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Final

import attrs

from hes_protocol.errors import FramingError, LimitError, LocalProtocolError
from hes_protocol.mbus.frame import FIELDS_OCTETS, MAX_LENGTH, MBusFrame

MAX_APDU: Final = 0x10000
_SEQUENCES: Final = 16
_MAX_SENDERS: Final = 8
_MAX_DATA: Final = MAX_LENGTH - FIELDS_OCTETS

_Sender = tuple[int, int, int]


class _Pieces:
    """Pieces of one APDU so far, and the number that is due."""

    __slots__ = ("joined", "next_sequence")

    def __init__(self) -> None:
        self.joined = bytearray()
        self.next_sequence = 0


class MBusReassembler:
    """
    Frames into APDUs, those of each (address, STSAP, DTSAP) by themselves.

    Piece 0 starts an APDU anew, since the rest of the one before was lost; such losses are counted
    in `apdus_discarded`. Piece 16 of an APDU is 0 again, and goes on with it.

    Args: max_octets: the longest APDU that is joined.
    """

    def __init__(self, max_octets: int = MAX_APDU) -> None:
        self.apdus_discarded = 0
        self._max_octets = max_octets
        self._senders: dict[_Sender, _Pieces] = {}

    @property
    def pending_octets(self) -> int:
        """Octets of APDUs whose last piece has not come."""
        return sum(len(pieces.joined) for pieces in self._senders.values())

    @property
    def pending(self) -> bool:
        """Whether an APDU has begun whose last piece has not come."""
        return bool(self._senders)

    @property
    def pending_senders(self) -> Set[_Sender]:
        """The (address, STSAP, DTSAP) of the APDUs whose last piece has not come."""
        return self._senders.keys()

    def pending_pieces(self) -> dict[_Sender, bytes]:
        """What has come of the APDUs whose last piece has not, by (address, STSAP, DTSAP)."""
        return {sender: bytes(pieces.joined) for sender, pieces in self._senders.items()}

    def begins_anew(self, frame: MBusFrame) -> bool:
        """Whether this frame drops what its sender has sent before: piece 0 that was not due."""
        pieces = self._senders.get((frame.address, frame.source_sap, frame.destination_sap))
        due = 0 if pieces is None else pieces.next_sequence % _SEQUENCES
        return frame.sequence == 0 != due

    def receive_frame(self, frame: MBusFrame) -> bytes | None:
        """
        Take one frame.

        Returns: the whole APDU with its last piece, None until then.
        Raises:
            FramingError: "bad-sequence": not the piece that was due; "empty-segment"; what was
                joined is dropped.
            LimitError: "too-long": above `max_octets`; dropped too.
        """
        sender = (frame.address, frame.source_sap, frame.destination_sap)
        pieces = self._senders.get(sender)
        if self.begins_anew(frame):
            self._discard(sender)
            pieces = None
        if pieces is None:
            pieces = _Pieces()
        if frame.sequence != pieces.next_sequence % _SEQUENCES:
            due = pieces.next_sequence % _SEQUENCES
            self._discard(sender)
            raise FramingError("bad-sequence", f"piece {frame.sequence} where {due} is due")
        if not frame.data:
            self._discard(sender)
            raise FramingError("empty-segment")
        if len(pieces.joined) + len(frame.data) > self._max_octets:
            self._discard(sender)
            raise LimitError("too-long", f"pieces of more than {self._max_octets} octets")
        pieces.joined += frame.data
        pieces.next_sequence += 1
        if frame.last:
            self._senders.pop(sender, None)
            return bytes(pieces.joined)
        if sender not in self._senders and len(self._senders) >= _MAX_SENDERS:
            self._discard(next(iter(self._senders)))
        self._senders[sender] = pieces
        return None

    def reset(self) -> None:
        """Drop all pieces."""
        self._senders.clear()

    def _discard(self, sender: _Sender) -> None:
        if self._senders.pop(sender, None) is not None:
            self.apdus_discarded += 1


@attrs.frozen
class MBusFragmenter:
    """
    APDUs into frames, for whoever plays the meter.

    `max_data` is the most octets of the APDU in one frame, 1 to 250.
    """

    source_sap: int = 1
    destination_sap: int = 0x67
    max_data: int = attrs.field(default=_MAX_DATA - 5)

    def frames(self, apdu: bytes) -> Iterator[MBusFrame]:
        """
        The frames that carry `apdu`.

        Raises: LocalProtocolError: nothing to send, or a `max_data` that no frame has room for.
        """
        if not apdu or not 1 <= self.max_data <= _MAX_DATA:
            raise LocalProtocolError(f"{len(apdu)} octets by {self.max_data}")
        for piece, begin in enumerate(range(0, len(apdu), self.max_data)):
            data = apdu[begin : begin + self.max_data]
            yield MBusFrame(
                data=data,
                sequence=piece % _SEQUENCES,
                last=begin + len(data) == len(apdu),
                source_sap=self.source_sap,
                destination_sap=self.destination_sap,
            )

    def to_octets(self, apdu: bytes) -> bytes:
        """All frames, one behind the other. Raises: as `frames`."""
        return b"".join(frame.to_octets() for frame in self.frames(apdu))
