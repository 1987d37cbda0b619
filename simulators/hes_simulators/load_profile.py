"""
The load profile: which rows the meter still holds, and their octets.

Owns the capture objects of 1.0.99.1.0.255, the depth of its buffer, and the encoding of rows.
All columns have a fixed width, so a buffer of any length is filled in column by column (numpy)
instead of value by value.

Rows are captured on the UTC quarter-hour grid and stamped with local time, deviation and DST bit;
the oldest rows go when the buffer is full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import Final

import attrs
import numpy as np

from hes_protocol.axdr import DataTag, write_length
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import CaptureObject
from hes_simulators.energy.curves import Curve, Intervals
from hes_simulators.energy.grid import SLOTS_PER_DAY, captured_slots, first_slot_at
from hes_simulators.local_time import CapturedClocks, OctetArray, captured_clocks
from hes_simulators.randomness import Int64Array

CLOCK: Final = Obis.parse("0.0.1.0.0.255")
LOAD_PROFILE: Final = Obis.parse("1.0.99.1.0.255")
PROFILE_STATUS: Final = Obis.parse("0.0.96.10.1.255")
IMPORT_ENERGY: Final = Obis.parse("1.0.1.8.0.255")
EXPORT_ENERGY: Final = Obis.parse("1.0.2.8.0.255")
AVERAGE_POWER: Final = Obis.parse("1.0.1.27.0.255")  # current average 5: the recording interval's
VOLTAGE_L1: Final = Obis.parse("1.0.32.7.0.255")

CLOCK_CAPTURE: Final = CaptureObject(8, CLOCK, 2, 0)

_Cells = Callable[[Intervals, tzinfo], OctetArray]


@attrs.frozen
class ProfileColumn:
    """One capture object; `cells` gives one encoded cell per row, all of one width."""

    capture_object: CaptureObject
    cells: _Cells


def profile_status(rows: Intervals, zone: tzinfo) -> OctetArray:
    """The status of each row: one octet, see `local_time.STATUS_DAYLIGHT_SAVING`."""
    return _from_days(rows, zone, lambda clocks: clocks.status)


def _clock_cells(rows: Intervals, zone: tzinfo) -> OctetArray:
    octets = _from_days(rows, zone, lambda clocks: clocks.octets)
    return _cells(bytes((DataTag.OCTET_STRING, octets.shape[1])), octets)


def _status_cells(rows: Intervals, zone: tzinfo) -> OctetArray:
    return _cells(bytes((DataTag.UNSIGNED,)), profile_status(rows, zone)[:, None])


def _unsigned32(values: Int64Array) -> OctetArray:
    octets = values.astype(">u4").view(np.uint8).reshape(len(values), 4)
    return _cells(bytes((DataTag.DOUBLE_LONG_UNSIGNED,)), octets)


def _unsigned16(values: Int64Array) -> OctetArray:
    octets = values.astype(">u2").view(np.uint8).reshape(len(values), 2)
    return _cells(bytes((DataTag.LONG_UNSIGNED,)), octets)


COLUMNS: Final = (
    ProfileColumn(CLOCK_CAPTURE, _clock_cells),
    ProfileColumn(CaptureObject(1, PROFILE_STATUS, 2, 0), _status_cells),
    ProfileColumn(
        CaptureObject(3, IMPORT_ENERGY, 2, 0), lambda rows, _: _unsigned32(rows.import_wh)
    ),
    ProfileColumn(
        CaptureObject(3, EXPORT_ENERGY, 2, 0), lambda rows, _: _unsigned32(rows.export_wh)
    ),
    ProfileColumn(CaptureObject(3, AVERAGE_POWER, 2, 0), lambda rows, _: _unsigned32(rows.power_w)),
    ProfileColumn(CaptureObject(3, VOLTAGE_L1, 2, 0), lambda rows, _: _unsigned16(rows.voltage_dv)),
)


def held_slots(curve: Curve, at: datetime, depth_days: int) -> range:
    """The slots whose rows the buffer holds at a moment, oldest first."""
    end = captured_slots(at)
    start = max(curve.first_slot, end - depth_days * SLOTS_PER_DAY)
    return range(start, max(end, start))


def slots_between(held: range, first: datetime | None, last: datetime | None) -> range:
    """
    The held slots whose row was captured at `first` <= moment <= `last`; None is no bound.

    Source: IEC 62056-6-2, class_id 7, range_descriptor: from_value and to_value both belong.
    """
    start = held.start if first is None else max(held.start, first_slot_at(first))
    stop = held.stop if last is None else min(held.stop, captured_slots(last))
    return range(start, max(start, stop))


def encode_rows(
    rows: Intervals,
    columns: Sequence[ProfileColumn],
    zone: tzinfo,
    *,
    compressed: bool = False,
) -> bytes:
    """
    The profile's buffer: an array of structures.

    Args: columns: those of `COLUMNS` that are asked for, in capture order. compressed: a value
        that is as of the row before is null-data, and so is a clock that follows from it.
    Returns: one encoded `Data`.
    """
    if compressed:
        return _encode_compressed(rows, columns, zone)
    parts = [_cells(bytes((DataTag.STRUCTURE, len(columns))), np.empty((len(rows), 0), np.uint8))]
    parts.extend(column.cells(rows, zone) for column in columns)
    octets = np.concatenate(parts, axis=1).tobytes()
    return bytes((DataTag.ARRAY,)) + write_length(len(rows)) + octets


def _encode_compressed(rows: Intervals, columns: Sequence[ProfileColumn], zone: tzinfo) -> bytes:
    null = bytes((DataTag.NULL_DATA,))
    head = bytes((DataTag.STRUCTURE, len(columns)))
    cells = [[cell.tobytes() for cell in column.cells(rows, zone)] for column in columns]
    clocks = [column.capture_object == CLOCK_CAPTURE for column in columns]
    octets = bytearray((DataTag.ARRAY,)) + write_length(len(rows))
    for row in range(len(rows)):
        follows = row > 0 and rows.slot[row] == rows.slot[row - 1] + 1
        octets += head
        for column, is_clock in zip(cells, clocks, strict=True):
            same = follows if is_clock else row > 0 and column[row] == column[row - 1]
            octets += null if same else column[row]
    return bytes(octets)


def _from_days(
    rows: Intervals, zone: tzinfo, pick: Callable[[CapturedClocks], OctetArray]
) -> OctetArray:
    """What the shared tables of captured clocks say of each row."""
    if not len(rows):
        return pick(captured_clocks(zone, 0))[:0]
    first, last = int(rows.slot[0]), int(rows.slot[-1])
    days = range(first // SLOTS_PER_DAY, last // SLOTS_PER_DAY + 1)
    tables = np.concatenate([pick(captured_clocks(zone, day)) for day in days])
    start = first - days.start * SLOTS_PER_DAY
    return tables[start : start + len(rows)]


def _cells(prefix: bytes, octets: OctetArray) -> OctetArray:
    """Cells of one width: the same tag octets before each row's own."""
    head = np.broadcast_to(np.frombuffer(prefix, np.uint8), (len(octets), len(prefix)))
    return np.concatenate([head, octets], axis=1)
