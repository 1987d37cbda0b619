"""How fast something may happen. Pure; time is passed in."""

from __future__ import annotations

from typing import Final

_NEARLY: Final = 1e-6


class Bucket:
    """A token bucket on trio's clock: `per_s` come in each second, `burst` are there at most."""

    __slots__ = ("_at", "_burst", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at = now

    def left(self, now: float) -> float:
        """How many tokens there are; negative: so many were taken ahead of time."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        return self._tokens

    def wait_s(self, now: float) -> float:
        """How long until there is a token; 0: there is one."""
        missing = 1 - self.left(now)
        # A sleep for less than that might not move the clock.
        return 0.0 if missing < _NEARLY else missing / self._per_s

    def take(self) -> None:
        """Take a token; whoever takes one that is not there yet makes the next ones wait."""
        self._tokens -= 1
