"""
The truth: what every meter really captured, to compare with what a head-end believes.

Owns the rows as values (`rows`, for tests) and as JSON lines (`TruthLog`, for `--truth-log`).
Values are raw integers by OBIS code, exactly as the meter holds them; times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs
import trio

from hes_simulators.energy.curves import Intervals
from hes_simulators.energy.grid import SLOT_S, captured_slots, first_slot_at
from hes_simulators.load_profile import (
    AVERAGE_POWER,
    EXPORT_ENERGY,
    IMPORT_ENERGY,
    LOAD_PROFILE,
    PROFILE_STATUS,
    VOLTAGE_L1,
    held_slots,
    profile_status,
)
from hes_simulators.meter import Meter
from hes_simulators.truth.journal import FileJournal, rfc3339

if TYPE_CHECKING:
    from hes_simulators.scenario.pace import Pace

_OBIS: Final = tuple(
    map(str, (PROFILE_STATUS, IMPORT_ENERGY, EXPORT_ENERGY, AVERAGE_POWER, VOLTAGE_L1))
)


@attrs.frozen
class TruthRow:
    """One captured profile row; `values` are raw register values by OBIS code."""

    serial: str
    captured_at: datetime
    values: dict[str, int]
    profile: str = str(LOAD_PROFILE)

    def to_json(self) -> str:
        """One line of a truth log, without the line's end."""
        line = {
            "kind": "captured",
            "at": rfc3339(self.captured_at),
            "serial": self.serial,
            "profile": self.profile,
            "values": self.values,
        }
        return json.dumps(line, separators=(",", ":"))


def rows(meter: Meter, from_: datetime, to: datetime) -> Iterator[TruthRow]:
    """
    The rows that a meter captures at `from_` <= moment < `to`, oldest first.

    Any time may be asked for, past or to come; before its installation a meter captures nothing.
    """
    first, end = first_slot_at(from_), first_slot_at(to)
    yield from _rows(meter, meter.curve.intervals(first, end))


class TruthLog:
    """
    Writes the rows of many meters to a journal, each once it is captured.

    Args:
        meters: gives the meters whose rows are written.
        journal: takes the lines.
        pace: the meters' time.
        history: whether it begins with what the buffers hold.
    """

    def __init__(
        self,
        meters: Callable[[], Iterable[Meter]],
        journal: FileJournal,
        pace: Pace,
        *,
        history: bool = True,
    ) -> None:
        self._meters = meters
        self._journal = journal
        self._pace = pace
        self._history = history

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what the buffers hold, report started, then write each row once it is captured."""
        at = self._pace.now()
        end_slot = captured_slots(at)
        if self._history:
            for meter in self._meters():
                self._write(meter, held_slots(meter.curve, at, meter.kind.profile_days))
                await trio.lowlevel.checkpoint()
        self._journal.flush()
        task_status.started()
        while True:
            await self._pace.sleep_until(datetime.fromtimestamp((end_slot + 1) * SLOT_S, UTC))
            captured = range(end_slot, captured_slots(self._pace.now()))
            for meter in self._meters():
                self._write(meter, captured)
                await trio.lowlevel.checkpoint()
            self._journal.flush()
            end_slot = captured.stop

    def _write(self, meter: Meter, slots: range) -> None:
        intervals = meter.curve.intervals(slots.start, slots.stop)
        self._journal.lines(row.to_json() for row in _rows(meter, intervals))


def _rows(meter: Meter, intervals: Intervals) -> Iterator[TruthRow]:
    columns = (
        profile_status(intervals, meter.kind.clock_zone),
        intervals.import_wh,
        intervals.export_wh,
        intervals.power_w,
        intervals.voltage_dv,
    )
    values = zip(*(column.tolist() for column in columns), strict=True)
    for captured_at_s, row in zip(intervals.captured_at_s.tolist(), values, strict=True):
        yield TruthRow(
            meter.identity.serial,
            datetime.fromtimestamp(captured_at_s, UTC),
            dict(zip(_OBIS, row, strict=True)),
        )
