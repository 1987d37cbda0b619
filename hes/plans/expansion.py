"""
Which runs of a plan are to be made now. Pure: the scheduler asks, and writes what comes of it.

A run's members, turns, deadline and end are what they were when it was made; what is read of them
is what the plan says when a session comes to it. After a standstill only the last run is made, if
it has not ended yet; those before it are skipped, and what they would have read is a gap. A run
that somebody has asked for is made, unless one of the recurrence comes due just then.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes.domain.plans import Plan, Run

LOOK_BACK: Final = timedelta(days=31)
"""Runs before that are not even recorded as skipped; no window is longer."""
MOST_SKIPPED: Final = 1_000
"""Of more, the last ones are recorded."""

_INSTANT: Final = timedelta(microseconds=1)


@attrs.frozen
class Expansion:
    """The run to be made, if any, and those before it that nobody has made in time."""

    run: Run | None = None
    skipped: tuple[Run, ...] = ()


def runs_due(plan: Plan, zone: str, last_run_at: datetime | None, now: datetime) -> Expansion:
    """
    What has come due of a plan in one zone since its last run.

    Args:
        zone: IANA name of the zone that the members' runs are counted in.
        last_run_at: the latest run there, made or skipped; None: there was none.
    """
    after = max(plan.since, last_run_at or plan.since, now - LOOK_BACK)
    if not plan.enabled or after >= now:
        return Expansion()
    runs = deque(
        (
            run_of(plan, zone, run_at)
            for run_at in plan.recurrence.between(after + _INSTANT, now + _INSTANT, ZoneInfo(zone))
        ),
        maxlen=MOST_SKIPPED + 1,
    )
    if runs and runs[-1].ends_at > now:
        return Expansion(run=runs.pop(), skipped=tuple(runs))
    asked = None
    if plan.asked_at is not None and after < plan.asked_at <= now:
        asked = run_of(plan, zone, plan.asked_at, asked=True)
    return Expansion(asked, tuple(runs))


def run_of(plan: Plan, zone: str, run_at: datetime, *, asked: bool = False) -> Run:
    """The run of a plan at an instant."""
    return Run(
        run_at=run_at,
        plan_id=plan.plan_id,
        zone=zone,
        deadline_at=run_at + timedelta(seconds=plan.deadline_s),
        ends_at=run_at + timedelta(seconds=plan.window_s),
        asked=asked,
    )
