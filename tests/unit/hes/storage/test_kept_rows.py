"""Refused rows as octets, and back: nothing of them is lost."""

import zlib
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.readings import (
    ChannelKey,
    IntegerRows,
    OtherRow,
    SeriesKey,
    SourceKind,
    StampedAt,
    ValueKind,
    ValueStore,
)
from hes.storage.kept_rows import KeptRows, decode, encode
from hes_protocol.cosem import Obis

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
OBIS = st.binary(min_size=6, max_size=6).map(Obis)
# What was refused as malformed may hold anything.
CHANNELS = st.builds(
    ChannelKey,
    meter_id=st.binary(min_size=16, max_size=16).map(lambda octets: UUID(bytes=octets)),
    source=st.none() | OBIS,
    capture_period_s=INT64,
    obis=OBIS,
    class_id=INT64,
    attribute_index=INT64,
    data_index=INT64,
    kind=st.sampled_from(ValueKind),
    stamped_at=st.sampled_from(StampedAt),
    store=st.sampled_from(ValueStore),
)
SERIES = st.builds(SeriesKey, CHANNELS, scaler=INT64, unit=INT64)
TEXT = st.text(st.characters(codec=None, exclude_categories=()))
OTHERS = st.builds(
    OtherRow,
    series_index=INT32,
    captured_at=INT64,
    value=st.none() | st.floats(allow_nan=False) | TEXT,
    quality=INT32,
)
INTEGERS = st.lists(st.tuples(INT32, INT64, INT64, st.booleans(), INT32), max_size=5).map(
    lambda rows: IntegerRows(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.bool_),
        np.array([row[4] for row in rows], np.int32),
    )
)


@given(
    st.builds(
        KeptRows,
        st.sampled_from(SourceKind),
        st.lists(SERIES, max_size=3).map(tuple),
        INTEGERS,
        st.lists(OTHERS, max_size=3),
    )
)
def test_what_comes_back_is_what_was_kept(rows: KeptRows) -> None:
    back = decode(encode(rows))
    assert (back.kind, back.series, back.others) == (rows.kind, rows.series, rows.others)
    for name in ("series_index", "captured_at", "value", "null", "quality"):
        ours, theirs = getattr(back.integers, name), getattr(rows.integers, name)
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    assert len(back) == len(rows)


def test_ten_thousand_rows_are_a_few_octets_each() -> None:
    count = 10_000
    ramp = np.arange(count, dtype=np.int64)
    integers = IntegerRows(
        np.zeros(count, np.int32),
        1_700_000_000_000_000 + ramp * 900_000_000,
        123_456 + ramp * 17,
        np.zeros(count, np.bool_),
        np.zeros(count, np.int32),
    )
    octets = encode(KeptRows(SourceKind.PROFILE, (), integers, ()))
    assert len(octets) < 10 * count


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"no zlib",
        zlib.compress(b"\xc1"),
        zlib.compress(msgspec.msgpack.encode([1, "push"])),
        zlib.compress(msgspec.msgpack.encode([2, "push", [], b"", b"", b"", b"", b"", []])),
    ],
)
def test_what_is_spoilt_or_of_another_form_is_said(octets: bytes) -> None:
    with pytest.raises(ValueError, match="kept rows"):
        decode(octets)
