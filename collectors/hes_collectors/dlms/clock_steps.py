"""
By how much a meter's clock is to be moved, and when. Pure.

A step never leaves the interval in which the clock stands: no interval is then cut short without
being marked, none comes twice, none is left out. What does not fit into the interval waits for the
next one, or is made in several steps, a session each.

Source: that values of intervals in which a clock is set are of doubtful worth, and how far it may
be moved without that: IEC 62056-6-2, class_id 8, adjust_to_measuring_period; the steps and limits
are our own (`ClockRules`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import attrs

_LEAST_STEP_S: Final = 2
_QUARTER_S: Final = 900


@attrs.frozen
class ClockRules:
    """
    When and how far clocks are set.

    Args:
        sets: whether at all.
        above_s: a clock that is further off is set.
        step_s: the most by which it is moved in one session.
        ordered_s: one that is further off is left alone until an operator has ordered it.
        wait_s: how long a session may wait for an interval in which the step fits.
        guard_s: what is kept free at the ends of an interval: nobody knows to the second what a
            clock shows, nor when a request arrives.
    """

    sets: bool = True
    above_s: float = 5.0
    step_s: float = 60.0
    ordered_s: float = 3600.0
    wait_s: float = 30.0
    guard_s: float = 2.0


@attrs.frozen
class ClockStep:
    """Move the clock forward by `step_s` (back: below zero), after `wait_s` seconds."""

    step_s: int
    wait_s: float = 0.0


def decide(
    drift_s: float, local: datetime, periods_s: Iterable[int], rules: ClockRules
) -> ClockStep | None:
    """
    What is to be done about a clock.

    Args: drift_s: how far it is ahead of ours. local: what it shows, local time. periods_s: in
        which the meter captures.
    Returns: None: nothing now; it is right, or no step fits into its interval.
    """
    if not rules.sets or abs(drift_s) <= rules.above_s or abs(drift_s) > rules.ordered_s:
        return None
    wanted_s = round(min(max(-drift_s, -rules.step_s), rules.step_s))
    periods = [period_s for period_s in periods_s if period_s > 0] or [_QUARTER_S]
    room_s = min(_room_s(local, period_s, wanted_s, rules) for period_s in periods)
    if room_s >= abs(wanted_s):
        return ClockStep(wanted_s)
    # Once what hinders lies behind, the whole step fits, if it fits at all.
    wait_s = max(_wait_s(local, period_s, wanted_s, rules) for period_s in periods)
    then = local + timedelta(seconds=wait_s)
    fits = all(_room_s(then, period_s, wanted_s, rules) >= abs(wanted_s) for period_s in periods)
    if fits and wait_s <= rules.wait_s:
        return ClockStep(wanted_s, wait_s)
    least_s = math.floor(room_s)
    return ClockStep(least_s if wanted_s > 0 else -least_s) if least_s >= _LEAST_STEP_S else None


def _into_s(local: datetime, period_s: int) -> float:
    """How long ago the interval began in which a clock stands; intervals begin at midnight."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return (local - midnight).total_seconds() % period_s


def _room_s(local: datetime, period_s: int, wanted_s: int, rules: ClockRules) -> float:
    """How far a clock may be moved in this direction within its interval."""
    into_s = _into_s(local, period_s)
    return (period_s - into_s if wanted_s > 0 else into_s) - rules.guard_s


def _wait_s(local: datetime, period_s: int, wanted_s: int, rules: ClockRules) -> float:
    """How long until there is room: forward, until the next interval; back, until it is far in."""
    if _room_s(local, period_s, wanted_s, rules) >= abs(wanted_s):
        return 0.0
    into_s = _into_s(local, period_s)
    if wanted_s > 0:
        return period_s - into_s + rules.guard_s
    return abs(wanted_s) - into_s + rules.guard_s
