"""
The octets of a profile's buffer into columns.

Owns the shape of the buffer: an array, or a compact array, of structures with a cell for each
capture object (IEC 62056-6-2, class_id 7, attribute 2). What a cell means is read by `clock` and
`cells`. Null cells keep their places.

Rows of one or of a few shapes are read by strided views of the octets (`parts`, `regular`), all
others row by row. Both give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hes_protocol.axdr import Data, DataTag, decode, decode_all, read_length
from hes_protocol.cosem.objects import CaptureObject
from hes_protocol.errors import EncodingError
from hes_protocol.profile.cells import read_column
from hes_protocol.profile.clock import read_clock
from hes_protocol.profile.columns import NullMeaning, ProfileColumns
from hes_protocol.profile.parts import take_apart
from hes_protocol.profile.regular import regular_clock, regular_column

_CLOCK_CLASS_ID: Final = 8
_TIME_ATTRIBUTE: Final = 2


def decode_profile(
    octets: bytes,
    capture_objects: Sequence[CaptureObject],
    *,
    capture_period_s: int,
    null_means: NullMeaning,
) -> ProfileColumns:
    """
    Decode a buffer by columns.

    Args:
        octets: the encoded buffer, an array or compact array of structures.
        capture_objects: of the rows as they were asked for, in order. The first with class_id 8,
            attribute 2 is the clock; a further one is a column of text.
        capture_period_s: null clocks are filled in on this grid; 0: they stay unknown.
        null_means: what null-data in a value column stands for.
    Returns: arrays of one length; no rows where the buffer is empty.
    Raises:
        EncodingError: as `axdr.decode`, or "bad-profile": no array; "bad-row": a row that is no
            structure or has another number of cells. The offset is the row's, in an array.
        LimitError: as `axdr.decode`.
    Source: IEC 62056-6-2, class_id 7 (profile generic), attributes 2, 3, 4.
    """
    width = len(capture_objects)
    parts = take_apart(octets, width)
    clock_place = _clock_place(capture_objects)
    if parts is None:
        return _row_by_row(octets, capture_objects, clock_place, capture_period_s, null_means)
    rows = sum(part.rows for part in parts)
    clock = None
    columns = []
    for place, capture_object in enumerate(capture_objects):
        if place == clock_place:
            clock = regular_clock(parts, place, rows, capture_period_s)
        else:
            columns.append(regular_column(capture_object, parts, place, rows, null_means))
    return ProfileColumns(rows, clock, tuple(columns))


def _row_by_row(
    octets: bytes,
    capture_objects: Sequence[CaptureObject],
    clock_place: int | None,
    capture_period_s: int,
    null_means: NullMeaning,
) -> ProfileColumns:
    """Any buffer, value by value: what `decode_profile` says of it, and its errors, are these."""
    rows = _rows(octets)
    width = len(capture_objects)
    for number, row in enumerate(rows):
        if row.tag is not DataTag.STRUCTURE:
            raise _bad_row(octets, number, f"is {row.tag.name}")
        if len(row.value) != width:
            raise _bad_row(octets, number, f"has {len(row.value)} cells where {width} are due")
    # A transposition at C speed: one tuple of cells for each capture object.
    cells: list[tuple[Data, ...]] = list(zip(*(row.value for row in rows), strict=True))
    if not rows:
        cells = [()] * width
    clock = None
    columns = []
    for place, (capture_object, column) in enumerate(zip(capture_objects, cells, strict=True)):
        if place == clock_place:
            clock = read_clock(column, capture_period_s)
        else:
            columns.append(read_column(capture_object, column, null_means))
    return ProfileColumns(len(rows), clock, tuple(columns))


def _rows(octets: bytes) -> Sequence[Data]:
    buffer = decode_all(octets)
    if buffer.tag is DataTag.ARRAY:
        rows: Sequence[Data] = buffer.value
        return rows
    if buffer.tag is DataTag.COMPACT_ARRAY:
        elements: Sequence[Data] = buffer.value.elements
        return elements
    raise EncodingError("bad-profile", f"{buffer.tag.name} where an array is due", offset=0)


def _clock_place(capture_objects: Sequence[CaptureObject]) -> int | None:
    """Which capture object is the clock: the first with class_id 8, attribute 2."""
    for place, capture_object in enumerate(capture_objects):
        if (
            capture_object.class_id == _CLOCK_CLASS_ID
            and capture_object.attribute_index == _TIME_ATTRIBUTE
        ):
            return place
    return None


def _bad_row(octets: bytes, number: int, detail: str) -> EncodingError:
    offset = 0
    if octets[0] == DataTag.ARRAY:
        _, offset = read_length(octets, 1)
        for _ in range(number):
            _, offset = decode(octets, offset)
    return EncodingError("bad-row", f"row {number} {detail}", offset=offset)
