"""
What is to be done on meters (table `due_item`), and when a meter has its turn (`due_work`).

Rule 1: whoever adds, ends or moves items holds the meter's row of `due_work` (`lock`) and brings
it up to date in the same transaction (`refresh`): so nothing is due that nobody comes for. Rule 2:
rows are locked in the order meter, due_work, due_item, and of each table in the order of meters.
Rule 3: a row that becomes due gets a `due_at` that is not past: who takes leases need not look
where no live row can be (`hes.storage.due_floor`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import attrs
from psycopg.types.json import Jsonb

from hes.domain.work import DueItem, Gap, ItemState, Priority, WorkKind
from hes.storage import due_results
from hes.storage.database import Connection
from hes.storage.due_results import Ended
from hes.storage.reads import from_document
from hes_protocol.cosem import Obis

NO_TURN: Final = "no-turn"
"""Cause of what expired before anybody came to it."""

_FIRST_DEADLINE: Final = timedelta(days=1)
_FIRST_EXPIRES: Final = timedelta(days=3650)

_LOCK: Final = """
SELECT meter_id FROM due_work WHERE meter_id = ANY(%s) ORDER BY meter_id FOR UPDATE
"""

# Not by the index of expiry, in which nearly all are.
_LIVE: Final = "(item.expires_at > now()) IS TRUE"

# When the first of a meter's items has its turn. The meter is as urgent as its most urgent item,
# even if that has its turn later: nobody looks again when it has. Free rows that wait already keep
# their place.
NEXT_TURN: Final = f"""
CROSS JOIN LATERAL (
    SELECT min(item.due_at) FILTER (WHERE {_LIVE}) AS due_at,
           coalesce(min(item.priority) FILTER (WHERE {_LIVE}), 20) AS priority
    FROM due_item AS item WHERE item.meter_id = w.meter_id
) AS first
"""  # noqa: S608 - constants only
_WAITING: Final = """
CASE WHEN w.leased_until IS NULL AND w.priority = first.priority THEN w.due_at END
"""
# Nobody calls a meter without an address; the others have their turn when they dial in. `rests` is
# what the statement says of the meter's rest, `waiting` since when a free row waits.
NEXT_DUE_AT: Final = """
CASE WHEN m.state = 'in_service' AND m.address IS NOT NULL AND first.due_at IS NOT NULL
     THEN greatest(first.due_at, {rests}, least(now(), {waiting})) END
"""

_REFRESH: Final = f"""
WITH next AS (
    SELECT w.meter_id, m.segment, first.priority,
           {NEXT_DUE_AT.format(rests="w.rests_until", waiting=_WAITING)} AS due_at
    FROM due_work AS w JOIN meter AS m USING (meter_id)
    {NEXT_TURN}
    WHERE w.meter_id = ANY(%s)
)
UPDATE due_work AS w
SET due_at = next.due_at, priority = next.priority, segment = next.segment
FROM next WHERE w.meter_id = next.meter_id
  AND (w.due_at, w.priority, w.segment)
      IS DISTINCT FROM (next.due_at, next.priority, next.segment)
"""  # noqa: S608 - constants only

_ADD: Final = """
INSERT INTO due_item (meter_id, kind, plan_id, zone, run_at, due_at, deadline_at, expires_at,
                      priority, what)
SELECT * FROM unnest(%(meter_id)s::uuid[], %(kind)s::text[], %(plan_id)s::int4[],
                     %(zone)s::text[], %(run_at)s::timestamptz[], %(due_at)s::timestamptz[],
                     %(deadline_at)s::timestamptz[], %(expires_at)s::timestamptz[],
                     %(priority)s::int2[], %(what)s::jsonb[])
