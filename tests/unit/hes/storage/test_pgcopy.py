import struct

import numpy as np

from hes.storage import pgcopy


def read(stream: bytes) -> list[tuple[bytes | None, ...]]:
    """Read binary COPY as the server does: counts and lengths, nothing known of types."""
    assert stream.startswith(b"PGCOPY\n\xff\r\n\x00")
    position = 19
    rows = []
    while (count := struct.unpack_from(">h", stream, position)[0]) != -1:
        position += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, position)
            position += 4
            row.append(None if length == -1 else stream[position : position + length])
            position += max(length, 0)
        rows.append(tuple(row))
    assert position + 2 == len(stream)
    return rows


def test_each_field_is_as_wide_as_its_column() -> None:
    columns = [
        np.array([1, -2], np.int32),
        np.array([2**40, -(2**63)], np.int64),
        np.array([1.5, -0.0], np.float64),
    ]
    assert read(pgcopy.encode(columns, np.zeros(2, np.bool_))) == [
        (struct.pack(">i", 1), struct.pack(">q", 2**40), struct.pack(">d", 1.5)),
        (struct.pack(">i", -2), struct.pack(">q", -(2**63)), struct.pack(">d", -0.0)),
    ]


def test_a_null_has_no_octets_and_comes_after_the_values() -> None:
    columns = [np.arange(3, dtype=np.int32), np.array([7, 8, 9], np.int64)]
    rows = read(pgcopy.encode(columns, np.array([False, True, False])))
    assert rows == [
        (struct.pack(">i", 0), struct.pack(">q", 7)),
        (struct.pack(">i", 2), struct.pack(">q", 9)),
        (struct.pack(">i", 1), None),
    ]


def test_only_nulls() -> None:
    columns = [np.arange(2, dtype=np.int32), np.zeros(2, np.int64)]
    rows = read(pgcopy.encode(columns, np.ones(2, np.bool_)))
    assert [value for _, value in rows] == [None, None]


def test_no_rows() -> None:
    assert read(pgcopy.encode([np.empty(0, np.int64)], np.empty(0, np.bool_))) == []


def test_timestamps_count_from_2000() -> None:
    year_2000_us = 946_684_800 * 1_000_000
    assert pgcopy.timestamps(np.array([year_2000_us, 0])).tolist() == [0, -year_2000_us]
