"""
When a part of the network is left alone because hardly anybody there answers.

One breaker for each segment. Closed: sessions run. Open: nothing of the segment is taken, for a
time that doubles each time it opens again. Half-open: a few sessions at once find out; the first
that gets through closes it, and if as many have failed as were let through it opens again. Only
failures of transport count: a meter that refuses us has been reached.

Pure; time is trio's, passed in.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from hes_collectors.dlms.windows import SlidingCount


@attrs.frozen
class BreakerRules:
    """
    It opens at `least` sessions within `window_s` of which the share `share` has failed.

    It stays open for `first_s`, then twice as long each time, at most `most_s`; `probes` sessions
    then find out.
    """

    least: int = 20
    share: float = 0.8
    window_s: float = 60.0
    first_s: float = 30.0
    most_s: float = 900.0
    probes: int = 5


class BreakerState(StrEnum):
    """Of one segment."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Of one segment."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._sessions = SlidingCount(rules.window_s)
        self._failures = SlidingCount(rules.window_s)
        self._opened = 0  # times in a row
        self._open_until = 0.0
        self._probes_failed = 0

    def state(self, now: float) -> BreakerState:
        """What it lets through now."""
        if not self._opened:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def record(self, now: float, *, reached: bool) -> None:
        """
        A session has ended.

        Args: reached: whether its meter, or anything there, has answered.
        """
        state = self.state(now)
        if state is BreakerState.CLOSED:
            self._sessions.add(now)
            if not reached:
                self._failures.add(now)
                self._judge(now)
        elif reached:
            self._opened, self._probes_failed = 0, 0
        elif state is BreakerState.HALF_OPEN:
            self._probes_failed += 1
            if self._probes_failed >= self._rules.probes:
                self._open(now)

    def wait_s(self, now: float) -> float:
        """How long until it lets anybody through."""
        return max(0.0, self._open_until - now) if self._opened else 0.0

    def _judge(self, now: float) -> None:
        sessions = self._sessions.total(now)
        enough = sessions >= self._rules.least
        if enough and self._failures.total(now) >= self._rules.share * sessions:
            self._open(now)

    def _open(self, now: float) -> None:
        bound_s = self._rules.first_s * 2.0 ** min(self._opened, 16)
        self._open_until = now + min(bound_s, self._rules.most_s)
        self._opened += 1
        self._probes_failed = 0
        self._sessions.clear()
        self._failures.clear()
