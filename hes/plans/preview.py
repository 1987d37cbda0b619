"""The next runs of a plan, as people want to see them before they enable it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes.domain.plans import Run, Terms

MAX_RUNS: Final = 100
_DAY: Final = timedelta(days=1)


class ClockShift(StrEnum):
    """That a zone's clocks change on the day of a run."""

    FORWARD = "forward"
    BACK = "back"


@attrs.frozen
class ComingRun:
    """
    A run that is to come.

    `shift`: clocks change within the local day before it, or at that very instant: the pause before
    it is another than usual.
    """

    run: Run
    local: datetime
    shift: ClockShift | None


def coming(
    terms: Terms, zone: str, after: datetime, count: int, *, plan_id: int = 0
) -> Sequence[ComingRun]:
    """
    The next runs after an instant in one zone, whether the plan is enabled or not.

    Raises: BadRecurrenceError: there are no more within 50 years.
    """
    return list(_coming(terms, zone, after, min(count, MAX_RUNS), plan_id))


def _coming(
    terms: Terms, zone: str, after: datetime, count: int, plan_id: int
) -> Iterator[ComingRun]:
    place = ZoneInfo(zone)
    for _ in range(count):
        before, after = after, terms.recurrence.next(after, place)
        run = Run(
            run_at=after,
            plan_id=plan_id,
            zone=zone,
            deadline_at=after + timedelta(seconds=terms.deadline_s),
            ends_at=after + timedelta(seconds=terms.window_s),
        )
        since = max(before, after - _DAY)
        yield ComingRun(run, after.astimezone(place), _shift(since.astimezone(place), after))


def _shift(before: datetime, after: datetime) -> ClockShift | None:
    was, is_ = before.utcoffset(), after.astimezone(before.tzinfo).utcoffset()
    assert was is not None
    assert is_ is not None
    if was == is_:
        return None
    return ClockShift.FORWARD if is_ > was else ClockShift.BACK
