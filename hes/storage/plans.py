"""
Collection plans (tables `plan`, `plan_group`) and whom they select (view `plan_member`).

What may be said of a plan is decided in `hes.plans.plan`; here it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from hes.domain.plans import Plan, Selection, Terms
from hes.domain.recurrence import parse
from hes.domain.work import Priority
from hes.storage import reads
from hes.storage.database import Connection

MEMBERS: Final = """
SELECT member.plan_id, member.meter_id, member.zone
FROM plan_member AS member JOIN plan USING (plan_id) WHERE plan.enabled
"""
"""All members of all plans that are enabled: plan_id, meter_id, zone."""

_SELECT: Final = """
SELECT p.plan_id, p.tenant_id, p.name, p.enabled, p.priority, p.reads, p.all_meters,
       ARRAY(SELECT g.name FROM plan_group AS pg JOIN meter_group AS g USING (group_id)
             WHERE pg.plan_id = p.plan_id) AS groups,
       p.tags, p.models, p.recurrence, p.zone, p.window_s, p.spread_s, p.deadline_s, p.target,
       p.revision, p.since, p.asked_at
FROM plan AS p
"""
_COLUMNS: Final = (
    "name", "enabled", "priority", "reads", "all_meters", "tags", "models", "recurrence", "zone",
    "window_s", "spread_s", "deadline_s", "target",
)  # fmt: skip
_ADD: Final = f"""
INSERT INTO plan (tenant_id, {", ".join(_COLUMNS)})
VALUES (%(tenant_id)s, {", ".join(f"%({column})s" for column in _COLUMNS)})
RETURNING plan_id
"""  # noqa: S608 - constants only
# Who comes back, or comes at other times, has no runs to make up for.
_CHANGE: Final = f"""
UPDATE plan SET {", ".join(f"{column} = %({column})s" for column in _COLUMNS)},
       revision = revision + 1, changed_at = now(),
       since = CASE WHEN %(enabled)s AND (NOT enabled OR recurrence <> %(recurrence)s
                                          OR zone <> %(zone)s)
                    THEN now() ELSE since END
WHERE plan_id = %(plan_id)s
"""  # noqa: S608 - constants only


def plans(connection: Connection, *, enabled_only: bool = False) -> Sequence[Plan]:
    """All plans, the most important first."""
    where = " WHERE p.enabled" if enabled_only else ""
    rows = connection.execute(f"{_SELECT}{where} ORDER BY p.priority, p.plan_id".encode())
    return [_plan(row) for row in rows]


def get(connection: Connection, plan_id: int, *, lock: bool = False) -> Plan | None:
    """One plan; `lock`: nobody else changes it until this transaction ends."""
    ending = " FOR UPDATE OF p" if lock else ""
    query = f"{_SELECT} WHERE p.plan_id = %s{ending}"
    row = connection.execute(query.encode(), (plan_id,)).fetchone()
    return None if row is None else _plan(row)


def find(connection: Connection, tenant_id: int, name: str) -> int | None:
    """The id of the plan of this name."""
    row = connection.execute(
        "SELECT plan_id FROM plan WHERE tenant_id = %s AND name = %s", (tenant_id, name)
    ).fetchone()
    return None if row is None else int(row[0])


def unknown_groups(connection: Connection, tenant_id: int, names: Iterable[str]) -> Sequence[str]:
    """Which of these names are no groups of a tenant's."""
    rows = connection.execute(
        'SELECT name FROM unnest(%s::text[]) AS n (name) WHERE name COLLATE "C" NOT IN'
        " (SELECT name FROM meter_group WHERE tenant_id = %s) ORDER BY name",
        (list(names), tenant_id),
    )
    return [name for (name,) in rows]


def zone_known(connection: Connection, zone: str) -> bool:
    """Whether the server, which counts days in it, knows a time zone."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %s)", (zone,)
    ).fetchone()
    return row is not None and bool(row[0])


def add(connection: Connection, tenant_id: int, terms: Terms) -> int:
    """
    Keep a plan; its groups are there.

    Returns: its id.
    """
    row = connection.execute(_ADD.encode(), {**_values(terms), "tenant_id": tenant_id}).fetchone()
    assert row is not None
    plan_id = int(row[0])
    _set_groups(connection, tenant_id, plan_id, terms.selection.groups)
    return plan_id


def change(connection: Connection, plan: Plan, terms: Terms) -> None:
    """Make these the terms of a plan that the caller has locked; its groups are there."""
    connection.execute(_CHANGE.encode(), {**_values(terms), "plan_id": plan.plan_id})
    _set_groups(connection, plan.tenant_id, plan.plan_id, terms.selection.groups)


def ask(connection: Connection, plan_id: int) -> None:
    """Have a plan run now, besides its recurrence."""
    connection.execute("UPDATE plan SET asked_at = now() WHERE plan_id = %s", (plan_id,))


def open_items(connection: Connection, plan_id: int) -> int:
    """How many due items of a plan are open."""
    row = connection.execute(
        "SELECT count(*) FROM due_item WHERE plan_id = %s", (plan_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def remove(connection: Connection, plan_id: int) -> None:
    """Let go of a plan; what its runs came to stays."""
    connection.execute("DELETE FROM plan WHERE plan_id = %s", (plan_id,))


def members(connection: Connection, plan_id: int) -> Mapping[str, int]:
    """How many meters a plan selects now, by zone."""
    rows = connection.execute(
        "SELECT zone, count(*) FROM plan_member WHERE plan_id = %s GROUP BY zone ORDER BY zone",
        (plan_id,),
    )
    return dict(rows.fetchall())


def _set_groups(connection: Connection, tenant_id: int, plan_id: int, names: Sequence[str]) -> None:
    connection.execute("DELETE FROM plan_group WHERE plan_id = %s", (plan_id,))
    connection.execute(
        "INSERT INTO plan_group (plan_id, group_id) SELECT %s, group_id FROM meter_group"
        " WHERE tenant_id = %s AND name = ANY(%s)",
        (plan_id, tenant_id, list(names)),
    )


def _values(terms: Terms) -> dict[str, Any]:
    return {
        "name": terms.name,
        "enabled": terms.enabled,
        "priority": int(terms.priority),
        "reads": Jsonb(reads.to_document(terms.reads)),
        "all_meters": terms.selection.all_meters,
        "tags": list(terms.selection.tags),
        "models": list(terms.selection.models),
        "recurrence": str(terms.recurrence),
        "zone": terms.zone,
        "window_s": terms.window_s,
        "spread_s": terms.spread_s,
        "deadline_s": terms.deadline_s,
        "target": terms.target,
    }


def _plan(row: Sequence[Any]) -> Plan:
    (plan_id, tenant_id, name, enabled, priority, document, all_meters, groups, tags, models,
     recurrence, zone, window_s, spread_s, deadline_s, target, revision, since,
     asked_at) = row  # fmt: skip
    return Plan(
        plan_id=plan_id,
        tenant_id=tenant_id,
        name=name,
        enabled=enabled,
        priority=Priority(priority),
        reads=reads.from_document(document),
        selection=Selection(all_meters, groups, tags, models),
        recurrence=parse(recurrence),
        zone=zone,
        window_s=window_s,
        spread_s=spread_s,
        deadline_s=deadline_s,
        target=target,
        revision=revision,
        since=since,
        asked_at=asked_at,
    )
