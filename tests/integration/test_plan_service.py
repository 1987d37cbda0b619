"""Plans on a real database: kept and changed, whom they select, what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from uuid import UUID

import attrs
import pytest

from hes.cli.doctor import Check, check_database
from hes.domain.plans import Plan, Selection, Terms, turn_s
from hes.domain.recurrence import parse
from hes.domain.work import Attribute, Priority, Read, ReadKind
from hes.plans.plan import BadPlanError
from hes.plans.scheduler import LOCK
from hes.plans.service import (
    PlanChangedError,
    PlanDisabledError,
    PlanExistsError,
    PlanService,
    UnknownPlanError,
)
from hes.plans.steps import Expander
from hes.storage import plans as store
from hes.storage.database import Database
from hes.storage.leadership import Leadership
from hes_protocol.cosem import Obis

AddMeter = Callable[..., UUID]
NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)

TERMS = Terms(
    name="daily",
    reads=(
        Read(ReadKind.PROFILE, Obis.parse("1.0.99.1.0.255")),
        Read(ReadKind.REGISTERS, None, (Attribute(3, Obis.parse("1.0.1.8.0.255"), 2),)),
    ),
    selection=Selection(all_meters=True),
    recurrence=parse("cron 30 2 * * *"),
    spread_s=600,
    deadline_s=3_600,
    window_s=7_200,
    priority=Priority.HIGH,
)


@pytest.fixture
def service(database: Database) -> PlanService:
    return PlanService(database, clock=lambda: NOW)


def run(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def members(database: Database, plan: Plan) -> dict[UUID, tuple[str, float]]:
    rows = run(
        database,
        "SELECT meter_id, zone, turn_s FROM plan_member WHERE plan_id = %s",
        plan.plan_id,
    )
    return {meter_id: (zone, turn) for meter_id, zone, turn in rows}


def doctor(url: str) -> Check:
    """What `hes doctor` says of plans."""
    return next(check for check in check_database(url) if check.name == "plans")


def test_a_plan_is_kept_as_it_was_said(service: PlanService) -> None:
    added = service.add(TERMS).plan
    kept = service.get(added.plan_id).plan
    assert kept == added
    assert attrs.asdict(kept, recurse=False).items() >= attrs.asdict(TERMS, recurse=False).items()
    assert (kept.revision, service.find("daily").plan) == (1, kept)


def test_a_trial_keeps_nothing_and_tells_whom_it_would_read(
    service: PlanService, add_meter: AddMeter
) -> None:
    add_meter("S1")
    assert service.add(TERMS, dry_run=True).members == 1
    assert service.plans() == []
    plan = service.add(TERMS).plan
    trial = service.change(plan.plan_id, attrs.evolve(TERMS, name="other"), 1, dry_run=True)
    assert (trial.plan.name, trial.plan.revision) == ("other", 2)
    assert service.remove(plan.plan_id, dry_run=True) == 0
    assert service.get(plan.plan_id).plan == plan


def test_who_changes_what_somebody_else_has_changed_is_told(service: PlanService) -> None:
    plan = service.add(TERMS).plan
    service.change(plan.plan_id, attrs.evolve(TERMS, spread_s=0), 1)
    with pytest.raises(PlanChangedError):
        service.change(plan.plan_id, TERMS, 1)
    with pytest.raises(PlanChangedError):
        service.remove(plan.plan_id, 1)
    assert service.get(plan.plan_id).plan.spread_s == 0
    assert service.change(plan.plan_id, TERMS, None).plan.revision == 3


def test_names_groups_and_zones_are_looked_up(service: PlanService) -> None:
    plan = service.add(TERMS).plan
    other = service.add(attrs.evolve(TERMS, name="other")).plan
    with pytest.raises(PlanExistsError):
        service.add(TERMS)
    with pytest.raises(PlanExistsError):
        service.change(other.plan_id, attrs.evolve(TERMS, name=plan.name), 1)
    with pytest.raises(BadPlanError, match="no group 'north'"):
        service.add(attrs.evolve(TERMS, name="x", selection=Selection(groups=("north",))))
    with pytest.raises(BadPlanError, match="zone"):
        service.add(attrs.evolve(TERMS, name="x", zone="Europe/Atlantis"))
    with pytest.raises(BadPlanError, match="deadline_s"):
        service.add(attrs.evolve(TERMS, name="x", deadline_s=9_999))
    for call in (service.get, service.remove, lambda number: service.enable(number, False)):
        with pytest.raises(UnknownPlanError):
            call(99)


def test_who_is_selected(database: Database, service: PlanService, add_meter: AddMeter) -> None:
    north = add_meter("N", group=["north"], model="sim-household")
    both = add_meter("B", group=["north", "south"], model="sim-solar")
    gone = add_meter("X", group=["north"], model="sim-household")
    other = add_meter("O")
    run(database, "UPDATE meter SET state = 'retired' WHERE meter_id = %s", gone)
    run(database, "INSERT INTO meter_tag VALUES (%s, 'pv'), (%s, 'ev')", both, other)

    def chosen(**names: Any) -> set[UUID]:
        plan = service.add(attrs.evolve(TERMS, selection=Selection(**names))).plan
        found = set(members(database, plan))
        assert service.get(plan.plan_id).members == len(found)
        service.remove(plan.plan_id)
        return found

    assert chosen(all_meters=True) == {north, both, other}
    assert chosen(groups=("north",)) == {north, both}
    assert chosen(groups=("south", "north")) == {north, both}
    assert chosen(tags=("pv", "ev")) == {both, other}
    assert chosen(models=("sim-household",)) == {north}
    assert chosen(groups=("north",), tags=("pv",)) == {both}
    assert chosen(groups=("south",), models=("sim-household",)) == set()


def test_zones_are_those_of_sites_and_turns_are_everywhere_the_same(
    database: Database, service: PlanService, add_meter: AddMeter
) -> None:
    at_site = add_meter("S1", site="S", timezone="Europe/Athens")
    run(database, "UPDATE meter SET timezone = 'UTC' WHERE meter_id = %s", at_site)
    elsewhere = add_meter("S2", timezone="Europe/Vienna")
    plan = service.add(TERMS).plan
    found = members(database, plan)
    assert {meter_id: zone for meter_id, (zone, _) in found.items()} == {
        at_site: "Europe/Athens",
        elsewhere: "Europe/Vienna",
    }
    for meter_id, (_, turn) in found.items():
        assert turn == pytest.approx(turn_s(meter_id, plan.plan_id, plan.spread_s))
    fixed = service.add(attrs.evolve(TERMS, name="fixed", zone="Asia/Tokyo")).plan
    assert {zone for zone, _ in members(database, fixed).values()} == {"Asia/Tokyo"}
    with database.connection() as connection:
        rows = connection.execute(store.MEMBERS.encode()).fetchall()
    assert len(rows) == 4


def test_runs_before_it_was_enabled_or_given_other_times_are_none_of_its(
    database: Database, service: PlanService
) -> None:
    plan = service.add(TERMS).plan
    run(database, "UPDATE plan SET since = now() - interval '1 day'")
    old = service.get(plan.plan_id).plan.since
    assert service.change(plan.plan_id, attrs.evolve(TERMS, spread_s=1), None).plan.since == old
    assert service.enable(plan.plan_id, True).plan.since == old
    assert not service.enable(plan.plan_id, False).plan.enabled
    back = service.enable(plan.plan_id, True).plan
    assert (back.enabled, back.since - old > timedelta(hours=23)) == (True, True)
    run(database, "UPDATE plan SET since = now() - interval '1 day'")
    hourly = attrs.evolve(TERMS, recurrence=parse("every 1h"))
    assert service.change(plan.plan_id, hourly, None).plan.since > old + timedelta(hours=23)


@pytest.mark.parametrize("how", ["disabled", "removed", "changed"])
def test_what_is_open_is_cancelled_with_its_plan(
    database: Database,
    service: PlanService,
    add_meter: AddMeter,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr("hes.plans.service._METERS_AT_ONCE", 1)
    add_meter("S1")
    add_meter("S2")
    plan = service.add(TERMS).plan
    run(
        database,
        "INSERT INTO due_item (meter_id, kind, plan_id, zone, run_at, due_at, deadline_at,"
        " expires_at, priority) SELECT meter_id, 'plan', %s, 'UTC', now(), now(), now(),"
        " now() + interval '1 day', 20 FROM meter",
        plan.plan_id,
    )
    assert service.remove(plan.plan_id, dry_run=True) == 2
    if how == "removed":
        assert service.remove(plan.plan_id, 1) == 2
        assert service.plans() == []
    elif how == "disabled":
        service.enable(plan.plan_id, False, 1)
    else:
        service.change(plan.plan_id, attrs.evolve(TERMS, enabled=False), 1)
    assert run(database, "SELECT FROM due_item WHERE kind = 'plan'") == []
    cause = "plan-removed" if how == "removed" else "plan-disabled"
    results = run(database, "SELECT outcome, cause FROM due_result")
    assert results == [("cancelled", cause)] * 2


def test_a_run_is_asked_for_besides_the_recurrence(
    database: Database, service: PlanService, add_meter: AddMeter, migrated_url: str
) -> None:
    add_meter("S1")
    plan = service.add(TERMS).plan
    assert service.run_now(plan.plan_id).members == 1
    with Database(migrated_url, max_connections=1) as own:
        leadership = Leadership(own, LOCK)
        assert "hes schedule" in doctor(migrated_url).fix
        Expander()(leadership.turn)
        assert doctor(migrated_url).detail == "1 enabled"
    assert run(database, "SELECT plan_id FROM due_item WHERE kind = 'plan'") == [(plan.plan_id,)]
    ((run_at, asked, members_then),) = run(database, "SELECT run_at, asked, members FROM plan_run")
    assert (run_at, asked, members_then) == (service.get(plan.plan_id).plan.asked_at, True, 1)
    (record,) = service.runs(plan.plan_id, 10)
    assert (record.run.run_at, record.run.asked, record.open) == (run_at, True, 1)
    service.enable(plan.plan_id, False)
    with pytest.raises(PlanDisabledError):
        service.run_now(plan.plan_id)


def test_previews_by_zone(service: PlanService, add_meter: AddMeter) -> None:
    plan = service.add(TERMS).plan
    (nobody,) = service.preview(plan.plan_id, 1)
    assert (nobody.zone, nobody.members) == ("UTC", 0)
    add_meter("S1", timezone="Europe/Berlin")
    add_meter("S2", timezone="Europe/Berlin")
    add_meter("S3", timezone="Asia/Tokyo")
    berlin, tokyo = service.preview(plan.plan_id, 2)
    assert (berlin.zone, berlin.members, tokyo.zone) == ("Europe/Berlin", 2, "Asia/Tokyo")
    # Clocks are set forward over 02:30.
    assert [each.local.hour for each in berlin.runs] == [3, 2]
    assert [each.shift for each in berlin.runs] == ["forward", None]


def test_capacity_of_what_is_enabled(service: PlanService, add_meter: AddMeter) -> None:
    add_meter("S1", timezone="UTC")
    service.add(attrs.evolve(TERMS, name="off", enabled=False))
    service.add(TERMS)
    capacity = service.capacity()
    (need,) = capacity.plans
    assert (need.members, need.values_per_day, capacity.fits) == (1, 384, True)
    assert need.needed_per_s == pytest.approx(1 / 3_600)
    assert [hour.starts_at.hour for hour in capacity.hours if hour.needed_per_s] == [2, 3]
    assert not capacity.pace.measured


def test_the_plan_that_is_there_from_the_start(database: Database, service: PlanService) -> None:
    folder = resources.files("hes.storage") / "migrations"
    run(database, (folder / "0107_default_plan.sql").read_text())
    (view,) = service.plans()
    plan = view.plan
    assert (plan.name, plan.enabled, plan.selection) == (
        "everything", True, Selection(all_meters=True)
    )  # fmt: skip
    assert {read.kind for read in plan.reads} == set(ReadKind)
    # It can be kept again as it is.
    assert service.change(plan.plan_id, plan, plan.revision).plan.revision == 2
