"""
Which rows of a profile may not be committed yet, by the times that they bear. Pure.

Mostly those behind the mark. Not so once a meter's clock was set back: it then captures times anew
that it has had, and its buffer holds two rows of one time with different values. Those of the
second pass stand before the mark, where nobody would look for them.

What is not committed was captured after the last session that has read everything. If the clock
was `ahead` of ours since, it bears a time after that session plus `ahead`, and none later than the
clock shows now. So no more is asked for again than was captured since, however far the clock went
back. Between two sessions set back and forth again, a clock tells nothing of it: rows of such a
spell that lie before the mark are found only when the profile is read anew.

Source: that such rows stay in the buffer, unsorted, the first with a "clock adjusted" status:
MetCom MCS301 product manual 1.25, 13.1, "Setting the time back"; IDIS profile status, bit 5.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

_SECOND: Final = timedelta(seconds=1)
# A clock that is less behind is slow, and nobody has set it back.
_SET_BACK: Final = timedelta(seconds=5)
# A meter's clock may name any year; earlier times than this no meter means.
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


@attrs.frozen
class ClockSeen:
    """A look at a meter's clock: what it showed, somewhen between question and answer."""

    shown: datetime
    asked_at: datetime
    answered_at: datetime

    @property
    def drift_s(self) -> float:
        """How far it is ahead of ours, in seconds, if it was read half-way between."""
        middle = self.asked_at + (self.answered_at - self.asked_at) / 2
        return (self.shown - middle).total_seconds()


@attrs.frozen
class Unread:
    """
    Behind `mark` (None: everything), and of what lies before it the span `again`.

    `again` excludes its first instant and includes its second.
    """

    mark: datetime | None
    again: tuple[datetime, datetime] | None = None

    def is_committed(self, at: datetime) -> bool:
        """Whether a row of this time was certainly committed."""
        if self.mark is None or at > self.mark:
            return False
        return self.again is None or not self.again[0] < at <= self.again[1]


def unread(mark: datetime | None, read_at: datetime | None, clock: ClockSeen | None) -> Unread:
    """
    What is not committed of a profile.

    Args: mark: the latest committed instant. read_at: when the last session began that has read
        everything. clock: the meter's, now.
    """
    if mark is None or read_at is None or clock is None:
        return Unread(mark)
    if not _FIRST <= clock.shown <= _LAST:
        return Unread(mark)
    # The earliest and the latest that the clock may say; its resolution is a second.
    since = max(read_at - (clock.answered_at - clock.shown), _FIRST).replace(microsecond=0)
    until = min(clock.shown + (clock.answered_at - clock.asked_at) + _SECOND, mark)
    return Unread(mark, (since, until)) if since < until else Unread(mark)


def unread_lines(mark: datetime | None, clock: ClockSeen | None) -> Unread:
    """
    What is not committed of a profile without a period: a log, or billing.

    Few rows, and each read again harms nobody, so that one look back is enough: whatever was
    captured after `mark` bears a time no further before it than the clock is behind ours now. (A
    clock that was ahead leaves no mark ahead of us.)

    Args: as of `unread`; when the last session began does not matter, it may not have read this.
    """
    if mark is None or clock is None or clock.shown < _FIRST:
        return Unread(mark)
    behind = clock.asked_at - clock.shown
    return Unread(mark - behind) if behind >= _SET_BACK else Unread(mark)
