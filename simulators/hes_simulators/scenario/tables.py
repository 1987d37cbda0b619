"""
Strict reading of TOML tables: every key is asked for once, by type; what is left over is an error.

Owns the words of errors: they name file, table and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hes_simulators.energy.tariff import Switches
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.spans import Lasting, span_us

_T = TypeVar("_T")
_D = TypeVar("_D")
_REQUIRED: Final = object()
_MOST_TEXT: Final = 200
_FEW: Final = 20
_SWITCH: Final = re.compile(r"([01][0-9]|2[0-3]):(00|15|30|45) +([1-8])", re.ASCII)


class Table:
    """
    One table.

    Args: where: file and table, for errors. values: what it holds.
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self._values = dict(values)
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @overload
    def take(self, key: str, read: Callable[[Any], _T]) -> _T: ...

    @overload
    def take(self, key: str, read: Callable[[Any], _T], default: _D) -> _T | _D: ...

    def take(self, key: str, read: Callable[[Any], Any], default: Any = _REQUIRED) -> Any:
        """
        The value of a key, which is then no longer there.

        Args: read: raises ValueError with the words for people where it does not like the value.
        Raises: ScenarioError: it is not there and has no default, or is not liked.
        """
        self._asked.append(key)
        if key not in self._values:
            if default is _REQUIRED:
                like = get_close_matches(key, self._values, n=1)
                there = f"; {like[0]!r} stands there" if like else ""
                raise self.error(key, f"is missing{there}")
            return default
        try:
            return read(self._values.pop(key))
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def tables(self, key: str) -> list[Table]:
        """
        The tables of an array, numbered from 1 as people count them.

        Raises: ScenarioError: something else than tables.
        """
        found = self.take(key, _array_of_tables, [])
        return [Table(f"{self.where}, [[{key}]] {n}", one) for n, one in enumerate(found, 1)]

    def end(self) -> None:
        """
        Nothing else may stand here.

        Raises: ScenarioError: something does.
        """
        if self._values:
            key = min(self._values)
            like = get_close_matches(key, self._asked, n=1)
            meant = f"; is {like[0]!r} meant?" if like else ""
            raise self.error(key, f"is no key of this table{meant}")

    def error(self, key: str, detail: str) -> ScenarioError:
        """An error about one key."""
        return ScenarioError(f"{self.where}, {key}", detail)


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT:
        raise ValueError(f"a text of 1 to {_MOST_TEXT} characters belongs here")
    return value


def flag(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false belongs here")  # noqa: TRY004 - as all readers
    return value


def whole(least: int, most: int) -> Callable[[object], int]:
    """A whole number between bounds."""

    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most} belongs here")
        return value

    return read


def share(value: object) -> float:
    """A number above 0, up to 1."""
    if type(value) not in (int, float) or not 0 < value <= 1:  # type: ignore[operator]
        raise ValueError("a number above 0 up to 1 belongs here")
    return float(value)  # type: ignore[arg-type]


def few(wanted: str, names: Sequence[str]) -> str:
    """For people: all names, or of many those that look like the one that was wanted."""
    if len(names) <= _FEW:
        return ", ".join(names)
    like = get_close_matches(wanted, names, cutoff=0.5) or names[:3]
    return f"{len(names)}, as {', '.join(like)}"


def one_of(*names: str) -> Callable[[object], str]:
    """One of a few names."""

    def read(value: object) -> str:
        if value not in names:
            raise ValueError(f"{value!r} is none of {few(str(value), names)}")
        return str(value)

    return read


def span(value: object) -> int:
    """A span of time, in microseconds; not negative."""
    found = span_us(text(value))
    if found < 0:
        raise ValueError("a span of time that is not negative belongs here")
    return found


def signed_span(value: object) -> int:
    """A span of time forwards or backwards, in microseconds."""
    return span_us(text(value))


def lasting(value: object) -> Lasting:
    """A span, or a range of spans."""
    return Lasting.parse(text(value))


def zone(value: object) -> ZoneInfo:
    """An IANA zone."""
    name = text(value)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone") from None


def switches(value: object) -> Switches:
    """When which rate counts in a day, `00:00 2, 06:00 1`: at quarter-hours, from midnight on."""
    found = []
    for part in text(value).split(","):
        match = _SWITCH.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no time at a quarter-hour with a rate, 06:00 1")
        hour, minute, rate = map(int, match.groups())
        found.append((hour + minute / 60, rate))
    hours = [hour for hour, _ in found]
    if hours[0] != 0 or hours != sorted(set(hours)):
        raise ValueError("a day begins at 00:00, and its times are in order")
    return tuple(found)


def table(value: object) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise ValueError("a table belongs here")  # noqa: TRY004 - as all readers
    return value


def numbers(value: object) -> frozenset[int]:
    """Meters by number, `1-20, 25`: their indices, from 0."""
    found: set[int] = set()
    for part in text(value).split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and len(last) <= 7):
            raise ValueError(f"{part.strip()!r} is no number of a meter and no range of them")
        if not 1 <= int(first) <= int(last):
            raise ValueError(f"{part.strip()!r}: meters are numbered from 1 upwards")
        found.update(range(int(first) - 1, int(last)))
    return frozenset(found)


def _array_of_tables(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("tables belong here, each under its own heading in double brackets")
    return value
