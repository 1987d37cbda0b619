"""By how much a clock is moved: never out of its interval, never further than allowed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_collectors.dlms.clock_steps import ClockRules, ClockStep, decide

RULES = ClockRules()
NOON = datetime(2026, 11, 21, 12)


def at(minutes: int, seconds: int) -> datetime:
    return NOON + timedelta(minutes=minutes, seconds=seconds)


@pytest.mark.parametrize(
    ("drift_s", "local", "step"),
    [
        (4.9, at(7, 0), None),  # near enough
        (-4.9, at(7, 0), None),
        (20.4, at(7, 0), ClockStep(-20)),
        (-20.4, at(7, 0), ClockStep(20)),
        (-2400.0, at(7, 0), ClockStep(60)),  # a step a session
        (3600.5, at(7, 0), None),  # an operator's to decide
        # Forward, and the interval ends in 10 s: wait for the next one.
        (-20.0, at(14, 50), ClockStep(20, wait_s=12)),
        # Back, and the interval began 5 s ago: wait until that is more than the step.
        (20.0, at(15, 5), ClockStep(-20, wait_s=17)),
        # The wait is too long: as far as the interval lets it.
        (-60.0, at(14, 20), ClockStep(38)),
        (60.0, at(15, 3), None),
        (60.0, at(15, 10), ClockStep(-8)),
        (60.0, at(15, 20), ClockStep(-18)),
        (60.0, at(15, 40), ClockStep(-60, wait_s=22)),
    ],
)
def test_steps_of_a_quarter(drift_s: float, local: datetime, step: ClockStep | None) -> None:
    assert decide(drift_s, local, [900], RULES) == step


def test_all_periods_count_and_midnight_is_where_they_begin() -> None:
    assert decide(-20.0, at(4, 55), [900, 300], RULES) == ClockStep(20, wait_s=7)
    assert decide(-20.0, datetime(2026, 11, 21, 23, 59, 55), [86_400], RULES) == ClockStep(20, 7)
    assert decide(-20.0, at(14, 55), [], RULES) == ClockStep(20, wait_s=7)  # unknown: a quarter


def test_a_minute_is_too_short_for_a_large_step() -> None:
    assert decide(-60.0, at(0, 10), [60], RULES) == ClockStep(48)
    assert decide(60.0, at(0, 10), [60], RULES) == ClockStep(-8)


def test_nothing_is_set_where_rules_say_so() -> None:
    assert decide(-20.0, at(7, 0), [900], ClockRules(sets=False)) is None


@given(
    drift_s=st.floats(-4000, 4000),
    seconds=st.floats(0, 86_399),
    periods_s=st.lists(st.sampled_from([60, 300, 900, 1800, 3600, 86_400]), max_size=3),
)
def test_old_and_new_time_lie_in_one_interval(
    drift_s: float, seconds: float, periods_s: list[int]
) -> None:
    local = NOON.replace(hour=0) + timedelta(seconds=seconds)
    step = decide(drift_s, local, periods_s, RULES)
    if step is None:
        return
    assert 0 <= step.wait_s <= RULES.wait_s
    assert 2 <= abs(step.step_s) <= RULES.step_s
    assert abs(drift_s + step.step_s) < abs(drift_s)
    moved = seconds + step.wait_s
    for period_s in periods_s or [900]:
        assert moved // period_s == (moved + step.step_s) // period_s
