"""What is expected of meters follows plans, what was learnt of them, and their lives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from hes.domain.meters import CaptureColumn, MeterKnowledge, ProfileKnowledge
from hes.plans import judging
from hes.storage.database import Database
from hes.storage.knowledge import KnowledgeStore
from hes_protocol.cosem import Obis
from tests.batches import LOAD_PROFILE

DAILY = Obis.parse("1.0.99.2.0.255")
MONTHLY = Obis.parse("0.0.98.1.0.255")
COLUMNS = (CaptureColumn(8, Obis.parse("0.0.1.0.0.255"), 2, 0),)
QUARTERS = ProfileKnowledge(LOAD_PROFILE, 900, COLUMNS, entries=960)
DAYS = ProfileKnowledge(DAILY, 86_400, COLUMNS)
BILLING = ProfileKnowledge(MONTHLY, 0, COLUMNS)
MINUTE = timedelta(minutes=1)

READS = '[{"kind": "profile", "source": "1.0.99.1.0.255"}]'


@attrs.frozen
class Scene:
    """A database with plans put there by hand."""

    database: Database
    add_meter: Callable[..., UUID]

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def plan(self, reads: str = READS, **changes: object) -> int:
        told = {"name": "P", "priority": 20, "zone": "UTC", **changes}
        [(plan_id,)] = self.run(
            "INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence,"
            " zone, window_s, spread_s, deadline_s, since)"
            " VALUES (1, %s, true, %s, %s, true, 'every 900s', %s, 900, 0, 900,"
            " now() - interval '1 year') RETURNING plan_id",
            told["name"], told["priority"], reads, told["zone"],
        )  # fmt: skip
        return int(plan_id)

    def meter(self, serial: str = "S1", *profiles: ProfileKnowledge) -> UUID:
        meter_id = self.add_meter(serial)
        self.learn(meter_id, *(profiles or (QUARTERS,)))
        return meter_id

    def learn(self, meter_id: UUID, *profiles: ProfileKnowledge) -> None:
        KnowledgeStore(self.database).save(meter_id, MeterKnowledge((), profiles))

    def sync(self, now: datetime | None = None) -> int:
        with self.database.connection() as connection:
            return judging.sync_expectations(connection, now or datetime.now(UTC))

    def expected(self) -> list[tuple[str, int, int, bool]]:
        """Profile, period, plan, whether it still is expected; in the order of their beginnings."""
        return [
            (str(Obis(source)), period_s, plan_id, until is None)
            for source, period_s, plan_id, until in self.run(
                "SELECT source, capture_period_s, plan_id, until FROM expectation"
                " ORDER BY since, source"
            )
        ]


@pytest.fixture
def scene(database: Database, add_meter: Callable[..., UUID]) -> Scene:
    with database.connection() as connection:
        connection.execute("DELETE FROM plan")
    return Scene(database, add_meter)


def test_what_a_plan_reads_is_expected_from_then_on(scene: Scene) -> None:
    plan = scene.plan('[{"kind": "profile"}, {"kind": "billing"}]')
    scene.meter("S1", QUARTERS, DAYS, BILLING)
    assert scene.sync() == 1
    assert scene.expected() == [
        (str(LOAD_PROFILE), 900, plan, True),
        (str(DAILY), 86_400, plan, True),
    ]
    assert scene.run(
        "SELECT bool_and(since BETWEEN created_at AND now()) FROM expectation"
        " JOIN meter USING (meter_id)"
    ) == [(True,)]
    assert scene.sync() == 0  # nothing has changed


def test_nothing_is_expected_of_what_nobody_knows_or_reads(scene: Scene) -> None:
    scene.plan()
    scene.add_meter("S1")
    scene.meter("S2", DAYS)
    assert scene.sync() == 1
    assert scene.expected() == []


def test_the_first_plan_that_reads_a_profile_sets_its_deadlines(scene: Scene) -> None:
    low, high = scene.plan(name="low", priority=30), scene.plan(name="high", priority=10)
    scene.meter()
    scene.sync()
    assert scene.expected() == [(str(LOAD_PROFILE), 900, high, True)]
    scene.run("UPDATE plan SET enabled = false WHERE plan_id = %s", high)
    scene.sync()
    assert scene.expected() == [(str(LOAD_PROFILE), 900, low, True)]


def test_another_period_is_another_expectation(scene: Scene) -> None:
    plan = scene.plan()
    meter_id = scene.meter()
    scene.sync()
    scene.learn(meter_id, attrs.evolve(QUARTERS, capture_period_s=1800))
    now = datetime.now(UTC) + MINUTE
    assert scene.sync(now) == 1
    assert scene.expected() == [
        (str(LOAD_PROFILE), 900, plan, False),
        (str(LOAD_PROFILE), 1800, plan, True),
    ]
    assert scene.run("SELECT max(until) = max(since), max(until) FROM expectation") == [(True, now)]
    scene.learn(meter_id, attrs.evolve(QUARTERS, capture_period_s=1800, entries=10))
    scene.sync()
    assert scene.run("SELECT reach_s FROM expectation WHERE until IS NULL") == [(18_000,)]


def test_who_leaves_service_is_expected_nothing_of_until_it_is_back(scene: Scene) -> None:
    plan = scene.plan()
    meter_id = scene.meter()
    scene.sync()
    left = datetime.now(UTC) + MINUTE

    def becomes(state: str, since: datetime) -> None:
        scene.run("UPDATE meter SET state = %s", state)
        scene.run(
            "INSERT INTO meter_life (meter_id, state, since, reason, actor)"
            " VALUES (%s, %s, %s, 'test', 'test')",
            meter_id, state, since,
        )  # fmt: skip

    becomes("suspended", left)
    assert scene.sync(left + MINUTE) == 1
    assert scene.run("SELECT until FROM expectation") == [(left,)]
    assert scene.sync(left + MINUTE) == 0
    becomes("in_service", left + 5 * MINUTE)
    scene.sync(left + 6 * MINUTE)
    assert scene.expected() == [
        (str(LOAD_PROFILE), 900, plan, False),
        (str(LOAD_PROFILE), 900, plan, True),
    ]
    assert scene.run("SELECT max(since) FROM expectation") == [(left + 5 * MINUTE,)]


def test_a_plan_that_was_off_expects_nothing_of_that_time(scene: Scene) -> None:
    plan = scene.plan()
    scene.meter()
    scene.sync()
    scene.run("UPDATE plan SET enabled = false")
    scene.sync()
    assert [is_open for *_, is_open in scene.expected()] == [False]
    again = datetime.now(UTC) + MINUTE
    scene.run("UPDATE plan SET enabled = true, revision = 2, since = %s", again)
    scene.sync(again + MINUTE)
    assert scene.run("SELECT since, plan_id FROM expectation WHERE until IS NULL") == [
        (again, plan)
    ]
