"""
What the scheduler does for completeness, step by step; each is one transaction of its connection.

`sync_expectations`: what plans, learning and lives say is expected. `judge`: what was not held at
its deadline. `find_gaps`: what of that is asked for again, and what is given up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hes.domain.work import Priority, WorkKind
from hes.plans import gaps
from hes.plans.expecting import SelectingPlan, expected
from hes.plans.gaps import GapRules
from hes.storage import completeness, due_items, expectations, losses
from hes.storage.database import Connection
from hes.storage.due_items import NewItem

METERS_A_LOOK: Final = 2_000
# A meter that refused or was not reached is not asked for the same gaps again at once.
_AFTER_FAILURE: Final = timedelta(hours=1)


def sync_expectations(connection: Connection, now: datetime) -> int:
    """
    Bring what is expected in step with what selects meters, what is known of them, their lives.

    Returns: how many meters were looked at; as many as a look takes: call it again at once.
    """
    meters = expectations.changed(connection, limit=METERS_A_LOOK)
    plans = expectations.plans(connection) if meters else {}
    wanted = {
        meter.meter_id: expected(
            meter.profiles,
            [SelectingPlan(plan_id, zone, *plans[plan_id]) for plan_id, zone in meter.plans],
        )
        for meter in meters
    }
    expectations.keep(connection, meters, wanted, now)
    return len(meters)


def judge(connection: Connection, now: datetime) -> int:
    """
    Note what was not held at the deadlines that have passed since the last look.

    Returns: how many days of profiles are touched.
    """
    return completeness.judge(connection, now)


def find_gaps(connection: Connection, now: datetime, rules: GapRules | None = None) -> int:
    """
    Have meters asked again for what they lack, and give up what cannot be had.

    Returns: how many meters were looked at; as many as a look takes: call it again at once.
    """
    rules = rules or GapRules()
    days = completeness.open_days(
        connection, meters=METERS_A_LOOK, failed_since=now - _AFTER_FAILURE
    )
    found = gaps.find([day for day in days if "1" in day.lacking], now, rules)
    due_items.add(
        connection,
        [
            NewItem(
                meter_id,
                WorkKind.GAP,
                run_at=now,
                due_at=now,
                deadline_at=now + rules.give_up,
                expires_at=now + rules.give_up,
                priority=Priority.LOW,
                gap=gap,
            )
            for meter_id, gap in found.gaps
        ],
    )
    losses.lose(connection, found.lost)
    meter_ids = {day.meter_id for day in days}
    completeness.close(connection, meter_ids)
    return len(meter_ids)
