"""
How many of the sessions may be second tries: when everything fails, retries must not be the load.

Pure; time is trio's, passed in.
Source: the retry budgets of Finagle and gRPC (a share of what runs, beside a small minimum).
"""

from __future__ import annotations

import attrs

from hes_collectors.dlms.windows import SlidingCount


@attrs.frozen
class BudgetRules:
    """Retries are at most `share` of all sessions within `window_s`; `least` are always allowed."""

    share: float = 0.2
    least: int = 10
    window_s: float = 60.0


class RetryBudget:
    """Of one collector."""

    def __init__(self, rules: BudgetRules) -> None:
        self._rules = rules
        self._sessions = SlidingCount(rules.window_s)
        self._retries = SlidingCount(rules.window_s)

    def begin(self, now: float, *, retry: bool) -> bool:
        """
        Whether one more session may begin; if so it counts.

        Args: retry: whether the last session with this meter came to nothing.
        """
        if retry:
            sessions = self._sessions.total(now) + 1
            most = max(self._rules.least, self._rules.share * sessions)
            if self._retries.total(now) + 1 > most:
                return False
            self._retries.add(now)
        self._sessions.add(now)
        return True
