"""
States of a fleet's meters over restarts: one file of JSON lines, replaced as a whole.

Owns the form of the file. The first line says which fleet it is; each other line is one meter that
differs from a fresh one, or has used a counter. Written beside, synced and renamed: after a power
cut the file holds the old states or the new ones.

What must not be lost even where the fleet is killed (without a key that it has changed a head-end
were locked out) is added at once, as one more line of its meter, of which the last one counts. A
line that is not whole is no line: the kill came before the answer.

Counters never go back, even where a fleet is killed between two saves: those that meters send begin
anew above all before with each start (`starts`), whatever the file says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
import structlog
import trio

from hes_protocol.axdr import Data, decode_all, encode
from hes_protocol.cosem import Obis
from hes_protocol.errors import ProtocolError
from hes_simulators.energy import ExtraLoad, VoltageEvent
from hes_simulators.state import ClockStep, LogRow, MeterState, Spans, TariffChange
from hes_simulators.truth.journal import cut_torn_line

FORMAT: Final = 1
SAVE_EVERY_S: Final = 60.0
_AT_A_TIME: Final = 200
_log = structlog.get_logger(__name__)


class StateFileError(Exception):
    """The file holds no states of this fleet; the text says why."""


class StateFile:
    """
    Where a fleet keeps its meters.

    Args: path: of the file; need not exist. seed: of the fleet.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._seed = seed
        self._added: list[str] = []

    def load(self) -> dict[int, MeterState]:
        """
        The states by the meter's index; none where there is no file.

        Raises: StateFileError: another fleet's, another form, damaged. OSError: unreadable.
        """
        if not self._path.exists():
            return {}
        cut_torn_line(self._path)
        with self._path.open(encoding="utf-8") as file:
            try:
                header = json.loads(file.readline())
                if header != self._header():
                    raise StateFileError(f"{self._path} is not of this fleet: {header}")
                return {line["index"]: state_of(line["state"]) for line in map(json.loads, file)}
            except (ValueError, KeyError, TypeError, AttributeError, ProtocolError) as error:
                raise StateFileError(f"{self._path} is damaged: {error!r}") from error

    def save(self, states: Iterable[tuple[int, MeterState]]) -> None:
        """
        Replace the file. Raises: OSError.

        Args: states: by the meter's index; those that are as fresh ones are left out.
        """
        with self._saving():
            self._added.clear()
            self._prepare(_lines(states))
            self._replace()

    def add(self, index: int, state: MeterState) -> None:
        """Keep one state at once, whenever the file is replaced; what cannot be is logged."""
        for line in _lines([(index, state)]):
            self._added.append(line)  # for a file that is being written
            try:
                with self._open(self._path, os.O_APPEND) as file:
                    if not file.tell():
                        file.write(self._header_line())
                    file.write(line)
            except OSError as error:
                _log.error("sim_state_not_saved", index=index, reason=error.strerror)

    async def run(
        self,
        states: Callable[[], Iterable[tuple[int, MeterState]]],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """
        Save at once, every `SAVE_EVERY_S`, and once more when cancelled.

        Where that fails the file is as it was, and it is tried again. Raises: OSError: the first
        time has failed, so that a wrong path is told before the fleet is ready, or the last.
        """
        self.save(states())
        task_status.started()
        try:
            while True:
                await trio.sleep(SAVE_EVERY_S)
                self._added.clear()
                lines = []
                for number, line in enumerate(_lines(states())):
                    lines.append(line)
                    if number % _AT_A_TIME == 0:
                        await trio.lowlevel.checkpoint()
                try:
                    with self._saving():
                        await trio.to_thread.run_sync(self._prepare, lines)
                        self._replace()
                except OSError as error:
                    _log.error("sim_states_not_saved", file=error.filename, reason=error.strerror)
        finally:
            self.save(states())

    def _header(self) -> dict[str, int]:
        return {"format": FORMAT, "seed": self._seed}

    def _header_line(self) -> str:
        return json.dumps(self._header()) + "\n"

    @property
    def _beside(self) -> Path:
        return self._path.with_name(self._path.name + ".new")

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # of a full disk does not say which file
            self._beside.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    def _prepare(self, lines: Iterable[str]) -> None:
        with self._open(self._beside, os.O_TRUNC) as file:
            file.write(self._header_line())
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    def _replace(self) -> None:
        """What was added while a thread prepared the file is added to it, too."""
        if self._added:
            with self._open(self._beside, os.O_APPEND) as file:
                file.writelines(self._added)
        self._beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _open(self, path: Path, flags: int) -> TextIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
        return os.fdopen(descriptor, "a" if flags & os.O_APPEND else "w", encoding="utf-8")


def _lines(states: Iterable[tuple[int, MeterState]]) -> Iterator[str]:
    for index, state in states:
        if not state.is_fresh or state.counters or state.next_counter is not None:
            try:
                kept = {"index": index, "state": plain(state)}
                yield json.dumps(kept, separators=(",", ":")) + "\n"
            except (TypeError, ValueError, ProtocolError):  # a bug: the others are kept
                _log.exception("sim_state_not_saved", index=index)


# --- one state --------------------------------------------------------------------------------


def plain(state: MeterState) -> dict[str, Any]:
    """A state as JSON has it; fields that are as in a fresh meter are left out."""
    found: dict[str, Any] = {}
    for field in attrs.fields(MeterState):
        value = getattr(state, field.name)
        if value or (field.default is None and value is not None):
            found[field.name] = _plain(value)
    return found


def state_of(kept: Mapping[str, Any]) -> MeterState:
    """
    The inverse of `plain`.

    Raises: TypeError, ValueError, KeyError, ProtocolError: no state.
    """
    return MeterState(**{name: _value(value) for name, value in kept.items()})


_CLASSES: Final[Mapping[str, Any]] = {
    cls.__name__: cls for cls in (Spans, ClockStep, ExtraLoad, LogRow, TariffChange, VoltageEvent)
}


def _plain(value: Any) -> Any:
    """JSON's own types as they are, all others as an object of one key that says what it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    match value:
        case list():
            return [_plain(element) for element in value]
        case tuple():
            return {"tuple": [_plain(element) for element in value]}
        case set() | frozenset():
            return {"set": sorted(_plain(element) for element in value)}
        case dict():
            return {"map": [[_plain(name), _plain(kept)] for name, kept in value.items()]}
        case bytes() | bytearray():
            return {"octets": value.hex()}
        case Obis():
            return {"obis": str(value)}
        case Data():
            return {"data": encode(value).hex()}
        case _:
            name = type(value).__name__
            if name not in _CLASSES:
                raise TypeError(f"a meter's state cannot keep a {name}")
            fields = attrs.fields(type(value))
            return {name: [_plain(getattr(value, field.name)) for field in fields]}


def _value(kept: Any) -> Any:
    if isinstance(kept, list):
        return [_value(element) for element in kept]
    if not isinstance(kept, dict):
        return kept
    [(kind, value)] = kept.items()
    match kind:
        case "tuple":
            return tuple(_value(element) for element in value)
        case "set":
            return {_value(element) for element in value}
        case "map":
            return {_value(name): _value(one) for name, one in value}
        case "octets":
            return bytes.fromhex(value)
        case "obis":
            return Obis.parse(value)
        case "data":
            return decode_all(bytes.fromhex(value))
        case _:
            return _CLASSES[kind](*(_value(field) for field in value))
