"""
The truth: what every meter really captured, to compare with what a head-end believes.

Owns the rows as values (`rows`, for tests) and as JSON lines (`TruthLog`, for `--truth-log`).
Values are raw integers by OBIS code, exactly as the meter holds them; times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, TextIO

import attrs
import trio

from hes_simulators.energy.curves import Intervals
from hes_simulators.energy.grid import SLOT_S, captured_slots, first_slot_at
from hes_simulators.load_profile import (
    AVERAGE_POWER,
    EXPORT_ENERGY,
    IMPORT_ENERGY,
    PROFILE_STATUS,
    VOLTAGE_L1,
    held_slots,
    profile_status,
)
from hes_simulators.meter import Meter

_OBIS: Final = tuple(
    map(str, (PROFILE_STATUS, IMPORT_ENERGY, EXPORT_ENERGY, AVERAGE_POWER, VOLTAGE_L1))
)


@attrs.frozen
class TruthRow:
    """One captured profile row; `values` are raw register values by OBIS code."""

    serial: str
    captured_at: datetime
    values: dict[str, int]

    def to_json(self) -> str:
        """One line of a truth log, without the line's end."""
        at = self.captured_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return json.dumps({"serial": self.serial, "captured_at": at, "values": self.values})


def rows(meter: Meter, from_: datetime, to: datetime) -> Iterator[TruthRow]:
    """
    The rows that a meter captures at `from_` <= moment < `to`, oldest first.

    Any time may be asked for, past or to come; before its installation a meter captures nothing.
    """
    first, end = first_slot_at(from_), first_slot_at(to)
    yield from _rows(meter, meter.curve.intervals(first, end))


class TruthLog:
    """
    Writes the rows of many meters to a file, as JSON lines.

    Args:
        meters: gives the meters whose rows are written.
        file: open for writing text; closed by the caller.
        now: the meters' clock, aware UTC.
        depth_days: depth of their buffers.
    """

    def __init__(
        self,
        meters: Callable[[], Iterable[Meter]],
        file: TextIO,
        now: Callable[[], datetime],
        depth_days: int,
    ) -> None:
        self._meters = meters
        self._file = file
        self._now = now
        self._depth_days = depth_days

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what the buffers hold, report started, then write each row once it is captured."""
        at = self._now()
        end_slot = captured_slots(at)
        for meter in self._meters():
            held = held_slots(meter.curve, at, self._depth_days)
            self._write(meter, held)
            await trio.lowlevel.checkpoint()
        self._file.flush()
        task_status.started()
        while True:
            next_row_s = (end_slot + 1) * SLOT_S
            await trio.sleep(max(next_row_s - self._now().timestamp(), 0.0))
            captured = range(end_slot, captured_slots(self._now()))
            for meter in self._meters():
                self._write(meter, captured)
                await trio.lowlevel.checkpoint()
            self._file.flush()
            end_slot = captured.stop

    def _write(self, meter: Meter, slots: range) -> None:
        intervals = meter.curve.intervals(slots.start, slots.stop)
        self._file.writelines(row.to_json() + "\n" for row in _rows(meter, intervals))


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
