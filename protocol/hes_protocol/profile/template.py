"""
The shape of a row: which tag and which length stand where, so that whole buffers are compared.

Rows of one shape have one length in octets, so a tag or a length that they share stands in a fixed
column of octets, and a slice with the row's length as its step shows it for all rows at once.
IEC 61334-6 (A-XDR); IEC 62056-6-2, class_id 7, attribute 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hes_protocol.axdr import DataTag, read_length
from hes_protocol.errors import RemoteProtocolError

# Octets behind the tag; what is not here has a length of its own, or holds other values.
_SIZES: Final[dict[int, int]] = {
    DataTag.NULL_DATA: 0, DataTag.DONT_CARE: 0,
    DataTag.BOOLEAN: 1, DataTag.BCD: 1, DataTag.INTEGER: 1, DataTag.UNSIGNED: 1, DataTag.ENUM: 1,
    DataTag.LONG: 2, DataTag.LONG_UNSIGNED: 2,
    DataTag.DOUBLE_LONG: 4, DataTag.DOUBLE_LONG_UNSIGNED: 4, DataTag.FLOAT32: 4,
    DataTag.LONG64: 8, DataTag.LONG64_UNSIGNED: 8, DataTag.FLOAT64: 8,
    DataTag.DELTA_INTEGER: 1, DataTag.DELTA_UNSIGNED: 1,
    DataTag.DELTA_LONG: 2, DataTag.DELTA_LONG_UNSIGNED: 2,
    DataTag.DELTA_DOUBLE_LONG: 4, DataTag.DELTA_DOUBLE_LONG_UNSIGNED: 4,
    DataTag.DATE_TIME: 12, DataTag.DATE: 5, DataTag.TIME: 4,
}  # fmt: skip
_STRINGS: Final = frozenset(
    {DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING, DataTag.BIT_STRING}
)
_BIT_STRING: Final = int(DataTag.BIT_STRING)
_STRUCTURE: Final = int(DataTag.STRUCTURE)
_TAGS: Final[dict[int, DataTag]] = {tag: tag for tag in DataTag}
# A meter's profiles have a few shapes each; what is above is thrown away, all of it together.
_MAX_KEPT: Final = 512
_kept: dict[tuple[bytes, int], RowTemplate] = {}


class Cell:
    """One cell: its tag, and where in the row stand what follows the tag, and its contents."""

    __slots__ = ("behind_tag", "contents", "size", "tag")

    def __init__(self, tag: DataTag, behind_tag: int, contents: int, size: int) -> None:
        self.tag = tag
        self.behind_tag = behind_tag
        self.contents = contents
        self.size = size


class RowTemplate:
    """
    The shape that rows of `octets` octets have in common.

    `cells` are in the row's order; `fixed` are the places of the octets that make the shape, with
    the octet that stands there.
    """

    __slots__ = ("cells", "fixed", "octets")

    def __init__(
        self, octets: int, cells: tuple[Cell, ...], fixed: tuple[tuple[int, bytes], ...]
    ) -> None:
        self.octets = octets
        self.cells = cells
        self.fixed = fixed

    def leading(self, octets: bytes, begin: int, rows: int) -> int:
        """How many of the `rows` rows from `begin` on, one behind the other, have this shape."""
        step = self.octets
        for place, octet in self.fixed:
            column = octets[begin + place : begin + rows * step : step]
            if column != octet * rows:
                rows = len(column) - len(column.lstrip(octet))
                if not rows:
                    return 0
        return rows


def template_at(octets: bytes, begin: int, width: int) -> RowTemplate | None:
    """
    The shape of the row at `begin`.

    Returns: None where there is no whole structure of `width` cells, or where one of them holds
        other values.
    """
    if width > 0x7F or octets[begin : begin + 2] != bytes((_STRUCTURE, width)):
        return None
    offset = begin + 2
    shape = bytearray()
    end = len(octets)
    for _ in range(width):
        if offset >= end:
            return None
        tag = octets[offset]
        shape.append(tag)
        size = _SIZES.get(tag)
        if size is not None:
            offset += 1 + size
        elif tag in _STRINGS:
            try:
                length, behind = read_length(octets, offset + 1)
            except RemoteProtocolError:
                return None
            shape += octets[offset + 1 : behind]
            offset = behind + ((length + 7) // 8 if tag == _BIT_STRING else length)
        else:
            return None
    if offset > end:
        return None
    key = bytes(shape), width
    kept = _kept.get(key)
    if kept is None:
        if len(_kept) >= _MAX_KEPT:
            _kept.clear()
        kept = _kept[key] = _template(octets[begin:offset], width)
    return kept


def _template(row: bytes, width: int) -> RowTemplate:
    cells = []
    fixed = [0, 1]
    offset = 2
    for _ in range(width):
        tag = _TAGS[row[offset]]
        behind_tag = contents = offset + 1
        size = _SIZES.get(tag, 0)
        if tag in _STRINGS:
            size, contents = read_length(row, behind_tag)
            if tag == _BIT_STRING:
                size = (size + 7) // 8
        cells.append(Cell(tag, behind_tag, contents, size))
        fixed += range(offset, contents)
        offset = contents + size
    places: Sequence[tuple[int, bytes]] = [(place, row[place : place + 1]) for place in fixed]
    return RowTemplate(len(row), tuple(cells), tuple(places))
