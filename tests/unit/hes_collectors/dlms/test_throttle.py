"""How many at once, how fast, who is left alone, and how much of it may be second tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.ports import Segment
from hes_collectors.dlms.breaker import Breaker, BreakerRules, BreakerState
from hes_collectors.dlms.budget import BudgetRules, RetryBudget
from hes_collectors.dlms.throttle import Room, Throttle, ThrottleRules
from hes_collectors.dlms.windows import SlidingCount

RULES = BreakerRules()


def throttle(**rules: object) -> Throttle:
    return Throttle(ThrottleRules(**rules), RULES, 0.0)  # type: ignore[arg-type]


# --- windows ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 40), max_size=60))
def test_a_window_counts_the_last_minute_within_a_slot(pauses: list[float]) -> None:
    count, times, now = SlidingCount(60), [], 1000.0
    for pause in pauses:
        now += pause
        times.append(now)
        count.add(now)
        at_least = sum(now - at < 55 for at in times)
        at_most = sum(now - at < 65 for at in times)
        assert at_least <= count.total(now) <= at_most


# --- breaker ----------------------------------------------------------------------------------


def failing(breaker: Breaker, times: int, at: float, good: int = 0) -> None:
    for n in range(times):
        breaker.record(at, reached=n < good)


@pytest.mark.parametrize(
    ("sessions", "good", "state"),
    [
        (19, 0, BreakerState.CLOSED),
        (20, 0, BreakerState.OPEN),
        (25, 5, BreakerState.OPEN),
        (24, 5, BreakerState.CLOSED),
    ],
)
def test_it_opens_when_four_of_five_fail(sessions: int, good: int, state: BreakerState) -> None:
    breaker = Breaker(RULES)
    failing(breaker, sessions, 5.0, good)
    assert breaker.state(5.0) is state


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker(RULES)
    failing(breaker, 19, 5.0)
    failing(breaker, 1, 70.0)
    assert breaker.state(70.0) is BreakerState.CLOSED


def test_it_opens_for_twice_as_long_each_time_and_one_that_answers_closes_it() -> None:
    breaker, now = Breaker(RULES), 0.0
    failing(breaker, 20, now)
    for open_s in (30, 60, 120, 240, 480, 900, 900):
        assert breaker.wait_s(now) == pytest.approx(open_s)
        now += open_s - 0.1
        assert breaker.state(now) is BreakerState.OPEN
        now += 0.2
        assert breaker.state(now) is BreakerState.HALF_OPEN
        failing(breaker, RULES.probes - 1, now)
        assert breaker.state(now) is BreakerState.HALF_OPEN
        failing(breaker, 1, now)
    now += 901
    breaker.record(now, reached=True)
    assert breaker.state(now) is BreakerState.CLOSED
    failing(breaker, 20, now)
    assert breaker.wait_s(now) == pytest.approx(30)


# --- budget -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=120))
def test_retries_are_a_fifth_of_all_sessions(wanted: list[tuple[float, bool]]) -> None:
    budget, now = RetryBudget(BudgetRules(least=3)), 100.0
    begun: list[tuple[float, bool]] = []
    for pause, retry in wanted:
        now += pause
        if budget.begin(now, retry=retry):
            begun.append((now, retry))
        else:
            assert retry, "a first try is never held back"
        recent = [was for at, was in begun if now - at < 55]
        longer = [was for at, was in begun if now - at < 65]
        assert sum(recent) <= max(3, 0.2 * len(longer))


def test_a_few_retries_are_always_allowed() -> None:
    budget = RetryBudget(BudgetRules())
    assert [budget.begin(1.0, retry=True) for _ in range(12)].count(True) == 10
    assert budget.begin(62.0, retry=True)


# --- throttle ---------------------------------------------------------------------------------


def test_a_share_of_the_slots_is_for_urgent_work() -> None:
    limits = throttle(max_sessions=50)
    assert limits.room(0, 0.0) == Room(45, 50)
    assert limits.room(45, 0.0) == Room(0, 5)
    assert limits.room(50, 0.0) == Room(0, 0)
    assert throttle(max_sessions=3).room(0, 0.0) == Room(3, 3)


def test_connections_come_no_faster_than_told() -> None:
    limits = throttle(max_sessions=1000, connections_per_s=20)
    begun = 0
    for tick in range(100):  # ten seconds
        for _ in range(limits.room(0, tick / 10).any):
            limits.begin(None)
            begun += 1
    assert 20 * 9 <= begun <= 20 * 11
    # Urgent work has what is kept for it.
    assert limits.room(0, 10.0).urgent >= 2


def test_a_segments_rate_is_shared_by_the_collectors() -> None:
    limits = throttle()
    limits.tell([Segment("cell", connections_per_s=4.0)], 2, 0.0)
    waits = []
    for _ in range(6):
        waits.append(limits.wait_s("cell", 0.0))
        limits.begin("cell")
    assert waits == [0, 0, 0.5, 1.0, 1.5, 2.0]
    assert limits.wait_s("other", 0.0) == limits.wait_s(None, 0.0) == 0
    limits.tell([Segment("cell", connections_per_s=4.0)], 2, 0.0)  # said again: nothing is reset
    assert limits.wait_s("cell", 0.0) == 2.5
    limits.tell([], 2, 0.0)
    assert limits.wait_s("cell", 0.0) == 0


def test_segments_keep_a_share_for_urgent_work() -> None:
    limits = throttle(per_segment=30)
    limits.tell([Segment("narrow", max_sessions=1), Segment("wide", max_sessions=20)], 1, 0.0)
    assert limits.limits(0.0).segments == {"narrow": 1, "wide": 18}
    assert limits.limits(0.0).per_segment == 27
    urgent = limits.limits(0.0, urgent_only=True)
    assert (urgent.segments, urgent.per_segment) == ({"narrow": 1, "wide": 20}, 30)


def test_a_segment_that_does_not_answer_is_shut_and_then_tried_by_a_few() -> None:
    limits = throttle()
    for _ in range(20):
        limits.ended("dead", 0.0, reached=False)
        limits.ended("alive", 0.0, reached=True)
        limits.ended(None, 0.0, reached=False)
    assert limits.limits(1.0).shut == {"dead"}
    assert limits.wait_s("dead", 1.0) == 29
    assert limits.limits(31.0).shut == frozenset()
    assert limits.limits(31.0).segments == {"dead": RULES.probes}
