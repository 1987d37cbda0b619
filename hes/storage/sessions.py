"""Finished sessions and security events: what operators ask about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import psycopg

from hes.domain.errors import UnknownMeterError
from hes.domain.ports import SecurityFinding, SessionOutcome, SessionPhase, SessionReport
from hes.storage.database import Connection, Database
from hes.storage.features import chunks, partitions

# Both texts come from our own code, but may quote what a peer sent.
_CODE_LENGTH: Final = 64
_DETAIL_LENGTH: Final = 500

_RECORD: Final = """
INSERT INTO session (session_id, meter_id, inbound, started_at, ended_at, phase, outcome, cause,
                     octets_in, octets_out, clock_drift_s)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (session_id, ended_at) DO NOTHING
"""

_INSERT: Final = """
INSERT INTO session (session_id, meter_id, inbound, started_at, ended_at, phase, outcome, cause,
                     octets_in, octets_out, clock_drift_s)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bool[], %s::timestamptz[], %s::timestamptz[],
                     %s::text[], %s::text[], %s::text[], %s::int8[], %s::int8[], %s::float8[])
ON CONFLICT (session_id, ended_at) DO NOTHING
"""

_EVENT: Final = """
INSERT INTO security_event AS event (meter_id, code, detail, peer, minute)
VALUES (%s, %s, %s, %s, date_trunc('minute', now()))
ON CONFLICT (minute, meter_id, code, peer)
DO UPDATE SET occurrences = event.occurrences + 1, last_at = excluded.last_at
"""


class SessionStore:
    """`SessionPort` on PostgreSQL, and its reading side. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, report: SessionReport) -> None:
        """
        Keep one finished session; keeping it again changes nothing.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        values = _row(report)
        try:
            try:
                self._record(values)
            except psycopg.errors.CheckViolation:
                # No partition for it yet: the first session of its week, on plain PostgreSQL.
                number = chunks.number_of(report.ended_at)
                partitions.ensure(self._database, [number], ["session"])
                self._record(values)
        except psycopg.errors.ForeignKeyViolation as exc:
            raise UnknownMeterError(f"no meter {report.meter_id}") from exc

    def _record(self, values: Sequence[object]) -> None:
        with self._database.connection() as connection:
            connection.execute(_RECORD, values)

    def security_event(
        self, meter_id: UUID | None, code: str, detail: str, peer: str | None
    ) -> None:
        """
        Keep one security event. Equal ones (meter, code, peer) of one minute share a row.

        Args:
            detail: one sentence without secrets and payload; of equal events the first is kept.

        Raises:
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        values = _event_row(meter_id, SecurityFinding(code, detail, peer))
        try:
            with self._database.connection() as connection:
                connection.execute(_EVENT, values)
        except psycopg.errors.ForeignKeyViolation as exc:
            raise UnknownMeterError(f"no meter {meter_id}") from exc

    def latest(self, meter_id: UUID, *, limit: int) -> Sequence[SessionReport]:
        """
        The last sessions with a meter, latest first.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return select_sessions(connection, meter_id, limit=limit)


def select_sessions(
    connection: Connection, meter_id: UUID, *, limit: int
) -> Sequence[SessionReport]:
    """The last sessions with a meter, latest first, within a transaction of the caller's."""
    rows = connection.execute(
        "SELECT session_id, meter_id, inbound, started_at, ended_at, phase, outcome, cause,"
        "       octets_in, octets_out, clock_drift_s"
        " FROM session WHERE meter_id = %s ORDER BY ended_at DESC LIMIT %s",
        (meter_id, limit),
    ).fetchall()
    return [
        SessionReport(
            session_id=row[0],
            meter_id=row[1],
            inbound=row[2],
            started_at=row[3],
            ended_at=row[4],
            phase=SessionPhase(row[5]),
            outcome=SessionOutcome(row[6]),
            cause=row[7],
            octets_in=row[8],
            octets_out=row[9],
            clock_drift_s=row[10],
        )
        for row in rows
    ]


def insert(connection: Connection, reports: Sequence[SessionReport]) -> None:
    """Keep finished sessions; those that are there already stay as they are."""
    if reports:
        rows = [_row(report) for report in reports]
        connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])


def insert_events(
    connection: Connection, findings: Sequence[tuple[UUID | None, SecurityFinding]]
) -> None:
    """Keep security events; equal ones (meter, code, peer) of one minute share a row."""
    rows = sorted((_event_row(meter_id, finding) for meter_id, finding in findings), key=str)
    with connection.cursor() as cursor:
        cursor.executemany(_EVENT, rows)


def _row(report: SessionReport) -> tuple[object, ...]:
    return (
        report.session_id,
        report.meter_id,
        report.inbound,
        report.started_at,
        report.ended_at,
        report.phase.value,
        report.outcome.value,
        None if report.cause is None else _text(report.cause, _CODE_LENGTH),
        report.octets_in,
        report.octets_out,
        report.clock_drift_s,
    )


def _event_row(meter_id: UUID | None, finding: SecurityFinding) -> tuple[object, ...]:
    return (
        meter_id,
        _text(finding.code, _CODE_LENGTH),
        _text(finding.detail, _DETAIL_LENGTH),
        None if finding.peer is None else _text(finding.peer, _CODE_LENGTH),
    )


def _text(text: str, length: int) -> str:
    """Cut to length and free of what PostgreSQL cannot keep in a text."""
    return text[:length].replace("\0", "�").encode(errors="replace").decode()
