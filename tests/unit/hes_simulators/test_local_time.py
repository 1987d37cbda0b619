"""The meter's local clock and what clients mean by theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hes_protocol.cosem import DEVIATION_UNSPECIFIED, STATUS_UNSPECIFIED, CosemDateTime
from hes_simulators.local_time import cosem_time, instant

BERLIN = ZoneInfo("Europe/Berlin")


def local(hour: int, minute: int = 30, status: int = STATUS_UNSPECIFIED) -> CosemDateTime:
    return CosemDateTime(2026, 10, 25, 0xFF, hour, minute, 0, 0, DEVIATION_UNSPECIFIED, status)


def test_instant_with_deviation_is_exact() -> None:
    at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for latest in (False, True):
        assert instant(cosem_time(at, BERLIN), BERLIN, latest=latest) == at


def test_instant_in_the_double_hour() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert instant(local(2), BERLIN, latest=False) == first
    assert instant(local(2), BERLIN, latest=True) == second
    assert instant(local(2, status=0x80), BERLIN, latest=True) == first
    assert instant(local(2, status=0x00), BERLIN, latest=False) == second


def test_instant_with_wildcards() -> None:
    date_only = CosemDateTime(2026, 7, 1)
    assert instant(date_only, BERLIN, latest=False) == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert instant(date_only, BERLIN, latest=True) == datetime(2026, 7, 1, 21, 59, 59, tzinfo=UTC)
    assert instant(CosemDateTime(0xFFFF, 0xFF, 0xFF), BERLIN, latest=True) is None


def test_instant_of_absurd_years_is_before_or_after_everything() -> None:
    for deviation in (-720, 0, 840, DEVIATION_UNSPECIFIED):
        early = CosemDateTime(1, 1, 1, 0xFF, 0, 0, 0, 0, deviation)
        late = CosemDateTime(9999, 12, 31, 0xFF, 23, 59, 59, 99, deviation)
        for latest in (False, True):
            lower, upper = (instant(time, BERLIN, latest=latest) for time in (early, late))
            assert lower is not None
            assert upper is not None
            assert lower.year == 1970
            assert upper.year == 2200
