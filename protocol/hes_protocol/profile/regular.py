"""
Columns straight from the octets of rows whose shapes are known; no object for a value.

What is not made of numbers, nulls and the clock (text, deltas, integers above int64) is read cell
by cell as `cells` reads it, that column only. The answer is the general path's in every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hes_protocol.axdr import NULL, Data, DataTag
from hes_protocol.cosem.date_time import LENGTH_OCTETS
from hes_protocol.cosem.objects import CaptureObject
from hes_protocol.profile.cells import FLOATS, MAX_INT64, NULLS, read_column
from hes_protocol.profile.clock import DATE_TIMES, clock_of
from hes_protocol.profile.columns import BoolArray, Clock, Column, NullMeaning
from hes_protocol.profile.parts import Part

# A boolean is any octet but 0, which numpy's own booleans are not.
_DTYPES: Final[dict[DataTag, np.dtype[Any]]] = {
    tag: np.dtype(dtype)
    for tag, dtype in (
        (DataTag.BOOLEAN, "u1"),
        (DataTag.INTEGER, "i1"),
        (DataTag.UNSIGNED, "u1"),
        (DataTag.ENUM, "u1"),
        (DataTag.LONG, ">i2"),
        (DataTag.LONG_UNSIGNED, ">u2"),
        (DataTag.DOUBLE_LONG, ">i4"),
        (DataTag.DOUBLE_LONG_UNSIGNED, ">u4"),
        (DataTag.LONG64, ">i8"),
        (DataTag.LONG64_UNSIGNED, ">u8"),
        (DataTag.FLOAT32, ">f4"),
        (DataTag.FLOAT64, ">f8"),
    )
}
_NUMBERS: Final = frozenset(_DTYPES)
_BOOLEAN: Final = DataTag.BOOLEAN
_UNSIGNED64: Final = DataTag.LONG64_UNSIGNED
_NULL_DATA: Final = DataTag.NULL_DATA
_INT64: Final = np.dtype(np.int64)
_FLOAT64: Final = np.dtype(np.float64)
_BOOL: Final = np.dtype(np.bool_)


def regular_clock(parts: Sequence[Part], place: int, rows: int, capture_period_s: int) -> Clock:
    """The clock whose cells stand at `place`; as `clock.read_clock`."""
    if parts[0].index is None and _is_date_time(parts[0], place):
        return clock_of(parts[0].table(place), None, capture_period_s)
    table = np.full((rows, LENGTH_OCTETS), 0xFF, np.uint8)
    null = np.zeros(rows, np.bool_)
    for part in parts:
        index = slice(None) if part.index is None else part.index
        if part.template.cells[place].tag is _NULL_DATA:
            null[index] = True
        elif _is_date_time(part, place):
            table[index] = part.table(place)
    return clock_of(table, null, capture_period_s)


def _is_date_time(part: Part, place: int) -> bool:
    cell = part.template.cells[place]
    return cell.tag in DATE_TIMES and cell.size == LENGTH_OCTETS


def regular_column(
    capture_object: CaptureObject,
    parts: Sequence[Part],
    place: int,
    rows: int,
    null_means: NullMeaning,
) -> Column:
    """The column whose cells stand at `place`; as `cells.read_column`."""
    tags = {part.template.cells[place].tag for part in parts}
    kinds = tags - NULLS
    if kinds <= _NUMBERS:
        is_float = not kinds.isdisjoint(FLOATS)
        numbers = _numbers(parts, place, rows, _FLOAT64 if is_float else _INT64)
        if numbers is not None:
            null = np.zeros(rows, _BOOL)
            if len(kinds) < len(tags):
                numbers, null = _with_nulls(numbers, parts, place, null_means)
            if not is_float:
                return Column(capture_object, "integer", numbers, null, None)
            floats: list[float | None] = numbers.tolist()
            for row in null.nonzero()[0].tolist():
                floats[row] = None
            return Column(capture_object, "float", None, null, floats)
    return read_column(capture_object, _cells(parts, place, rows), null_means)


def _numbers(
    parts: Sequence[Part], place: int, rows: int, dtype: np.dtype[Any]
) -> npt.NDArray[Any] | None:
    """The numbers of a column, 0 for nulls; None where they do not fit `dtype`."""
    gathered = None if parts[0].index is None else np.zeros(rows, dtype)
    for part in parts:
        tag = part.template.cells[place].tag
        if tag in NULLS:
            continue
        view = part.view(place, _DTYPES[tag])
        if tag is _UNSIGNED64 and dtype is _INT64 and view.max() > MAX_INT64:
            return None
        if tag is _BOOLEAN:
            view = view != 0
        if gathered is None:
            return view.astype(dtype)
        gathered[part.index] = view
    return np.zeros(rows, dtype) if gathered is None else gathered


def _with_nulls(
    numbers: npt.NDArray[Any], parts: Sequence[Part], place: int, null_means: NullMeaning
) -> tuple[npt.NDArray[Any], BoolArray]:
    """The numbers with what null cells stand for, and which of them are null then."""
    null = np.zeros(len(numbers), _BOOL)
    repeats = null.copy()
    for part in parts:
        tag = part.template.cells[place].tag
        index = slice(None) if part.index is None else part.index
        if tag in NULLS:
            null[index] = True
            repeats[index] = tag is _NULL_DATA
    if null_means is NullMeaning.PREVIOUS and repeats.any():
        # The last cell before each that is no null-data; a don't-care is missing, and so are its
        # repetitions.
        before = np.maximum.accumulate(np.where(repeats, -1, np.arange(len(numbers))))
        null = (before < 0) | null[before]
        numbers = np.where(null, numbers.dtype.type(0), numbers[before])
    return numbers, null


def _cells(parts: Sequence[Part], place: int, rows: int) -> Sequence[Data]:
    if parts[0].index is None:
        return parts[0].cells(place)
    cells = [NULL] * rows
    for part in parts:
        numbers = np.arange(rows)[part.index].tolist()
        for row, cell in zip(numbers, part.cells(place), strict=True):
            cells[row] = cell
    return cells
