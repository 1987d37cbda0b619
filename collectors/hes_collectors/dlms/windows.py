"""What happened within the last minute, in a few slots. Pure; time is an argument."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_SLOTS: Final = 12


class SlidingCount:
    """
    Counts of the last `window_s` seconds, of which the oldest twelfth falls away at once.

    Args: window_s: how far back it counts.
    """

    __slots__ = ("_slot_s", "_slots", "_total")

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / _SLOTS
        self._slots: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        """One more happened now."""
        slot = math.floor(now / self._slot_s)
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1] = (slot, self._slots[-1][1] + 1)
        else:
            self._slots.append((slot, 1))
        self._total += 1

    def total(self, now: float) -> int:
        """How many there were."""
        oldest = math.floor(now / self._slot_s) - _SLOTS
        while self._slots and self._slots[0][0] <= oldest:
            self._total -= self._slots.popleft()[1]
        return self._total

    def clear(self) -> None:
        """Begin anew."""
        self._slots.clear()
        self._total = 0
