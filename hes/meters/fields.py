"""
How fields of a row are read, and what is said of one that cannot be.

Rules that all fields share: an empty text is as good as null, texts lose the blanks around them, a
field is taken out of the row when it is read, so that what is left over is unknown. What is said of
an error never quotes a secret, nor anything that looks like one in the wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from hes.meters.lines import LINE_LENGTH_OCTETS

TEXT_LENGTH: Final = 64

_LIKE_A_KEY: Final = re.compile(r"[0-9A-Fa-f]{16}")
_FORMULA: Final = ("=", "+", "-", "@")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")

T = TypeVar("T")


class RowError(Exception):
    """
    A row that cannot be used.

    Args:
        field: the field that is at fault, None for the row as a whole.
        message: one sentence for a person, without secrets.
        serial: whose row it is, where that could be read.
    """

    def __init__(self, field: str | None, message: str, serial: str | None = None) -> None:
        super().__init__(field, message, serial)
        self.field = field
        self.message = message
        self.serial = serial


def read_object(text: bytes) -> dict[str, Any]:
    """
    The fields of a row.

    Raises:
        RowError: it is too long, no JSON object, or names a field twice.
    """
    try:
        value = json.loads(read_text(text), object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        # Its message says what and where, and quotes nothing of the row.
        where = f"column {error.colno}"
        raise RowError(None, f"not JSON: {error.msg} at {where}") from None
    except (ValueError, RecursionError):
        raise RowError(None, "not JSON that can be read: too deep, or a number too long") from None
    if not isinstance(value, dict):
        raise RowError(None, "not a JSON object")
    return value


def read_text(line: bytes) -> str:
    """
    A line as a text.

    Raises:
        RowError: it is too long, or no UTF-8.
    """
    if len(line) > LINE_LENGTH_OCTETS:
        raise RowError(None, f"longer than {LINE_LENGTH_OCTETS} octets")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RowError(None, "not UTF-8; save the file as UTF-8") from None


def _pairs(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            # Which of the two is meant cannot be known.
            raise RowError(field_name(name), "given twice")
        fields[name] = value
    return fields


class _Missing:
    """Marks a field that has no default."""


_MISSING: Final = _Missing()


def take(
    fields: dict[str, Any],
    name: str,
    read: Callable[[Any], T],
    default: Any = _MISSING,
) -> Any:
    """
    Take a field out of the row, so that what is left over is unknown.

    Args:
        read: makes of what is given what is meant; a ValueError says why it cannot be.

    Raises:
        RowError: it is missing and has no default, or cannot be read.
    """
    value = fields.pop(name, None)
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        if default is _MISSING:
            raise RowError(name, "missing")
        return default
    try:
        return read(value)
    except ValueError as error:
        raise RowError(name, str(error)) from None


def refuse_others(fields: Mapping[str, Any]) -> None:
    """
    See that nothing is left of a row.

    Raises:
        RowError: something is: a field that we do not know.
    """
    for name in fields:
        raise RowError(field_name(name), "no such field")


def label(value: Any) -> str:
    """Read a name: a printable text of at most `TEXT_LENGTH` characters."""
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - one class for all that a row may say
    if len(value) > TEXT_LENGTH:
        raise ValueError(f"longer than {TEXT_LENGTH} characters")
    if not value.isprintable():
        raise ValueError("holds characters that cannot be printed")
    if value.startswith(_FORMULA):
        # It would run in the spreadsheet of whoever opens a list of meters.
        raise ValueError(f"begins with {value[0]}, as formulas do; leave that away")
    return value


def labels(most: int) -> Callable[[Any], tuple[str, ...]]:
    """Make a reader of names: a list of them, or a text that parts them by `|`."""

    def read(value: Any) -> tuple[str, ...]:
        names = value.split("|") if isinstance(value, str) else value
        if not isinstance(names, list):
            raise ValueError("not a text, nor a list of texts")  # noqa: TRY004 - as `label`
        if len(names) > most:
            raise ValueError(f"more than {most} names")
        read = [label(name).strip() for name in names]
        if not all(read):
            raise ValueError("an empty name among others")
        return tuple(dict.fromkeys(read))

    return read


def number(least: int, most: int) -> Callable[[Any], int]:
    """Make a reader of whole numbers, also written as a text."""

    def read(value: Any) -> int:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"not a whole number from {least} to {most}")
        return value

    return read


def hex_octets(least: int, most: int) -> Callable[[Any], bytes]:
    """Make a reader of so many octets in hex."""

    def read(value: Any) -> bytes:
        try:
            octets = bytes.fromhex(value)
        except (TypeError, ValueError):
            # Neither the value nor the place in it: this may be a key with a typing error.
            raise ValueError("not a text of hex digits") from None
        if not least <= len(octets) <= most:
            due = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"{len(octets)} octets where {due} are due")
        return octets

    return read


def moment(value: Any) -> datetime:
    """Read an instant with its offset from UTC."""
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{shown(value)} is no time such as 2026-01-31T00:00:00Z") from None
    if read.tzinfo is None:
        raise ValueError(f"{shown(value)} has no offset from UTC; end it with Z or +01:00")
    if not 1970 < read.year < 2200:
        raise ValueError(f"{shown(value)} lies outside 1971 to 2199")
    return read.astimezone(UTC)


def shown(value: Any) -> str:
    """Quote a value for a person, unless it may be a key in the wrong field."""
    if not isinstance(value, str | int | float) or _LIKE_A_KEY.search(str(value)):
        return "the value"
    text = str(value)
    return json.dumps(text if len(text) <= 40 else text[:39] + "…", ensure_ascii=False)


def field_name(name: str) -> str:
    """Quote a field's name for a person, unless it may be something else."""
    return name if re.fullmatch(r"\w{1,40}", name) and not _LIKE_A_KEY.search(name) else "…"
