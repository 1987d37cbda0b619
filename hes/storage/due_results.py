"""
How due items ended (table `due_result`): each once, and nothing is changed there.

An item is moved, never copied: who finds it in `due_item` and ends it is the only one who does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import attrs

from hes.domain.work import ItemState
from hes.storage.database import Connection

# LATE is decided here, by the clock that also decides when an item expires.
_MOVE: Final = """
WITH told AS MATERIALIZED (
    SELECT * FROM unnest(%(item_id)s::int8[], %(meter_id)s::uuid[], %(state)s::text[],
                         %(cause)s::text[], %(session_id)s::uuid[])
        AS told (item_id, meter_id, state, cause, session_id)
), gone AS (
    DELETE FROM due_item AS item USING told
    WHERE item.item_id = told.item_id AND item.meter_id = told.meter_id
    RETURNING item.*, told.state, told.cause, told.session_id
)
INSERT INTO due_result (finished_at, item_id, meter_id, kind, plan_id, zone, run_at, deadline_at,
                        outcome, cause, attempts, session_id)
SELECT statement_timestamp(), item_id, meter_id, kind, plan_id, zone, run_at, deadline_at,
       CASE WHEN state = 'done' AND statement_timestamp() > deadline_at THEN 'late' ELSE state END,
       coalesce(cause, CASE WHEN state IN ('expired', 'failed') THEN last_cause END),
       attempts, session_id
FROM gone ORDER BY item_id
RETURNING outcome
"""

_COUNT: Final = """
WITH open AS (
    SELECT plan_id, zone, run_at FROM plan_run WHERE ended_at IS NULL
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE
), counted AS (
    SELECT open.plan_id, open.zone, open.run_at,
           count(*) FILTER (WHERE outcome = 'done') AS done,
           count(*) FILTER (WHERE outcome = 'late') AS late,
           count(*) FILTER (WHERE outcome = 'failed') AS failed,
           count(*) FILTER (WHERE outcome = 'expired') AS expired,
           count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
           count(outcome) AS total, max(finished_at) AS last_at
    FROM open LEFT JOIN due_result USING (plan_id, zone, run_at)
    GROUP BY open.plan_id, open.zone, open.run_at
)
UPDATE plan_run AS run
SET done = counted.done, late = counted.late, failed = counted.failed,
    expired = counted.expired, cancelled = counted.cancelled,
    ended_at = CASE WHEN total >= members OR ends_at < now() - interval '1 day'
                    THEN coalesce(last_at, expanded_at) END
FROM counted
WHERE (run.plan_id, run.zone, run.run_at) = (counted.plan_id, counted.zone, counted.run_at)
  AND ((run.done, run.late, run.failed, run.expired, run.cancelled)
       IS DISTINCT FROM
       (counted.done, counted.late, counted.failed, counted.expired, counted.cancelled)
       OR total >= members OR ends_at < now() - interval '1 day')
"""


@attrs.frozen
class Ended:
    """An item that has ended; `cause` None: where it is no success, the last that was told."""

    item_id: int
    meter_id: UUID
    state: ItemState
    cause: str | None = None
    session_id: UUID | None = None


def move(connection: Connection, ended: Sequence[Ended]) -> Counter[ItemState]:
    """
    End items, within a transaction that holds their meters' rows of `due_work`.

    Returns: how many ended how; those that had ended already are not counted and stay as they are.
    """
    if not ended:
        return Counter()
    moved = connection.execute(
        _MOVE,
        {
            "item_id": [each.item_id for each in ended],
            "meter_id": [each.meter_id for each in ended],
            "state": [each.state.value for each in ended],
            "cause": [each.cause for each in ended],
            "session_id": [each.session_id for each in ended],
        },
    )
    return Counter(ItemState(outcome) for (outcome,) in moved)


def count_runs(connection: Connection, *, limit: int = 1000) -> int:
    """
    Bring the counters of open runs up to date; a run whose items have all ended is over.

    So is one whose end is a day ago, should anything have taken items away.

    Returns: how many runs changed.
    """
    return connection.execute(_COUNT, {"limit": limit}).rowcount
