"""
One seed, one schedule: what trio, `os.urandom` (and with it `uuid4`) and we draw follows from it.

trio has no public switch for this. The two private names of `trio._core._run` are its hook for
Hypothesis: tasks that may run at the same time run in an order drawn from `_r` over tasks sorted by
age. Nothing else may draw: no `SystemRandom`, no `secrets`, no iteration over sets of text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import trio._core._run as trio_run


@contextmanager
def one_schedule(seed: int) -> Iterator[None]:
    """While it lasts, each `trio.run` with a `MockClock` goes as the seed says."""
    octets = stream(seed, "urandom")
    kept = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate(), os.urandom
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    os.urandom = octets.randbytes
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING, state, os.urandom = kept  # type: ignore[misc]
        trio_run._r.setstate(state)


def stream(seed: int, purpose: str) -> Random:
    """Randomness of its own for each purpose: one more draw here moves nothing there."""
    return Random(f"{seed}/{purpose}")


class Chances:
    """
    Fault points of one seed, by name (as FoundationDB's buggify).

    A point is armed in a quarter of all seeds, so that seeds differ in kind and not only in
    degree; armed, it strikes at its rate. Once `calm`, nothing strikes any more.
    """

    def __init__(self, seed: int, armed: float = 0.25) -> None:
        self._seed = seed
        self._armed = armed
        self._points: dict[str, Random | None] = {}
        self.calm = False

    def strikes(self, point: str, rate: float) -> bool:
        """Whether the fault happens here and now."""
        if point not in self._points:
            random = stream(self._seed, point)
            self._points[point] = random if random.random() < self._armed else None
        drawn = self._points[point]
        return drawn is not None and drawn.random() < rate and not self.calm
