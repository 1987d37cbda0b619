"""
Runs of plans (table `plan_run`) and the due items that are made of them.

A large run is made in pieces, each a transaction of its own, so that no session waits for long.
The run itself is noted with the last of them: whoever makes it again after a crash adds what is
missing, and nothing twice, though the first items may have been done meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from hes.domain.plans import SITE, Plan, Run, RunRecord
from hes.storage.database import Connection
from hes.storage.due_items import lock, refresh

PIECE: Final = 5_000

_LAST: Final = """
SELECT wanted.plan_id, wanted.zone, (
    SELECT max(run_at) FROM plan_run AS run
    WHERE run.plan_id = wanted.plan_id AND run.zone = wanted.zone
) FROM unnest(%s::int4[], %s::text[]) AS wanted (plan_id, zone)
"""
_ZONES: Final = """
SELECT plan_id, array_agg(DISTINCT zone ORDER BY zone) FROM plan_member
WHERE plan_id = ANY(%s) GROUP BY plan_id
"""
_NOTE: Final = """
INSERT INTO plan_run (plan_id, zone, run_at, deadline_at, ends_at, skipped, ended_at)
SELECT *, true, now()
FROM unnest(%s::int4[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[]) AS run
ON CONFLICT DO NOTHING
"""

_LATEST: Final = """
SELECT run_at, zone, deadline_at, ends_at, asked, skipped, members, done, late, failed, expired,
       cancelled, ended_at
FROM plan_run WHERE plan_id = %s ORDER BY run_at DESC, zone LIMIT %s
"""

# Of a connection that makes one run at a time.
_TURNS_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS member_turn (
    place int4 PRIMARY KEY, meter_id uuid NOT NULL, turn_s float8 NOT NULL
)
"""
_TURNS: Final = """
INSERT INTO member_turn
SELECT row_number() OVER (ORDER BY meter_id), meter_id, turn_s
FROM plan_member WHERE plan_id = %s AND zone = %s
"""
_HOLD_PLAN: Final = "SELECT FROM plan WHERE plan_id = %s AND enabled FOR SHARE"
_PIECE_OF_MEMBERS: Final = """
SELECT meter_id FROM member_turn WHERE place > %s AND place <= %s ORDER BY place
"""
_ROWS_OF_WORK: Final = """
INSERT INTO due_work (meter_id)
SELECT meter_id FROM unnest(%s::uuid[]) AS member (meter_id)
WHERE NOT EXISTS (SELECT FROM due_work AS w WHERE w.meter_id = member.meter_id)
ON CONFLICT DO NOTHING
"""
_ADD: Final = """
INSERT INTO due_item (meter_id, kind, plan_id, zone, run_at, due_at, deadline_at, expires_at,
                      priority)
SELECT meter_id, 'plan', %(plan_id)s, %(zone)s, %(run_at)s,
       %(run_at)s + make_interval(secs => turn_s), %(deadline_at)s, %(ends_at)s, %(priority)s
FROM member_turn AS member
WHERE place > %(after)s AND place <= %(to)s AND NOT EXISTS (
    SELECT FROM due_result AS ended
    WHERE ended.plan_id = %(plan_id)s AND ended.run_at = %(run_at)s
      AND ended.meter_id = member.meter_id
)
ORDER BY place
ON CONFLICT DO NOTHING
"""
_MADE: Final = """
INSERT INTO plan_run (plan_id, zone, run_at, deadline_at, ends_at, asked, members)
SELECT %(plan_id)s, %(zone)s, %(run_at)s, %(deadline_at)s, %(ends_at)s, %(asked)s, (
    SELECT count(*) FROM due_item
    WHERE plan_id = %(plan_id)s AND zone = %(zone)s AND run_at = %(run_at)s
) + (
    SELECT count(*) FROM due_result
    WHERE plan_id = %(plan_id)s AND zone = %(zone)s AND run_at = %(run_at)s
)
ON CONFLICT DO NOTHING
"""


def zones(connection: Connection, plans: Sequence[Plan]) -> Mapping[int, tuple[str, ...]]:
    """The zones in which plans have members now, by plan; those of one zone have that one."""
    by_site = [plan.plan_id for plan in plans if plan.zone == SITE]
    found = {plan.plan_id: (plan.zone,) for plan in plans if plan.zone != SITE}
    if by_site:
        rows = connection.execute(_ZONES, (by_site,))
        found |= {plan_id: tuple(names) for plan_id, names in rows}
    return found


def last_runs(
    connection: Connection, wanted: Iterable[tuple[int, str]]
) -> Mapping[tuple[int, str], datetime | None]:
    """When the last run was, by plan and zone; None: there was none."""
    pairs = list(wanted)
    rows = connection.execute(
        _LAST, ([plan_id for plan_id, _ in pairs], [zone for _, zone in pairs])
    )
    return {(plan_id, zone): run_at for plan_id, zone, run_at in rows}


def note_skipped(connection: Connection, runs: Sequence[Run]) -> None:
    """Note runs that nobody has made in time."""
    if runs:
        columns = [
            (run.plan_id, run.zone, run.run_at, run.deadline_at, run.ends_at) for run in runs
        ]
        connection.execute(_NOTE, [list(column) for column in zip(*columns, strict=True)])


def latest(connection: Connection, plan_id: int, limit: int) -> Sequence[RunRecord]:
    """The last runs of a plan in all zones, the newest first."""
    rows = connection.execute(_LATEST, (plan_id, limit))
    return [
        RunRecord(Run(run_at, plan_id, zone, deadline_at, ends_at, asked), *counted)
        for run_at, zone, deadline_at, ends_at, asked, *counted in rows
    ]


def begin(connection: Connection, run: Run) -> int:
    """Settle who the members of a run are. Returns: how many; they are this connection's only."""
    connection.execute(_TURNS_TABLE)
    connection.execute("TRUNCATE member_turn")
    return connection.execute(_TURNS, (run.plan_id, run.zone)).rowcount


def add_piece(connection: Connection, plan: Plan, run: Run, *, after: int, last: bool) -> bool:
    """
    Make the due items of the members from place `after` on; with the `last` ones note the run.

    Returns: False: the plan is gone or disabled by now; nothing is made.
    """
    if connection.execute(_HOLD_PLAN, (run.plan_id,)).fetchone() is None:
        return False
    to = after + PIECE
    rows = connection.execute(_PIECE_OF_MEMBERS, (after, to))
    meter_ids = [meter_id for (meter_id,) in rows]
    values = {
        "plan_id": run.plan_id,
        "zone": run.zone,
        "run_at": run.run_at,
        "deadline_at": run.deadline_at,
        "ends_at": run.ends_at,
        "asked": run.asked,
        "priority": int(plan.priority),
        "after": after,
        "to": to,
    }
    if meter_ids:
        connection.execute(_ROWS_OF_WORK, (meter_ids,))
        lock(connection, meter_ids)
        connection.execute(_ADD, values)
        refresh(connection, meter_ids)
    if last:
        connection.execute(_MADE, values)
    return True
