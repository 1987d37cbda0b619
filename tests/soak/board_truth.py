"""
The read-success board against what really happened.

Interval by interval: what the head-end holds, a meter has captured; what it gave up because the
meter did not have it, no meter had captured by then; and the cells of the board are sums of just
these intervals.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import attrs
import psycopg

from hes.readings import BoardReader, By, Cell
from hes.readings.completeness import DAY_S, Expected
from hes.storage.database import Database
from hes_protocol.cosem import Obis
from hes_simulators.truth.compare import Truth

_EXPECTED = """
SELECT m.meter_id, m.serial, e.source, e.capture_period_s, e.since, e.until
FROM expectation AS e JOIN meter AS m USING (meter_id)
"""
_DAYS = """
SELECT meter_id, source, capture_period_s, day, bits::text, overdue::text, lost::text
FROM completeness
"""
_LOSSES = """
SELECT meter_id, source, from_at, to_at, reason, lost_at FROM interval_loss WHERE ended_at IS NULL
"""
HOUR = timedelta(hours=1)
Key = tuple[UUID, str, int]


@attrs.frozen
class Snapshot:
    """What the database said at one moment: the board by hour, and what it was counted from."""

    to: datetime
    hours: dict[str | None, Cell]
    plans: dict[str | None, Cell]
    total: Cell
    expected: list[tuple[Key, str, Expected]]
    days: dict[tuple[Key, date], tuple[str, str | None, str | None]]
    losses: list[tuple[UUID, str, datetime, datetime, str, datetime]]


def snapshot(url: str, from_: datetime) -> Snapshot:
    """Take it. Sessions and the scheduler go on meanwhile, so that it is taken until it holds."""
    now = datetime.now(UTC)
    with Database(url, statement_timeout_s=60) as database:
        reader = BoardReader(database, clock=lambda: now)
        for _ in range(20):
            before = reader.board(By.PLAN, from_, now)
            by_hour = reader.board(By.HOUR, from_, now)
            with psycopg.connect(url) as connection:
                kept = _raw(connection)
            after = reader.board(By.PLAN, from_, now)
            if before == after and by_hour.total == after.total:
                break
    return Snapshot(
        after.to,
        {one.name: one.cell for one in by_hour.cells},
        {one.name: one.cell for one in after.cells},
        after.total,
        *kept,
    )


def _raw(connection: psycopg.Connection[Any]) -> tuple[Any, Any, Any]:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    expected = [
        ((meter_id, str(Obis(source)), period_s), serial, Expected(period_s, since, until))
        for meter_id, serial, source, period_s, since, until in connection.execute(_EXPECTED)
    ]
    days = {
        ((meter_id, str(Obis(source)), period_s), day): (bits, overdue, lost)
        for meter_id, source, period_s, day, bits, overdue, lost in connection.execute(_DAYS)
    }
    losses = [
        (meter_id, str(Obis(source)), from_at, to_at, reason, lost_at)
        for meter_id, source, from_at, to_at, reason, lost_at in connection.execute(_LOSSES)
    ]
    return expected, days, losses


def compare(truth: Truth, board: Snapshot, from_: datetime) -> None:
    """Compare each interval with the truth and each cell with the intervals; print the board."""
    captured = _captured(truth)
    reasons = {
        (meter_id, profile, from_at + slot * timedelta(minutes=1)): (reason, lost_at)
        for meter_id, profile, from_at, to_at, reason, lost_at in board.losses
        for slot in range(int((to_at - from_at) / timedelta(minutes=1)))
    }
    hours: dict[str, Counter[str]] = {}
    never = Counter[str]()
    never_captured = captured_not_held = held_in_truth = 0
    for key, serial, expected in board.expected:
        meter_id, profile, period_s = key
        length = timedelta(seconds=period_s)
        day = from_.date()
        while day <= board.to.date():
            held, overdue, lost = board.days.get((key, day), ("", None, None))
            midnight = datetime.combine(day, time(), UTC)
            for slot in expected.slots(day):
                begins = midnight + slot * length
                if not from_.replace(minute=0, second=0, microsecond=0) <= begins < board.to:
                    continue
                kind = _kind(held, overdue, lost, slot)
                of_hour = begins.replace(minute=0, second=0, microsecond=0).isoformat()
                hours.setdefault(of_hour, Counter())[kind] += 1
                true_at = captured.get((serial, profile, period_s), {}).get(begins)
                if kind in ("on_time", "late"):
                    assert true_at is not None, f"{serial} {profile} {begins}: held, not captured"
                    held_in_truth += 1
                elif kind == "lost":
                    reason, lost_at = reasons[meter_id, profile, begins]
                    never[reason] += 1
                    if reason in ("not-in-buffer", "clock-change"):
                        assert true_at is None or true_at > lost_at, (
                            f"{serial} {profile} {begins}: given up, but captured"
                        )
                elif true_at is None:
                    never_captured += 1
                else:
                    captured_not_held += 1
            day += timedelta(days=1)
    print(f"board to {board.to:%H:%M} of {sum(c.total() for c in hours.values())} intervals:")
    for name, cell in {**board.hours, **board.plans}.items():
        print(f"  {name}: {cell} share {cell.share}")
    print(
        f"  held and captured {held_in_truth}; lost {dict(never)}; neither held nor lost:"
        f" {never_captured} never captured, {captured_not_held} captured"
    )
    assert hours.keys() == board.hours.keys()
    for hour, counts in hours.items():
        cell = board.hours[hour]
        said = (cell.on_time, cell.late, cell.lost, cell.missing, cell.pending)
        kinds = ("on_time", "late", "lost", "missing", "pending")
        assert said == tuple(counts[kind] for kind in kinds), (hour, cell, counts)
        assert cell.expected == counts.total()
    assert sum(board.total.causes.values()) == board.total.lost + board.total.missing


def _kind(held: str, overdue: str | None, lost: str | None, slot: int) -> str:
    is_overdue = overdue is not None and overdue[slot] == "1"
    if held and held[slot] == "1":
        return "late" if is_overdue else "on_time"
    if lost is not None and lost[slot] == "1":
        return "lost"
    return "missing" if is_overdue else "pending"


def _captured(truth: Truth) -> dict[tuple[str, str, int], dict[datetime, datetime]]:
    """Per meter, profile and period the slots with a row on the grid, and when it was captured."""
    stamps: dict[tuple[str, str], dict[datetime, datetime]] = {}
    for key in truth.readings:
        at = truth.captured_at(key)
        known = stamps.setdefault((key.serial, key.profile), {})
        known[key.at] = min(known.get(key.at, at), at)
    return {
        (serial, profile, period_s): {
            datetime.fromtimestamp(at.timestamp() // period_s * period_s, UTC): true_at
            for at, true_at in found.items()
            # As ingest flags it: what lies off the grid is no whole interval.
            if period_s > 3600 or at.timestamp() % period_s == 0
        }
        for (serial, profile), found in stamps.items()
        for period_s in (60, 300, 900, 1800, 3600, DAY_S)
    }
