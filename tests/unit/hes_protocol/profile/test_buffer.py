"""Profile buffers by columns: clocks, null cells, value types, and rows that are none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import (
    NULL,
    BitString,
    CompactArray,
    Data,
    DataTag,
    TypeDescription,
    array,
    encode,
    structure,
)
from hes_protocol.cosem import DEVIATION_UNSPECIFIED, CaptureObject, CosemDateTime, Obis
from hes_protocol.errors import EncodingError, RemoteProtocolError
from hes_protocol.profile import Column, NullMeaning, ProfileColumns, decode_profile

pytestmark = pytest.mark.conformance("profile-columns", "client")

T = DataTag
CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
STATUS = CaptureObject(1, Obis.parse("0.0.96.10.1.255"), 2)
IMPORT = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
NONE = Data(T.DONT_CARE)


def _clock(hour: int, minute: int, second: int = 0, **fields: int) -> Data:
    return Data(
        T.OCTET_STRING,
        CosemDateTime(
            2026,
            3,
            29,
            7,
            hour,
            minute,
            second,
            0,
            **{"deviation_min": -60, "clock_status": 0} | fields,
        ).to_octets(),
    )


def _u32(value: int) -> Data:
    return Data(T.DOUBLE_LONG_UNSIGNED, value)


def _us(hour: int, minute: int, second: int = 0) -> int:
    moment = datetime(2026, 3, 29, hour, minute, second, tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000


def _profile(
    *rows: Data, objects: tuple[CaptureObject, ...] = (CLOCK, IMPORT), **options: Any
) -> ProfileColumns:
    options = {"capture_period_s": 900, "null_means": NullMeaning.MISSING} | options
    return decode_profile(encode(array(*rows)), objects, **options)


def _column(*cells: Data, null_means: NullMeaning = NullMeaning.MISSING) -> Column:
    profile = _profile(*map(structure, cells), objects=(IMPORT,), null_means=null_means)
    (column,) = profile.columns
    assert column.null.dtype == np.bool_
    assert len(column.null) == profile.rows == len(cells)
    return column


def _values(column: Column) -> list[Any]:
    if column.integers is None:
        assert column.others is not None
        return list(column.others)
    assert column.others is None
    assert column.integers.dtype == np.int64
    pairs = zip(column.integers.tolist(), column.null, strict=True)
    return [None if null else value for value, null in pairs]


def test_clock_status_and_values() -> None:
    profile = _profile(
        structure(_clock(1, 0), Data(T.UNSIGNED, 0), _u32(10)),
        structure(_clock(1, 15, clock_status=0x80), Data(T.UNSIGNED, 8), _u32(11)),
        objects=(CLOCK, STATUS, IMPORT),
    )
    clock = profile.clock
    assert clock is not None
    assert profile.rows == 2
    assert clock.local_us.tolist() == [_us(1, 0), _us(1, 15)]
    assert clock.deviation_min.tolist() == [-60, -60]
    assert clock.status.tolist() == [0, 0x80]
    assert clock.known.tolist() == [True, True]
    assert clock.inferred.tolist() == [False, False]
    dtypes = [clock.local_us, clock.deviation_min, clock.status, clock.known, clock.inferred]
    assert [column.dtype for column in dtypes] == ["int64", "int32", "uint8", "bool", "bool"]
    assert [column.capture_object for column in profile.columns] == [STATUS, IMPORT]
    assert [_values(column) for column in profile.columns] == [[0, 8], [10, 11]]


def test_an_empty_buffer() -> None:
    profile = _profile(objects=(CLOCK, STATUS, IMPORT))
    assert profile.rows == 0
    assert profile.clock is not None
    assert len(profile.clock.local_us) == 0
    assert [_values(column) for column in profile.columns] == [[], []]


def test_null_clocks_are_filled_in_on_the_grid() -> None:
    profile = _profile(
        structure(NULL, _u32(0)),
        structure(_clock(1, 0, clock_status=0x80), _u32(1)),
        structure(NULL, _u32(2)),
        structure(NULL, _u32(3)),
        structure(_clock(2, 7, 12, deviation_min=-120), _u32(4)),
        structure(NULL, _u32(5)),
    )
    clock = profile.clock
    assert clock is not None
    assert clock.known.tolist() == [False, True, True, True, True, True]
    assert clock.inferred.tolist() == [False, False, True, True, False, True]
    expected = [0, _us(1, 0), _us(1, 15), _us(1, 30), _us(2, 7, 12), _us(2, 15)]
    assert clock.local_us.tolist() == expected
    assert clock.status.tolist() == [0xFF, 0x80, 0x80, 0x80, 0, 0]
    assert clock.deviation_min.tolist() == [DEVIATION_UNSPECIFIED, -60, -60, -60, -120, -120]


def test_a_daily_profile_keeps_its_time_of_day() -> None:
    rows = (structure(_clock(6, 0), _u32(1)), structure(NULL, _u32(2)))
    clock = _profile(*rows, capture_period_s=86_400).clock
    assert clock is not None
    assert clock.local_us.tolist() == [_us(6, 0), _us(6, 0) + 86_400_000_000]


@pytest.mark.parametrize("capture_period_s", [0, 0xFFFFFFFF])
def test_null_clocks_without_a_grid_stay_unknown(capture_period_s: int) -> None:
    rows = (structure(_clock(1, 0), _u32(1)), structure(NULL, _u32(2)))
    clock = _profile(*rows, capture_period_s=capture_period_s).clock
    assert clock is not None
    assert clock.known.tolist() == [True, False]
    assert not clock.inferred.any()


@pytest.mark.parametrize(
    "cell",
    [
        Data(T.OCTET_STRING, b"\xff" * 12),
        Data(T.OCTET_STRING, b""),
        _u32(7),
        NONE,
        structure(),
        _clock(24, 0),
        _clock(1, 60),
        _clock(1, 0, 60),
        Data(T.OCTET_STRING, CosemDateTime(2026, 2, 29, hour=1, minute=0).to_octets()),
        Data(T.OCTET_STRING, CosemDateTime(2026, 4, 31, hour=1, minute=0).to_octets()),
        Data(T.OCTET_STRING, CosemDateTime(2026, 13, 1, hour=1, minute=0).to_octets()),
        Data(T.OCTET_STRING, CosemDateTime(0, 1, 1, hour=1, minute=0).to_octets()),
        Data(T.OCTET_STRING, CosemDateTime(2026, 1, 1, hour=1, minute=0xFF).to_octets()),
    ],
)
def test_a_clock_that_is_no_instant_is_unknown_and_nothing_follows_from_it(cell: Data) -> None:
    clock = _profile(
        structure(_clock(0, 45), _u32(1)), structure(cell, _u32(2)), structure(NULL, _u32(3))
    ).clock
    assert clock is not None
    assert clock.known.tolist() == [True, False, False]
    assert clock.local_us.tolist() == [_us(0, 45), 0, 0]
    assert not clock.inferred.any()


@given(st.binary(min_size=12, max_size=12))
def test_clocks_agree_with_cosem_date_time(octets: bytes) -> None:
    clock = _profile(structure(Data(T.DATE_TIME, octets)), objects=(CLOCK,)).clock
    assert clock is not None
    read = CosemDateTime.from_octets(octets)
    local = read.local()
    assert clock.known[0] == (local is not None)
    if local is not None:
        span = local.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        assert (
            clock.local_us[0] == (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
        )
        assert clock.deviation_min[0] == read.deviation_min
        assert clock.status[0] == read.clock_status


@pytest.mark.conformance("null-means", "client")
def test_missing_and_previous() -> None:
    cells = (NULL, _u32(1), NULL, NULL, _u32(2), NONE)
    assert _values(_column(*cells)) == [None, 1, None, None, 2, None]
    previous = _column(*cells, null_means=NullMeaning.PREVIOUS)
    assert _values(previous) == [None, 1, 1, 1, 2, None]
    assert previous.null.tolist() == [True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("cells", "store", "values"),
    [
        ((NULL, NULL), "integer", [None, None]),
        ((Data(T.LONG64, -(2**63)), Data(T.ENUM, 3)), "integer", [-(2**63), 3]),
        ((Data(T.BOOLEAN, True), Data(T.BOOLEAN, False)), "integer", [1, 0]),
        ((Data(T.LONG64_UNSIGNED, 2**63 - 1), NULL), "integer", [2**63 - 1, None]),
        ((Data(T.LONG64_UNSIGNED, 2**63), _u32(1)), "text", ["9223372036854775808", "1"]),
        ((Data(T.FLOAT32, 1.5), NULL, _u32(2)), "float", [1.5, None, 2.0]),
        ((Data(T.FLOAT64, -0.25),), "float", [-0.25]),
        ((Data(T.VISIBLE_STRING, b"RATE2\0\0"), NULL), "text", ["RATE2", None]),
        ((Data(T.VISIBLE_STRING, b"a\0b"),), "text", ["a\\x00b"]),
        ((Data(T.UTF8_STRING, "Zähler".encode()),), "text", ["Zähler"]),
        ((Data(T.OCTET_STRING, b"ABC"), Data(T.OCTET_STRING, b"")), "text", ["ABC", ""]),
        (
            (Data(T.OCTET_STRING, b"ABC"), Data(T.OCTET_STRING, b"\x00A")),
            "text",
            ["414243", "0041"],
        ),
        ((Data(T.BIT_STRING, BitString(10, b"\xa5\x7f")), _u32(1)), "text", ["1010010101", "1"]),
        ((Data(T.BIT_STRING, BitString(0, b"")),), "text", [""]),
        ((Data(T.BCD, 0x42),), "text", ["42"]),
        ((Data(T.DATE, bytes.fromhex("07ea0b1506")),), "text", ["07ea0b1506"]),
        ((Data(T.FLOAT32, 1.5), Data(T.VISIBLE_STRING, b"x")), "text", ["1.5", "x"]),
        ((structure(_u32(1)), NULL), "text", ["02010600000001", None]),
    ],
)
def test_stores(cells: tuple[Data, ...], store: str, values: list[Any]) -> None:
    column = _column(*cells)
    assert column.store == store
    assert _values(column) == values


def test_times_of_maximum_are_text_with_an_offset_only_if_there_is_one() -> None:
    unspecified = _clock(1, 0, deviation_min=DEVIATION_UNSPECIFIED)
    undefined = Data(T.OCTET_STRING, b"\xff" * 12)
    date_time = Data(T.DATE_TIME, _clock(1, 0).value)
    assert _values(_column(_clock(1, 0), unspecified, undefined, date_time)) == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T01:00:00",
        "ff" * 12,
        "2026-03-29T01:00:00+01:00",
    ]


def test_a_second_clock_is_a_column() -> None:
    profile = _profile(structure(_clock(1, 0), _clock(0, 50)), objects=(CLOCK, CLOCK))
    assert [_values(column) for column in profile.columns] == [["2026-03-29T00:50:00+01:00"]]


@pytest.mark.conformance("delta", "client")
def test_deltas_are_differences_to_the_row_before() -> None:
    cells = (
        Data(T.DELTA_UNSIGNED, 9),
        _u32(100),
        Data(T.DELTA_INTEGER, -1),
        NULL,
        Data(T.DELTA_LONG_UNSIGNED, 1000),
        NONE,
        Data(T.LONG64, 2**63 - 1),
        Data(T.DELTA_UNSIGNED, 1),
    )
    assert _values(_column(*cells)) == [None, 100, 99, None, 1099, None, 2**63 - 1, None]
    floats = (Data(T.FLOAT32, 1.0), Data(T.DELTA_UNSIGNED, 1))
    assert _values(_column(*floats)) == [1.0, None]


@pytest.mark.conformance("compact-array", "client")
def test_a_compact_array_is_a_buffer_too() -> None:
    row = TypeDescription(
        T.STRUCTURE, (TypeDescription(T.OCTET_STRING), TypeDescription(T.DOUBLE_LONG_UNSIGNED))
    )
    rows = (structure(_clock(1, 0), _u32(1)), structure(_clock(1, 15), _u32(2)))
    octets = encode(Data(T.COMPACT_ARRAY, CompactArray(row, rows)))
    profile = decode_profile(
        octets, (CLOCK, IMPORT), capture_period_s=900, null_means=NullMeaning.MISSING
    )
    assert profile.clock is not None
    assert profile.clock.local_us.tolist() == [_us(1, 0), _us(1, 15)]
    assert _values(profile.columns[0]) == [1, 2]


@pytest.mark.parametrize(
    ("rows", "offset"),
    [
        ((structure(_u32(1)),), 2),
        ((structure(NULL, _u32(1)), structure(NULL)), 10),
        ((structure(NULL, _u32(1)), structure(NULL, NULL, NULL)), 10),
        ((structure(NULL, _u32(1)), NULL), 10),
        ((array(NULL, NULL),), 2),
    ],
)
def test_bad_rows(rows: tuple[Data, ...], offset: int) -> None:
    with pytest.raises(EncodingError) as caught:
        _profile(*rows)
    assert (caught.value.code, caught.value.offset) == ("bad-row", offset)
    assert f"row {len(rows) - 1}" in caught.value.detail


@pytest.mark.parametrize("octets", ["00", "0600000001", "0200", "090100"])
def test_no_buffer(octets: str) -> None:
    with pytest.raises(EncodingError) as caught:
        decode_profile(
            bytes.fromhex(octets), (CLOCK,), capture_period_s=0, null_means=NullMeaning.MISSING
        )
    assert caught.value.code == "bad-profile"


CELLS = st.sampled_from(
    [NULL, NONE, _u32(1), Data(T.DELTA_INTEGER, -1), Data(T.FLOAT32, 0.5), _clock(1, 0), array()]
) | st.builds(Data, st.just(T.OCTET_STRING), st.binary(max_size=13))


@given(st.lists(st.tuples(CELLS, CELLS)), st.sampled_from(NullMeaning), st.sampled_from([0, 900]))
def test_columns_have_one_length_whatever_the_cells(
    rows: list[tuple[Data, Data]], null_means: NullMeaning, capture_period_s: int
) -> None:
    profile = _profile(
        *(structure(*row) for row in rows), null_means=null_means, capture_period_s=capture_period_s
    )
    assert profile.rows == len(rows)
    assert profile.clock is not None
    assert len(profile.clock.local_us) == len(profile.clock.inferred) == len(rows)
    assert not (profile.clock.inferred & ~profile.clock.known).any()
    (column,) = profile.columns
    values = _values(column)
    assert [value is None for value in values] == column.null.tolist()
    assert len(values) == len(rows)


@given(st.binary(max_size=60))
def test_arbitrary_octets(octets: bytes) -> None:
    try:
        profile = decode_profile(
            b"\x01" + octets, (CLOCK, IMPORT), capture_period_s=900, null_means=NullMeaning.PREVIOUS
        )
    except RemoteProtocolError as error:
        refused = error
    else:
        assert profile.rows <= len(octets)
        return
    assert refused.offset is not None
