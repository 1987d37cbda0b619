"""
The journal: what really happened to simulated meters, told by those who did it.

Owns the one call that meters, pushes, faults and the timeline make (`Journal.note`), and three
journals: `NullJournal` forgets, `ListJournal` keeps (tests), `FileJournal` writes JSON lines. The
head-end never influences a journal. What the lines mean stands in docs/reference/truth-log.md.

Cheap where it is called: a note costs one tuple in a list. Lines are made and written together,
by `FileJournal.run` every `FLUSH_S`, or at once where there are too many to keep in memory. What
a meter *executed* is written through: whoever compares after a crash must not find a switch that
moved without a line.

A journal that cannot be written any more (no room on the disk) ends the fleet, by `run` and not in
the midst of what some meter does: truth of which a part is missing helps nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from os import fsync
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TextIO

import attrs
import trio

KINDS: Final = frozenset(
    {"captured", "sent", "executed", "event", "fault", "outage", "session", "scenario"}
)
FLUSH_S: Final = 0.5
MOST_PENDING: Final = 4096
_WRITTEN_THROUGH: Final = frozenset({"executed"})


class Journal(Protocol):
    """Where those who act on a meter say so."""

    def note(self, kind: str, at: datetime, serial: str, /, **facts: object) -> None:
        """
        Something happened to one meter.

        Args:
            kind: one of `KINDS`.
            at: when it really happened, aware UTC, whatever the meter's clock shows.
            serial: of the meter; empty for what concerns no single meter.
            facts: by the schema of the kind. Octets become hex, times RFC 3339, enumerations
                their names in lower case, anything else that JSON has no form for its text.
        Raises: ValueError: no such kind.
        """


@attrs.frozen
class Note:
    """One entry of a journal, as it was told."""

    kind: str
    at: datetime
    serial: str
    facts: dict[str, object]

    def to_json(self) -> str:
        """One line of a truth log, without the line's end."""
        line = {"kind": self.kind, "at": rfc3339(self.at), "serial": self.serial, **self.facts}
        return json.dumps(line, default=_plain, separators=(",", ":"))


class NullJournal:
    """Forgets: for fleets whose truth nobody asks for."""

    def note(self, kind: str, at: datetime, serial: str, /, **facts: object) -> None:
        """Nothing is kept."""


@attrs.frozen
class ListJournal:
    """Keeps every note in memory, for tests."""

    notes: list[Note] = attrs.field(factory=list)

    def note(self, kind: str, at: datetime, serial: str, /, **facts: object) -> None:
        """Keep it."""
        self.notes.append(Note(_known(kind), at, serial, facts))

    def of(self, kind: str) -> list[Note]:
        """The notes of one kind, in the order in which they were told."""
        return [note for note in self.notes if note.kind == kind]


class FileJournal:
    """
    Writes JSON lines to `path`; a context manager that leaves everything written and synced.

    Args:
        path: what it holds is replaced; see `max_octets` for what stands beside it.
        append: go on behind what stands there instead, as after a crash; a last line that is not
            whole goes.
        max_octets: a file above this is set aside as `path.1`, `path.2`, … in order of age, and
            a new one begun; None: one file, however long. Nothing is ever removed.
    Raises: OSError: the file cannot be written.
    """

    def __init__(self, path: Path, *, max_octets: int | None = None, append: bool = False) -> None:
        self._path = path
        self._max_octets = max_octets
        self._pending: list[Note] = []
        self._octets = 0
        self._set_aside = 0
        self._failure: OSError | None = None
        if append and path.exists():
            self._octets = cut_torn_line(path)
            self._set_aside = len(_set_aside(path))
        else:
            forget(path)
        self._file: TextIO = path.open("a", encoding="utf-8")

    def note(self, kind: str, at: datetime, serial: str, /, **facts: object) -> None:
        """Keep it until the next flush, or write it now: see the module."""
        self._pending.append(Note(_known(kind), at, serial, facts))
        if kind in _WRITTEN_THROUGH or len(self._pending) >= MOST_PENDING:
            self.flush()

    def lines(self, lines: Iterator[str]) -> None:
        """
        Write lines that somebody made by the schema (rows of profiles), after what is pending.

        Args: lines: without their ends; read at once.
        """
        self.flush()
        self._write(lines)

    def flush(self) -> None:
        """Give what is pending to the operating system."""
        pending, self._pending = self._pending, []
        self._write(note.to_json() for note in pending)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush every `FLUSH_S` until cancelled. Raises: OSError: nothing more can be written."""
        task_status.started()
        while self._failure is None:
            await trio.sleep(FLUSH_S)
            self.flush()
        raise self._failure

    def close(self) -> None:
        """
        Write what is pending, sync, close.

        Raises: OSError: not all is written; where `run` has said so already, nothing.
        """
        told = self._failure
        self.flush()
        with self._failing():
            fsync(self._file.fileno())
        with self._failing():
            self._file.close()
        if self._failure is not None and told is None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, lines: Iterator[str]) -> None:
        if self._failure is None:  # else more would follow after a hole
            with self._failing():
                self._append(lines)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # of a full disk does not say which file
            if self._failure is None:
                self._failure = OSError(error.errno, error.strerror, str(self._path))

    def _append(self, lines: Iterator[str]) -> None:
        if self._max_octets is None:
            self._file.writelines(line + "\n" for line in lines)
        else:
            for line in lines:
                self._octets += self._file.write(line + "\n")
                if self._octets >= self._max_octets:
                    self._begin_anew()
        self._file.flush()

    def _begin_anew(self) -> None:
        self._file.flush()
        fsync(self._file.fileno())
        self._file.close()
        self._set_aside += 1
        self._path.rename(self._path.with_name(f"{self._path.name}.{self._set_aside}"))
        self._file = self._path.open("w", encoding="utf-8")
        self._octets = 0


def files(path: Path) -> list[Path]:
    """The files of a truth log, oldest first: those that were set aside, then `path`."""
    return [*_set_aside(path), path]


def forget(path: Path) -> None:
    """Remove a truth log and what was set aside of it."""
    for file in files(path):
        file.unlink(missing_ok=True)


def rfc3339(at: datetime) -> str:
    """UTC with `Z`; microseconds only where there are some."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def cut_torn_line(path: Path) -> int:
    """Cut off a last line that has no end. Returns: octets of the whole lines."""
    with path.open("rb+") as file:
        whole = length = 0
        for line in file:
            length += len(line)
            if line.endswith(b"\n"):
                whole = length
        file.truncate(whole)
    return whole


def _set_aside(path: Path) -> list[Path]:
    found = {
        int(suffix): file
        for file in path.parent.glob(f"{path.name}.*")
        if (suffix := file.name[len(path.name) + 1 :]).isdecimal()
    }
    return [found[number] for number in sorted(found)]


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(sorted(KINDS))}")
    return kind


_FORMS: Final[tuple[tuple[Any, Callable[[Any], object]], ...]] = (
    (datetime, rfc3339),
    ((date, time), lambda value: value.isoformat()),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).hex()),
    (Enum, lambda value: value.name.lower()),
    ((set, frozenset), lambda value: sorted(value, key=str)),
    ((IPv4Address, IPv6Address), str),
)


def _plain(value: object) -> object:
    """What JSON has no form for."""
    for type_, form in _FORMS:
        if isinstance(value, type_):
            return form(value)
    return str(value)
