"""
Cuts a stream into M-Bus long frames, and finds the next one after noise (EN 13757-2).

Rule 1: a frame begins with 68 L L 68. Rule 2: it ends where checksum and STOP say so, L octets on
or, since some meters count modulo 256, L + 256. Rule 3: the search after a bad frame goes on right
behind its first octet; what fails within the octets that it claimed is not reported again. Rule 4:
what comes before the first start is skipped silently: we may have begun to listen in the middle.
"""

from __future__ import annotations

import re
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
    ends_frame,
    read_frame,
)

# C, A and CI are in every long frame: a shorter length has overflown.
_MIN_LENGTH: Final = 3
_BEGINNING: Final = re.compile(rb"h(?:(.)\1h|(.)\2?\Z|\Z)", re.DOTALL)


class MBusReceiver:
    """Bytes in, frames out. Args: max_frame: the longest frame that is taken, start to STOP."""

    def __init__(self, max_frame: int = MAX_FRAME_OCTETS) -> None:
        self.octets_skipped = 0
        self._max_frame = max_frame
        self._buffer = bytearray()
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
        while self._find_start():
            length = self._length()
            if length is None:
                return None
            if length == 0:
                self._skip_bad_frame()
                continue
            end = HEADER_OCTETS + length + TRAILER_OCTETS
            offset = self._offset
            try:
                return read_frame(self._buffer, length)
            except FramingError as error:
                raise FramingError(error.code, error.detail, offset=offset) from None
            finally:
                self._advance(end)
        return None

    def _find_start(self) -> bool:
        """Bring the next 68 L L 68 to the buffer's front; False if there is none that is whole."""
        found = _BEGINNING.search(self._buffer)
        self._skip(found.start() if found else len(self._buffer))
        if len(self._buffer) >= HEADER_OCTETS:
            return True
        if self._ended and self._buffer:
            self._skip(len(self._buffer))
        return False

    def _length(self) -> int | None:
        """How many octets from C on; 0 for none that fits, None until more octets come."""
        told = self._buffer[1]
        waiting = False
        for length in (told, told + OVERFLOW):
            end = HEADER_OCTETS + length + TRAILER_OCTETS
            if length < _MIN_LENGTH or end > self._max_frame:
                continue
            if len(self._buffer) < end:
                waiting = True
            elif ends_frame(self._buffer, length):
                return length
            elif self._buffer[end - 1] == STOP and self._starts_at(end):
                return 0  # another frame begins where this one says that it ends
        return None if waiting and not self._ended else 0

    def _starts_at(self, at: int) -> bool:
        begins = self._buffer[at : at + HEADER_OCTETS]
        return (
            len(begins) == HEADER_OCTETS
            and begins[0] == begins[3] == START
            and (begins[1] == begins[2])
        )

    def _skip_bad_frame(self) -> None:
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
        if offset >= self._reported_until:
            self._reported_until = offset + end
            raise FramingError(code, detail, offset=offset)

    def _skip(self, octets: int) -> None:
        self.octets_skipped += octets
        self._advance(octets)

    def _advance(self, octets: int) -> None:
        del self._buffer[:octets]
        self._offset += octets
