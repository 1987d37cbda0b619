"""
A value column: the cells of one capture object into integers, floats or text.

Meters put any type into a profile, so the cells decide, all of a column together: integers where
all are integers that fit int64; floats where all are numbers and one is a float; text otherwise.
Delta types are resolved to what they stand for (IEC 62056-5-3, 8: the difference to the value of
the entry before).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from hes_protocol.axdr import INTEGER_TAGS, NULL, STRING_TAGS, Data, DataTag, encode
from hes_protocol.cosem.date_time import LENGTH_OCTETS, CosemDateTime
from hes_protocol.cosem.objects import CaptureObject
from hes_protocol.profile.columns import BoolArray, Column, NullMeaning

NULLS: Final = frozenset({DataTag.NULL_DATA, DataTag.DONT_CARE})
_DELTAS: Final = frozenset(tag for tag in DataTag if tag.name.startswith("DELTA_"))
# The octet of a BCD holds two digits: it is text, as the number it reads as would be a guess.
_INTEGERS: Final = (INTEGER_TAGS | {DataTag.BOOLEAN}) - {DataTag.BCD}
FLOATS: Final = frozenset({DataTag.FLOAT32, DataTag.FLOAT64})
MAX_INT64: Final = (1 << 63) - 1
_MIN_INT64: Final = -(1 << 63)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_column(
    capture_object: CaptureObject, cells: Sequence[Data], null_means: NullMeaning
) -> Column:
    """
    Read the cells of one capture object.

    Args: cells: a row each. null_means: what null-data stands for; don't-care is always missing.
    Returns: the column; where all cells are null, one of integers.
    Source: IEC 62056-6-2, class_id 7, attribute 2 (buffer); class_id 3, 4 (value types).
    """
    tags = {cell.tag for cell in cells}
    if tags & _DELTAS:
        cells = _without_deltas(cells)
        tags = {cell.tag for cell in cells}
    if null_means is NullMeaning.PREVIOUS and DataTag.NULL_DATA in tags:
        cells = _with_previous(cells)
        tags = {cell.tag for cell in cells}
    if tags & NULLS:
        null = np.fromiter((cell.tag in NULLS for cell in cells), np.bool_, len(cells))
        values = [None if cell.tag in NULLS else cell for cell in cells]
    else:
        null = np.zeros(len(cells), np.bool_)
        values = list(cells)
    tags -= NULLS
    if tags <= _INTEGERS:
        return _integer_column(capture_object, values, null)
    if tags <= _INTEGERS | FLOATS:
        floats = [None if cell is None else float(cell.value) for cell in values]
        return Column(capture_object, "float", None, null, floats)
    return _text_column(capture_object, values, null)


def _integer_column(
    capture_object: CaptureObject, cells: Sequence[Data | None], null: BoolArray
) -> Column:
    numbers = [0 if cell is None else int(cell.value) for cell in cells]
    if numbers and not _MIN_INT64 <= min(numbers) <= max(numbers) <= MAX_INT64:
        return _text_column(capture_object, cells, null)
    return Column(capture_object, "integer", np.array(numbers, np.int64), null, None)


def _text_column(
    capture_object: CaptureObject, cells: Sequence[Data | None], null: BoolArray
) -> Column:
    # Whether octet strings are text or binary is decided once: of the octets of a status word
    # some happen to be printable.
    printable = all(
        _is_printable(cell.value) or _moment(cell.value) is not None
        for cell in cells
        if cell is not None and cell.tag is DataTag.OCTET_STRING
    )
    texts = [None if cell is None else _text(cell, printable=printable) for cell in cells]
    return Column(capture_object, "text", None, null, texts)


def _with_previous(cells: Sequence[Data]) -> Sequence[Data]:
    """Null cells replaced by the cell before; those before the first value stay null."""
    filled = []
    previous = NULL
    for cell in cells:
        if cell.tag is not DataTag.NULL_DATA:
            previous = cell
        filled.append(previous)
    return filled


def _without_deltas(cells: Sequence[Data]) -> Sequence[Data]:
    """
    Delta cells replaced by the value they stand for.

    Null cells between do not interrupt the sum; a delta before any value is null, and so is one
    whose sum no integer type holds.
    """
    resolved = []
    value: int | None = None
    for cell in cells:
        current = cell
        if cell.tag in _DELTAS:
            if value is not None:
                value += cell.value
                if not _MIN_INT64 <= value <= MAX_INT64:
                    value = None
            current = NULL if value is None else Data(DataTag.LONG64, value)
        elif cell.tag in _INTEGERS:
            value = int(cell.value)
        elif cell.tag not in NULLS:
            value = None
        resolved.append(current)
    return resolved


def _text(cell: Data, *, printable: bool) -> str:
    value = cell.value
    if cell.tag is DataTag.OCTET_STRING:
        moment = _moment(value)
        if moment is not None:
            return moment
        return str(value.decode("ascii") if printable else value.hex())
    if cell.tag in STRING_TAGS:
        # PostgreSQL's text holds no NUL, with which meters pad; an escape sequence would reach the
        # terminal of whoever reads the value.
        return _CONTROLS.sub(_escaped, cell.text().rstrip("\0"))
    if cell.tag is DataTag.DATE_TIME:
        return _moment(value) or str(value.hex())
    if cell.tag is DataTag.BIT_STRING:
        bits = int.from_bytes(value.octets, "big") >> (-value.length % 8)
        return f"{bits:0{value.length}b}" if value.length else ""
    if cell.tag is DataTag.BCD:
        return f"{value:02x}"
    if cell.tag in (DataTag.DATE, DataTag.TIME):
        return str(value.hex())
    if cell.tag in _INTEGERS:
        return str(int(value))
    if cell.tag in FLOATS:
        return repr(value)
    return encode(cell).hex()


def _moment(octets: bytes) -> str | None:
    if len(octets) != LENGTH_OCTETS:
        return None
    return CosemDateTime.from_octets(octets).isoformat()


def _escaped(control: re.Match[str]) -> str:
    return f"\\x{ord(control[0]):02x}"


def _is_printable(octets: bytes) -> bool:
    return octets.isascii() and octets.decode("ascii").isprintable()
