"""
Which intervals of a profile are expected, and what has become of each.

An interval is a slot of the profile's grid within a UTC day, as in the table `completeness`: slot i
stands for captures within [i, i + 1) periods after midnight. Hours are UTC hours, so that a day has
24 of them; a local day has 23 to 25, and 92, 96 or 100 quarters. Pure.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes.domain.readings import BoolArray

DAY_S: Final = 86_400
_HOUR_S: Final = 3_600


@attrs.frozen
class Expected:
    """
    What is expected of a profile: every interval that begins in [`since`, `until`).

    `until` None: as long as it goes on. Periods up to an hour lie on a grid in UTC and are captured
    when they begin. Longer ones follow a local calendar: their capture falls somewhere into them,
    so such a one is expected only if it lies in [`since`, `until`) whole, and once it is over.
    """

    capture_period_s: int
    since: datetime
    until: datetime | None = None

    def slots(self, day: date, to: datetime | None = None) -> range:
        """
        The intervals of a day that are expected, of those that are captured before `to`.

        The function expected_bits of the database is its twin.
        """
        period_s = self.capture_period_s
        count = DAY_S // period_s
        shift_s = period_s if period_s > _HOUR_S else 0
        midnight = datetime.combine(day, time(), UTC)

        def after(moment: datetime) -> timedelta:
            return moment - midnight

        first = _ceil(after(self.since), period_s)
        last = count
        if self.until is not None:
            until = after(self.until)
            last = min(last, _floor(until, period_s) if shift_s else _ceil(until, period_s))
        if to is not None:
            last = min(last, _ceil(after(to) - timedelta(seconds=shift_s), period_s))
        first = min(max(first, 0), count)
        return range(first, max(first, last))


@attrs.frozen(eq=False)
class DayOfSlots:
    """
    What has become of the intervals of one profile in one UTC day, one truth value per slot.

    `held`: we have it; `overdue`: it was expected and not held at its deadline; `lost`: nobody can
    have it any more, never held at the same time.
    """

    day: date
    capture_period_s: int
    held: BoolArray
    overdue: BoolArray
    lost: BoolArray

    @classmethod
    def of(
        cls, day: date, capture_period_s: int, held: str, overdue: str | None, lost: str | None
    ) -> DayOfSlots:
        """From texts of 0 and 1; None: none."""
        return cls(
            day,
            capture_period_s,
            _truth(held, len(held)),
            _truth(overdue, len(held)),
            _truth(lost, len(held)),
        )


def local_day(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants at which a day of a zone begins and ends: 23, 24 or 25 hours apart."""
    begins = datetime.combine(day, time(), zone)
    ends = datetime.combine(day + timedelta(days=1), time(), zone)
    return begins.astimezone(UTC), ends.astimezone(UTC)


def _truth(bits: str | None, count: int) -> BoolArray:
    if bits is None:
        return np.zeros(count, np.bool_)
    found: BoolArray = np.frombuffer(bits.encode("ascii"), np.uint8) == ord("1")
    return found


def _ceil(span: timedelta, period_s: int) -> int:
    return -(-span // timedelta(seconds=period_s))


def _floor(span: timedelta, period_s: int) -> int:
    return span // timedelta(seconds=period_s)
