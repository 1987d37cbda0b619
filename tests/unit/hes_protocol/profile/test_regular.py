"""
The fast path and the general one: the same columns, nulls and errors for every buffer.

Also how fast the fast one is: time per value and memory do not grow with the number of rows.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import NULL, BitString, Data, DataTag, array, encode, structure
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.profile import NullMeaning, ProfileColumns, decode_profile
from hes_protocol.profile.buffer import _clock_place, _row_by_row
from hes_protocol.profile.parts import take_apart

pytestmark = pytest.mark.conformance("profile-columns", "client")

T = DataTag
CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
VALUE = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
MOMENT = bytes.fromhex("07ea0101040f1e00ff800000")


def _plain(profile: ProfileColumns) -> Any:
    """Everything in it, as values that compare; dtypes too, and NaN as text."""
    clock = profile.clock
    arrays = (
        ()
        if clock is None
        else (clock.local_us, clock.deviation_min, clock.status, clock.known, clock.inferred)
    )
    return (
        profile.rows,
        [(str(kept.dtype), kept.tolist()) for kept in arrays],
        [
            (
                column.capture_object,
                column.store,
                str(column.null.dtype),
                column.null.tolist(),
                None
                if column.integers is None
                else (str(column.integers.dtype), column.integers.tolist()),
                None if column.others is None else [repr(value) for value in column.others],
            )
            for column in profile.columns
        ],
    )


def _outcome(decode: Any, octets: bytes, objects: Sequence[CaptureObject], *rest: Any) -> Any:
    try:
        return _plain(decode(octets, objects, *rest))
    except RemoteProtocolError as error:
        return type(error), error.code, error.offset


def _fast(
    octets: bytes, objects: Sequence[CaptureObject], period_s: int, null_means: NullMeaning
) -> ProfileColumns:
    return decode_profile(octets, objects, capture_period_s=period_s, null_means=null_means)


def _general(
    octets: bytes, objects: Sequence[CaptureObject], period_s: int, null_means: NullMeaning
) -> ProfileColumns:
    return _row_by_row(octets, objects, _clock_place(objects), period_s, null_means)


def _check(octets: bytes, objects: Sequence[CaptureObject], *rest: Any) -> None:
    assert _outcome(_fast, octets, objects, *rest) == _outcome(_general, octets, objects, *rest)


def _of(tag: DataTag, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Data]:
    return values.map(lambda value: Data(tag, value))


def _integers(tag: DataTag, bits: int, *, signed: bool) -> st.SearchStrategy[Data]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return _of(tag, st.integers(low, high))


MOMENTS = st.one_of(
    st.just(MOMENT),
    st.binary(min_size=12, max_size=12),
    st.tuples(st.integers(1, 12), st.integers(1, 31), st.integers(0, 24), st.integers(0, 255)).map(
        lambda fields: (
            bytes((7, 0xEA, *fields[:2], 0xFF, fields[2], 30, fields[3], 0xFF)) + b"\x80\x00\x80"
        )
    ),
)
# By kind: columns of one kind, which is what meters send.
KINDS: dict[str, st.SearchStrategy[Data]] = {
    "null": st.just(NULL),
    "don't-care": st.just(Data(T.DONT_CARE)),
    "boolean": _of(T.BOOLEAN, st.booleans()),
    "u8": _integers(T.UNSIGNED, 8, signed=False),
    "i8": _integers(T.INTEGER, 8, signed=True),
    "enum": _integers(T.ENUM, 8, signed=False),
    "bcd": _integers(T.BCD, 8, signed=False),
    "u16": _integers(T.LONG_UNSIGNED, 16, signed=False),
    "i16": _integers(T.LONG, 16, signed=True),
    "u32": _integers(T.DOUBLE_LONG_UNSIGNED, 32, signed=False),
    "i32": _integers(T.DOUBLE_LONG, 32, signed=True),
    "i64": _integers(T.LONG64, 64, signed=True),
    "u64": _integers(T.LONG64_UNSIGNED, 64, signed=False),
    "small u64": _of(T.LONG64_UNSIGNED, st.integers(0, 9)),
    "f32": _of(T.FLOAT32, st.floats(width=32)),
    "f64": _of(T.FLOAT64, st.floats()),
    "delta": _of(T.DELTA_INTEGER, st.integers(-9, 9)),
    "date-time": _of(T.DATE_TIME, MOMENTS),
    "octet date-time": _of(T.OCTET_STRING, MOMENTS),
    "octets": _of(T.OCTET_STRING, st.binary(max_size=3)),
    "text": _of(T.VISIBLE_STRING, st.binary(max_size=2)),
    "bits": st.binary(min_size=1, max_size=1).map(
        lambda octets: Data(T.BIT_STRING, BitString(7, octets))
    ),
    "structure": st.just(structure(NULL)),
}


@st.composite
def _buffers(draw: st.DrawFn) -> tuple[bytes, list[CaptureObject]]:
    """Rows whose columns have one or two kinds each, mostly the first one."""
    width = draw(st.integers(1, 4))
    objects = draw(st.lists(st.sampled_from([CLOCK, VALUE]), min_size=width, max_size=width))
    names = st.sampled_from(sorted(KINDS))
    kinds = [
        [draw(names), *draw(st.lists(st.sampled_from(["null", "u32", "octets"]), max_size=1))]
        for _ in objects
    ]
    rows = [
        structure(*(draw(KINDS[column[0 if pick % 4 else -1]]) for column in kinds))
        for pick in draw(st.lists(st.integers(0, 7), max_size=12))
    ]
    return encode(array(*rows)), objects


@settings(max_examples=150)
@given(_buffers(), st.sampled_from([0, 900, 86_400]), st.sampled_from(NullMeaning))
def test_regular_rows(
    buffer: tuple[bytes, list[CaptureObject]], period_s: int, null_means: NullMeaning
) -> None:
    _check(*buffer, period_s, null_means)


@settings(max_examples=150)
@given(_buffers(), st.data())
def test_mutated_rows(buffer: tuple[bytes, list[CaptureObject]], data: st.DataObject) -> None:
    octets, objects = bytearray(buffer[0]), buffer[1]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, len(octets) - 1)))
        match data.draw(st.integers(0, 3)):
            case 0 if octets:
                octets[place] = data.draw(st.integers(0, 255))
            case 1:
                octets[place:place] = data.draw(st.binary(max_size=4))
            case 2:
                del octets[place : place + 2]
            case _:
                octets[place:] = octets[place:] * 2
    if data.draw(st.booleans()):
        objects = objects[1:]
    _check(bytes(octets), objects, 900, data.draw(st.sampled_from(NullMeaning)))


def _day(rows: int, *, null_clocks: bool = False, null_every: int = 0) -> bytes:
    """Rows of clock, status and four values, a quarter of an hour after the other."""
    made = []
    for row in range(rows):
        moment = np.datetime64("2026-01-01T00:00") + np.timedelta64(15 * row, "m")
        when = moment.item()
        clock = Data(
            T.OCTET_STRING,
            when.year.to_bytes(2, "big")
            + bytes((when.month, when.day, when.isoweekday(), when.hour, when.minute, 0, 0xFF))
            + b"\x80\x00\x00",
        )
        values = [Data(T.DOUBLE_LONG_UNSIGNED, 1000 * column + row) for column in range(4)]
        if null_every and row % null_every == 0:
            values[row % 4] = NULL
        made.append(
            structure(NULL if null_clocks and row else clock, Data(T.UNSIGNED, row & 7), *values)
        )
    return encode(array(*made))


OBJECTS = [CLOCK, *[VALUE] * 5]


@pytest.mark.parametrize("null_means", NullMeaning)
@pytest.mark.parametrize(
    "octets",
    [
        _day(96),
        _day(96, null_clocks=True),
        _day(96, null_every=7),
        _day(300, null_clocks=True, null_every=1),
    ],
)
def test_rows_as_meters_send_them_are_taken_apart(octets: bytes, null_means: NullMeaning) -> None:
    assert take_apart(octets, len(OBJECTS)) is not None
    _check(octets, OBJECTS, 900, null_means)


def _cpu_s(octets: bytes, times: int) -> float:
    best_s = float("inf")
    for _ in range(5):
        begin_s = time.process_time()
        for _ in range(times):
            _fast(octets, OBJECTS, 900, NullMeaning.MISSING)
        best_s = min(best_s, (time.process_time() - begin_s) / times)
    return best_s


def test_a_value_costs_no_more_in_a_year_than_in_a_day() -> None:
    day, year = _day(96), _day(35_040)
    ratios = []
    for _ in range(5):
        ratios.append(_cpu_s(year, 2) / 365 / _cpu_s(day, 100))
        if ratios[-1] <= 1.2:
            break
    assert min(ratios) <= 1.2


def _peak_octets(octets: bytes) -> int:
    tracemalloc.start()
    try:
        _fast(octets, OBJECTS, 900, NullMeaning.MISSING)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_linear() -> None:
    month, year = _day(2_920), _day(35_040)
    _peak_octets(month)
    assert _peak_octets(year) < 1.2 * 12 * _peak_octets(month)
    # Less than three times the columns that remain: eight octets and a flag for each of them.
    assert _peak_octets(year) < 3 * 35_040 * (8 + 4 + 1 + 1 + 1 + 5 * 9)


def test_irregular_rows_cost_what_they_cost_row_by_row() -> None:
    octets = _day(300, null_clocks=True, null_every=1)
    assert _cpu_s(octets, 3) < 300 * 60e-6
