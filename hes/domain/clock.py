"""Meters' clocks: what was done to them, and what becomes of the intervals in which it happened."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import attrs


class ClockHow(StrEnum):
    """By what a clock came to show another time."""

    SET = "set"  # we wrote attribute 2
    SHIFT = "shift"  # we invoked method 6, shift_time
    SEEN = "seen"  # somebody else did it, or the clock itself: between two sessions


class ClockOutcome(StrEnum):
    """What came of setting a clock."""

    SENT = "sent"  # nobody knows: the answer did not come
    DONE = "done"  # read back: it shows what it should
    WITHOUT_EFFECT = "without-effect"  # the meter said yes, and its clock shows something else
    REFUSED = "refused"  # nothing was touched


@attrs.frozen
class ClockChange:
    """
    A change of a meter's clock.

    At `at` (ours) it showed `before_at`, and `after_at` at once afterwards. Intervals that the
    meter captures with a time in [min of both, max of both + period) are shorter or longer than
    their period, or never come. Of a change that was only SEEN, `at` is when: it happened at some
    time since the session before.
    """

    meter_id: UUID
    at: datetime
    before_at: datetime
    after_at: datetime
    how: ClockHow
    session_id: UUID | None = None

    @property
    def step_s(self) -> float:
        """By how much it was moved forward."""
        return (self.after_at - self.before_at).total_seconds()
