"""
What becomes of due items and meters when sessions are over: many at once, in one transaction.

Rule 1: who has lost a lease changes nothing. Rule 2: rows are locked in the order of
`hes.storage.due_items`. Rule 3: whoever calls again, because the outcome of a COMMIT was unknown,
changes nothing more: a session whose report is there has finished.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import attrs
import psycopg

from hes.domain.ports import Finished
from hes.domain.work import Gap, ItemResult, ItemState
from hes.storage import due_results, losses, meter_life, sessions
from hes.storage.counters import raise_accepted
from hes.storage.database import Connection, Database
from hes.storage.due_items import NEXT_DUE_AT, NEXT_TURN
from hes.storage.due_results import Ended
from hes.storage.features import chunks, partitions

LEASE_LOST: Final = "lease-lost"
"""Cause of a session that found its lease over."""

_ACTOR: Final = "collector"

_HOLD_METERS: Final = """
SELECT FROM meter WHERE meter_id = ANY(%s) ORDER BY meter_id FOR NO KEY UPDATE
"""
_HOLD: Final = """
SELECT w.token FROM due_work AS w
JOIN unnest(%s::uuid[], %s::int8[]) AS ended (meter_id, token) USING (meter_id, token)
WHERE w.leased_until > clock_timestamp() ORDER BY w.meter_id FOR UPDATE OF w
"""
_FINISHED_BEFORE: Final = """
SELECT session_id FROM session
JOIN unnest(%s::uuid[], %s::timestamptz[]) AS ended (session_id, ended_at)
    USING (session_id, ended_at)
WHERE cause IS DISTINCT FROM 'lease-lost'
"""
_TRY_AGAIN: Final = """
UPDATE due_item AS item
SET due_at = greatest(now() + told.wait, now()), last_cause = coalesce(told.cause, last_cause),
    attempts = least(attempts + told.counted::int4, 32767)
FROM unnest(%(item_id)s::int8[], %(meter_id)s::uuid[], %(wait)s::interval[], %(cause)s::text[],
            %(counted)s::bool[]) AS told (item_id, meter_id, wait, cause, counted)
WHERE item.item_id = told.item_id AND item.meter_id = told.meter_id
"""
_END: Final = f"""
WITH told AS MATERIALIZED (
    SELECT meter_id, failures, now() + rest AS rests_until, rests_why, read_at
    FROM unnest(%(meter_id)s::uuid[], %(failures)s::int4[], %(rest)s::interval[],
                %(rests_why)s::text[], %(read_at)s::timestamptz[])
        AS told (meter_id, failures, rest, rests_why, read_at)
), next AS (
    SELECT told.*, m.segment, first.priority,
           {NEXT_DUE_AT.format(rests="told.rests_until", waiting="NULL")} AS due_at
    FROM told JOIN due_work AS w USING (meter_id) JOIN meter AS m USING (meter_id)
    {NEXT_TURN}
)
UPDATE due_work AS w
SET token = NULL, holder = NULL, leased_until = NULL, failures = next.failures,
    rests_until = next.rests_until, rests_why = next.rests_why,
    read_at = coalesce(next.read_at, w.read_at), due_at = next.due_at,
    priority = next.priority, segment = next.segment
