"""
Comparing what a head-end believes with what happened.

Owns reading a truth log, what follows from it for a head-end (`expected`), and the differences.
Knows nothing of any head-end: who compares brings what is stored as mappings of the same keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs

from hes_simulators.truth.journal import files

_K = TypeVar("_K")
_V = TypeVar("_V")
_MOST_SHOWN: Final = 5
_HUNDREDTH_US: Final = 10_000


class ReadingKey(NamedTuple):
    """
    What one captured value is known by; `at` as the meter's clock stamped it, UTC.

    A clock that was set back stamps a time again: what is then captured with another value is
    `nth` 1, and so on. As long as the value stays the same, nothing else is said of that time.
    """

    serial: str
    profile: str
    obis: str
    at: datetime
    nth: int = 0


class EventKey(NamedTuple):
    """What one logged event is known by; `log` is the log's name, `at` the true time, UTC."""

    serial: str
    log: str
    code: int
    at: datetime


class LineKey(NamedTuple):
    """
    What a line of an event log is known by to whoever has read it.

    `log` is its OBIS, `at` what the meter's clock showed, to the hundredth of a second, UTC; `nth`
    counts lines of equal code and time, from 0.
    """

    serial: str
    log: str
    code: int
    at: datetime
    nth: int = 0


@attrs.frozen
class Truth:
    """
    What a truth log says, by kind, in its order; see docs/reference/truth-log.md.

    `readings` are the captured values, raw. `misstamped` tells of those whose row bears another
    time than when it was captured, when that was. `events` are those that went into a log, with
    their names; `log_lines` the same as a log shows them, with when they were really noted. The
    others are the lines as they stand, `at` and other times as text.
    """

    readings: dict[ReadingKey, int] = attrs.field(factory=dict)
    misstamped: dict[ReadingKey, datetime] = attrs.field(factory=dict)
    events: dict[EventKey, str] = attrs.field(factory=dict)
    log_lines: dict[LineKey, datetime] = attrs.field(factory=dict)
    lines: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The lines of a kind; captured rows are in `readings` only."""
        return self.lines.get(kind, [])

    def captured_at(self, key: ReadingKey) -> datetime:
        """When a value was really captured: the order in which a buffer got it."""
        return self.misstamped.get(key, key.at)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """
    The lines of a truth log, those set aside first.

    A last line that is not whole is left out: its writer was killed, or is at it.

    Raises: ValueError: a line that is none. OSError: no such file.
    """
    for file in files(path):
        with file.open(encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                if not line.endswith("\n"):
                    break
                try:
                    found = json.loads(line)
                except ValueError:
                    raise ValueError(f"{file}, line {number}: no line of a truth log") from None
                if not isinstance(found, dict) or "kind" not in found:
                    raise ValueError(f"{file}, line {number}: no line of a truth log")
                yield found


def read(path: Path, wanted: Callable[[dict[str, Any]], bool] = bool) -> Truth:
    """
    Everything in a truth log that is `wanted`.

    Raises: as `lines`.
    """
    truth = Truth()
    told: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for line in lines(path):
        if not wanted(line):
            continue
        kind = line["kind"]
        if kind == "captured":
            # After a restart a log tells its history once more.
            row = line["serial"], line["profile"], line["at"]
            before = told.get(row, ())
            if (true_at := line.get("true_at", line["at"])) not in before:
                told[row] = (*before, true_at)
                _take(truth, line, repeated=bool(before))
            continue
        truth.lines.setdefault(kind, []).append(line)
        if kind == "event":
            at = datetime.fromisoformat(line["at"])
            for log, code in line.get("logs", {}).items():
                truth.events[EventKey(line["serial"], log, code, at)] = line["name"]
            _take_lines(truth, line, at)
    return truth


def _take_lines(truth: Truth, line: dict[str, Any], at: datetime) -> None:
    shown = datetime.fromisoformat(line["shown"]) if "shown" in line else at
    stamped = shown.replace(microsecond=shown.microsecond // _HUNDREDTH_US * _HUNDREDTH_US)
    for log, code in line.get("lines", {}).items():
        key = LineKey(line["serial"], log, code, stamped)
        while key in truth.log_lines:
            key = key._replace(nth=key.nth + 1)
        truth.log_lines[key] = at


def _take(truth: Truth, line: dict[str, Any], *, repeated: bool) -> None:
    at = datetime.fromisoformat(line["at"])
    true_at = datetime.fromisoformat(line["true_at"]) if "true_at" in line else None
    for obis, value in line["values"].items():
        key = ReadingKey(line["serial"], line["profile"], obis, at)
        if repeated:
            while (held := truth.readings.get(key)) is not None:
                before, key = held, key._replace(nth=key.nth + 1)
            if key.nth and before == value:
                continue
        truth.readings[key] = value
        if true_at is not None:
            truth.misstamped[key] = true_at


@attrs.frozen
class Difference(Generic[_K, _V]):
    """
    What a head-end has otherwise than the truth.

    `missing`: true and not stored. `unexpected`: stored and never true. `wrong`: stored with
    another value, as (true, stored).
    """

    missing: dict[_K, _V]
    unexpected: dict[_K, _V]
    wrong: dict[_K, tuple[_V, _V]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.wrong)

    def __str__(self) -> str:
        parts = []
        for name in ("missing", "unexpected", "wrong"):
            found = getattr(self, name)
            shown = ", ".join(str(one) for one in list(found.items())[:_MOST_SHOWN])
            more = ", …" if len(found) > _MOST_SHOWN else ""
            parts.append(f"{len(found)} {name}" + (f": {shown}{more}" if found else ""))
        return "; ".join(parts)


def difference(
    true: Mapping[_K, _V], stored: Mapping[_K, _V], ignored: Iterable[_K] = ()
) -> Difference[_K, _V]:
    """
    Compare by key.

    Args: ignored: keys that nobody can be asked for (on their way, older than the buffers).
    """
    skip = frozenset(ignored)
    return Difference(
        {key: value for key, value in true.items() if key not in stored and key not in skip},
        {key: value for key, value in stored.items() if key not in true and key not in skip},
        {
            key: (true[key], value)
            for key, value in stored.items()
            if key in true and key not in skip and true[key] != value
        },
    )
