"""Plans for people: made, changed, looked at before they run. Thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4
from zoneinfo import available_timezones

import attrs

from hes.domain.errors import PermanentError
from hes.domain.plans import SITE, Plan, RunRecord, Terms
from hes.plans import capacity
from hes.plans.capacity import Capacity, Load
from hes.plans.plan import BadPlanError, Fault, check
from hes.plans.preview import ComingRun, coming
from hes.storage import due_items, plan_load, plan_runs
from hes.storage import plans as store
from hes.storage.database import Connection, Database
from hes.storage.tenants import DEFAULT_TENANT

MAX_ZONES: Final = 20

_METERS_AT_ONCE: Final = 2_000

DISABLED: Final = "plan-disabled"
REMOVED: Final = "plan-removed"


class UnknownPlanError(PermanentError):
    """There is no such plan."""


class PlanExistsError(PermanentError):
    """Another plan has this name."""


class PlanDisabledError(PermanentError):
    """The plan does not run."""


class PlanChangedError(PermanentError):
    """Somebody has changed the plan since it was read."""


@attrs.frozen
class PlanView:
    """A plan and how many meters it selects now."""

    plan: Plan
    members: int


@attrs.frozen
class ZonePreview:
    """The next runs of a plan in one zone, and how many meters are read there."""

    zone: str
    members: int
    runs: tuple[ComingRun, ...]


class PlanService:
    """
    Keeps plans. What changes one takes the revision that it was read at; None: whatever it is.

    Args: clock: the time now, as an aware datetime.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._clock = clock

    def plans(self) -> Sequence[PlanView]:
        """All plans, the most important first. Raises: StorageUnavailableError."""
        with self._database.connection() as connection:
            counts: dict[int, int] = {}
            for each in plan_load.members(connection):
                counts[each.plan_id] = counts.get(each.plan_id, 0) + each.meters
            return [PlanView(plan, counts.get(plan.plan_id, 0)) for plan in store.plans(connection)]

    def get(self, plan_id: int) -> PlanView:
        """One plan. Raises: UnknownPlanError, StorageUnavailableError."""
        with self._database.connection() as connection:
            return _view(connection, plan_id)

    def find(self, name: str) -> PlanView:
        """The plan of a name. Raises: UnknownPlanError, StorageUnavailableError."""
        with self._database.connection() as connection:
            plan_id = store.find(connection, DEFAULT_TENANT, name)
            if plan_id is None:
                raise UnknownPlanError(f"there is no plan {name!r}")
            return _view(connection, plan_id)

    def add(self, terms: Terms, *, dry_run: bool = False) -> PlanView:
        """
        Keep a plan; `dry_run`: only as long as this takes, to see whom it selects.

        Raises: BadPlanError, PlanExistsError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            _refuse(connection, DEFAULT_TENANT, terms)
            if store.find(connection, DEFAULT_TENANT, terms.name) is not None:
                raise PlanExistsError(f"there is a plan {terms.name!r} already")
            view = _view(connection, store.add(connection, DEFAULT_TENANT, terms))
            if dry_run:
                connection.rollback()
        return view

    def change(
        self, plan_id: int, terms: Terms, revision: int | None, *, dry_run: bool = False
    ) -> PlanView:
        """
        Make these the terms of a plan.

        Runs that are under way keep their members, turns and deadlines; what they read is what the
        plan now says. A plan that is disabled has its open items cancelled.
        Raises: UnknownPlanError, PlanChangedError, BadPlanError, PlanExistsError,
            StorageUnavailableError.
        """
        with self._database.connection() as connection:
            plan = _locked(connection, plan_id, revision)
            _refuse(connection, plan.tenant_id, terms)
            if store.find(connection, plan.tenant_id, terms.name) not in (None, plan_id):
                raise PlanExistsError(f"there is a plan {terms.name!r} already")
            store.change(connection, plan, terms)
            view = _view(connection, plan_id)
            if dry_run:
                connection.rollback()
        if plan.enabled and not terms.enabled and not dry_run:
            self._cancel(plan_id, DISABLED)
        return view

    def enable(self, plan_id: int, enabled: bool, revision: int | None = None) -> PlanView:
        """
        Have a plan run, or not; without effect where it is so already.

        Raises: UnknownPlanError, PlanChangedError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            plan = _locked(connection, plan_id, revision)
            if plan.enabled != enabled:
                store.change(connection, plan, attrs.evolve(plan, enabled=enabled))
            view = _view(connection, plan_id)
        if not enabled:
            # Also where somebody was interrupted in it before.
            self._cancel(plan_id, DISABLED)
        return view

    def remove(self, plan_id: int, revision: int | None = None, *, dry_run: bool = False) -> int:
        """
        Let go of a plan and cancel what is open of it; what its runs came to stays.

        Returns: how many items were cancelled.
        Raises: UnknownPlanError, PlanChangedError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            plan = _locked(connection, plan_id, revision)
            if dry_run:
                return store.open_items(connection, plan_id)
            # Nobody makes a run of it meanwhile.
            store.change(connection, plan, attrs.evolve(plan, enabled=False))
        cancelled = self._cancel(plan_id, REMOVED)
        with self._database.connection() as connection:
            _locked(connection, plan_id, None)
            cancelled += due_items.cancel(connection, cause=REMOVED, plan_id=plan_id)
            store.remove(connection, plan_id)
        return cancelled

    def _cancel(self, plan_id: int, cause: str) -> int:
        """Cancel what is open, in transactions that hold up nobody for long."""
        total = 0
        while True:
            with self._database.connection() as connection:
                cancelled = due_items.cancel(
                    connection, cause=cause, plan_id=plan_id, meters_at_most=_METERS_AT_ONCE
                )
            if not cancelled:
                return total
            total += cancelled

    def runs(self, plan_id: int, limit: int) -> Sequence[RunRecord]:
        """
        What the last runs of a plan have come to, the newest first; counted every few seconds.

        Raises: UnknownPlanError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            if store.get(connection, plan_id) is None:
                raise UnknownPlanError(f"there is no plan {plan_id}")
            return plan_runs.latest(connection, plan_id, limit)

    def run_now(self, plan_id: int) -> PlanView:
        """
        Have a plan run now, besides its recurrence; the scheduler makes the run.

        Its members have their turns spread as ever. By its deadline nothing is expected.
        Raises: UnknownPlanError, PlanDisabledError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            plan = _locked(connection, plan_id, None)
            if not plan.enabled:
                raise PlanDisabledError(f"plan {plan.name!r} is disabled")
            store.ask(connection, plan_id)
            return _view(connection, plan_id)

    def preview(self, plan_id: int, count: int) -> Sequence[ZonePreview]:
        """
        The next runs of a plan in each zone of its members, most members first.

        A plan without members is shown in its own zone, or UTC. At most `MAX_ZONES` zones.
        Raises: UnknownPlanError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            plan = _view(connection, plan_id).plan
            return _preview(plan, store.members(connection, plan_id), self._clock(), count)

    def trial(self, terms: Terms, count: int) -> Sequence[ZonePreview]:
        """
        The next runs of a plan that nobody has made, or changed so; nothing is kept.

        Raises: BadPlanError, StorageUnavailableError.
        """
        with self._database.connection() as connection:
            _refuse(connection, DEFAULT_TENANT, terms)
            # Under a name that nobody has: it may be meant to take the place of another.
            tried = attrs.evolve(terms, name=uuid4().hex)
            plan_id = store.add(connection, DEFAULT_TENANT, tried)
            found = _preview(terms, store.members(connection, plan_id), self._clock(), count)
            connection.rollback()
        return found

    def capacity(self) -> Capacity:
        """
        What the enabled plans need in the next 24 hours. Raises: StorageUnavailableError.
        """
        now = self._clock()
        with self._database.connection() as connection:
            available = capacity.pace(plan_load.busiest_minute(connection))
            by_plan: dict[int, dict[str, int]] = {}
            for each in plan_load.members(connection):
                by_plan.setdefault(each.plan_id, {})[each.zone] = each.meters
            loads = [
                _load(connection, plan, by_plan.get(plan.plan_id, {}), now)
                for plan in store.plans(connection, enabled_only=True)
            ]
        return capacity.needed(loads, available, now)


