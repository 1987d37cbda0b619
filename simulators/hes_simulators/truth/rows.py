"""
What meters really captured: the rows of their profiles, as values and as lines of a truth log.

Owns `rows` (for tests) and `TruthLog`, which writes each row once it is captured. Values are raw
integers by OBIS code, as the meter sends them; a column that is no number is left out, and an
attribute other than the value is named as `OBIS/attribute`.

Rows are worked out, not kept, so that idle meters stay light. Only rows of the clock's grid and of
billing are here: what an event log holds is told by the events themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import structlog
import trio

from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models.objects import CaptureOn, ModelProfile
from hes_simulators.captures import capture_objects, capture_period_s
from hes_simulators.clock import SECOND_US, grid, microseconds, moment
from hes_simulators.meter import Meter
from hes_simulators.profile_status import profile_status
from hes_simulators.quantities import Rows, is_quantity, numbers
from hes_simulators.randomness import Int64Array
from hes_simulators.resets import resets_of
from hes_simulators.truth.journal import FileJournal, rfc3339
from hes_simulators.values import wrapped

if TYPE_CHECKING:
    from hes_simulators.kind import MeterKind
    from hes_simulators.scenario.pace import Pace

LOAD_PROFILE: Final = Obis.parse("1.0.99.1.0.255")
_ALL: Final = 1 << 20
_VALUE: Final = 2
_LEAST_TICK_S: Final = 60
_LONGEST_TICK_S: Final = 900
# Beside a fleet that serves, history takes a quarter of its time.
_MANNERS: Final = 3.0

_log = structlog.get_logger(__name__)


@attrs.frozen
class TruthRow:
    """
    One captured profile row; `values` are raw register values by OBIS code.

    `captured_at` is the row's time stamp, what the clock showed; `true_at` when that was.
    """

    serial: str
    captured_at: datetime
    values: dict[str, int]
    profile: str = str(LOAD_PROFILE)
    true_at: datetime | None = None

    def to_json(self) -> str:
        """One line of a truth log, without the line's end."""
        line: dict[str, object] = {
            "kind": "captured",
            "at": rfc3339(self.captured_at),
            "serial": self.serial,
            "profile": self.profile,
            "values": self.values,
        }
        if self.true_at is not None and self.true_at != self.captured_at:
            line["true_at"] = rfc3339(self.true_at)
        return json.dumps(line, separators=(",", ":"))


def rows(
    meter: Meter, from_: datetime, to: datetime, profile: Obis = LOAD_PROFILE
) -> Iterator[TruthRow]:
    """
    The rows of a profile that a meter captures at `from_` <= moment < `to`, oldest first.

    Any time may be asked for, past or to come; before its installation a meter captures nothing.

    Raises: KeyError: the meter's model has no such profile.
    """
    known = meter.kind.model.profiles[profile]
    yield from _rows(meter, known, microseconds(from_) - 1, microseconds(to) - 1, _ALL)


class History(StrEnum):
    """What a truth log does with the rows that buffers hold when it begins."""

    BEFORE = "before"
    """Write them before it reports started: a second for ten meters or so."""
    BESIDE = "beside"
    """Write them while the fleet serves already."""
    NONE = "none"
    """Leave them out."""


