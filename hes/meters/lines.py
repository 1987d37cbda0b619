"""Lines of a file of unknown origin, none longer than a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

LINE_LENGTH_OCTETS: Final = 16 * 1024

_BLOCK_OCTETS: Final = 64 * 1024


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """
    The lines of a stream, each with its end, without holding more than a block of it.

    A line ends with LF, CR LF or CR. One longer than `LINE_LENGTH_OCTETS` is cut one octet above
    that, which whoever reads it recognises as too long; the rest of it is skipped.
    """
    held, skipping = b"", False
    for piece in _pieces(stream):
        ends = piece.endswith((b"\n", b"\r"))
        if not skipping:
            held += piece
            if ends or len(held) > LINE_LENGTH_OCTETS:
                yield held[: LINE_LENGTH_OCTETS + 1]
                held, skipping = b"", not ends
        elif ends:
            skipping = False
    if held:
        yield held


def _pieces(stream: BinaryIO) -> Iterable[bytes]:
    """Lines and parts of lines; the two octets of a CR LF are never parted."""
    kept = b""
    while block := stream.read(_BLOCK_OCTETS):
        block = kept + block
        kept = block[-1:] if block.endswith(b"\r") else b""
        yield from block[: len(block) - len(kept)].splitlines(keepends=True)
    if kept:
        yield kept