def _preview(
    terms: Terms, by_zone: Mapping[str, int], now: datetime, count: int
) -> Sequence[ZonePreview]:
    if not by_zone:
        by_zone = {"UTC" if terms.zone == SITE else terms.zone: 0}
    most = sorted(by_zone.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_ZONES]
    return [
        ZonePreview(zone, members, tuple(coming(terms, zone, now, count))) for zone, members in most
    ]


def _load(connection: Connection, plan: Plan, by_zone: dict[str, int], now: datetime) -> Load:
    zone = next(iter(by_zone), "UTC")
    return Load(
        plan,
        by_zone,
        capacity.values_per_day(
            plan,
            plan_load.channels(connection, plan.plan_id),
            plan_load.unknown_members(connection, plan.plan_id),
            capacity.runs_per_day(plan, zone, now),
        ),
    )


def _view(connection: Connection, plan_id: int) -> PlanView:
    plan = store.get(connection, plan_id)
    if plan is None:
        raise UnknownPlanError(f"there is no plan {plan_id}")
    return PlanView(plan, sum(store.members(connection, plan_id).values()))


def _locked(connection: Connection, plan_id: int, revision: int | None) -> Plan:
    """
    A plan that nobody else changes, and no run is made of, until the transaction ends.

    Raises: UnknownPlanError, PlanChangedError.
    """
    plan = store.get(connection, plan_id, lock=True)
    if plan is None:
        raise UnknownPlanError(f"there is no plan {plan_id}")
    if revision not in (None, plan.revision):
        raise PlanChangedError(f"plan {plan.name!r} is at revision {plan.revision} by now")
    return plan


def _refuse(connection: Connection, tenant_id: int, terms: Terms) -> None:
    """Raises: BadPlanError: the terms cannot be."""
    faults = list(check(terms))
    if faults:
        raise BadPlanError(faults)
    faults += [
        Fault("selection", f"there is no group {name!r}")
        for name in store.unknown_groups(connection, tenant_id, terms.selection.groups)
    ]
    if terms.zone != SITE and not (
        terms.zone in available_timezones() and store.zone_known(connection, terms.zone)
    ):
        faults.append(Fault("zone", f"there is no time zone {terms.zone!r}"))
    if faults:
        raise BadPlanError(faults)
