"""
The outbound side: takes leases on due meters and gives each a session.

Rule 1: at most `max_sessions` sessions, each a task of its own; one that crashes harms no other.
Rule 2: while storage is away nobody is asked; the loop itself finds out when it is back. Rule 3:
a lease is given back after the receipt, together with the report; where that cannot be done
before the lease ends, the lease's end does it. Rule 4: whatever taking leases raises, the loop
goes on: it is what everything else waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
import trio
from structlog.contextvars import bound_contextvars

from hes.domain.errors import HesError, LeaseLostError, StorageUnavailableError
from hes.domain.ports import Lease, SecurityFinding, SessionOutcome
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.due import Due, next_due
from hes_collectors.dlms.outcomes import log_crash
from hes_collectors.dlms.session import Session, SessionResult

_MOST_DOUBLINGS: Final = 10
_log = structlog.get_logger(__name__)


async def run_outbound(context: Context) -> None:
    """
    Serve due meters until cancelled.

    On cancellation each session releases its meter and its lease is given back, within the
    deadlines of the settings.
    """
    await _Outbound(context).run()


class _Outbound:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._running = 0
        self._slot_freed = trio.Event()

    async def run(self) -> None:
        settings = self._context.settings
        async with trio.open_nursery() as nursery:
            while True:
                await self._wait_for_slots()
                free = settings.max_sessions - self._running
                leases, until = await self._take(free)
                for lease in leases:
                    self._running += 1
                    self._context.metrics.sessions_running.inc()
                    nursery.start_soon(self._serve, lease, until)
                if len(leases) < free or free == 0:
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
                if settings.max_sessions - self._running >= worth_it:
                    return
                self._slot_freed = trio.Event()
                await self._slot_freed.wait()

    async def _take(self, free: int) -> tuple[Sequence[Lease], float]:
        """
        Leases, and until when they hold on trio's clock.

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
                leases = await self._context.outbound_threads.run(
                    self._context.ports.leases.take,
                    holder=settings.holder,
                    limit=free,
                    lease_s=settings.lease_s,
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
                return leases, until

    async def _serve(self, lease: Lease, until: float) -> None:
        session = Session(self._context, lease, until)
        try:
            with bound_contextvars(
                meter_id=str(lease.meter.meter_id), session_id=str(session.session_id)
            ):
                result = await session.run()
                context = self._context
                due = next_due(lease, result, context.now(), context.settings, context.random)
                self._tell(result, due)
                await self._settle(lease, result, due)
        except trio.Cancelled:
            # Without this the meter would wait for the lease's end after every restart.
            with trio.move_on_after(self._context.settings.shutdown_s, shield=True):
                await self._hand_back(lease)
            raise
        except Exception as error:  # noqa: BLE001 - a session's task must not harm the others
            log_crash(error)
        finally:
            self._running -= 1
            self._context.metrics.sessions_running.dec()
            self._slot_freed.set()

    def _tell(self, result: SessionResult, due: Due) -> None:
        report, judged = result.report, result.verdict
        self._context.metrics.sessions.labels(report.outcome.value, report.phase.value).inc()
        tell = _log.info if judged.outcome is SessionOutcome.OK else _log.warning
        tell(
            "meter_session_finished",
            outcome=report.outcome.value,
            phase=report.phase.value,
            cause=report.cause,
            offset=judged.offset,
            stored=result.stored,
            backlog=result.backlog,
            due_at=due.at.isoformat(timespec="seconds"),
            rests=due.rests,
            octets_in=report.octets_in,
            octets_out=report.octets_out,
            clock_drift_s=report.clock_drift_s,
            duration_s=round((report.ended_at - report.started_at).total_seconds(), 3),
        )

    async def _settle(self, lease: Lease, result: SessionResult, due: Due) -> None:
        """
        Keep the report and give the lease back, as soon as storage can take them.

        Waiting for it costs nothing: while storage is away nobody is asked anyway.
        """
        context = self._context
        steps: deque[Callable[[], None]] = deque()
        if result.pushes:
            steps.append(result.pushes.store)
        findings = result.findings
        if result.verdict.outcome is SessionOutcome.SECURITY:
            code = result.verdict.cause or "security"
            context.metrics.security_events.labels(code).inc()
            findings += (SecurityFinding(code, result.detail, lease.meter.address),)
        steps.extend(
            partial(
                context.ports.sessions.security_event,
                lease.meter.meter_id,
                finding.code,
                finding.detail,
                finding.peer,
            )
            for finding in findings
        )
        steps.append(partial(context.ports.sessions.record, result.report))
        steps.append(
            partial(
                context.ports.leases.give_back,
                lease,
                due_at=due.at,
                failed=due.failed,
                read_at=result.read_at,
            )
        )
        while steps:
            try:
                await context.outbound_threads.run(_perform, steps)
            except StorageUnavailableError as error:
                context.gate.report(error)
                await context.gate.wait_open()
            except LeaseLostError:
                _log.warning("lease_lost", token=lease.token)
                return

    async def _hand_back(self, lease: Lease) -> None:
        """Give the lease of a cancelled session back as it was, if storage answers in time."""
        try:
            await self._context.outbound_threads.run_or_leave(
                self._context.ports.leases.give_back, lease, due_at=lease.due_at, failed=False
            )
        except HesError:
            _log.warning("lease_not_given_back", token=lease.token)

    def _jittered(self, seconds: float) -> float:
        """Somewhere around `seconds`, so that collectors do not ask in step."""
        return seconds * self._context.random.uniform(0.5, 1.5)


def _perform(steps: deque[Callable[[], None]]) -> None:
    """Do what is left to do; a step that was done is not repeated."""
    while steps:
        steps[0]()
        steps.popleft()
