"""
The outbound side: takes leases on due meters and gives each a session.

Rule 1: at most `max_sessions` sessions, each a task of its own; one that crashes harms no other.
Rule 2: while storage is away nobody is asked; the loop itself finds out when it is back. Rule 3:
what a session says is kept after the receipts of what it has read (`settler`); where that cannot be
done before the lease ends, the lease's end does it. Rule 4: whatever taking leases raises, the loop
goes on: it is what everything else waits for. Rule 5: who is taken and then held back, by the rate
of its segment or the budget of retries, rests and is no fault of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
import structlog
import trio

from hes.domain.errors import HesError, StorageUnavailableError
from hes.domain.ports import Lease, Limits, Segment, SessionOutcome
from hes_collectors.dlms.breaker import BreakerState
from hes_collectors.dlms.briefing import Brief, briefs
from hes_collectors.dlms.budget import RetryBudget
from hes_collectors.dlms.context import Context, Ports
from hes_collectors.dlms.serving import serve
from hes_collectors.dlms.settings import CollectorSettings
from hes_collectors.dlms.settler import Settler
from hes_collectors.dlms.throttle import Throttle

_MOST_DOUBLINGS: Final = 10
_SEGMENTS_EVERY_S: Final = 30.0
# A lease outlasts its session by more than this; whoever would have to wait longer rests instead.
_MOST_WAIT_S: Final = 10.0
_RETRY_LATER_S: Final = 60.0
_STEP_S: Final = 10.0
_log = structlog.get_logger(__name__)


async def run_outbound(context: Context, settler: Settler) -> None:
    """
    Serve due meters until cancelled.

    On cancellation each session releases its meter and `settler` is told to release its lease.
    """
    await _Outbound(context, settler).run()


@attrs.frozen
class _Taken:
    """Leases, what their sessions need of storage, when, and until when on trio's clock."""

    leases: Sequence[Lease]
    known: Sequence[Brief | None]
    at: datetime
    until: float


