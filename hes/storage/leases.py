"""
Leases on meters that are due (table `due_work`).

A lease is fenced twice: by its token here, and by a deadline on the holder's monotonic clock that
must begin *before* `take` is called, so that it ends before `leased_until` does, which the
database's clock decides (architecture.md section 5). What becomes of a lease's items is decided in
`hes.storage.finishing`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import NO_LIMITS, Finished, Lease, Limits
from hes.domain.reach import IPNetwork
from hes.domain.work import DueItem, Priority
from hes.storage import due_items, epochs
from hes.storage.clock_watch import ClockWatch
from hes.storage.database import Connection, Database
from hes.storage.due_floor import SLACK, Floor
from hes.storage.finishing import finish
from hes.storage.lease_choice import Candidate, Room
from hes.storage.lease_upkeep import LONGEST_LEASE
from hes.storage.meters import METER_COLUMNS, METER_SOURCE, meter_from_row
from hes_protocol.cosem import Obis

_FREED_AT_A_TIME: Final = 1000
_LEAST_LOOKED_AT: Final = 100
# Whoever takes under limits waits for it, so that segments are counted exactly; see the other
# advisory locks in `hes.storage.features.partitions`.
_ADVISORY_LOCK: Final = 0x4845_5304

# A lease that ran out becomes free work again, and counts as a failure: perhaps it is the meter
# that brings collectors down.
_FREE_EXPIRED: Final = """
WITH expired AS MATERIALIZED (
    SELECT meter_id FROM due_work
    WHERE leased_until <= now()
      AND leased_until >= least(coalesce(%(floor)s::timestamptz, '-infinity'), now() - %(slack)s)
    ORDER BY leased_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE due_work d
SET token = NULL, holder = NULL, leased_until = NULL, failures = failures + 1,
    due_at = CASE WHEN due_at IS NOT NULL THEN greatest(due_at, now()) END
FROM expired WHERE d.meter_id = expired.meter_id
"""

_MAXIMA: Final = "SELECT name, max_sessions FROM segment WHERE max_sessions IS NOT NULL"
_RUNNING: Final = """
SELECT segment, count(*) FROM due_work
WHERE leased_until > now() AND segment IS NOT NULL GROUP BY segment
"""

_SERVED: Final = """
m.state = 'in_service' AND EXISTS (SELECT FROM association a WHERE a.meter_id = w.meter_id)
"""
DUE: Final = f"""
SELECT w.meter_id, w.segment, w.due_at FROM due_work w JOIN meter m ON m.meter_id = w.meter_id
WHERE w.leased_until IS NULL AND w.priority = %(priority)s AND w.due_at <= now()
  AND w.due_at >= least(coalesce(%(floor)s::timestamptz, '-infinity'), now() - %(slack)s)
  AND (w.segment IS NULL OR w.segment <> ALL(%(full)s))
  AND m.address IS NOT NULL AND {_SERVED}
ORDER BY w.due_at LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED
"""  # noqa: S608 - constants only
_DIALLED: Final = f"""
SELECT w.meter_id, w.segment, coalesce(w.due_at, now())
FROM due_work w JOIN meter m ON m.meter_id = w.meter_id
WHERE w.meter_id = ANY(%(meter_ids)s) AND w.leased_until IS NULL
  AND coalesce(w.rests_until <= now(), true)
  AND w.priority = ANY(%(priorities)s) AND {_SERVED}
  AND EXISTS (SELECT FROM due_item AS item WHERE item.meter_id = w.meter_id
              AND {due_items.DIALLED_TURN})
ORDER BY w.priority, w.due_at NULLS LAST FOR UPDATE OF w SKIP LOCKED
"""  # noqa: S608 - constants only

_LEASE: Final = """
UPDATE due_work d
SET token = nextval('lease_token'), holder = %(holder)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE d.meter_id = ANY(%(meter_ids)s)
RETURNING d.meter_id, d.token, d.failures, d.rests_why, d.read_at
"""

_METERS: Final = f"""
SELECT {METER_COLUMNS} FROM {METER_SOURCE} WHERE m.meter_id = ANY(%s)
"""  # noqa: S608 - constants only

_MARKS: Final = "SELECT meter_id, source, captured_at FROM mark WHERE meter_id = ANY(%s)"

_NETWORKS: Final = "SELECT name, networks FROM segment WHERE name = ANY(%s)"

_RELEASE: Final = """
UPDATE due_work AS w
SET token = NULL, holder = NULL, leased_until = NULL, due_at = NULL,
    rests_until = coalesce(%(until)s, rests_until)
FROM unnest(%(meter_id)s::uuid[], %(token)s::int8[]) AS ended (meter_id, token)
WHERE w.meter_id = ended.meter_id AND w.token = ended.token
  AND leased_until > clock_timestamp()
"""


class LeaseStore:
    """
    `LeasePort` on PostgreSQL. Thread-safe, and safe between processes.

    Args: monotonic: our clock, in seconds; only differences count.
    """

    def __init__(
        self, database: Database, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._remembering = threading.Lock()
        self._floors = {priority: Floor() for priority in Priority}
        self._lease_floor = Floor()
        self._watch = ClockWatch()

    def take(
        self, *, holder: str, limit: int, lease_s: float, limits: Limits = NO_LIMITS
    ) -> Sequence[Lease]:
        """
        Lease up to `limit` meters that are due: the most urgent first, then the most overdue.

        Only meters that are in service and have an address are ever due.

        Args:
            holder: who takes them, for people who look at the table.
            lease_s: how long, by the database's clock.
            limits: `max_sessions` of segments count beside them.

        Raises:
            StorageUnavailableError: the database is away; nothing was taken, or what was taken
                becomes due again when the lease runs out.
        """
        return self._take(partial(self._due, limits=limits, limit=limit), holder, limit, lease_s)

    def take_dialled(
        self,
        meter_ids: Collection[UUID],
        *,
        holder: str,
        limit: int,
        lease_s: float,
        limits: Limits = NO_LIMITS,
    ) -> Sequence[Lease]:
        """
        As `take`, of these meters alone, which have dialled in and need no address.

        A plan's run that has begun is enough, see `LeasePort`.

        Raises: StorageUnavailableError: as `take`.
        """
        wanted = list(meter_ids)
        if not wanted:
            return []
        choose = partial(_dialled, meter_ids=wanted, limits=limits, limit=limit)
        return self._take(choose, holder, limit, lease_s, dialled=True)

    def finish(self, ended: Sequence[Finished]) -> Collection[int]:
        """
        End the leases of many sessions, with all that came of them, in one transaction.

        May be called again with the same if nobody knows whether it was committed. Instants that a
        session tells (`retry_at`, `rests_until`) count from its end: its host's clock may be wrong.

        Returns: the tokens of leases that were over already: nothing of these sessions is kept but
            their reports, marked by the cause `lease-lost`.
        Raises: StorageUnavailableError: the database is away; nothing is kept.
        """
        return finish(self._database, ended)

    def release(self, leases: Sequence[Lease], *, until: datetime | None = None) -> None:
        """
        End leases under which nothing was asked: all is due as it was. Those that ran out stay so.

        Args: until: the meters rest until then, for no fault of theirs.
        Raises: StorageUnavailableError: the database is away.
        """
        meter_ids = [lease.meter.meter_id for lease in leases]
        values = {
            "meter_id": meter_ids,
            "token": [lease.token for lease in leases],
            "until": until,
        }
        with self._database.connection() as connection:
            due_items.lock(connection, meter_ids)
            connection.execute(_RELEASE, values)
            due_items.refresh(connection, meter_ids)

    def _take(
        self,
        choose: Callable[[Connection, datetime], Sequence[Candidate]],
        holder: str,
        limit: int,
        lease_s: float,
        *,
        dialled: bool = False,
    ) -> Sequence[Lease]:
        if not 0 < lease_s <= LONGEST_LEASE.total_seconds():
            raise ValueError(f"a lease of {lease_s} s")
        attempt = partial(self._take_once, choose, holder, limit, lease_s, dialled=dialled)
        # A token that somebody holds from before a restore must not be given out again: seen on the
        # connection that gives out.
        leases = attempt()
        if leases is None:
            epochs.settle(self._database)
            leases = attempt()
        if leases is None:
            raise StorageUnavailableError("the database is on the move: nothing was taken")
        return leases

    def _take_once(
        self,
        choose: Callable[[Connection, datetime], Sequence[Candidate]],
        holder: str,
        limit: int,
        lease_s: float,
        *,
        dialled: bool,
    ) -> list[Lease] | None:
        """What was taken; None if a new epoch must begin first."""
        with self._database.connection() as connection:
            if not epochs.is_current(connection):
                return None
            now = _now(connection)
            self._free_expired(connection, now, limit, lease_s)
            candidates = choose(connection, now)
            if not candidates:
                return []
            ids = [candidate.meter_id for candidate in candidates]
            items = due_items.of_meters(connection, ids, dialled=dialled)
            # All that was due on the others is no longer worth trying.
            due_items.refresh(connection, [meter_id for meter_id in ids if meter_id not in items])
            chosen = [candidate for candidate in candidates if candidate.meter_id in items]
            values = {"holder": holder, "lease_s": lease_s, "meter_ids": list(items)}
            taken = {row[0]: row[1:] for row in connection.execute(_LEASE, values)}
            return _leases(connection, chosen, taken, items, lease_s)

    def _free_expired(
        self, connection: Connection, now: datetime, limit: int, lease_s: float
    ) -> None:
        monotonic = self._monotonic()
        with self._remembering:
            if not self._watch.trusted(now, monotonic, lease_s):
                return
            floor = self._lease_floor.ask(monotonic, ())
        most = max(limit, _FREED_AT_A_TIME)
        values = {"limit": most, "floor": floor, "slack": SLACK}
        freed = connection.execute(_FREE_EXPIRED, values).rowcount
        with self._remembering:
            self._lease_floor.found(floor, floor if freed == most else None, now, ())

    def _due(
        self, connection: Connection, now: datetime, *, limits: Limits, limit: int
    ) -> Sequence[Candidate]:
        room = _room(connection, limits)
        chosen: list[Candidate] = []
        for priority in _priorities(limits):
            if len(chosen) == limit:
                break
            monotonic = self._monotonic()
            with self._remembering:
                floor = self._floors[priority].ask(monotonic, room.full)
            found, last = _choose(connection, priority, floor, room, limit - len(chosen))
            chosen += found
            with self._remembering:
                self._floors[priority].found(floor, last, now, room.full)
        return chosen


def held(connection: Connection, leases: Collection[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
    """Those of these leases (meter and token) that still run."""
    rows = connection.execute(
        "SELECT meter_id, token"
        " FROM unnest(%s::uuid[], %s::int8[]) AS wanted (meter_id, token)"
        " JOIN due_work USING (meter_id, token) WHERE leased_until > clock_timestamp()",
        ([meter_id for meter_id, _ in leases], [token for _, token in leases]),
    )
    return set(rows.fetchall())


def _priorities(limits: Limits) -> Sequence[Priority]:
    return (Priority.URGENT,) if limits.urgent_only else tuple(Priority)


def _room(connection: Connection, limits: Limits) -> Room:
    """How many leases segments take; those who ask wait for each other where any is limited."""
    maxima: Mapping[str, int | None] = dict(connection.execute(_MAXIMA).fetchall())
    if not maxima and limits.per_segment is None and not limits.segments:
        return Room.of(limits, {}, {})
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    return Room.of(limits, maxima, dict(connection.execute(_RUNNING).fetchall()))


def _choose(
    connection: Connection, priority: Priority, floor: datetime | None, room: Room, limit: int
) -> tuple[list[Candidate], datetime | None]:
    """
    The most overdue meters of a priority for which there is room.

    Returns: them, and the `due_at` up to which all was looked at; None: there is no more.
    """
    chosen: list[Candidate] = []
    while len(chosen) < limit:
        # More than are wanted where some may have to be left: each look fills up segments.
        most = limit - len(chosen) if room.unlimited else max(4 * limit, _LEAST_LOOKED_AT)
        rows = connection.execute(
            DUE,
            {
                "priority": int(priority),
                "floor": floor,
                "slack": SLACK,
                "full": room.full,
                "limit": most,
            },
        ).fetchall()
        taken = {candidate.meter_id for candidate in chosen}
        candidates = [Candidate(*row) for row in rows if row[0] not in taken]
        chosen += room.choose(candidates, limit - len(chosen))
        if len(rows) < most:
            return chosen, chosen[-1].due_at if len(chosen) == limit else None
    return chosen, chosen[-1].due_at if chosen else None


def _dialled(
    connection: Connection,
    now: datetime,  # noqa: ARG001 - as `LeaseStore._due`
    *,
    meter_ids: Sequence[UUID],
    limits: Limits,
    limit: int,
) -> Sequence[Candidate]:
    room = _room(connection, limits)
    values = {
        "meter_ids": meter_ids,
        "priorities": [int(priority) for priority in _priorities(limits)],
    }
    rows = connection.execute(_DIALLED, values).fetchall()
    return room.choose([Candidate(*row) for row in rows], limit)


def _leases(
    connection: Connection,
    chosen: Sequence[Candidate],
    taken: Mapping[UUID, Sequence[Any]],
    items: Mapping[UUID, tuple[DueItem, ...]],
    lease_s: float,
) -> list[Lease]:
    meter_ids = list(taken)
    meters = {row[0]: meter_from_row(row) for row in connection.execute(_METERS, (meter_ids,))}
    marks: dict[UUID, list[tuple[Obis, datetime]]] = {}
    for meter_id, source, captured_at in connection.execute(_MARKS, (meter_ids,)):
        marks.setdefault(meter_id, []).append((Obis(source), captured_at))

    segments = sorted({one.segment for one in chosen if one.segment is not None})
    networks: dict[str, Sequence[IPNetwork]] = {}
    if segments:
        networks = dict(connection.execute(_NETWORKS, (segments,)).fetchall())

    def lease(candidate: Candidate) -> Lease:
        token, failures, rests_why, read_at = taken[candidate.meter_id]
        due = items[candidate.meter_id]
        return Lease(
            meter=meters[candidate.meter_id],
            token=token,
            due_at=min(item.due_at for item in due),
            lease_s=lease_s,
            marks=tuple(sorted(marks.get(candidate.meter_id, ()))),
            read_at=read_at,
            items=due,
            failures=failures,
            segment=candidate.segment,
            networks=tuple(networks.get(candidate.segment or "", ())),
            rests_why=rests_why,
        )

    return [lease(candidate) for candidate in chosen]


def _now(connection: Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