ON CONFLICT DO NOTHING
"""

# Whoever corrects a meter wants to see it read: a rest after failures ends.
_SERVE: Final = """
INSERT INTO due_work (meter_id) SELECT * FROM unnest(%s::uuid[]) AS new (meter_id)
ORDER BY meter_id
ON CONFLICT (meter_id) DO UPDATE SET failures = 0, rests_until = NULL, rests_why = NULL
"""

# A plan's run that has begun is enough for a meter that has dialled in: its line may not stand any
# more at its own turn. What failed already waits for its turn all the same.
DIALLED_TURN: Final = f"""
item.run_at <= now() AND {_LIVE} AND (item.due_at <= now() OR item.last_cause IS NULL)
"""
_TURN: Final = f"item.due_at <= now() AND {_LIVE}"
_OF_METERS: Final = """
SELECT item.meter_id, item.item_id, item.kind, item.run_at, item.due_at, item.deadline_at,
       item.expires_at, item.priority, item.attempts, item.plan_id, item.what, plan.reads
FROM due_item AS item LEFT JOIN plan USING (plan_id)
WHERE item.meter_id = ANY(%s) AND {turn}
ORDER BY item.priority, item.due_at, item.item_id
"""

# Meters that somebody talks to are left alone: what expires meanwhile may still be done, late.
_EXPIRED: Final = """
SELECT item.item_id, item.meter_id, item.last_cause
FROM due_item AS item JOIN due_work AS w USING (meter_id)
WHERE item.expires_at <= now() AND item.expires_at >= coalesce(%(since)s::timestamptz, '-infinity')
  AND (w.leased_until IS NULL OR w.leased_until <= now())
ORDER BY item.meter_id LIMIT %(limit)s FOR UPDATE OF w SKIP LOCKED
"""


@attrs.frozen
class NewItem:
    """An item that is to be; `zone` is that of a plan's run."""

    meter_id: UUID
    kind: WorkKind
    run_at: datetime
    due_at: datetime
    deadline_at: datetime
    expires_at: datetime
    priority: Priority = Priority.NORMAL
    plan_id: int | None = None
    zone: str | None = None
    gap: Gap | None = None


def lock(connection: Connection, meter_ids: Collection[UUID]) -> None:
    """See that nobody else takes, ends or adds what is due on these meters meanwhile."""
    connection.execute(_LOCK, (list(meter_ids),))


def refresh(connection: Connection, meter_ids: Collection[UUID]) -> None:
    """Bring `due_work` up to date with the items of meters, their state and where they are."""
    if meter_ids:
        connection.execute(_REFRESH, (list(meter_ids),))


def add(connection: Connection, items: Sequence[NewItem]) -> int:
    """
    Add items of meters that have a row in `due_work`; what is there already is not added again.

    Returns: how many were new.
    """
    if not items:
        return 0
    meter_ids = sorted({item.meter_id for item in items})
    lock(connection, meter_ids)
    added = connection.execute(
        _ADD,
        {
            "meter_id": [item.meter_id for item in items],
            "kind": [item.kind.value for item in items],
            "plan_id": [item.plan_id for item in items],
            "zone": [item.zone for item in items],
            "run_at": [item.run_at for item in items],
            "due_at": [item.due_at for item in items],
            "deadline_at": [item.deadline_at for item in items],
            "expires_at": [item.expires_at for item in items],
            "priority": [int(item.priority) for item in items],
            "what": [None if item.gap is None else Jsonb(_what(item.gap)) for item in items],
        },
    ).rowcount
    refresh(connection, meter_ids)
    return added


def put_in_service(connection: Connection, meter_ids: Collection[UUID]) -> None:
    """
    Have meters read for the first time, or anew after somebody has corrected what is known.

    To be called once they are in service with address and segment as they are to be.
    """
    if not meter_ids:
        return
    ordered = sorted(meter_ids)
    connection.execute(_SERVE, (ordered,))
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None
    now: datetime = row[0]
    add(
        connection,
        [
            NewItem(meter_id, WorkKind.FIRST, now, now, now + _FIRST_DEADLINE, now + _FIRST_EXPIRES)
            for meter_id in ordered
        ],
    )


