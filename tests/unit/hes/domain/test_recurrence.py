"""When something recurs: against an oracle that looks at every minute, and hostile texts."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes.domain.recurrence import BadRecurrenceError, parse

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)

# Places and days on which their clocks change: forward, back, by half an hour, at midnight, by a
# whole day.
CHANGES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25", "2026-06-01"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Havana": ("2026-03-08", "2026-11-01"),
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),
    "Pacific/Apia": ("2011-12-30",),
    "Asia/Kolkata": ("2026-03-29",),
}
DAYS = [(zone, day) for zone, days in CHANGES.items() for day in days]


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def first(text: str, after: datetime, zone: ZoneInfo = BERLIN, count: int = 1) -> list[datetime]:
    def runs() -> Iterator[datetime]:
        run = after
        while True:
            run = parse(text).next(run, zone)
            yield run

    return list(islice(runs(), count))


def matches(local: datetime, minutes: set[int], hours: set[int], weekdays: set[int]) -> bool:
    return local.minute in minutes and local.hour in hours and local.isoweekday() % 7 in weekdays


def oracle(
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    minutes: set[int],
    hours: set[int] | None,
    weekdays: set[int],
) -> list[datetime]:
    """The runs in [start, end), by looking at every minute of two days more on both sides."""
    margin = timedelta(days=2)
    instants = [
        start - margin + MINUTE * n for n in range(int((end - start + 2 * margin) / MINUTE))
    ]
    shown = [instant.astimezone(zone).replace(tzinfo=None) for instant in instants]
    if hours is None:
        every = set(range(24))
        found = {
            instant
            for instant, local in zip(instants, shown, strict=True)
            if matches(local, minutes, every, weekdays)
        }
    else:
        # All local times, those that nobody sees too; each at the first instant at or after which
        # the clock shows it or later, having shown less before.
        found, seen = set(), shown[0]
        for instant, local in zip(instants, shown, strict=True):
            while seen < local:
                seen += MINUTE
                if matches(seen, minutes, hours, weekdays):
                    found.add(instant)
    return sorted(instant for instant in found if start <= instant < end)


def listed(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))


@settings(max_examples=30, deadline=None)
@given(
    place=st.sampled_from(DAYS),
    minutes=st.sets(st.sampled_from([0, 1, 15, 29, 30, 31, 45, 59]), min_size=1),
    hours=st.none() | st.sets(st.integers(0, 23), min_size=1, max_size=6),
    weekdays=st.sets(st.integers(0, 6), min_size=4),
    shift=st.integers(0, 48 * 60),
)
def test_cron_finds_what_looking_at_every_minute_finds(
    place: tuple[str, str],
    minutes: set[int],
    hours: set[int] | None,
    weekdays: set[int],
    shift: int,
) -> None:
    zone = ZoneInfo(place[0])
    start = datetime.fromisoformat(place[1]).replace(tzinfo=UTC) - timedelta(minutes=shift)
    end = start + timedelta(days=2)
    hour = "*" if hours is None else listed(hours)
    recurrence = parse(f"cron {listed(minutes)} {hour} * * {listed(weekdays)}")
    expected = oracle(start, end, zone, minutes, hours, weekdays)
    assert list(recurrence.between(start, end, zone)) == expected


@given(
    period_s=st.sampled_from([10, 60, 900, 3600, 86_400, 7 * 86_400]),
    after=st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)),
)
def test_every_is_the_next_point_of_the_grid(period_s: int, after: datetime) -> None:
    after = after.replace(tzinfo=UTC)
    run = parse(f"every {period_s}s").next(after, BERLIN)
    assert timedelta() < run - after <= timedelta(seconds=period_s)
    assert (run - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=period_s) == timedelta()
    assert list(parse(f"every {period_s}s").between(run, run + timedelta(seconds=1), BERLIN)) == [
        run
    ]


def test_a_skipped_local_time_runs_when_clocks_are_set_forward() -> None:
    assert first("cron 30 2 * * *", at("2026-03-28 12:00"), count=2) == [
        at("2026-03-29 03:00"),
        at("2026-03-30 02:30"),
    ]


def test_skipped_and_following_local_time_are_one_run() -> None:
    assert first("cron 0 2,3 * * *", at("2026-03-29 01:00"), count=2) == [
        at("2026-03-29 03:00"),
        at("2026-03-30 02:00"),
    ]


def test_a_repeated_local_time_runs_once() -> None:
    once = at("2026-10-25 02:30")
    assert first("cron 30 2 * * *", at("2026-10-24 12:00"), count=2) == [
        once,
        at("2026-10-26 02:30"),
    ]
    # Asked between the two as well.
    assert first("cron 30 2 * * *", once) == [at("2026-10-26 02:30")]


def test_an_hourly_run_goes_on_through_a_repeated_hour() -> None:
    assert first("cron 0 * * * *", at("2026-10-25 01:30"), count=3) == [
        at("2026-10-25 02:00"),
        at("2026-10-25 02:00", fold=1),
        at("2026-10-25 03:00"),
    ]


def test_intervals_do_not_care_for_zones() -> None:
    assert first("every 15m", at("2026-10-25 02:50", fold=0)) == [at("2026-10-25 02:00", fold=1)]
    assert first("every 1d", datetime(2026, 5, 1, 10, tzinfo=UTC)) == [
        datetime(2026, 5, 2, tzinfo=UTC)
    ]


def test_months_and_last_days() -> None:
    assert first("cron 0 0 1 * *", at("2026-01-15"), count=2) == [
        at("2026-02-01"),
        at("2026-03-01"),
    ]
    assert first("cron 0 3 L * *", at("2026-02-01")) == [at("2026-02-28 03:00")]
    assert first("cron 0 0 29 2 *", at("2026-01-01")) == [at("2028-02-29")]
    assert first("cron 0 6 * * mon", at("2026-11-21")) == [at("2026-11-23 06:00")]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("every 900s", "every 900s"),
        (" every  15m ", "every 900s"),
        ("every 1h", "every 3600s"),
        ("every 7d", "every 604800s"),
        ("cron  5 1 * * mon-fri", "cron 5 1 * * MON-FRI"),
    ],
)
def test_a_recurrence_has_one_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every",
        "every 0s",
        "every 7s",
        "every 5s",
        "every 1001s",
        "every -900s",
        "every 900",
        "every 99999999d",
        "every ٩٠٠s",
        "cron",
        "cron * * * *",
        "cron * * * * * *",
        "cron 60 * * * *",
        "cron 0 24 * * *",
        "cron 0 0 30 2 *",
        "cron 0 0 31 4,6,9,11 *",
        "cron * * */20 * 1L",
        "cron 0 0 L/2 * 1L/2",
        "cron */0 * * * *",
        "cron 0 0 0 * *",
        "cron @daily * * * *",
        "cron 0 0 * * ²L",
        "cron 5-1 * * * *",
        "@daily",
        "cron 0 1 * * *\x00",
        "cron " + "1," * 500 + "1 * * * *",
        "every " + "9" * 5000 + "s",
    ],
)
def test_what_is_no_recurrence_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(BadRecurrenceError):
        parse(text)
    assert time.process_time() - began < 0.5


@given(
    st.from_regex(
        re.compile(r"(every|cron)( ?[0-9A-Za-z*,/#LW-]{0,9}){0,6}", re.ASCII), fullmatch=True
    )
)
@settings(max_examples=80, deadline=1000)
def test_a_text_is_a_recurrence_that_comes_or_is_refused(text: str) -> None:
    try:
        recurrence = parse(text)
    except BadRecurrenceError:
        return
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert recurrence.next(now, BERLIN) > now
