"""
Pace: how fast the fleet's time goes, and the only place that sleeps until a moment of it.

Owns the fleet's `now`. Three paces: `real` is the machine's clock; `accelerated` begins in the
past and runs so many times faster, until it has caught up with the machine's clock (a head-end
refuses readings from the future), and then goes on in real time; `mocked` follows trio's clock
alone, so that a test under MockClock decides.

What the network does (idle time-outs, drips, latencies) is not the fleet's time: it stays in
trio's own seconds, which a faster pace does not shorten.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import trio

_MICROSECOND_S: Final = 1e-6


class PaceError(ValueError):
    """A pace that no fleet can have."""


class Pace(Protocol):
    """The fleet's clock."""

    def now(self) -> datetime:
        """The fleet's present moment, aware UTC; it does not go back (`real`: as the machine)."""

    async def sleep_until(self, at: datetime) -> None:
        """Return once `now()` is `at` or later; a checkpoint in any case."""

    async def sleep(self, seconds: float) -> None:
        """Sleep seconds of the fleet's time."""


class _Sleeping(ABC):
    """What all paces share: sleeping by looking at the clock again."""

    @abstractmethod
    def now(self) -> datetime: ...

    def _real_s(self, at: datetime) -> float:
        """Real seconds from now until `at`."""
        return (at - self.now()).total_seconds()

    async def sleep_until(self, at: datetime) -> None:
        await trio.lowlevel.checkpoint()
        while self.now() < at:  # noqa: ASYNC110 - the clock is no task that could set an event
            await trio.sleep(max(self._real_s(at), _MICROSECOND_S))

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(self.now() + timedelta(seconds=seconds))


class _Elapsed:
    """Seconds since the first look inside `trio.run`; before, nothing has begun."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began_s: float | None = None

    def s(self) -> float:
        try:
            current_s = self._monotonic()
        except RuntimeError:  # trio's clock, and trio does not run yet
            return 0.0
        if self._began_s is None:
            self._began_s = current_s
        return current_s - self._began_s


def machine_now() -> datetime:
    """The machine's clock, aware UTC."""
    return datetime.now(UTC)


class RealPace(_Sleeping):
    """The machine's clock."""

    def __init__(self, machine: Callable[[], datetime] = machine_now) -> None:
        self._machine = machine

    def now(self) -> datetime:
        return self._machine()


class MockedPace(_Sleeping):
    """trio's clock, from `start` at the first look; for tests under MockClock."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._elapsed = _Elapsed(trio.current_time)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed.s())


class AcceleratedPace(_Sleeping):
    """
    From a moment, so many times as fast; the time runs from the first look inside trio on.

    Args:
        from_: aware; where it begins.
        factor: seconds of the fleet in a real second, above 0; 1440 is a day in a minute.
        ahead: whether it may run ahead of the machine's clock instead of falling into step.
        monotonic: real seconds; trio's clock.
        machine: the machine's clock.
    Raises: PaceError: no factor; or `from_` is in the future and `ahead` is not said.
    """

    def __init__(
        self,
        from_: datetime,
        factor: float,
        *,
        ahead: bool = False,
        monotonic: Callable[[], float] = trio.current_time,
        machine: Callable[[], datetime] = machine_now,
    ) -> None:
        if not (math.isfinite(factor) and factor > 0):
            raise PaceError(f"a pace of {factor} is none: it is above 0")
        if not ahead and from_ > machine():
            raise PaceError(f"{from_.isoformat()} is in the future: a fleet begins in the past")
        self._from = from_.astimezone(UTC)
        self._factor = factor
        self._ahead = ahead
        self._machine = machine
        self._elapsed = _Elapsed(monotonic)

    def now(self) -> datetime:
        line = self._line()
        return line if self._ahead else min(line, self._machine())

    def _line(self) -> datetime:
        """Where the faster clock would be, caught up or not."""
        return self._from + timedelta(seconds=self._elapsed.s() * self._factor)

    def _real_s(self, at: datetime) -> float:
        real_s = (at - self._line()).total_seconds() / self._factor
        return real_s if self._ahead else max(real_s, (at - self._machine()).total_seconds())


def pace(
    factor: float = 1.0, from_: datetime | None = None, *, ahead: bool = False
) -> RealPace | AcceleratedPace:
    """
    The pace that `--pace` and `--from` name.

    Args: factor: 1 is real time. from_: aware; None: now with factor 1, else as long ago as a
        minute of that pace lasts, so that it catches up after about a minute.
    Raises: PaceError: see `AcceleratedPace`.
    """
    if from_ is None:
        if factor == 1.0 and not ahead:
            return RealPace()
        if not (math.isfinite(factor) and factor > 0):
            raise PaceError(f"a pace of {factor} is none: it is above 0")
        from_ = machine_now() - timedelta(seconds=60 * max(factor - 1.0, 0.0))
    return AcceleratedPace(from_, factor, ahead=ahead)