FROM next WHERE w.meter_id = next.meter_id
"""  # noqa: S608 - constants only


def finish(database: Database, ended: Sequence[Finished]) -> Collection[int]:
    """
    See `LeaseStore.finish`.

    Raises: StorageUnavailableError: the database is away; nothing is kept.
    """
    if not ended:
        return frozenset()
    try:
        return _finish(database, ended)
    except psycopg.errors.CheckViolation:
        # No partition for a report yet: the first sessions of a week, on plain PostgreSQL.
        numbers = {chunks.number_of(each.report.ended_at) for each in ended}
        partitions.ensure(database, numbers, ["session"])
        return _finish(database, ended)


def _finish(database: Database, ended: Sequence[Finished]) -> Collection[int]:
    with database.connection() as connection:
        running = _hold(connection, ended)
        good = [each for each in ended if each.lease.token in running]
        if good:
            _end_items(connection, good)
            _quarantine(connection, good)
            _end_leases(connection, good)
            raise_accepted(
                connection,
                [(each.lease.meter.meter_id, each.counter) for each in good if each.counter],
            )
        over = [each for each in ended if each.lease.token not in running]
        lost = _without_finished(connection, over) if over else ()
        sessions.insert(
            connection,
            [each.report for each in good]
            + [attrs.evolve(each.report, cause=LEASE_LOST) for each in lost],
        )
        sessions.insert_events(
            connection,
            [(each.lease.meter.meter_id, finding) for each in good for finding in each.findings],
        )
    return frozenset(each.lease.token for each in lost)


def _hold(connection: Connection, ended: Sequence[Finished]) -> frozenset[int]:
    """Lock what will change; returns the tokens of leases that still run."""
    suspects = [each.lease.meter.meter_id for each in ended if each.after.quarantine is not None]
    if suspects:
        connection.execute(_HOLD_METERS, (suspects,))
    rows = connection.execute(
        _HOLD,
        ([each.lease.meter.meter_id for each in ended], [each.lease.token for each in ended]),
    )
    return frozenset(token for (token,) in rows)


def _without_finished(connection: Connection, over: Sequence[Finished]) -> Sequence[Finished]:
    """Those whose lease was not ended by themselves, in an earlier call."""
    rows = connection.execute(
        _FINISHED_BEFORE,
        ([each.report.session_id for each in over], [each.report.ended_at for each in over]),
    )
    before = {session_id for (session_id,) in rows}
    return [each for each in over if each.report.session_id not in before]


def _end_items(connection: Connection, good: Sequence[Finished]) -> None:
    told = [(each, result) for each in good for result in each.results]
    due_results.move(
        connection,
        [
            Ended(
                result.item_id,
                each.lease.meter.meter_id,
                result.state,
                result.cause,
                each.report.session_id,
            )
            for each, result in told
            if result.state is not None
        ],
    )
    losses.answered(connection, [gap for each in good for gap in _answered(each)])
    again = [(each, result) for each, result in told if result.state is None]
    if again:
        connection.execute(_TRY_AGAIN, _again_arrays(again))


def _answered(each: Finished) -> Iterator[tuple[UUID, Gap]]:
    """The gaps of which the meter has given all that it has."""
    gaps = {item.item_id: item.gap for item in each.lease.items}
    for result in each.results:
        gap = gaps.get(result.item_id)
        if result.state is ItemState.DONE and gap is not None:
            yield each.lease.meter.meter_id, gap


def _again_arrays(again: Sequence[tuple[Finished, ItemResult]]) -> dict[str, list[Any]]:
    return {
        "item_id": [result.item_id for _, result in again],
        "meter_id": [each.lease.meter.meter_id for each, _ in again],
        "wait": [
            timedelta() if result.retry_at is None else result.retry_at - each.report.ended_at
            for each, result in again
        ],
        "cause": [result.cause for _, result in again],
        "counted": [result.counted for _, result in again],
    }


def _quarantine(connection: Connection, good: Sequence[Finished]) -> None:
    causes: dict[UUID, str] = {
        each.lease.meter.meter_id: each.after.quarantine
        for each in good
        if each.after.quarantine is not None
    }
    if causes:
        meter_life.quarantine(connection, causes, actor=_ACTOR)


def _end_leases(connection: Connection, good: Sequence[Finished]) -> None:
    """End leases; after a quarantine, since what has another state than in service is not due."""
    connection.execute(
        _END,
        {
            "meter_id": [each.lease.meter.meter_id for each in good],
            "failures": [each.after.failures for each in good],
            "rest": [
                None
                if each.after.rests_until is None
                else each.after.rests_until - each.report.ended_at
                for each in good
            ],
            "rests_why": [each.after.rests_why for each in good],
            "read_at": [each.read_at for each in good],
        },
    )
