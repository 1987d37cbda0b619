"""Local days and months: their lengths where the clock changes, and that they leave no gap."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.calendar import LocalCalendar, Stretch, ZonePeriod, day, midnight, month
from hes.domain.readings import microseconds

HOUR = 3_600_000_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Havana",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Beirut",
]


def at(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("zone", "noon", "start", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00+02:00", "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", "2026-10-24T22:00Z", 25),
        ("Europe/Berlin", "2026-06-01T12:00+02:00", "2026-05-31T22:00Z", 24),
        ("Asia/Kathmandu", "2026-06-01T12:00+05:45", "2026-05-31T18:15Z", 24),
        # Set back from 1:00 to 0:00: midnight twice; set forward from 0:00 to 1:00: none.
        ("America/Havana", "2026-11-01T12:00-05:00", "2026-11-01T04:00Z", 25),
        ("America/Havana", "2026-03-08T12:00-04:00", "2026-03-08T05:00Z", 23),
        ("Australia/Lord_Howe", "2026-10-04T12:00+11:00", "2026-10-03T13:30Z", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", "2026-04-04T13:00Z", 24.5),
    ],
)
def test_days_where_the_clock_changes(zone: str, noon: str, start: str, hours: float) -> None:
    found = day(zone, at(noon))
    assert found == Stretch(at(start), at(start) + round(hours * HOUR))


def test_a_date_that_never_was_has_no_length() -> None:
    assert midnight("Pacific/Apia", date(2011, 12, 30)) == midnight(
        "Pacific/Apia", date(2011, 12, 31)
    )


def test_months_of_summer_and_winter_time() -> None:
    assert month("Europe/Berlin", at("2026-03-31T22:00Z")).start == at("2026-03-31T22:00Z")
    found = month("Europe/Berlin", at("2026-03-15T00:00Z"))
    assert found == Stretch(at("2026-02-28T23:00Z"), at("2026-03-31T22:00Z"))
    december = month("Europe/Berlin", at("2026-12-31T22:59:59Z"))
    assert december == Stretch(at("2026-11-30T23:00Z"), at("2026-12-31T23:00Z"))


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_days_follow_each_other_and_make_up_months(zone: str, instant: datetime) -> None:
    told = microseconds(instant)
    whole = month(zone, told)
    assert whole.start <= told < whole.end
    position = whole.start
    while position < whole.end:
        found = day(zone, position)
        assert found.start == position < found.end
        position = found.end
    assert position == whole.end


def test_a_move_to_another_zone_cuts_day_and_month() -> None:
    moved = at("2026-06-10T09:30Z")
    calendar = LocalCalendar(
        [ZonePeriod(at("2026-01-01T00:00Z"), "Europe/Berlin"), ZonePeriod(moved, "Asia/Tokyo")]
    )
    before, after = calendar.day(moved - 1), calendar.day(moved)
    assert before == Stretch(at("2026-06-09T22:00Z"), moved)
    assert after == Stretch(moved, at("2026-06-10T15:00Z"))
    assert calendar.month(moved - 1) == Stretch(at("2026-05-31T22:00Z"), moved)
    assert calendar.month(moved) == Stretch(moved, at("2026-06-30T15:00Z"))
    assert calendar.day(at("2025-06-10T00:00Z")) == day("Europe/Berlin", at("2025-06-10T00:00Z"))


def test_a_move_within_a_zone_cuts_nothing() -> None:
    moved = datetime(2026, 6, 10, 9, 30, tzinfo=UTC)
    calendar = LocalCalendar(
        [
            ZonePeriod(microseconds(moved - timedelta(days=50)), "Europe/Berlin"),
            ZonePeriod(microseconds(moved), "Europe/Berlin"),
        ]
    )
    assert calendar.day(microseconds(moved)) == day("Europe/Berlin", microseconds(moved))
