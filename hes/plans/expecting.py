"""
What is expected of a meter: which of its profiles, by whose deadlines. Pure.

Expected is every profile on a grid within the day that a plan reads; of several plans that read it
the first one's deadlines count. A profile that no plan reads is a gift: what comes is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from hes.domain.kinds import profile_kind
from hes.domain.work import Read
from hes.storage.expectations import KnownProfile, Wanted

_DAY_S: Final = 86_400


@attrs.frozen
class SelectingPlan:
    """A plan that selects a meter: its runs are counted in `zone`, the first is after `since`."""

    plan_id: int
    zone: str
    reads: tuple[Read, ...]
    since: datetime


def expected(
    profiles: Sequence[KnownProfile], plans: Sequence[SelectingPlan]
) -> tuple[Wanted, ...]:
    """
    What is expected of a meter that has these profiles.

    Args: plans: that select it, the most important first.
    """
    found = []
    for profile in profiles:
        period_s = profile.capture_period_s
        if not 0 < period_s <= _DAY_S or _DAY_S % period_s:
            continue  # no grid: months, event logs
        plan = next((plan for plan in plans if _reads(plan, profile)), None)
        if plan is not None:
            found.append(
                Wanted(
                    profile.source, period_s, profile.reach_s, plan.plan_id, plan.zone, plan.since
                )
            )
    return tuple(found)


def _reads(plan: SelectingPlan, profile: KnownProfile) -> bool:
    kind = profile_kind(profile.source, profile.capture_period_s)
    return any(read.kind is kind and read.source in (None, profile.source) for read in plan.reads)
