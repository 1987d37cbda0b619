"""COSEM date-times: both ways, wildcards, deviation and its sign, summer time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.cosem import DEVIATION_UNSPECIFIED, CosemDateTime
from hes_protocol.errors import EncodingError


@pytest.mark.conformance("date-time", "client", "server")
@pytest.mark.conformance("deviation", "client", "server")
@given(st.binary(min_size=12, max_size=12))
def test_any_twelve_octets_both_ways(octets: bytes) -> None:
    assert CosemDateTime.from_octets(octets).to_octets() == octets


@pytest.mark.conformance("deviation", "client", "server")
@pytest.mark.parametrize(
    ("octets", "text", "offset_min", "daylight_saving"),
    [
        # Central European time and summer time: local time + deviation = UTC.
        ("07ea01010410000000ffc400", "2026-01-01T16:00:00+01:00", 60, False),
        ("07ea07010310000000ff8880", "2026-07-01T16:00:00+02:00", 120, True),
        # India, and one west of Greenwich.
        ("07ea01010410000000feb600", "2026-01-01T16:00:00+05:30", 330, False),
        ("07ea01010410000000012c00", "2026-01-01T16:00:00-05:00", -300, False),
        # 0x8000: the meter does not say; nor does a deviation that no place on earth has.
        ("07ea01010410000000800000", "2026-01-01T16:00:00", None, False),
        ("07ea0101041000000003e900", "2026-01-01T16:00:00", None, False),
        ("07ea010104100000ff8000ff", "2026-01-01T16:00:00", None, None),
    ],
)
def test_deviation(
    octets: str, text: str, offset_min: int | None, daylight_saving: bool | None
) -> None:
    moment = CosemDateTime.from_octets(bytes.fromhex(octets))
    assert moment.isoformat() == text
    assert moment.utc_offset_min == offset_min
    assert moment.daylight_saving is daylight_saving
    assert moment.to_octets().hex() == octets


@pytest.mark.conformance("date-time", "client", "server")
@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("07ea0101041000ffff800000", "2026-01-01T16:00:00"),
        ("07ea010104100005ff800000", "2026-01-01T16:00:05"),
        ("07ea01010410000532800000", "2026-01-01T16:00:05.500000"),
        ("07ea010104100064008000ff", None),
        ("07ea01010418000000800000", None),
        ("07ea010104ffffffff800000", None),
        ("07eaff01ff100000ff800000", None),
        ("07ea02 1e ff100000ff800000", None),
        ("ffffffffffffffffff8000ff", None),
    ],
)
def test_wildcards_and_what_is_no_instant(octets: str, text: str | None) -> None:
    assert CosemDateTime.from_octets(bytes.fromhex(octets)).isoformat() == text


@pytest.mark.conformance("date-time", "client", "server")
@pytest.mark.conformance("deviation", "client", "server")
@pytest.mark.parametrize("offset_min", [0, 60, -300, 330])
def test_of_a_datetime_and_back(offset_min: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    moment = datetime(2026, 3, 29, 12, 34, 56, 120_000, tzinfo=zone)
    written = CosemDateTime.from_datetime(moment)
    assert written.deviation_min == -offset_min
    assert (written.weekday, written.hundredths, written.clock_status) == (7, 12, 0)
    read = CosemDateTime.from_octets(written.to_octets())
    assert read == written
    assert datetime.fromisoformat(read.isoformat() or "") == moment
    unknown = CosemDateTime.from_datetime(moment.replace(tzinfo=None), clock_status=0x80)
    assert unknown.deviation_min == DEVIATION_UNSPECIFIED
    assert unknown.daylight_saving


def test_twelve_octets_are_due() -> None:
    with pytest.raises(EncodingError) as caught:
        CosemDateTime.from_octets(bytes(11))
    assert caught.value.code == "bad-date-time"
