"""Lines are bounded, whatever the file holds."""

import io

from hes.meters import bounded_lines
from hes.meters.lines import LINE_LENGTH_OCTETS as LIMIT


def test_gives_lines_as_they_are() -> None:
    assert list(bounded_lines(io.BytesIO(b"a\n\nb"))) == [b"a\n", b"\n", b"b"]


def test_cuts_long_lines_and_goes_on_with_the_next() -> None:
    for length in (LIMIT + 1, LIMIT + 2, 2 * LIMIT, 2 * LIMIT + 1, 5 * LIMIT):
        lines = list(bounded_lines(io.BytesIO(b"x" * length + b"\nnext\n")))
        assert lines == [b"x" * (LIMIT + 1), b"next\n"]
        assert list(bounded_lines(io.BytesIO(b"x" * length))) == [b"x" * (LIMIT + 1)]


def test_leaves_a_line_of_just_the_limit() -> None:
    text = b"x" * LIMIT + b"\nnext"
    assert list(bounded_lines(io.BytesIO(text))) == [b"x" * LIMIT + b"\n", b"next"]
