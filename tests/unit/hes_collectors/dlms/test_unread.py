"""What a clock that was set back leaves unread, and that nothing else is asked for twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hes_collectors.dlms.unread import ClockSeen, Unread, unread

READ_AT = datetime(2026, 11, 21, 10, 1, tzinfo=UTC)
MARK = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def seen(now: datetime, ahead: timedelta, took: timedelta = SECOND) -> ClockSeen:
    return ClockSeen(now + ahead, now - took / 2, now + took / 2)


@pytest.mark.parametrize("ahead_s", [-3000, -40, -1, 0, 1, 2400])
def test_a_clock_that_runs_as_it_did_leaves_nothing_before_the_mark(ahead_s: int) -> None:
    """However wrong it goes: the last row was captured before, too, by the same clock."""
    ahead = timedelta(seconds=ahead_s)
    now = READ_AT + timedelta(hours=1)
    mark = min(MARK + ahead, READ_AT)
    assert unread(mark, READ_AT, seen(now, ahead)) == Unread(mark)


def test_of_a_clock_that_was_set_back_what_it_shows_since_is_unread() -> None:
    now = READ_AT + timedelta(minutes=20)
    found = unread(MARK, READ_AT, seen(now, -40 * MINUTE))
    assert found.again is not None
    since, until = found.again
    assert READ_AT - 40 * MINUTE - 2 * SECOND <= since <= READ_AT - 40 * MINUTE
    assert now - 40 * MINUTE <= until <= now - 40 * MINUTE + 3 * SECOND
    assert not found.is_committed(READ_AT - 39 * MINUTE)
    assert found.is_committed(since)
    assert not found.is_committed(until)
    assert found.is_committed(MARK)  # which it has not come to again
    assert not found.is_committed(MARK + SECOND)


def test_no_more_is_unread_than_time_has_passed_or_than_the_mark() -> None:
    now = READ_AT + timedelta(hours=1)
    year = unread(MARK, READ_AT, seen(now, timedelta(days=-365)))
    assert year.again is not None
    assert year.again[1] - year.again[0] < timedelta(hours=1, seconds=4)
    past = unread(MARK, READ_AT, seen(now, -40 * MINUTE))
    assert past.again is not None
    assert past.again[1] == MARK


def test_a_slow_answer_makes_the_span_wider() -> None:
    now = READ_AT + timedelta(minutes=20)
    narrow, wide = (
        unread(MARK, READ_AT, seen(now, -40 * MINUTE, took)) for took in (SECOND, MINUTE)
    )
    assert narrow.again is not None
    assert wide.again is not None
    assert wide.again[0] < narrow.again[0]
    assert wide.again[1] > narrow.again[1]


@pytest.mark.parametrize("year", [1, 1999, 9999])
def test_a_clock_that_shows_no_time_of_a_meter_says_nothing(year: int) -> None:
    now = READ_AT + timedelta(hours=1)
    clock = ClockSeen(datetime(year, 1, 1, tzinfo=UTC), now, now)
    assert unread(MARK, READ_AT, clock) == Unread(MARK)


def test_without_mark_session_or_clock_all_behind_the_mark_is_unread() -> None:
    clock = seen(READ_AT + timedelta(hours=1), -40 * MINUTE)
    assert unread(None, READ_AT, clock) == Unread(None)
    assert unread(MARK, None, clock) == Unread(MARK)
    assert unread(MARK, READ_AT, None) == Unread(MARK)
    assert not Unread(None).is_committed(MARK)
