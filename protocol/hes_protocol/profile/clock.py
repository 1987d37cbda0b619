"""
The clock column: twelve octets each into arrays, and null cells onto the period grid.

IEC 62056-6-2, "Date and time notations" and class_id 7, attribute 2: where entries are captured
periodically, the clock may be null-data, since the time follows from the entry before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem.date_time import DEVIATION_UNSPECIFIED, LENGTH_OCTETS, STATUS_UNSPECIFIED
from hes_protocol.profile.columns import BoolArray, Clock, Int64Array, UInt8Array

DATE_TIMES: Final = frozenset({DataTag.OCTET_STRING, DataTag.DATE_TIME})
_INT16: Final = np.dtype(">i2")
_UINT32: Final = np.dtype(">u4")
_EPOCH: Final = date(1970, 1, 1).toordinal()
# What is no instant adds this, once for each part that is none: far below all years, also when
# five such are added, and still within int64.
_NONE_US: Final = -(1 << 60)
_LEAST_US: Final = -(1 << 59)
_TIME_PLACES: Final = np.array([0, 256, 512, 768])
_ONES: Final = np.ones(4, np.int64)
_FIRST: Final = np.zeros(1, np.intp)
_NO_INSTANT: Final = b"\xff" * LENGTH_OCTETS
_HOUR_S: Final = 3600
_SECOND_US: Final = 1_000_000
_UNSPECIFIED: Final = 0xFF
# A century: no buffer is longer, and sums of a claimed period stay far within int64.
_MAX_SPAN_US: Final = 36_525 * 86_400 * _SECOND_US


def read_clock(cells: Sequence[Data], capture_period_s: int) -> Clock:
    """
    Read a clock column.

    A null cell takes the next point of the period grid after the row before it, with its deviation
    and status; it stays unknown where no instant stands before it, and behind a cell that is there
    but no instant (wildcards, another type).

    Times are filled in without regard to summer time: where the deviation is unspecified and a
    transition lies between, it is the reader, who knows the zone, that must see to it.

    Args: cells: a row each. capture_period_s: 0 where rows are not captured periodically.
    Returns: arrays of the cells' length.
    Source: IEC 62056-6-2, class_id 7, attributes 2 (buffer) and 4 (capture_period).
    """
    null = np.fromiter((cell.tag is DataTag.NULL_DATA for cell in cells), np.bool_, len(cells))
    octets = b"".join(
        cell.value if cell.tag in DATE_TIMES and len(cell.value) == LENGTH_OCTETS else _NO_INSTANT
        for cell in cells
    )
    table = np.frombuffer(octets, np.uint8).reshape(len(cells), LENGTH_OCTETS)
    return clock_of(table, null, capture_period_s)


def clock_of(table: UInt8Array, null: BoolArray | None, capture_period_s: int) -> Clock:
    """
    As `read_clock`, from octets.

    Args: table: twelve octets for each row, wildcards where the cell is no date-time. null: where
        it is null-data; None for nowhere.
    """
    rows = len(table)
    local_us, known = _instants(table)
    deviation_min = table[:, 9:11].view(_INT16)[:, 0].astype(np.int32)
    status = table[:, 11].copy()
    inferred = np.zeros(rows, np.bool_)
    if np.count_nonzero(known) < rows:
        deviation_min[~known] = DEVIATION_UNSPECIFIED
        status[~known] = STATUS_UNSPECIFIED
        if capture_period_s > 0 and null is not None and null.any():
            # The last row before each that has a clock of its own, readable or not; -1: none.
            index = np.arange(rows)
            before = np.maximum.accumulate(np.where(null, -1, index))
            inferred = null & (before >= 0)
            inferred &= index - before <= _MAX_SPAN_US // (capture_period_s * _SECOND_US)
            inferred[inferred] = known[before[inferred]]
            source = before[inferred]
            steps = index[inferred] - source
            local_us[inferred] = _grid(local_us[source], steps, capture_period_s)
            deviation_min[inferred] = deviation_min[source]
            status[inferred] = status[source]
            known = known | inferred
    return Clock(local_us, deviation_min, status, known, inferred)


def _grid(start_us: Int64Array, steps: Int64Array, capture_period_s: int) -> Int64Array:
    """
    `steps` periods after `start_us`.

    A row that was captured between two periods (power down, clock set) is followed by one on the
    grid, where the period divides the hour; longer periods keep the meter's own time of day.
    """
    period_us = capture_period_s * _SECOND_US
    if _HOUR_S % capture_period_s == 0:
        start_us = start_us // period_us * period_us
    return start_us + steps * period_us


def _instants(table: UInt8Array) -> tuple[Int64Array, BoolArray]:
    """
    Local microseconds since 1970, and where there are any.

    As `CosemDateTime.local`: a wildcard for seconds or hundredths counts as 0, any other is no
    instant.
    """
    local_us = _TIME_US[table[:, 5:9] + _TIME_PLACES].dot(_ONES)
    dates = table[:, :4].view(_UINT32)[:, 0]
    # Rows come in order: a date is read once for the rows of its day.
    ends = (dates[1:] != dates[:-1]).nonzero()[0]
    if len(ends):
        starts = np.concatenate((_FIRST, ends + 1))
        days = [_day_us(day) for day in dates[starts].tolist()]
        local_us += np.repeat(np.array(days, np.int64), np.diff(starts, append=len(dates)))
    elif len(dates):
        local_us += _day_us(dates.item(0))
    known = local_us > _LEAST_US
    if np.count_nonzero(known) < len(known):
        local_us[~known] = 0
    return local_us, known


@lru_cache(maxsize=4096)
def _day_us(octets: int) -> int:
    """Microseconds from 1970 to a day, given as year (16 bits), month, day; a sum that is none."""
    try:
        day = date(octets >> 16, octets >> 8 & 0xFF, octets & 0xFF)
    except ValueError:
        return _NONE_US
    return (day.toordinal() - _EPOCH) * 86_400 * _SECOND_US


def _time_table() -> Int64Array:
    """What hour, minute, second and hundredths stand for, one after the other, by their octets."""
    scales = ((3_600_000_000, 24), (60_000_000, 60), (1_000_000, 60), (10_000, 100))
    table = np.full((len(scales), 256), _NONE_US, np.int64)
    for row, (scale_us, count) in zip(table, scales, strict=True):
        row[:count] = np.arange(count) * scale_us
    table[2, _UNSPECIFIED] = 0
    table[3, 100:] = 0
    return table.ravel()


_TIME_US: Final = _time_table()
