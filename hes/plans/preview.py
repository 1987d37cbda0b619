"""The next runs of a plan, as people want to see them before they enable it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes.domain.plans import Terms

MAX_RUNS: Final = 100
_DAY: Final = timedelta(days=1)


class ClockShift(StrEnum):
    """That a zone's clocks change on the day of a run."""

    FORWARD = "forward"
    BACK = "back"


@attrs.frozen
class ComingRun:
    """
    A run that is to come, at an instant and by the clock on the wall.

    `shift`: clocks change within the day before it, or at that very instant: the pause before it is
    another than usual.
    """

    run_at: datetime
    local: datetime
    deadline_at: datetime
    shift: ClockShift | None


def coming(terms: Terms, zone: str, after: datetime, count: int) -> Sequence[ComingRun]:
    """
    The next runs after an instant in one zone, whether the plan is enabled or not.

    Args: count: how many, at most `MAX_RUNS`.
    Raises: BadRecurrenceError: there are no more within 50 years.
    """
    place = ZoneInfo(zone)
    runs = []
    for _ in range(min(count, MAX_RUNS)):
        before, after = after, terms.recurrence.next(after, place)
        runs.append(
            ComingRun(
                after,
                after.astimezone(place),
                after + timedelta(seconds=terms.deadline_s),
                _shift(max(before, after - _DAY).astimezone(place), after),
            )
        )
    return runs


def _shift(before: datetime, after: datetime) -> ClockShift | None:
    was, is_ = before.utcoffset(), after.astimezone(before.tzinfo).utcoffset()
    assert was is not None
    assert is_ is not None
    if was == is_:
        return None
    return ClockShift.FORWARD if is_ > was else ClockShift.BACK
