"""
How commands print data: `-o table|json|ndjson|csv` on stdout.

Times are RFC 3339 in UTC, octets hex, what is not known null (json) or empty.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import UUID

import click

FORMATS: Final = ("table", "json", "ndjson", "csv")

Row = Mapping[str, object]
Command = TypeVar("Command", bound=Callable[..., object])


def output_option(command: Command) -> Command:
    """Give a command the option `-o`, passed as `output`."""
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", help="How to print."
    )(command)


def write_rows(rows: Iterable[Row], columns: Sequence[str], output: str) -> None:
    """
    Print rows that all have the same columns; ndjson and csv as they come, the others at the end.

    Args:
        output: one of `FORMATS`; json prints one list.
    """
    if output == "ndjson":
        for row in rows:
            click.echo(as_json(row))
    elif output == "csv":
        click.echo(_csv_line(columns))
        for row in rows:
            click.echo(_csv_line([cell(row[column]) for column in columns]))
    elif output == "json":
        write_document([dict(row) for row in rows])
    else:
        heads = [column.upper().replace("_", " ") for column in columns]
        write_table([heads, *([cell(row[column]) for column in columns] for row in rows)])


def write_document(document: object) -> None:
    """Print one JSON document, indented."""
    click.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2))


def write_table(table: Sequence[Sequence[str]]) -> None:
    """Print texts in columns as wide as they need; nothing is cut, so pipes get it whole."""
    widths = [max(map(len, texts)) for texts in zip(*table, strict=True)]
    for row in table:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def as_json(row: object) -> str:
    """One line of JSON."""
    return json.dumps(row, default=_plain, ensure_ascii=False)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


def cell(value: object) -> str:
    """A value as it stands in a table or a CSV file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and not isinstance(value, Enum):
        return value
    if isinstance(value, int | float):
        return str(value)
    return str(_plain(value))


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()
