"""
The lives of meters (tables `meter_life`, `meter.state`): each step with its reason and who said so.

Which steps there are: `hes.domain.life`. What a step brings with it is done in the same
transaction: who comes into service is read for the first time, who is retired hangs nowhere any
more and has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.life import TRANSITIONS, MeterState, StateChange
from hes.storage import due_items
from hes.storage.database import Connection

REASON_LENGTH: Final = 500
ACTOR_LENGTH: Final = 100
METER_GONE: Final = "meter-gone"
"""Cause of what is not done any more because its meter is retired."""


@attrs.frozen
class LifeStep:
    """A step as it was recorded."""

    state: MeterState
    since: datetime
    reason: str
    actor: str
    recorded_at: datetime


def states(connection: Connection, meter_ids: Collection[UUID]) -> dict[UUID, MeterState]:
    """The states of these meters, which stay as they are until the transaction ends."""
    rows = connection.execute(
        "SELECT meter_id, state FROM meter WHERE meter_id = ANY(%s)"
        " ORDER BY meter_id FOR NO KEY UPDATE",
        (list(meter_ids),),
    )
    return {meter_id: MeterState(state) for meter_id, state in rows}


def change(connection: Connection, changes: Sequence[StateChange]) -> None:
    """
    Take these steps, which are allowed; one for each meter at most.

    Whoever is retired has nothing left to do. When the others have their turn is brought up to
    date by the caller (`hes.storage.due_items`), once address and segment are as they are to be.
    """
    if not changes:
        return
    connection.execute(
        "UPDATE meter m SET state = n.state FROM unnest(%s::uuid[], %s::text[])"
        " AS n (meter_id, state) WHERE m.meter_id = n.meter_id",
        ([each.meter_id for each in changes], [each.state.value for each in changes]),
    )
    record(connection, changes)
    retired = [each for each in changes if each.state is MeterState.RETIRED]
    if retired:
        due_items.cancel(
            connection, cause=METER_GONE, meter_ids=[each.meter_id for each in retired]
        )
        _take_down(connection, retired)


def record(connection: Connection, changes: Sequence[StateChange]) -> None:
    """Write down steps whose state their meters have already."""
    connection.execute(
        "INSERT INTO meter_life (meter_id, state, since, reason, actor)"
        " SELECT * FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::text[])",
        (
            [each.meter_id for each in changes],
            [each.state.value for each in changes],
            [each.since for each in changes],
            [each.reason[:REASON_LENGTH] for each in changes],
            [each.actor[:ACTOR_LENGTH] for each in changes],
        ),
    )


def quarantine(connection: Connection, causes: Mapping[UUID, str], *, actor: str) -> None:
    """
    Leave meters alone until an operator has looked, as sessions say it.

    Who cannot come into quarantine from where it is (retired meanwhile) stays there.
    """
    may = [state.value for state, next_ in TRANSITIONS.items() if MeterState.QUARANTINED in next_]
    rows = connection.execute(
        "UPDATE meter SET state = 'quarantined' WHERE meter_id IN ("
        "   SELECT meter_id FROM meter WHERE meter_id = ANY(%s) AND state = ANY(%s)"
        "   ORDER BY meter_id FOR NO KEY UPDATE"
        " ) RETURNING meter_id, clock_timestamp()",
        (list(causes), may),
    ).fetchall()
    record(
        connection,
        [
            StateChange(meter_id, MeterState.QUARANTINED, now, causes[meter_id], actor)
            for meter_id, now in sorted(rows)
        ],
    )


def history(connection: Connection, meter_id: UUID, *, limit: int) -> Sequence[LifeStep]:
    """A meter's last steps, the latest first."""
    rows = connection.execute(
        "SELECT state, since, reason, actor, recorded_at FROM meter_life"
        " WHERE meter_id = %s ORDER BY step_id DESC LIMIT %s",
        (meter_id, limit),
    )
    return [LifeStep(MeterState(state), *rest) for state, *rest in rows]


def _take_down(connection: Connection, changes: Sequence[StateChange]) -> None:
    """Take meters down from where they hang, at the instant from which they are retired."""
    ids, since = [each.meter_id for each in changes], [each.since for each in changes]
    for table, column in (
        ("installation", "meter_id"),
        ("mbus_attachment", "child_meter_id"),
        ("mbus_attachment", "parent_meter_id"),
    ):
        # What was to begin only then has not been.
        connection.execute(
            f"DELETE FROM {table} t USING unnest(%s::uuid[], %s::timestamptz[]) AS n (id, since)"  # noqa: S608
            f" WHERE t.{column} = n.id AND t.since >= n.since",
            (ids, since),
        )
        connection.execute(
            f"UPDATE {table} t SET until = n.since"  # noqa: S608
            " FROM unnest(%s::uuid[], %s::timestamptz[]) AS n (id, since)"
            f" WHERE t.{column} = n.id AND coalesce(t.until, 'infinity') > n.since",
            (ids, since),
        )
