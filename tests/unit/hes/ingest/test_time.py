"""Local meter time to UTC: deviation first, then the zone, with the hours that clocks repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.quality import Quality
from hes.domain.readings import microseconds
from hes.ingest.time import standard_offset, to_utc
from hes_protocol.cosem import DEVIATION_UNSPECIFIED

ZONES = [
    "Europe/Berlin",
    "Europe/Dublin",
    "Asia/Kolkata",
    "America/St_Johns",
    "UTC",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]


def convert(
    local: datetime,
    zone: str,
    deviation: int = DEVIATION_UNSPECIFIED,
    status: int = 0xFF,
    *,
    standard_time: bool = False,
) -> tuple[datetime, Quality]:
    local_us = microseconds(local.replace(tzinfo=UTC))
    at, quality = to_utc(
        np.array([local_us]),
        np.array([deviation], np.int32),
        np.array([status], np.int32),
        zone,
        standard_time=standard_time,
    )
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at[0])), Quality(
        int(quality[0])
    )


def test_local_time_plus_deviation_is_utc_whatever_the_zone_says() -> None:
    at, quality = convert(datetime(2026, 7, 1, 12), "Asia/Kolkata", deviation=-120, status=0x80)
    assert at == datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert quality == 0


@pytest.mark.parametrize("deviation", [DEVIATION_UNSPECIFIED, 0x7FFF, -1000, 900])
def test_without_a_usable_deviation_the_zone_decides(deviation: int) -> None:
    at, _ = convert(datetime(2026, 7, 1, 12), "Europe/Berlin", deviation=deviation)
    assert at == datetime(2026, 7, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "hour_utc", "flags"),
    [
        (0x80, 0, Quality(0)),  # DST bit set: the first pass
        (0x00, 1, Quality(0)),  # clear: the second
        (0xFF, 0, Quality.TIME_AMBIGUOUS),  # not specified
        (0x83, 0, Quality.CLOCK_INVALID | Quality.CLOCK_DOUBTFUL),
    ],
)
def test_the_repeated_hour(status: int, hour_utc: int, flags: Quality) -> None:
    at, quality = convert(datetime(2026, 10, 25, 2, 15), "Europe/Berlin", status=status)
    assert at == datetime(2026, 10, 25, hour_utc, 15, tzinfo=UTC)
    assert quality == flags


def test_the_skipped_hour_is_standard_time_and_flagged() -> None:
    at, quality = convert(datetime(2026, 3, 29, 2, 30), "Europe/Berlin")
    assert at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert quality == Quality.TIME_NONEXISTENT


def test_days_of_92_96_and_100_quarters_come_out_without_gap_or_double() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for day, quarters in ((29, 92), (30, 96)):
        start = datetime(2026, 3, day, tzinfo=zone).astimezone(UTC)
        _check_day(start, quarters, zone)
    _check_day(datetime(2026, 10, 25, tzinfo=zone).astimezone(UTC), 100, zone)


def _check_day(start: datetime, quarters: int, zone: ZoneInfo) -> None:
    instants = [start + timedelta(minutes=15 * n) for n in range(quarters)]
    local = [instant.astimezone(zone) for instant in instants]
    assert local[-1].hour == 23
    assert (local[-1] + timedelta(minutes=15)).hour == 0
    at, quality = to_utc(
        np.array([microseconds(moment.replace(tzinfo=UTC)) for moment in local]),
        np.full(quarters, DEVIATION_UNSPECIFIED, np.int32),
        np.array([0x80 if moment.dst() else 0 for moment in local], np.int32),
        zone.key,
    )
    assert at.tolist() == [microseconds(instant) for instant in instants]
    assert not quality.any()


@given(st.datetimes(datetime(1995, 1, 1), datetime(2037, 12, 31)), st.sampled_from(ZONES))
def test_agrees_with_zoneinfo_wherever_the_local_time_is_unique(
    instant: datetime, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    instant = instant.replace(tzinfo=UTC)
    local = instant.astimezone(zone)
    first, second = local.replace(fold=0), local.replace(fold=1)
    at, quality = convert(local.replace(tzinfo=None), zone_name)
    if first.utcoffset() == second.utcoffset():
        assert at == instant
        assert quality == 0
    else:
        assert quality & (Quality.TIME_AMBIGUOUS | Quality.TIME_NONEXISTENT)
        assert at in {first.astimezone(UTC), second.astimezone(UTC)}


def test_years_that_no_meter_means_neither_raise_nor_take_long() -> None:
    for year in (1, 1970, 2099, 9999):
        convert(datetime(year, 6, 1), "Europe/Berlin")


# --- clocks that stay on standard time (users-ask, point 13) ------------------------------------


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize(
    ("zone", "hour_utc"), [("Europe/Oslo", 11), ("Europe/Dublin", 12), ("Australia/Hobart", 2)]
)
@pytest.mark.parametrize("month", [1, 7])
def test_a_clock_on_standard_time_knows_no_summer(zone: str, hour_utc: int, month: int) -> None:
    """Ireland's winter time is meant too, though its law calls the summer time standard."""
    for status in (0x00, 0xFF):
        at, quality = convert(datetime(2026, month, 1, 12), zone, status=status, standard_time=True)
        assert at == datetime(2026, month, 1, hour_utc, tzinfo=UTC)
        assert quality == 0


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
@pytest.mark.parametrize("status", [0x00, 0xFF])
@pytest.mark.parametrize("in_order", [True, False])
def test_standard_time_has_no_gap_and_no_double_on_the_days_of_change(
    day: datetime, status: int, in_order: bool
) -> None:
    local = np.array([microseconds(day.replace(tzinfo=UTC)) + n * 900_000_000 for n in range(96)])
    at, quality = to_utc(
        local,
        np.full(96, DEVIATION_UNSPECIFIED, np.int32),
        np.full(96, status, np.int32),
        "Europe/Berlin",
        in_order=in_order,
        standard_time=True,
    )
    assert at.tolist() == (local - 3_600_000_000).tolist()
    assert not quality.any()


