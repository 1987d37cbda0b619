"""
Files of rows: JSON lines or CSV, told apart by what they begin with.

A row is a line: a quote that is not closed ends with its line, so that one broken row costs no
other one, and nothing is ever held but the line at hand. CSV: the first line names the fields;
commas, semicolons or tabs, whichever it has most of; quotes as in RFC 4180; a cell that is empty
says nothing; `|` between several groups or tags. A list of associations has no place in a cell.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from hes.meters import association_rows, place_rows, rows
from hes.meters.fields import RowError, field_name, read_object, read_text

FIELDS: Final = frozenset({*rows.FIELDS, *place_rows.FIELDS, *association_rows.FIELDS})

_DELIMITERS: Final = ",;\t"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")

Row = dict[str, Any] | RowError


class Format(StrEnum):
    """How a file is written; AUTO: by its first line, which in JSON begins with a brace."""

    AUTO = "auto"
    CSV = "csv"
    NDJSON = "ndjson"


def read_rows(lines: Iterable[bytes | str], format_: Format) -> Iterator[tuple[int, Row]]:
    """
    The rows of a file, each with the number of its line, from 1; lines without anything are none.

    A row that cannot be read is given as the reason for that. If it is the line with the names of a
    CSV file, it is the only one.
    """
    numbered = (
        (number, octets.rstrip(b"\r\n"))
        for number, octets in enumerate(map(_octets, lines), start=1)
        if octets.strip()
    )
    for number, first in numbered:
        if first.startswith(_UTF_16):
            yield number, RowError(None, "UTF-16; save the file as UTF-8")
        elif format_ is Format.NDJSON or (format_ is Format.AUTO and not _names_fields(first)):
            yield number, _object(first)
            yield from ((number, _object(line)) for number, line in numbered)
        else:
            yield from _table(number, first, numbered)
        return


def _octets(line: bytes | str) -> bytes:
    return line.encode(errors="replace") if isinstance(line, str) else line


def _names_fields(line: bytes) -> bool:
    """Whether a first line looks like that of a CSV file, and not like (broken) JSON."""
    text = line.removeprefix(b"\xef\xbb\xbf").lstrip()
    names = text.lower()
    return not text.startswith((b"{", b"[")) and b"serial" in names and b":" not in names


def _object(line: bytes) -> Row:
    try:
        return read_object(line)
    except RowError as error:
        return error


def _table(
    number: int, first: bytes, lines: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, Row]]:
    """The rows of a CSV file behind the line with its names."""
    try:
        text = read_text(first)
        delimiter = max(_DELIMITERS, key=text.count)
        names = _names(_cells(text, delimiter))
    except RowError as error:
        yield number, error
        return
    for at, line in lines:
        try:
            row = _named(names, _cells(read_text(line), delimiter))
        except RowError as error:
            yield at, error
        else:
            if row:  # spreadsheets leave lines of nothing but delimiters
                yield at, row


def _names(cells: Sequence[str]) -> Sequence[str]:
    names = [cell.strip().lower() for cell in cells]
    for name in names:
        if not name:
            raise RowError(None, "a column without a name")
        if names.count(name) > 1:
            raise RowError(field_name(name), "two columns of this name")
        if name not in FIELDS:
            raise RowError(field_name(name), "no such field; take the column out, or correct it")
    return names


def _named(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) != len(names):
        raise RowError(None, f"{len(cells)} cells where {len(names)} are due")
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell.strip()}


def _cells(line: str, delimiter: str) -> Sequence[str]:
    try:
        [cells] = csv.reader([line], delimiter=delimiter, strict=True)
    except csv.Error:
        # Its message says nothing that a person could use, and may quote the row.
        raise RowError(None, "a quote that is not closed, or stands within a cell") from None
    return cells
