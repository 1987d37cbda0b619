"""
The clock column: twelve octets each into arrays, and null cells onto the period grid.

IEC 62056-6-2, "Date and time notations" and class_id 7, attribute 2: where entries are captured
periodically, the clock may be null-data, since the time follows from the entry before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem.date_time import DEVIATION_UNSPECIFIED, LENGTH_OCTETS, STATUS_UNSPECIFIED
from hes_protocol.profile.columns import BoolArray, Clock, Int64Array, UInt8Array

_DATE_TIMES: Final = frozenset({DataTag.OCTET_STRING, DataTag.DATE_TIME})
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
        cell.value if cell.tag in _DATE_TIMES and len(cell.value) == LENGTH_OCTETS else _NO_INSTANT
        for cell in cells
    )
    table = np.frombuffer(octets, np.uint8).reshape(len(cells), LENGTH_OCTETS)
    local_us, known = _instants(table)
    deviation = (table[:, 9].astype(np.uint16) << 8 | table[:, 10]).astype(np.int16)
    deviation_min = np.where(known, deviation, DEVIATION_UNSPECIFIED).astype(np.int32)
    status = np.where(known, table[:, 11], STATUS_UNSPECIFIED).astype(np.uint8)
    inferred = np.zeros(len(cells), np.bool_)
    if capture_period_s > 0 and null.any():
        # The last row before each that has a clock of its own, readable or not; -1: none.
        index = np.arange(len(cells))
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
    field = table.astype(np.int64)
    year = field[:, 0] << 8 | field[:, 1]
    month, day, hour, minute = (field[:, place] for place in (2, 3, 5, 6))
    second = np.where(field[:, 7] == _UNSPECIFIED, 0, field[:, 7])
    hundredths = np.where(field[:, 8] < 100, field[:, 8], 0)
    known = (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    known &= (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(known, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(known, day - 1, 0)
    known &= days.astype("datetime64[M]") == months
    seconds = days.astype(np.int64) * 86_400 + hour * 3600 + minute * 60 + second
    return np.where(known, seconds * _SECOND_US + hundredths * 10_000, 0), known
