"""
The scheduler: one leader among however many processes, step by step, tick by tick.

Rule 1: whoever leads writes on the connection that holds the lock (`hes.storage.leadership`).
Rule 2: each step can be done again: whoever takes over does not ask how far the one before came.
Rule 3: a step that fails holds up no other. Rule 4: time is the database's; what passes between two
looks is measured by our own clock, so that a clock that is set is noticed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import attrs
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hes.domain.errors import StorageUnavailableError
from hes.storage.clock_watch import ClockWatch
from hes.storage.leadership import Leadership, NotLeadingError, Turn

_log = structlog.get_logger(__name__)

LOCK: Final = 0x4845_5305
"""The advisory lock of the lead; see the others in `hes.storage.features.partitions`."""

_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

Turns = Callable[[], AbstractContextManager[Turn]]


@attrs.frozen
class Step:
    """
    One thing that the leader does every `every_s` seconds.

    `act` makes its transactions by the `Turns` that it is given, and returns how much it has done.
    It belongs to one term: what it remembers is forgotten when the lead is lost.
    """

    name: str
    every_s: float
    act: Callable[[Turns], int]


class SchedulerMetrics:
    """What a scheduler tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leading = Gauge(
            "hes_schedule_leading", "1 while this process leads, else 0", registry=registry
        )
        self.done = Counter(
            "hes_schedule_done", "What steps have done", ["step"], registry=registry
        )
        self.failures = Counter(
            "hes_schedule_failures", "Steps that failed", ["step"], registry=registry
        )
        self.seconds = Histogram(
            "hes_schedule_step_seconds", "Time that a step took", ["step"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip


@attrs.define
class _Term:
    """What is remembered while the lead lasts."""

    number: int
    steps: Sequence[Step]
    next_at: dict[str, float] = attrs.field(factory=dict)
    watch: ClockWatch = attrs.field(factory=ClockWatch)


class Leader:
    """
    Leads when nobody else does, until told to stop.

    Args:
        steps: makes the steps of a term.
        clock_set: what to do besides when the database's clock was set, by so many seconds.
        tick_s: how long to wait between two looks, as leader or not.
        monotonic: our clock.
    """

    def __init__(
        self,
        leadership: Leadership,
        steps: Callable[[], Sequence[Step]],
        metrics: SchedulerMetrics,
        *,
        clock_set: Callable[[Turns, float], object] | None = None,
        tick_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leadership = leadership
        self._steps = steps
        self._metrics = metrics
        self._clock_set = clock_set
        self._tick_s = tick_s
        self._monotonic = monotonic
        self._term: _Term | None = None
        self._told: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Lead, or wait to, until `stop`; storage that is away is waited for."""
        while not stop.is_set():
            self.tick()
            stop.wait(self._tick_s)

    def tick(self) -> bool:
        """
        Do what is due now, if this process leads or can.

        Returns: whether it leads.
        """
        try:
            with self._leadership.turn() as turn:
                term, now = turn.term, turn.now
        except NotLeadingError:
            self._lose("another leads")
            return False
        except StorageUnavailableError as error:
            self._lose(str(error))
            return False
        if self._term is None or self._term.number != term:
            self._lose("a new connection")
            self._term = _Term(term, self._steps())
            self._metrics.leading.set(1)
            _log.info("scheduler_lead_taken", backend=term)
        step_s = self._term.watch.step_s(now, self._monotonic())
        if step_s:
            _log.warning("database_clock_set", step_s=round(step_s, 1))
            if self._clock_set is not None:
                act = self._clock_set
                self._do(
                    self._term, Step("clock", 0.0, lambda turns: int(bool(act(turns, step_s))))
                )
        term_now = self._term
        for step in term_now.steps:
            if self._term is term_now and self._monotonic() >= term_now.next_at.get(step.name, 0.0):
                self._do(term_now, step)
        return self._term is not None

    def _do(self, term: _Term, step: Step) -> None:
        begun = self._monotonic()
        try:
            done = step.act(lambda: self._turn_of(term))
        except NotLeadingError:
            self._lose("another leads")
            return
        except StorageUnavailableError as error:
            self._fail(step, str(error))
        except Exception as error:  # noqa: BLE001 - Rule 3
            self._fail(step, repr(error), exc_info=True)
        else:
            self._metrics.done.labels(step.name).inc(done)
            if self._told.pop(step.name, None):
                _log.info("schedule_step_works_again", step=step.name)
        self._metrics.seconds.labels(step.name).observe(self._monotonic() - begun)
        term.next_at[step.name] = begun + step.every_s

    def _turn_of(self, term: _Term) -> AbstractContextManager[Turn]:
        return self._leadership.turn(term=term.number)

    def _fail(self, step: Step, why: str, *, exc_info: bool = False) -> None:
        """Count a failure; told once, and again when it is another one."""
        self._metrics.failures.labels(step.name).inc()
        if self._told.get(step.name) != why:
            self._told[step.name] = why
            _log.warning("schedule_step_failed", step=step.name, reason=why, exc_info=exc_info)

    def _lose(self, why: str) -> None:
        if self._term is not None:
            _log.warning("scheduler_lead_lost", reason=why)
        self._term = None
        self._metrics.leading.set(0)
