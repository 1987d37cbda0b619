"""Lines of a file of unknown origin, none longer than a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

LINE_LENGTH_OCTETS: Final = 16 * 1024


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """
    The lines of a stream, without holding more than one.

    A line longer than `LINE_LENGTH_OCTETS` is cut one octet above that, which whoever reads it
    recognises as too long; the rest of it is skipped.
    """
    while line := stream.readline(LINE_LENGTH_OCTETS + 1):
        yield line
        while len(line) > LINE_LENGTH_OCTETS and not line.endswith(b"\n"):
            line = stream.readline(LINE_LENGTH_OCTETS + 1)