class _Outbound:
    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        self._running = 0
        self._slot_freed = trio.Event()
        now, settings = trio.current_time(), context.settings
        self._throttle = Throttle(settings.throttle, settings.breaker, now)
        self._budget = RetryBudget(settings.retries)
        self._segments_at = now

    async def run(self) -> None:
        settings = self._context.settings
        async with trio.open_nursery() as nursery:
            while True:
                await self._wait_for_slots()
                await self._look_at_segments()
                now = trio.current_time()
                room = self._throttle.room(self._running, now)
                limits = self._throttle.limits(now, urgent_only=not room.any)
                wanted = room.any or room.urgent
                taken = await self._take(wanted, limits)
                for lease, known in zip(taken.leases, taken.known, strict=True):
                    held_s, why = self._held_back(lease)
                    if why:
                        self._put_off(lease, taken.at, held_s, why)
                    else:
                        self._running += 1
                        self._context.metrics.sessions_running.inc()
                        nursery.start_soon(self._serve, lease, known, taken.until, held_s)
                if limits.urgent_only or len(taken.leases) < wanted or not wanted:
                    await trio.sleep(self._jittered(settings.poll_interval_s))

    async def _wait_for_slots(self) -> None:
        """
        Wait until it is worth asking for leases.

        While storage is away the answer is yes: asking is how its return is noticed. Otherwise a
        few slots are collected for one query.
        """
        settings = self._context.settings
        worth_it = max(1, settings.max_sessions // 8)
        with trio.move_on_after(settings.poll_interval_s):
            while self._context.gate.is_open:
                room = self._throttle.room(self._running, trio.current_time())
                if room.any >= worth_it:
                    return
                self._slot_freed = trio.Event()
                await self._slot_freed.wait()

    async def _look_at_segments(self) -> None:
        """Learn what the network bears, every now and then; what was known stands till then."""
        now = trio.current_time()
        states = self._throttle.breakers(now).values()
        shut = sum(state is not BreakerState.CLOSED for state in states)
        self._context.metrics.breakers_open.set(shut)
        if now < self._segments_at or not self._context.gate.is_open:
            return
        self._segments_at = now + _SEGMENTS_EVERY_S
        try:
            found = await self._context.outbound_threads.run(_segments, self._context.ports)
        except HesError as error:
            _log.warning("segments_not_read", error=type(error).__name__)
        else:
            self._throttle.tell(*found, now)

    async def _take(self, wanted: int, limits: Limits) -> _Taken:
        """
        Leases, with what their sessions need.

        Waits for storage to come back. An error of any other kind is waited out in the same way;
        it is told once, and again when it is another one.
        """
        settings = self._context.settings
        failures, told = 0, ""
        while True:
            # The clock is read before the lease is asked for, so that ours ends before the
            # database's does.
            until = trio.current_time() + settings.lease_s
            try:
                leases, known = await self._context.outbound_threads.run(
                    _take, self._context.ports, settings, wanted, limits
                )
            except Exception as error:  # noqa: BLE001 - Rule 4
                if isinstance(error, StorageUnavailableError):
                    self._context.gate.report(error)
                elif told != (told := type(error).__name__):
                    _log.error("lease_take_failed", error=told)
                failures = min(failures + 1, _MOST_DOUBLINGS)
                bound_s = min(settings.poll_interval_s * 2**failures, settings.storage_retry_s)
                await trio.sleep(self._jittered(bound_s))
            else:
                self._context.gate.open()
                return _Taken(leases, known, self._context.now(), until)

    def _held_back(self, lease: Lease) -> tuple[float, str]:
        """How long a session has to wait for its turn, and why it is not worth waiting for."""
        now = trio.current_time()
        wait_s = self._throttle.wait_s(lease.segment, now)
        if wait_s > _MOST_WAIT_S:
            return wait_s, "rate"
        if not self._budget.begin(now, retry=lease.failures > 0):
            return _RETRY_LATER_S, "retry-budget"
        self._throttle.begin(lease.segment)
        return wait_s, ""

    def _put_off(self, lease: Lease, at: datetime, seconds: float, reason: str) -> None:
        self._context.metrics.put_off.labels(reason).inc()
        # In steps, so that those of one batch are released together.
        later_s = _STEP_S * math.ceil(self._jittered(seconds) / _STEP_S)
        self._settler.release(lease, at + timedelta(seconds=later_s))

    async def _serve(self, lease: Lease, known: Brief | None, until: float, wait_s: float) -> None:
        reached = False
        try:
            if wait_s:
                await trio.sleep(wait_s)
            result = await serve(self._context, self._settler, lease, until, known=known)
            reached = result.verdict.outcome is not SessionOutcome.TRANSPORT
        finally:
            now = trio.current_time()
            self._throttle.ended(lease.segment, now, reached=reached)
            self._running -= 1
            self._context.metrics.sessions_running.dec()
            self._slot_freed.set()

    def _jittered(self, seconds: float) -> float:
        """Somewhere around `seconds`, so that collectors do not ask in step."""
        return seconds * self._context.random.uniform(0.5, 1.5)


def _take(
    ports: Ports, settings: CollectorSettings, wanted: int, limits: Limits
) -> tuple[Sequence[Lease], Sequence[Brief | None]]:
    """
    Leases and what their sessions need, in one hop.

    Raises: as `LeasePort.take`. What cannot be had for all at once each session asks for itself.
    """
    leases = ports.leases.take(
        holder=settings.holder, limit=wanted, lease_s=settings.lease_s, limits=limits
    )
    if not leases:
        return (), ()
    try:
        return leases, briefs(ports, leases, block_size=settings.counter_block_size)
    except StorageUnavailableError:
        return leases, [None] * len(leases)


def _segments(ports: Ports) -> tuple[Sequence[Segment], int]:
    found = ports.segments.segments()
    return found, ports.segments.collectors() if found else 1
