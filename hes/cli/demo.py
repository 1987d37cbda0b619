"""How often `hes up` has its simulated fleet read: the default plan, told so once."""

from __future__ import annotations

from typing import Final

import attrs

from hes.domain.recurrence import Every
from hes.plans.service import PlanService, UnknownPlanError
from hes.storage.database import Database

PLAN: Final = "everything"
EVERY_S: Final = 60
# One machine that simulates them as well reads no more of them in a minute.
_MOST_METERS: Final = 2_000


def read_often(database: Database, meters: int, every_s: int | None) -> str | None:
    """
    Have the default plan run each minute, if nobody has changed it; each `every_s` in any case.

    Returns: what to tell a person, if it was changed.
    Raises: BadPlanError: not so often, or at times that differ from day to day.
    """
    service = PlanService(database)
    try:
        plan = service.find(PLAN).plan
    except UnknownPlanError:
        return None
    if every_s is None:
        if plan.revision > 1 or meters > _MOST_METERS:
            return None
        every_s = EVERY_S
    terms = attrs.evolve(
        plan,
        recurrence=Every(every_s),
        deadline_s=every_s,
        window_s=every_s,
        spread_s=every_s * 3 // 4,
    )
    if terms == plan:
        return None
    service.change(plan.plan_id, terms, plan.revision)
    return f"plan {PLAN!r} reads all meters every {every_s} s: hes plan set {PLAN} --when …"
