"""
The bare way of getting rows into a hypertable, against which the writer is measured. Frozen.

One transaction per call, on a connection of its own, of rows that know their series already:
numpy arrays as a binary COPY into a temporary table, from there in the key's order into a table of
the same columns and primary key as `reading`. It resolves nothing, answers for nothing and notes
nothing. `executemany` is the same rows the way that drivers' manuals begin with.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt
import psycopg

_CREATE = """
CREATE TABLE bare (
    captured_at timestamptz NOT NULL, value int8, batch_id int8 NOT NULL, series_id int4 NOT NULL,
    quality int4 NOT NULL, PRIMARY KEY (series_id, captured_at))
"""
_HYPERTABLE = """
SELECT create_hypertable('bare', 'captured_at', chunk_time_interval => interval '7 days',
                         create_default_indexes => false)
"""
_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_bare (
    captured_at timestamptz, value int8, batch_id int8, series_id int4, quality int4
) ON COMMIT DELETE ROWS
"""
_COPY = "COPY staged_bare FROM STDIN (FORMAT binary)"
_MERGE = """
INSERT INTO bare (captured_at, value, batch_id, series_id, quality)
SELECT captured_at, value, batch_id, series_id, quality FROM staged_bare
ORDER BY series_id, captured_at
ON CONFLICT (series_id, captured_at) DO NOTHING
"""
_ROW_WISE = """
INSERT INTO bare (captured_at, value, batch_id, series_id, quality)
VALUES (to_timestamp(%s), %s, %s, %s, %s) ON CONFLICT (series_id, captured_at) DO NOTHING
"""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_2000_US = 946_684_800_000_000
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        *(
            field
            for name, form in (
                ("captured_at", ">i8"),
                ("value", ">i8"),
                ("batch_id", ">i8"),
                ("series_id", ">i4"),
                ("quality", ">i4"),
            )
            for field in ((f"{name}_length", ">i4"), (name, form))
        ),
    ]
)


@attrs.frozen(eq=False)
class BareRows:
    """Rows with their series known; `captured_at` in microseconds since 1970 UTC."""

    captured_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]
    batch_id: npt.NDArray[np.int64]
    series_id: npt.NDArray[np.int32]
    quality: npt.NDArray[np.int32]


def create(connection: psycopg.Connection) -> None:
    """Make the table `bare`, a hypertable."""
    connection.execute(_CREATE)
    connection.execute(_HYPERTABLE)
    connection.commit()


def staged_merge(connection: psycopg.Connection, rows: BareRows) -> int:
    """Store rows in one transaction; how many were new."""
    table = np.empty(len(rows.captured_at), _ROW)
    table["fields"] = 5
    for name in ("captured_at", "value", "batch_id", "series_id", "quality"):
        table[f"{name}_length"] = _ROW[name].itemsize
        table[name] = getattr(rows, name)
    table["captured_at"] -= _2000_US
    connection.execute(_STAGE)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(_HEADER + table.tobytes() + _TRAILER)
    stored = connection.execute(_MERGE).rowcount
    connection.commit()
    return stored


def executemany(connection: psycopg.Connection, rows: BareRows) -> None:
    """Store rows in one transaction, one by one."""
    values = zip(
        (rows.captured_at / 1e6).tolist(),
        rows.value.tolist(),
        rows.batch_id.tolist(),
        rows.series_id.tolist(),
        rows.quality.tolist(),
        strict=True,
    )
    with connection.cursor() as cursor:
        cursor.executemany(_ROW_WISE, list(values))
    connection.commit()
