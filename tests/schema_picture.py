"""Draws tables and what refers to what as SVG: one column of boxes per area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from tests.schema_page import Column, Table

_WIDTH: Final = 280
_GAP: Final = 70
_ROW: Final = 15
_HEAD: Final = 22
_BELOW: Final = 20
_TOP: Final = 60
_MARGIN: Final = 70
_BOTTOM: Final = 1700
_NAME_CHARS: Final = 21
_TYPE_CHARS: Final = 22

_COLOURS: Final = ("#1b6e8a", "#7a4a9e", "#2f7d4f", "#a8641a", "#58606b", "#8a3b46", "#3d5a99")
# What nearly everything refers to: lines to it from elsewhere would hide the others.
_UNDRAWN: Final = frozenset({"meter", "tenant"})


@attrs.frozen
class _Box:
    table: Table
    x: int
    y: int
    colour: str

    @property
    def height(self) -> int:
        return _HEAD + _ROW * len(self.table.columns) + 4

    def row_y(self, index: int) -> int:
        """The middle of a column's line."""
        return self.y + _HEAD + _ROW * index + _ROW // 2 + 2


def draw(tables: Sequence[Table]) -> str:
    """The picture; the same for the same tables."""
    boxes, names, width, height = _arrange(tables)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" font-family="DejaVu Sans Mono, monospace"'
            ' font-size="10.5">\n'
        ),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n',
    ]
    for name, x, colour in names:
        parts.append(
            f'<text x="{x}" y="38" font-family="DejaVu Sans, sans-serif" font-size="17"'
            f' font-weight="bold" fill="{colour}">{escape(name)}</text>\n'
        )
    parts += _lines(boxes)
    for box in boxes.values():
        parts += _box(box)
    parts.append("</svg>\n")
    return "".join(parts)


def _arrange(
    tables: Sequence[Table],
) -> tuple[Mapping[str, _Box], list[tuple[str, int, str]], int, int]:
    boxes: dict[str, _Box] = {}
    names: list[tuple[str, int, str]] = []
    x, y, bottom = _MARGIN - _WIDTH - _GAP, _TOP, 0
    for table in tables:
        is_new = not names or names[-1][0] != table.area
        if is_new:
            x, y = x + _WIDTH + _GAP, _TOP
            names.append((table.area, x, _COLOURS[len(names) % len(_COLOURS)]))
        box = _Box(table, x, y, names[-1][2])
        if y > _TOP and y + box.height > _BOTTOM:
            x, y = x + _WIDTH + _GAP, _TOP
            box = attrs.evolve(box, x=x, y=y)
        boxes[table.name] = box
        y += box.height + _BELOW
        bottom = max(bottom, y)
    return boxes, names, x + _WIDTH + _MARGIN, bottom + _MARGIN - _BELOW


def _box(box: _Box) -> list[str]:
    dash = ' stroke-dasharray="5 3"' if box.table.is_view else ""
    parts = [
        (
            f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{box.height}" rx="4"'
            f' fill="#fbfbfc" stroke="{box.colour}"{dash}/>\n'
        ),
        (
            f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_HEAD - 2}" rx="4"'
            f' fill="{box.colour}"/>\n'
        ),
        (
            f'<text x="{box.x + 8}" y="{box.y + 14}" font-size="12" font-weight="bold"'
            f' fill="#ffffff">{escape(box.table.name)}</text>\n'
        ),
    ]
    for index, column in enumerate(box.table.columns):
        y = box.row_y(index) + 4
        weight = ' font-weight="bold"' if column.key else ""
        parts.append(
            f'<text x="{box.x + 8}" y="{y}"{weight} fill="#1d2430">'
            f"{escape(_cut(column.name, _NAME_CHARS))}</text>"
            f'<text x="{box.x + _WIDTH - 8}" y="{y}" text-anchor="end" fill="#6b7280">'
            f"{escape(_cut(_right(column), _TYPE_CHARS))}</text>\n"
        )
    return parts


def _right(column: Column) -> str:
    return f"→ {column.refers_to}" if column.refers_to else column.type


def _lines(boxes: Mapping[str, _Box]) -> list[str]:
    parts = []
    for box in boxes.values():
        for index, column in enumerate(box.table.columns):
            to = boxes.get(column.refers_to or "")
            if to is None or to is box:
                continue
            if to.table.name in _UNDRAWN and to.table.area != box.table.area:
                continue
            parts.append(_line(box, box.row_y(index), to, enforced=column.enforced))
    return parts


def _line(box: _Box, y: int, to: _Box, *, enforced: bool) -> str:
    """A curve from a column to the head of the table that it refers to."""
    to_y = to.y + _HEAD // 2
    if to.x == box.x:
        x = to_x = box.x
        bend = bend_to = box.x - min(_GAP - 12, 18 + abs(y - to_y) // 16)
    elif to.x < box.x:
        x, to_x = box.x, to.x + _WIDTH
        bend, bend_to = x - _GAP, to_x + _GAP
    else:
        x, to_x = box.x + _WIDTH, to.x
        bend, bend_to = x + _GAP, to_x - _GAP
    dash = "" if enforced else ' stroke-dasharray="3 3"'
    return (
        f'<path d="M{x},{y} C{bend},{y} {bend_to},{to_y} {to_x},{to_y}" fill="none"'
        f' stroke="{to.colour}" stroke-opacity="0.65"{dash}/>'
        f'<circle cx="{to_x}" cy="{to_y}" r="3" fill="{to.colour}"/>\n'
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
