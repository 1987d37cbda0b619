"""
What is due when, for all meters of a fleet: one heap and one task, instead of a timer for each.

An entry costs one tuple. Entries of one moment are taken in the order in which they were added. A
fleet has two: one goes by the meters' time (pushes), one by the network's (dialling, repetitions),
which a faster pace does not shorten.

A call that fails is a bug in what one meter does: others go on, and it is told whose it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

import structlog
import trio

from hes_simulators.meter import microseconds, moment

# So many entries of one burst are taken before others may run: a few milliseconds.
_AT_A_TIME: Final = 64
_log = structlog.get_logger(__name__)


def _of_nobody(index: int) -> None:
    """Only the log hears of it."""
    _log.exception("sim_call_crashed", index=index)


class Agenda:
    """
    Calls by the moment at which they are due, microseconds by some clock.

    Args: now_us: that clock. sleep_until_us: returns once it shows a moment or later. failed: is
        told, while the exception is handled, which meter's call has failed.
    """

    def __init__(
        self,
        now_us: Callable[[], int],
        sleep_until_us: Callable[[int], Awaitable[None]],
        failed: Callable[[int], None] = _of_nobody,
    ) -> None:
        self.now_us = now_us
        self._failed = failed
        self._sleep_until_us = sleep_until_us
        self._heap: list[tuple[int, int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._sleep: trio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at_us: int, call: Callable[[], None], index: int = -1) -> None:
        """
        Have `call` made at `at_us`, or at once where that has passed; it must not block.

        Args: index: of the meter whose call it is.
        """
        if self._sleep is not None and (not self._heap or at_us < self._heap[0][0]):
            self._sleep.cancel()
        heappush(self._heap, (at_us, next(self._order), index, call))

    def add_in(self, seconds: float, call: Callable[[], None], index: int = -1) -> None:
        """As `add`, so many seconds from now."""
        self.add(self.now_us() + round(seconds * 1_000_000), call, index)

    async def run(self) -> None:
        """Make the calls as they fall due, until cancelled; they may add others."""
        while True:
            now_us, made = self.now_us(), 0
            while self._heap and self._heap[0][0] <= now_us and made < _AT_A_TIME:
                _, _, index, call = heappop(self._heap)
                try:
                    call()
                except Exception:  # noqa: BLE001 - the agenda's edge: others go on
                    self._failed(index)
                made += 1
            if made:
                await trio.lowlevel.checkpoint()
                continue
            with trio.CancelScope() as self._sleep:
                if self._heap:
                    await self._sleep_until_us(self._heap[0][0])
                else:
                    await trio.sleep_forever()
            self._sleep = None


def by_the_meters(
    now: Callable[[], datetime],
    sleep_until: Callable[[datetime], Awaitable[None]],
    failed: Callable[[int], None] = _of_nobody,
) -> Agenda:
    """By the fleet's time, which may be faster or begin in the past."""

    async def sleep_until_us(at_us: int) -> None:
        await sleep_until(moment(at_us))

    return Agenda(lambda: microseconds(now()), sleep_until_us, failed)


def by_the_network(failed: Callable[[int], None] = _of_nobody) -> Agenda:
    """By trio's clock."""

    async def sleep_until_us(at_us: int) -> None:
        await trio.sleep_until(at_us / 1_000_000)

    return Agenda(lambda: int(trio.current_time() * 1_000_000), sleep_until_us, failed)
