"""
Whether the database's clock runs as ours does. Pure.

Leases run by the database's clock, and their holders' deadlines by monotonic ones. If the former is
set forward, leases look as if they had run out while their holders still talk to the meters.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

_TOLERANCE_S: Final = 5.0


@attrs.define
class ClockWatch:
    """Compares two clocks from look to look. Not thread-safe."""

    _seen: tuple[datetime, float] | None = None
    _doubtful_until: float = float("-inf")

    def step_s(self, now: datetime, monotonic: float) -> float:
        """By how much the database's clock was set since the last look; 0: it runs as it should."""
        seen, self._seen = self._seen, (now, monotonic)
        if seen is None:
            return 0.0
        step_s = (now - seen[0]).total_seconds() - (monotonic - seen[1])
        return step_s if abs(step_s) > _TOLERANCE_S else 0.0

    def trusted(self, now: datetime, monotonic: float, lease_s: float) -> bool:
        """
        Whether leases that look as if they had run out have.

        Not until every lease of `lease_s` is over that was taken before the clock was set forward.
        """
        if self.step_s(now, monotonic) > 0:
            self._doubtful_until = monotonic + lease_s
        return monotonic >= self._doubtful_until
