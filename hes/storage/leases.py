"""
Due work and its leases (table `due_work`).

A lease is fenced twice: by its token here, and by a deadline on the holder's monotonic clock that
must begin *before* `take` is called, so that it ends before `leased_until` does, which the
database's clock decides (architecture.md section 5).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from hes.domain.errors import LeaseLostError, StorageUnavailableError
from hes.domain.ports import NO_LIMITS, Finished, Lease, Limits
from hes.storage import epochs
from hes.storage.database import Connection, Database
from hes.storage.meters import METER_COLUMNS, METER_SOURCE, meter_from_row
from hes_protocol.cosem import Obis

_FREED_AT_A_TIME: Final = 1000

# A lease that ran out becomes free work again, one attempt older and as overdue as it was.
_FREE_EXPIRED: Final = """
WITH expired AS MATERIALIZED (
    SELECT meter_id FROM due_work WHERE leased_until <= now()
    ORDER BY leased_until LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE due_work d
SET token = NULL, holder = NULL, leased_until = NULL, attempts = attempts + 1
FROM expired WHERE d.meter_id = expired.meter_id
"""

# Materialized: joined as a subquery, the planner might run it, and its LIMIT, more than once.
_TAKE: Final = """
WITH due AS MATERIALIZED (
    SELECT w.meter_id FROM due_work w JOIN meter m ON m.meter_id = w.meter_id
    WHERE w.leased_until IS NULL AND w.due_at <= now()
      AND m.state = 'in_service' AND m.address IS NOT NULL
      AND EXISTS (SELECT FROM association a WHERE a.meter_id = w.meter_id)
    ORDER BY w.due_at LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED
)
UPDATE due_work d
SET token = nextval('lease_token'), holder = %(holder)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM due WHERE d.meter_id = due.meter_id
RETURNING d.meter_id, d.token, d.due_at, d.attempts, d.read_at
"""

_METERS: Final = f"""
SELECT {METER_COLUMNS} FROM {METER_SOURCE} WHERE m.meter_id = ANY(%s)
"""  # noqa: S608 - constants only

_MARKS: Final = "SELECT meter_id, source, captured_at FROM mark WHERE meter_id = ANY(%s)"


class LeaseStore:
    """`LeasePort` on PostgreSQL. Thread-safe, and safe between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self,
        *,
        holder: str,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,  # noqa: ARG002 - until L
    ) -> Sequence[Lease]:
        """
        Lease up to `limit` meters that are due, most overdue first.

        Only meters that are in service and have an address are ever due.

        Args:
            holder: who takes them, for people who look at the table.
            lease_s: how long, by the database's clock.

        Raises:
            StorageUnavailableError: the database is away; nothing was taken, or what was taken
                becomes due again when the lease runs out.
        """
        if lease_s <= 0:
            raise ValueError(f"a lease of {lease_s} s")
        # A token that somebody holds from before a restore must not be given out again: seen on the
        # connection that gives out.
        leases = self._take(holder, limit, lease_s)
        if leases is None:
            epochs.settle(self._database)
            leases = self._take(holder, limit, lease_s)
        if leases is None:
            raise StorageUnavailableError("the database is on the move: nothing was taken")
        return leases

    def _take(self, holder: str, limit: int, lease_s: float) -> list[Lease] | None:
        """What was taken; None if a new epoch must begin first."""
        with self._database.connection() as connection:
            if not epochs.is_current(connection):
                return None
            connection.execute(_FREE_EXPIRED, (max(limit, _FREED_AT_A_TIME),))
            taken = connection.execute(
                _TAKE, {"holder": holder, "limit": limit, "lease_s": lease_s}
            ).fetchall()
            if not taken:
                return []
            leases = _leases(connection, taken, lease_s)
        return sorted(leases, key=lambda lease: lease.due_at)

    def take_dialled(
        self,
        meter_ids: Collection[UUID],
        *,
        holder: str,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,
    ) -> Sequence[Lease]:
        """See `LeasePort`."""
        raise NotImplementedError

    def finish(self, ended: Sequence[Finished]) -> Collection[int]:
        """See `LeasePort`."""
        raise NotImplementedError

    def release(self, leases: Sequence[Lease]) -> None:
        """See `LeasePort`."""
        raise NotImplementedError

    def give_back(
        self, lease: Lease, *, due_at: datetime, failed: bool, read_at: datetime | None = None
    ) -> None:
        """
        End a lease and say when the meter is due next.

        Args:
            failed: counts one attempt more; otherwise the attempts begin anew.
            read_at: when the session began, if it has read all that was due.

        Raises:
            LeaseLostError: it ran out (even if nobody else has taken it yet), or was given back.
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            ended = connection.execute(
                "UPDATE due_work SET due_at = %s, token = NULL, holder = NULL, leased_until = NULL,"
                " attempts = CASE WHEN %s THEN attempts + 1 ELSE 0 END,"
                " read_at = coalesce(%s, read_at)"
                " WHERE meter_id = %s AND token = %s AND leased_until > clock_timestamp()",
                (due_at, failed, read_at, lease.meter.meter_id, lease.token),
            ).rowcount
        if not ended:
            raise LeaseLostError(f"meter {lease.meter.meter_id}, lease {lease.token}")


def held(connection: Connection, leases: Collection[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
    """Those of these leases (meter and token) that still run."""
    rows = connection.execute(
        "SELECT meter_id, token"
        " FROM unnest(%s::uuid[], %s::int8[]) AS wanted (meter_id, token)"
        " JOIN due_work USING (meter_id, token) WHERE leased_until > clock_timestamp()",
        ([meter_id for meter_id, _ in leases], [token for _, token in leases]),
    )
    return set(rows.fetchall())


def _leases(
    connection: Connection, taken: Sequence[tuple[Any, ...]], lease_s: float
) -> list[Lease]:
    meter_ids = [row[0] for row in taken]
    meters = {row[0]: meter_from_row(row) for row in connection.execute(_METERS, (meter_ids,))}
    marks: dict[UUID, list[tuple[Obis, datetime]]] = {}
    for meter_id, source, captured_at in connection.execute(_MARKS, (meter_ids,)):
        marks.setdefault(meter_id, []).append((Obis(source), captured_at))
    return [
        Lease(
            meter=meters[meter_id],
            token=token,
            due_at=due_at,
            lease_s=lease_s,
            attempts=attempts,
            marks=tuple(sorted(marks.get(meter_id, ()))),
            read_at=read_at,
        )
        for meter_id, token, due_at, attempts, read_at in taken
    ]