@pytest.mark.conformance("standard-time", "client")
def test_what_the_data_say_wins_over_the_models_word() -> None:
    """A Danish Omnipower goes by summer time and says so by its DST bit."""
    noon = datetime(2026, 7, 1, 12)
    deviated, _ = convert(noon, "Europe/Berlin", deviation=-180, standard_time=True)
    assert deviated.hour == 9
    deviated, _ = convert(noon, "Europe/Berlin", deviation=-120, status=0x80, standard_time=True)
    assert deviated.hour == 10
    summer, quality = convert(noon, "Europe/Berlin", status=0x80, standard_time=True)
    assert (summer.hour, quality) == (10, 0)
    at, quality = to_utc(
        np.full(4, microseconds(noon.replace(tzinfo=UTC))),
        np.array([DEVIATION_UNSPECIFIED, -180, DEVIATION_UNSPECIFIED, 900], np.int32),
        np.array([0x00, 0x00, 0x80, 0xFF], np.int32),
        "Europe/Berlin",
        standard_time=True,
    )
    assert (at // 3_600_000_000 % 24).tolist() == [11, 9, 10, 11]
    assert not quality.any()


@given(
    st.lists(st.datetimes(datetime(1995, 1, 1), datetime(2037, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe"]),
    st.booleans(),
)
def test_standard_time_runs_as_utc_does(
    moments: list[datetime], zone_name: str, in_order: bool
) -> None:
    """Whatever the rows and the days, they are as far apart as their local times are."""
    local = np.array([microseconds(moment.replace(tzinfo=UTC)) for moment in moments])
    at, quality = to_utc(
        local,
        np.full(len(local), DEVIATION_UNSPECIFIED, np.int32),
        np.full(len(local), 0xFF, np.int32),
        zone_name,
        in_order=in_order,
        standard_time=True,
    )
    offset = standard_offset(zone_name, 2026)
    assert (local - at).tolist() == [offset // timedelta(microseconds=1)] * len(local)
    assert not quality.any()
    for moment in moments:
        aware = moment.replace(tzinfo=ZoneInfo(zone_name))
        summer, ahead = aware.dst(), aware.utcoffset()
        assert summer is not None
        assert ahead is not None
        assert ahead - summer == offset


def test_standard_time_of_years_that_no_meter_means() -> None:
    for year in (1, 1970, 2099, 9999):
        at, _ = convert(datetime(year, 6, 1), "Europe/Berlin", standard_time=True)
        assert at == datetime(year, 6, 1, tzinfo=UTC) - timedelta(hours=1)


def in_order(local: list[datetime]) -> tuple[list[int], list[int]]:
    at, quality = to_utc(
        np.array([microseconds(moment.replace(tzinfo=UTC)) for moment in local]),
        np.full(len(local), DEVIATION_UNSPECIFIED, np.int32),
        np.full(len(local), 0xFF, np.int32),
        "Europe/Berlin",
        in_order=True,
    )
    return at.tolist(), quality.tolist()


def test_a_step_back_of_local_time_in_a_profile_tells_the_passes_apart() -> None:
    """Found in review: without deviation and status the second hour would double the first."""
    start = datetime(2026, 10, 25, 0, 45, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    instants = [start + timedelta(minutes=15 * n) for n in range(16)]
    local = [
        moment.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None) for moment in instants
    ]
    at, quality = in_order(local)
    assert at == [microseconds(moment) for moment in instants]
    assert not any(quality)


def test_without_a_step_back_the_repeated_hour_stays_ambiguous() -> None:
    local = [datetime(2026, 10, 25, 2, 15), datetime(2026, 10, 25, 2, 30)]
    _, quality = in_order(local)
    assert quality == [Quality.TIME_AMBIGUOUS] * 2


def test_more_than_one_step_back_is_a_clock_that_nobody_can_trust() -> None:
    hour = [datetime(2026, 10, 25, 2, 0), datetime(2026, 10, 25, 2, 30)]
    _, quality = in_order(hour * 3)
    assert quality == [Quality.TIME_AMBIGUOUS] * 6