class TruthLog:
    """
    Writes the rows of many meters to a journal, each once it is captured.

    Args:
        meters: gives the meters whose rows are written.
        journal: takes the lines.
        pace: the meters' time.
        history: what becomes of the rows that the buffers hold already.
    """

    def __init__(
        self,
        meters: Callable[[], Iterable[Meter]],
        journal: FileJournal,
        pace: Pace,
        *,
        history: History = History.BEFORE,
    ) -> None:
        self._meters = meters
        self._journal = journal
        self._pace = pace
        self._history = history
        self._profiles: dict[MeterKind, tuple[ModelProfile, ...]] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """
        Write what the buffers hold, then each row once it is captured; until cancelled.

        At the end, unless that comes within the history, what somebody may have read is written.
        """
        until = self._pace.now()
        if self._history is not History.BEFORE:
            task_status.started()
        tick_s = _LONGEST_TICK_S
        for meter in self._meters():
            tick_s = min(tick_s, max(meter.measuring_period_s, _LEAST_TICK_S))
            if self._history is not History.NONE:
                began_s = time.perf_counter()
                await self._write(meter, None, until)
                if self._history is History.BESIDE:
                    await trio.sleep(_MANNERS * (time.perf_counter() - began_s))
        self._journal.flush()
        if self._history is History.BESIDE:
            _log.info("sim_truth_history_written")
        if self._history is History.BEFORE:
            task_status.started()
        tick_us = tick_s * SECOND_US
        after_us, written = microseconds(until), 0
        try:
            while True:
                await self._pace.sleep_until(moment((after_us // tick_us + 1) * tick_us))
                until = self._pace.now()
                for meter in self._meters():
                    await self._write(meter, after_us, until)
                    written += 1
                self._journal.flush()
                after_us, written = microseconds(until), 0
        finally:
            self._end(after_us, microseconds(until), written)

    def _end(self, after_us: int, until_us: int, written: int) -> None:
        """
        What meters had captured when somebody last looked at them; nothing more happens to them.

        Args: after_us: what is written of all. until_us: of the first `written` ones.
        """
        for place, meter in enumerate(self._meters()):
            begun_us = until_us if place < written else after_us
            if meter.now_us <= begun_us:
                continue
            try:
                for profile in self._of(meter.kind):
                    self._journal.lines(_lines(meter, profile, begun_us, meter.now_us, _ALL))
            except Exception:  # noqa: BLE001 - as above
                _log.exception("sim_truth_rows_failed", serial=meter.identity.serial)

    async def _write(self, meter: Meter, after_us: int | None, until: datetime) -> None:
        """The rows since a moment; None: as many as the buffers hold."""
        try:
            if after_us is not None:
                # What happened by itself until then (a limiter) is in the row, whoever asked.
                meter.advance(until)
            for profile in self._of(meter.kind):
                most = meter.kind.entries(profile) if after_us is None else _ALL
                self._journal.lines(
                    _lines(meter, profile, after_us or 0, microseconds(until), most)
                )
                await trio.lowlevel.checkpoint()
        except Exception:  # noqa: BLE001 - one meter's edge: the others' rows are written
            _log.exception("sim_truth_rows_failed", serial=meter.identity.serial)

    def _of(self, kind: MeterKind) -> tuple[ModelProfile, ...]:
        """The profiles whose rows are written."""
        found = self._profiles.get(kind)
        if found is None:
            found = self._profiles[kind] = tuple(
                profile
                for profile in kind.model.profiles.values()
                if profile.on in (CaptureOn.PERIOD, CaptureOn.BILLING)
            )
        return found


@attrs.frozen
class _Table:
    """Rows of one profile by column; `values` by the name of the column."""

    captured: Rows
    values: dict[str, list[int]]

    def __iter__(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """True and shown moment, values."""
        values = zip(*self.values.values(), strict=True) if self.values else repeat(())
        at, shown = self.captured.at_us.tolist(), self.captured.shown_us.tolist()
        return zip(at, shown, values, strict=False)


def _table(meter: Meter, profile: ModelProfile, after_us: int, until_us: int, most: int) -> _Table:
    """The rows of a profile with `after_us` < capture <= `until_us`, the last `most`, in order."""
    captured = _captured(meter, profile, max(after_us, meter.installed_us), until_us, most)
    if not len(captured):
        return _Table(captured, {})
    return _Table(
        captured,
        {
            _name(column): values.tolist()
            for column in capture_objects(meter, profile)
            if (values := _column(meter, column, captured)) is not None
        },
    )


def _rows(
    meter: Meter, profile: ModelProfile, after_us: int, until_us: int, most: int
) -> Iterator[TruthRow]:
    table = _table(meter, profile, after_us, until_us, most)
    name, serial = str(profile.obis), meter.identity.serial
    for at_us, shown_us, row in table:
        values = dict(zip(table.values, row, strict=True))
        yield TruthRow(serial, moment(shown_us), values, name, moment(at_us))


def _lines(
    meter: Meter, profile: ModelProfile, after_us: int, until_us: int, most: int
) -> Iterator[str]:
    """What `TruthRow.to_json` says of each row, many times as fast: a buffer has thousands."""
    table = _table(meter, profile, after_us, until_us, most)
    values = ",".join(f'"{name}":%d' for name in table.values)
    rest = f'","serial":"{meter.identity.serial}","profile":"{profile.obis}","values":{{{values}}}'
    for at_us, shown_us, row in table:
        true = "" if at_us == shown_us else f',"true_at":"{_zulu(at_us)}"'
        yield f'{{"kind":"captured","at":"{_zulu(shown_us)}{rest % row}{true}}}'


@lru_cache(maxsize=8192)
def _zulu(at_us: int) -> str:
    """All meters of a fleet capture at the same moments."""
    return rfc3339(moment(at_us))


def _captured(meter: Meter, profile: ModelProfile, after_us: int, until_us: int, most: int) -> Rows:
    if profile.on is CaptureOn.BILLING:
        at, shown = meter.closings(until_us)
        return Rows(at, shown)[at > after_us][-most:]
    period_s = capture_period_s(meter, profile)
    if not period_s:
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64))
    at, shown = meter.time.captures(
        grid(period_s, meter.face), after_us, until_us, most, meter.state.dark
    )
    return Rows(at, shown, period_s=period_s)


def _column(meter: Meter, column: CaptureObject, captured: Rows) -> Int64Array | None:
    """The numbers of a column; None where it holds something else."""
    one = meter.kind.model.objects.get((column.class_id, column.obis))
    attribute = None if one is None else one.attributes.get(column.attribute_index)
    if one is None or attribute is None:
        return None
    if attribute.source == "profile_status":
        return profile_status(meter, captured)
    if not is_quantity(attribute):
        return None
    found = numbers(meter, attribute, captured, resets_of(meter, one))
    if attribute.tag is None:
        return found
    return np.array([wrapped(value, attribute.tag) for value in found.tolist()], np.int64)


def _name(column: CaptureObject) -> str:
    if column.attribute_index == _VALUE:
        return str(column.obis)
    return f"{column.obis}/{column.attribute_index}"
