"""
Roll-ups: which hours are to be taken in again, and what the current values of a bucket come to.

`mark_dirty` is called in the writer's transaction.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hes.domain.readings import Int32Array, Int64Array
from hes.storage.database import Connection

_HOUR_US: Final = 3_600_000_000
_HOURS_PER_DAY: Final = 24
_PLACES_PER_ROW: Final = 128
_SHIFT: Final = 1 << 31

_MARK: Final = """
INSERT INTO dirty_bucket (series_ids, first_hours, last_hours) VALUES (%b, %b, %b)
"""


def mark_dirty(connection: Connection, series_id: Int32Array, captured_at: Int64Array) -> None:
    """
    Note that rows were written, in the transaction that writes them.

    Only appends, so that nobody is waited for and the order of the calls does not matter.

    Args:
        series_id: per row.
        captured_at: per row, microseconds since 1970 UTC.
    """
    if not len(series_id):
        return
    hour = captured_at // _HOUR_US
    # One key per row, so that one sort of plain integers does; hours before 1970 are shifted up.
    key = (series_id.astype(np.int64) << 32) | (hour + _SHIFT)
    key.sort()
    hours = (key & 0xFFFF_FFFF) - _SHIFT
    place = (key >> 32 << 32) | (hours // _HOURS_PER_DAY + _SHIFT)
    begins = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
    ends = np.append(begins[1:], len(key)) - 1
    series = (key[begins] >> 32).tolist()
    first, last = hours[begins].tolist(), hours[ends].tolist()
    with connection.cursor() as cursor:
        cursor.executemany(
            _MARK,
            [
                tuple(column[start : start + _PLACES_PER_ROW] for column in (series, first, last))
                for start in range(0, len(series), _PLACES_PER_ROW)
            ],
        )
