"""What is told and kept of pushes, whatever carried them: refused frames, and who was heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from hes.domain.errors import HesError
from hes.domain.ports import SessionOutcome, SessionPhase, SessionPort, SessionReport
from hes.domain.reach import IPAddress
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.intake import session_id
from hes_protocol.errors import RemoteProtocolError

_log = structlog.get_logger(__name__)


async def keep_reports(
    context: Context, connection_id: UUID, began_at: datetime, octets_in: Mapping[UUID, int]
) -> None:
    """
    Keep a session per meter that was heard on a connection or in a datagram.

    Args: octets_in: of each meter. Raises: nothing: what storage cannot take now is only logged.
    """
    if not octets_in:
        return
    ended_at = context.now()
    reports = [
        SessionReport(
            session_id=session_id(connection_id, meter_id),
            meter_id=meter_id,
            inbound=True,
            started_at=began_at,
            ended_at=ended_at,
            phase=SessionPhase.DONE,
            outcome=SessionOutcome.OK,
            cause=None,
            octets_in=octets,
            octets_out=0,
        )
        for meter_id, octets in octets_in.items()
    ]
    try:
        await context.inbound_threads.run(_record, context.ports.sessions, reports)
    except HesError as error:
        _log.warning("inbound_sessions_not_recorded", error=type(error).__name__)


def tell_refused(
    context: Context, peer: IPAddress, framing: str | None, error: RemoteProtocolError
) -> None:
    """Count and tell of a bad frame, with what is known of it but its octets."""
    context.metrics.inbound_frames.labels("malformed").inc()
    _log.warning(
        "inbound_frame_refused",
        peer=str(peer),
        framing=framing,
        code=error.code,
        detail=error.detail,
        offset=error.offset,
        apdu_tag=error.apdu_tag,
    )


def _record(sessions: SessionPort, reports: Sequence[SessionReport]) -> None:
    for report in reports:
        sessions.record(report)
