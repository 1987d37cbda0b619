"""Plans in memory: one that is there, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import attrs

from hes.domain.plans import Plan, RunRecord, Selection, Terms
from hes.domain.recurrence import parse
from hes.domain.work import Read, ReadKind
from hes.plans.capacity import Capacity, Load, needed, pace
from hes.plans.expansion import run_of
from hes.plans.plan import BadPlanError, check
from hes.plans.preview import coming
from hes.plans.service import (
    PlanChangedError,
    PlanDisabledError,
    PlanExistsError,
    PlanView,
    UnknownPlanError,
    ZonePreview,
)

MEMBERS = 9_000


class FakePlans:
    """`hes.api.services.Plans`."""

    def __init__(self, now: datetime, check_away: Callable[[], None]) -> None:
        self._now = now
        self._check = check_away
        self._plans: dict[int, Plan] = {}
        everything = Terms(
            name="everything",
            reads=tuple(Read(kind) for kind in ReadKind),
            selection=Selection(all_meters=True),
            recurrence=parse("every 900s"),
            window_s=900,
            deadline_s=900,
            spread_s=300,
        )
        self._put(1, everything, 1)

    def _put(self, plan_id: int, terms: Terms, revision: int) -> PlanView:
        said = {field.name: getattr(terms, field.name) for field in attrs.fields(Terms)}
        plan = Plan(plan_id=plan_id, tenant_id=1, revision=revision, since=self._now, **said)
        self._plans[plan_id] = plan
        return PlanView(plan, MEMBERS)

    def _find(self, plan_id: int, revision: int | None) -> Plan:
        self._check()
        plan = self._plans.get(plan_id)
        if plan is None:
            raise UnknownPlanError(f"no plan {plan_id}")
        if revision not in (None, plan.revision):
            raise PlanChangedError(plan.name)
        return plan

    def _refuse(self, terms: Terms, but: int | None = None) -> None:
        self._check()
        if faults := check(terms):
            raise BadPlanError(faults)
        if any(each.name == terms.name and key != but for key, each in self._plans.items()):
            raise PlanExistsError(terms.name)

    def plans(self) -> Sequence[PlanView]:
        self._check()
        return [PlanView(plan, MEMBERS) for plan in self._plans.values()]

    def get(self, plan_id: int) -> PlanView:
        return PlanView(self._find(plan_id, None), MEMBERS)

    def add(self, terms: Terms, *, dry_run: bool = False) -> PlanView:
        assert not dry_run
        self._refuse(terms)
        return self._put(max(self._plans, default=0) + 1, terms, 1)

    def trial(self, terms: Terms, count: int) -> Sequence[ZonePreview]:
        if faults := check(terms):
            raise BadPlanError(faults)
        zone = "Europe/Berlin"
        return [ZonePreview(zone, MEMBERS, tuple(coming(terms, zone, self._now, count)))]

    def change(
        self, plan_id: int, terms: Terms, revision: int | None, *, dry_run: bool = False
    ) -> PlanView:
        assert not dry_run
        plan = self._find(plan_id, revision)
        self._refuse(terms, but=plan_id)
        return self._put(plan_id, terms, plan.revision + 1)

    def enable(self, plan_id: int, enabled: bool, revision: int | None = None) -> PlanView:
        plan = self._find(plan_id, revision)
        if plan.enabled == enabled:
            return PlanView(plan, MEMBERS)
        return self._put(plan_id, attrs.evolve(plan, enabled=enabled), plan.revision + 1)

    def remove(self, plan_id: int, revision: int | None = None, *, dry_run: bool = False) -> int:
        assert not dry_run
        self._find(plan_id, revision)
        del self._plans[plan_id]
        return 12

    def runs(self, plan_id: int, limit: int) -> Sequence[RunRecord]:
        plan = self._find(plan_id, None)
        return [
            RunRecord(
                run_of(plan, "UTC", self._now - timedelta(minutes=15 * number)),
                skipped=False, members=100, done=90, late=3, failed=1, expired=2, cancelled=0,
                ended_at=None,
            )
            for number in range(min(limit, 3))
        ]  # fmt: skip

    def run_now(self, plan_id: int) -> PlanView:
        plan = self._find(plan_id, None)
        if not plan.enabled:
            raise PlanDisabledError(plan.name)
        return PlanView(plan, MEMBERS)

    def preview(self, plan_id: int, count: int) -> Sequence[ZonePreview]:
        return self.trial(self._find(plan_id, None), count)

    def capacity(self) -> Capacity:
        self._check()
        loads = [Load(plan, {"UTC": MEMBERS}, 384 * MEMBERS) for plan in self._plans.values()]
        return needed(loads, pace(0), self._now)
