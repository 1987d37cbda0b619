"""
Cuts a stream into M-Bus long frames, and finds the next one after noise (EN 13757-2).

Rule 1: a frame begins with 68 L L 68. Rule 2: it ends where checksum and STOP say so, L octets on
or, since some meters count modulo 256, L + 256. Rule 3: the search after a bad frame goes on right
behind its first octet; what fails within the octets that it claimed is not reported again. Rule 4:
what comes before the first start is skipped silently: we may have begun to listen in the middle.

Starts may stand at every octet and claim hundreds each, so the checksum of any stretch is the
difference of two running sums, not a sum of its own: the search is linear in the stream.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

from hes_protocol.errors import FramingError
from hes_protocol.mbus.frame import (
    HEADER_OCTETS,
    MAX_FRAME_OCTETS,
    OVERFLOW,
    START,
    STOP,
    TRAILER_OCTETS,
    MBusFrame,
    read_frame,
)

# C, A and CI are in every long frame: a shorter length has overflown.
_MIN_LENGTH: Final = 3
_FARTHEST_STOP: Final = MAX_FRAME_OCTETS - 1
_BEGINNING: Final = re.compile(rb"h(?=(.)\1h|(.)\2?\Z|\Z)", re.DOTALL)


class MBusReceiver:
    """Bytes in, frames out. Args: max_frame: the longest frame that is taken, start to STOP."""

    def __init__(self, max_frame: int = MAX_FRAME_OCTETS) -> None:
        self.octets_skipped = 0
        self._max_frame = max_frame
        self._buffer = bytearray()
        # Modulo 256, of all octets before each of the buffer, and before the next to come.
        self._sums = bytearray(1)
        self._offset = 0
        self._ended = False
        self._reported_until = 0

    @property
    def offset(self) -> int:
        """Where in the stream the octets begin that are not dealt with yet."""
        return self._offset

    @property
    def buffered_octets(self) -> int:
        """Octets that wait for the rest of their frame."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take octets that came from the transport."""
        self._buffer += data
        sums = accumulate(data, initial=self._sums.pop())
        self._sums += bytes(total & 0xFF for total in sums)

    def receive_end(self) -> None:
        """No more octets come: from now on a frame that is not complete is a bad one."""
        self._ended = True

    def next_frame(self) -> MBusFrame | None:
        """
        The next frame, or None until more octets come.

        Raises:
            FramingError: a bad frame: "bad-stop", "bad-checksum", "bad-length", "unknown-ci",
                "too-long" (above `max_frame`), after `receive_end` also "truncated"; its offset is
                where in the stream the frame begins. The next call goes on with what follows.
        Source: EN 13757-2, "Frame format FT 1.2".
        """
        at, length = self._search()
        self._skip(at)
        if length is None:
            return None
        if not length:
            raise self._bad_frame()
        offset = self._offset
        try:
            return read_frame(self._buffer, length)
        except FramingError as error:
            raise FramingError(error.code, error.detail, offset=offset) from None
        finally:
            self._advance(HEADER_OCTETS + length + TRAILER_OCTETS)

    def _search(self) -> tuple[int, int | None]:
        """
        Where in the buffer the next frame begins, or the next bad one that is to be reported.

        Returns: the place, and how many octets the frame has from C on: 0 for a bad one, None
            until more octets come.
        """
        buffer, size = self._buffer, len(self._buffer)
        reported = self._reported_until - self._offset
        for found in _BEGINNING.finditer(buffer):
            at = found.start()
            if at < reported and at + _FARTHEST_STOP < size:
                # Of most of noise that is enough: there is no STOP at either end.
                stop = at + HEADER_OCTETS + buffer[at + 1] + 1
                if buffer[stop] != STOP != buffer[stop + OVERFLOW]:
                    continue
            if size - at < HEADER_OCTETS:
                return (size if self._ended else at), None
            length = self._length(at)
            if length != 0 or at >= reported:
                return at, length
        return size, None

    def _length(self, at: int) -> int | None:
        """How many octets from C on; 0 for none that fits, None until more octets come."""
        buffer = self._buffer
        told = buffer[at + 1]
        first = at + HEADER_OCTETS
        waiting = False
        for length in (told, told + OVERFLOW):
            behind = first + length
            if length < _MIN_LENGTH or behind + TRAILER_OCTETS - at > self._max_frame:
                continue
            if behind + TRAILER_OCTETS > len(buffer):
                waiting = True
            elif buffer[behind + 1] == STOP:
                if (self._sums[behind] - self._sums[first]) & 0xFF == buffer[behind]:
                    return length
                if self._starts_at(behind + TRAILER_OCTETS):
                    return 0  # another frame begins where this one says that it ends
        return None if waiting and not self._ended else 0

    def _starts_at(self, at: int) -> bool:
        begins = self._buffer[at : at + HEADER_OCTETS]
        return (
            len(begins) == HEADER_OCTETS
            and begins[0] == begins[3] == START
            and (begins[1] == begins[2])
        )

    def _bad_frame(self) -> FramingError:
        """Go on behind the first octet of the bad frame at the buffer's front."""
        offset, told = self._offset, self._buffer[1]
        end = HEADER_OCTETS + (told if told >= _MIN_LENGTH else told + OVERFLOW) + TRAILER_OCTETS
        if end > self._max_frame:
            code, detail = "too-long", f"{end} octets"
        elif len(self._buffer) < end:
            code, detail = "truncated", f"of {end} octets"
        elif self._buffer[end - 1] != STOP:
            code, detail = "bad-stop", f"0x{self._buffer[end - 1]:02x}"
        else:
            code, detail = "bad-checksum", f"0x{self._buffer[end - 2]:02x}"
        self._skip(1)
        self._reported_until = offset + end
        return FramingError(code, detail, offset=offset)

    def _skip(self, octets: int) -> None:
        self.octets_skipped += octets
        self._advance(octets)

    def _advance(self, octets: int) -> None:
        del self._buffer[:octets]
        del self._sums[:octets]
        self._offset += octets
