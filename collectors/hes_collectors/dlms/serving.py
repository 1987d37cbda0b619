"""
One lease from its beginning to its end: a session, what is told of it, what is kept of it.

Outbound and dialled meters are served alike; all that differs is the line.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
import trio
from structlog.contextvars import bound_contextvars

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import Finished, Lease, SessionOutcome, SessionPhase, SessionReport
from hes_collectors.dlms.briefing import Brief
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.lines import Line
from hes_collectors.dlms.outcomes import Verdict, log_crash
from hes_collectors.dlms.retries import conclude
from hes_collectors.dlms.session import Session, SessionResult
from hes_collectors.dlms.session_pushes import SessionPushes
from hes_collectors.dlms.settler import Settler

_log = structlog.get_logger(__name__)


async def serve(
    context: Context,
    settler: Settler,
    lease: Lease,
    until: float,
    *,
    line: Line | None = None,
    known: Brief | None = None,
    believed: Callable[[SessionResult], bool] | None = None,
) -> SessionResult:
    """
    Talk to a meter under its lease, and end the lease.

    Args: until: when the lease ends, on trio's clock. line, known: see `Session`. believed: says
        whether it was the meter that was talked to; if not, nothing is kept of the session.
    Returns: how it went. Raises: trio.Cancelled: the meter is released, the lease given back as it
        was.
    """
    session = Session(context, lease, until, line, known)
    started_at = context.now()
    with bound_contextvars(meter_id=str(lease.meter.meter_id), session_id=str(session.session_id)):
        try:
            result = await session.run()
        except trio.Cancelled:
            # Without this the meter would wait for the lease's end after every restart.
            settler.release(lease)
            raise
        except Exception as error:  # noqa: BLE001 - a session must not harm the others
            log_crash(error)
            inbound = line is not None and line.inbound
            result = _crashed(lease, session.session_id, started_at, context.now(), inbound=inbound)
        if believed is not None and not believed(result):
            settler.release(lease)
            return result
        finished = conclude(lease, result, context.now(), context.settings.backoff, context.random)
        _tell(context, result, finished)
        try:
            if result.pushes:
                await _store_rest(context, result.pushes)
        finally:
            settler.settle(finished)
    return result


def _crashed(
    lease: Lease, session_id: UUID, started_at: datetime, ended_at: datetime, *, inbound: bool
) -> SessionResult:
    """A session of which nothing is known but that we have crashed: it is told like any other."""
    outcome, cause = SessionOutcome.APPLICATION, "internal-error"
    return SessionResult(
        SessionReport(
            session_id=session_id,
            meter_id=lease.meter.meter_id,
            inbound=inbound,
            started_at=started_at,
            ended_at=ended_at,
            phase=SessionPhase.CONNECT,
            outcome=outcome,
            cause=cause,
            octets_in=0,
            octets_out=0,
        ),
        Verdict(outcome, cause),
        read=False,
        backlog=False,
        stored=0,
    )


async def _store_rest(context: Context, pushes: SessionPushes) -> None:
    """Hand over what the meter has pushed and storage has not taken yet, once it is back."""
    while len(pushes):
        try:
            await context.outbound_threads.run(pushes.store)
        except StorageUnavailableError as error:
            context.gate.report(error)
            await context.gate.wait_open()


def _tell(context: Context, result: SessionResult, finished: Finished) -> None:
    report, judged, after = result.report, result.verdict, finished.after
    metrics = context.metrics
    metrics.sessions.labels(report.outcome.value, report.phase.value).inc()
    for finding in finished.findings:
        metrics.security_events.labels(finding.code).inc()
    for told in finished.results:
        metrics.items.labels("again" if told.state is None else told.state.value).inc()
    tell = _log.info if judged.outcome is SessionOutcome.OK else _log.warning
    tell(
        "meter_session_finished",
        outcome=report.outcome.value,
        phase=report.phase.value,
        cause=report.cause,
        offset=judged.offset,
        inbound=report.inbound,
        stored=result.stored,
        backlog=result.backlog,
        items=len(finished.lease.items),
        rests_until=(
            None if after.rests_until is None else after.rests_until.isoformat(timespec="seconds")
        ),
        quarantine=after.quarantine,
        octets_in=report.octets_in,
        octets_out=report.octets_out,
        clock_drift_s=report.clock_drift_s,
        duration_s=round((report.ended_at - report.started_at).total_seconds(), 3),
    )