def cancel(
    connection: Connection,
    *,
    cause: str,
    meter_ids: Collection[UUID] | None = None,
    plan_id: int | None = None,
    meters_at_most: int | None = None,
) -> int:
    """
    Cancel what is open of these meters, of a plan, or of both.

    A session that is at it already goes on; what it says of these items counts no more.
    Args: meters_at_most: cancel only that of so many meters; call it again until it finds none.
    Returns: how many.
    """
    found = connection.execute(
        "SELECT DISTINCT meter_id FROM due_item"
        " WHERE (%(plan_id)s::int4 IS NULL OR plan_id = %(plan_id)s)"
        "   AND (%(meter_ids)s::uuid[] IS NULL OR meter_id = ANY(%(meter_ids)s))"
        " LIMIT %(most)s",
        {
            "plan_id": plan_id,
            "meter_ids": None if meter_ids is None else list(meter_ids),
            "most": meters_at_most,
        },
    )
    touched = sorted(meter_id for (meter_id,) in found)
    lock(connection, touched)
    items = connection.execute(
        "SELECT item_id, meter_id FROM due_item WHERE meter_id = ANY(%s)"
        " AND (%s::int4 IS NULL OR plan_id = %s)",
        (touched, plan_id, plan_id),
    ).fetchall()
    cancelled = due_results.move(
        connection,
        [Ended(item_id, meter_id, ItemState.CANCELLED, cause) for item_id, meter_id in items],
    )
    refresh(connection, touched)
    return cancelled.total()


def expire(connection: Connection, *, since: datetime | None, limit: int) -> int:
    """
    End what nobody needs any more, but on meters that somebody talks to.

    Args: since: nothing that expired before is left, but what was left at that time; None: look
        at all.
    Returns: how many; `limit`: there may be more.
    """
    found = connection.execute(_EXPIRED, {"since": since, "limit": limit}).fetchall()
    moved = due_results.move(
        connection,
        [
            Ended(item_id, meter_id, ItemState.EXPIRED, last_cause or NO_TURN)
            for item_id, meter_id, last_cause in found
        ],
    )
    refresh(connection, {meter_id for _, meter_id, _ in found})
    return moved.total()


def of_meters(
    connection: Connection, meter_ids: Collection[UUID], *, dialled: bool
) -> dict[UUID, tuple[DueItem, ...]]:
    """
    What is due on meters now, most urgent first; missing are those on which nothing is.

    Args: dialled: a plan's run that has begun is enough: the line may be gone at the meter's turn.
    """
    query = _OF_METERS.format(turn=DIALLED_TURN if dialled else _TURN)
    rows = connection.execute(query.encode(), (list(meter_ids),))
    items: dict[UUID, list[DueItem]] = {}
    for meter_id, *row in rows:
        items.setdefault(meter_id, []).append(_item(row))
    return {meter_id: tuple(found) for meter_id, found in items.items()}


def _item(row: Sequence[Any]) -> DueItem:
    item_id, kind, run_at, due_at, deadline_at, expires_at, priority, attempts = row[:8]
    plan_id, what, reads = row[8:]
    return DueItem(
        item_id=item_id,
        kind=WorkKind(kind),
        run_at=run_at,
        due_at=due_at,
        deadline_at=deadline_at,
        expires_at=expires_at,
        priority=priority,
        attempts=attempts,
        plan_id=plan_id,
        reads=() if reads is None else from_document(reads),
        gap=_gap(what) if kind == WorkKind.GAP else None,
    )


def _what(gap: Gap) -> dict[str, str]:
    return {
        "source": str(gap.source),
        "from": gap.start.isoformat(),
        "to": gap.end.isoformat(),
    }


def _gap(what: dict[str, str]) -> Gap:
    return Gap(
        Obis.parse(what["source"]),
        datetime.fromisoformat(what["from"]),
        datetime.fromisoformat(what["to"]),
    )
