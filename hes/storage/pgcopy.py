"""
numpy columns -> the binary format of COPY, without a Python object per value.

Source: PostgreSQL documentation, COPY, "Binary Format": a signature, two int32, then per row an
int16 count of fields and per field an int32 length (-1: null) and the octets, big-endian; int16 -1
at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hes.domain.readings import BoolArray, Int64Array

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = -1

# timestamptz counts microseconds from 2000-01-01, we count from 1970-01-01.
EPOCH_SHIFT_US = 946_684_800_000_000

Column = npt.NDArray[Any]


def timestamps(microseconds: Int64Array) -> Int64Array:
    """Microseconds since 1970 UTC -> what timestamptz holds."""
    return microseconds - EPOCH_SHIFT_US


def encode(columns: Sequence[Column], null: BoolArray) -> bytes:
    """
    Encode rows of fixed-width numbers; only the last column may be null.

    Rows whose last column is null come after all others, so a reader that needs the order must
    find it in a column.

    Args:
        columns: arrays of one length, int16/int32/int64/float64, as wide as the table's columns.
        null: where the last column is null.

    Returns:
        A whole binary COPY stream.
    """
    parts = [_HEADER]
    if not null.any():
        parts.append(_encode(columns, last_is_null=False))
    else:
        given = ~null
        parts.append(_encode([column[given] for column in columns], last_is_null=False))
        parts.append(_encode([column[null] for column in columns], last_is_null=True))
    parts.append(_TRAILER)
    return b"".join(parts)


def _encode(columns: Sequence[Column], *, last_is_null: bool) -> bytes:
    with_value = columns[:-1] if last_is_null else columns
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for number, column in enumerate(with_value):
        fields += [
            (f"length_{number}", ">i4"),
            (f"value_{number}", column.dtype.newbyteorder(">").str),
        ]
    if last_is_null:
        fields.append(("null", ">i4"))
    rows = np.empty(len(columns[0]), np.dtype(fields))
    rows["count"] = len(columns)
    for number, column in enumerate(with_value):
        rows[f"length_{number}"] = column.dtype.itemsize
        rows[f"value_{number}"] = column
    if last_is_null:
        rows["null"] = _NULL
    return rows.tobytes()
