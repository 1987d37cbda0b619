"""
Cuts a stream into HDLC frames, and finds the next one after noise (IEC 62056-46).

Rule 1: after a flag, or right behind a good frame, a frame may begin; its length says where it
ends. Rule 2: a frame is given as soon as its last octet is there and its checks pass; the closing
flag is not waited for and may open the next frame. Rule 3: the length of a bad frame cannot be
trusted, so the search goes on right behind its beginning, for a flag, a format of type 3 and two
addresses; what fails within the octets that the bad frame claimed is not reported again. Rule 4:
what comes before the first frame's flag is skipped silently: we may have begun to listen in the
middle of a frame.
"""

from __future__ import annotations

import re
from typing import Final

from hes_protocol.errors import FramingError, TruncatedError
from hes_protocol.hdlc.crc import fcs16
from hes_protocol.hdlc.frame import MAX_FRAME_OCTETS, HdlcFrame, read_frame, read_header

_EVEN: Final = b"[" + b"".join(b"\\x%02x" % octet for octet in range(0, 256, 2)) + b"]"
_ODD: Final = b"[^" + _EVEN[1:]
_ADDRESS: Final = b"(?:%b|%b(?:%b|%b%b%b))" % (_ODD, _EVEN, _ODD, _EVEN, _EVEN, _ODD)
# What the search after a bad frame looks for: a flag, a format of type 3, two addresses. And the
# same where the octets that came end within it.
_BEGINNING: Final = re.compile(b"\x7e(?=([\xa0-\xaf].%b%b))" % (_ADDRESS, _ADDRESS), re.DOTALL)
_PARTIAL_ADDRESS: Final = b"(?:%b|\\Z|%b(?:%b|\\Z|%b(?:\\Z|%b(?:%b|\\Z))))" % (
    _ODD, _EVEN, _ODD, _EVEN, _EVEN, _ODD,
)  # fmt: skip
_FLAGS: Final = re.compile(b"\x7e+")
_PERHAPS: Final = re.compile(
    b"\x7e(?=\\Z|[\xa0-\xaf](?:\\Z|.%b%b))" % (_PARTIAL_ADDRESS, _PARTIAL_ADDRESS), re.DOTALL
)


class HdlcReceiver:
    """
    Bytes in, frames out.

    Args: max_frame: the longest frame that is taken, octets between the flags.
    """

    def __init__(self, max_frame: int = MAX_FRAME_OCTETS) -> None:
        self.octets_skipped = 0
        self._max_frame = max_frame
        self._buffer = bytearray()
        self._offset = 0
        self._searching = False
        self._begun = False
        self._ended = False
        self._reported_until = 0

    @property
    def offset(self) -> int:
        """Where in the stream the octets begin that are not dealt with yet."""
        return self._offset

    @property
    def buffered_octets(self) -> int:
        """Octets that wait for the rest of their frame."""
        return 0 if self._searching else len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take octets that came from the transport."""
        self._ended = False
        self._buffer += data

    def receive_end(self) -> None:
        """
        No more octets come, or none have come for long: a frame that is not complete is a bad one.

        Octets that come after all may begin the next frame.
        """
        self._ended = True

    def next_frame(self) -> HdlcFrame | None:
        """
        The next frame, or None until more octets come.

        Raises:
            FramingError: a bad frame: "bad-format", "bad-length", "bad-address", "bad-control",
                "bad-hcs", "bad-fcs", "too-long" (above `max_frame`), after `receive_end` also
                "truncated"; its offset is where in the stream the frame begins, behind its flag.
                The next call goes on with what follows.
        Source: IEC 62056-46, "Frame format type 3".
        """
        while self._find_beginning():
            try:
                header = read_header(self._buffer)
                if header.length > self._max_frame:
                    raise FramingError("too-long", f"{header.length} octets")  # noqa: TRY301
                if len(self._buffer) < header.length:
                    raise TruncatedError("truncated", f"of {header.length} octets")  # noqa: TRY301
                frame = read_frame(self._buffer, header)
            except TruncatedError as error:
                if not self._ended:
                    return None
                if self._is_news():
                    raise self._bad_frame("truncated", error.detail, len(self._buffer)) from None
                self._skip_beginning()
            except FramingError as error:
                if self._is_news():
                    claimed = self._claimed_octets()
                    raise self._bad_frame(error.code, error.detail, claimed) from None
                self._skip_beginning()
            else:
                self._advance(header.length)
                self._begun = True
                return frame
        return None

    def _find_beginning(self) -> bool:
        """Bring the first octet behind a flag, or behind the last frame, to the buffer's front."""
        if self._searching:
            at, complete = self._search()
            self._skip(at)
            if not complete:
                return False
            self._advance(1)
            self._searching, self._begun = False, True
            return True
        # Not by lstrip, which copies all that waits behind the flags.
        found = _FLAGS.match(self._buffer)
        flags = found.end() if found else 0
        if flags:
            self._advance(flags)
            self._begun = True
        return bool(self._buffer)

    def _search(self) -> tuple[int, bool]:
        """Where in the buffer the next flag of a frame is, or may be once more octets come."""
        buffer, size = self._buffer, len(self._buffer)
        reported = self._reported_until - self._offset
        searched = 0
        for found in _BEGINNING.finditer(buffer):
            at, control = found.start(), found.end(1)
            # What is not to be reported is only looked at, not read: noise may be full of it.
            if at + 1 >= reported or control + 3 > size:
                return at, True
            if fcs16(buffer[at + 1 : control + 1]) == (
                buffer[control + 1] | buffer[control + 2] << 8
            ):
                return at, True
            searched = at + 1
        # At most the end of what there is may be the beginning of one.
        perhaps = _PERHAPS.search(buffer, searched)
        return (perhaps.start() if perhaps else size), False

    def _claimed_octets(self) -> int:
        if self._buffer[0] & 0xF0 != 0xA0 or len(self._buffer) < 2:
            return 1
        return (self._buffer[0] & 0x07) << 8 | self._buffer[1]

    def _is_news(self) -> bool:
        """Whether what is bad at the buffer's front lies behind all that was reported."""
        return self._begun and self._offset >= self._reported_until

    def _bad_frame(self, code: str, detail: str, claimed_octets: int) -> FramingError:
        offset = self._offset
        self._reported_until = offset + claimed_octets
        self._skip_beginning()
        return FramingError(code, detail, offset=offset)

    def _skip_beginning(self) -> None:
        self._skip(1)
        self._searching = True

    def _skip(self, octets: int) -> None:
        self.octets_skipped += octets
        self._advance(octets)

    def _advance(self, octets: int) -> None:
        del self._buffer[:octets]
        self._offset += octets
