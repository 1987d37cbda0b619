"""Clocks of meters: many date-times at once, grids, drift, steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_simulators.clock import (
    FIRST_YEAR,
    LAST_YEAR,
    EveryDay,
    EveryMonth,
    Face,
    MeterClock,
    grid,
    microseconds,
    moment,
    summer_changes,
)
from hes_simulators.state import ClockStep, Spans

ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")]
BERLIN = ZONES[0]
HOUR_US = 3_600_000_000
at_us = st.integers(
    microseconds(datetime(2001, 1, 1, tzinfo=UTC)), microseconds(datetime(2080, 1, 1, tzinfo=UTC))
)


@settings(deadline=None)
@given(st.sampled_from(ZONES), st.booleans(), st.lists(at_us, min_size=1, max_size=20).map(sorted))
def test_many_date_times_are_as_one_by_one(
    zone: ZoneInfo, deviation: bool, found: list[int]
) -> None:
    face = Face(zone, deviation)
    octets = face.octets(np.array(found, np.int64), 0x02)
    assert [bytes(row) for row in octets] == [face.cosem(one, 0x02).to_octets() for one in found]


@pytest.mark.parametrize(
    ("day", "rows"), [((2026, 3, 29), 92), ((2026, 7, 1), 96), ((2026, 10, 25), 100)]
)
def test_rows_of_a_local_day(day: tuple[int, int, int], rows: int) -> None:
    begin = microseconds(datetime(*day, tzinfo=BERLIN))
    end = microseconds(datetime(*day, tzinfo=BERLIN) + timedelta(days=1))
    found = grid(900, Face(BERLIN)).between(begin, end, 1000)
    assert len(found) == rows
    dates = {bytes(row[:4]) for row in Face(BERLIN).octets(found[:-1])}
    assert len(dates) == 1


def test_hours_and_days_are_local() -> None:
    kolkata = Face(ZONES[1])
    hour = grid(3600, kolkata).between(0, 3 * HOUR_US, 10)
    assert [moment(int(one)).minute for one in hour] == [30, 30, 30]
    days = EveryDay(BERLIN).between(
        microseconds(datetime(2026, 10, 24, tzinfo=UTC)),
        microseconds(datetime(2026, 10, 27, tzinfo=UTC)),
        9,
    )
    assert [moment(int(one)).hour for one in days] == [22, 23, 23]
    months = EveryMonth(BERLIN).between(
        microseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        microseconds(datetime(2027, 1, 1, tzinfo=UTC)),
        99,
    )
    assert len(months) == 12
    assert len(EveryMonth(BERLIN).between(int(months[0]), int(months[3]), 2)) == 2


def test_summer_time_begins_and_ends() -> None:
    year = (
        microseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        microseconds(datetime(2027, 1, 1, tzinfo=UTC)),
    )
    assert [moment(one) for one in summer_changes(BERLIN, *year)] == [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
    ]
    assert summer_changes(ZONES[1], *year) == []


def test_summer_time_of_half_an_hour_begins_at_half_past() -> None:
    year = (
        microseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        microseconds(datetime(2027, 1, 1, tzinfo=UTC)),
    )
    # Lord Howe: at 2:00 of +11:00 back by half an hour, at 2:00 of +10:30 on by it.
    assert [moment(one) for one in summer_changes(ZONES[2], *year)] == [
        datetime(2026, 4, 4, 15, tzinfo=UTC),
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    ]


steps = st.lists(
    st.tuples(st.integers(1, 400), st.integers(-50, 50)), max_size=6, unique_by=lambda step: step[0]
).map(lambda found: [ClockStep(hour * HOUR_US, by * HOUR_US // 7) for hour, by in sorted(found)])


@settings(deadline=None)
@given(st.integers(-500_000, 500_000), steps, st.integers(1, 500 * 60), st.integers(1, 400))
def test_captures_do_not_depend_on_how_many_are_asked_for(
    drift_ppb: int, found: list[ClockStep], until_min: int, most: int
) -> None:
    clock = MeterClock(0, drift_ppb, found)
    dark = Spans([(5 * HOUR_US, 9 * HOUR_US), (40 * HOUR_US, 41 * HOUR_US)])
    until_us = until_min * 60_000_000
    every = grid(900, Face(BERLIN))
    at, shown = clock.captures(every, 0, until_us, 1 << 30, dark)
    last_at, last_shown = clock.captures(every, 0, until_us, most, dark)
    assert last_at.tolist() == at.tolist()[-most:]
    assert last_shown.tolist() == shown.tolist()[-most:]
    assert (np.diff(at) >= 0).all()
    assert not dark.covering(at).any()
    middle_us = until_us // 2
    halves = [
        clock.captures(every, *span, 1 << 30, dark)[0].tolist()
        for span in ((0, middle_us), (middle_us, until_us))
    ]
    assert halves[0] + halves[1] == at.tolist()


@given(
    st.integers(-500_000, 500_000),
    st.lists(st.integers(0, 10**15), min_size=1, max_size=9).map(sorted),
)
def test_true_time_is_found_to_the_microsecond(drift_ppb: int, shown: list[int]) -> None:
    segment = MeterClock(0, drift_ppb, []).segment(0)
    true = segment.true_us(np.array(shown, np.int64))
    back = [segment.shown_us(int(one)) for one in true]
    assert max(abs(a - b) for a, b in zip(back, shown, strict=True)) <= 2


def test_spans_join_and_tell() -> None:
    spans = Spans()
    assert not spans
    spans.begin("a", 10)
    spans.begin("b", 15)
    spans.end("a", 20)
    assert spans.covers(25)
    spans.end("b", 30)
    assert spans.closed == [(10, 30)]
    spans.add(25, 40)
    assert spans.closed == [(10, 40)]
    assert (spans.covers(39), spans.covers(40), spans.covers(9)) == (True, False, False)
    assert (spans.lit_from(12), spans.lit_from(50)) == (40, 50)
    spans.begin("a", 60)
    assert (spans.lit_from(65), spans.lit_from(55)) == (None, 55)
    assert spans.covering(np.array([5, 10, 39, 40, 60])).tolist() == [
        False,
        True,
        True,
        False,
        True,
    ]


@given(
    st.lists(st.integers(0, 40), unique=True).map(sorted),
    st.one_of(st.none(), st.integers(40, 50)),
    st.lists(st.integers(-2, 55)),
)
def test_spans_cover_many_moments_as_they_cover_each(
    edges: list[int], since_us: int | None, at_us: list[int]
) -> None:
    spans = Spans(list(zip(edges[::2], edges[1::2], strict=False)), since_us)
    covered = spans.covering(np.array(at_us, np.int64))
    assert covered.tolist() == [spans.covers(one) for one in at_us]


@pytest.mark.parametrize("jump_us", [10**19, -(10**19)])
def test_a_calendar_has_edges(jump_us: int) -> None:
    clock = MeterClock(0, 0, [])
    clock.set(10**15, 10**15 + jump_us)
    shown_us = clock.shown_us(2 * 10**15)
    assert Face(BERLIN).cosem(shown_us).year in range(FIRST_YEAR, LAST_YEAR + 40)
    assert len(Face(BERLIN).octets(np.array([shown_us]))) == 1
