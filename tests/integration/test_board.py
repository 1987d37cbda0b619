"""The board on a real database: from what the writer, the judge and sessions leave there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from hes.cli import cli
from hes.domain.work import Gap
from hes.plans import judging
from hes.readings import BoardReader, By, Cell
from hes.storage import losses, marks
from hes.storage.database import Database
from hes.storage.marks import DayOfIntervals
from tests.batches import LOAD_PROFILE, add_meters

DAY = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = DAY + 6 * HOUR


@pytest.fixture
def meters(database: Database) -> list[UUID]:
    """
    Three meters, read hourly by 05:00 with an hour's time; now it is 06:00.

    The first has all until 05:00 in time, the second the first two hours late and the third hour
    lost, the third nothing at all.
    """
    found = add_meters(database, 3)
    with database.connection() as connection:

        def run(statement: str, *values: object) -> None:
            connection.execute(statement, values)

        run("DELETE FROM plan")
        run(
            "INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence,"
            " zone, window_s, spread_s, deadline_s)"
            """ VALUES (1, 'hourly', true, 20, '[{"kind": "profile"}]', true, 'every 3600s',"""
            " 'UTC', 3600, 0, 3600)"
        )
        run(
            "INSERT INTO expectation (meter_id, source, since, capture_period_s, plan_id, zone,"
            " changed_at) SELECT meter_id, %s, %s, 900, (SELECT plan_id FROM plan), 'UTC', %s"
            " FROM meter",
            LOAD_PROFILE.octets, DAY, DAY,
        )  # fmt: skip
        run(
            "INSERT INTO plan_run (plan_id, zone, run_at, deadline_at, ends_at)"
            " SELECT plan_id, 'UTC', %s, %s, %s FROM plan",
            DAY + 5 * HOUR, NOW, NOW,
        )  # fmt: skip
        run("UPDATE meter SET model = 'm' WHERE meter_id = %s", found[0])
        run("INSERT INTO meter_group (tenant_id, name) VALUES (1, 'a'), (1, 'b')")
        run(
            "INSERT INTO meter_group_member SELECT group_id, meter_id FROM meter_group, meter"
            " WHERE meter_id = ANY(%s)",
            found[:2],
        )
        run("INSERT INTO due_work (meter_id, rests_why) VALUES (%s, 'connect-timeout')", found[2])

        def hold(meter_id: UUID, first: int, last: int) -> None:
            bits = "".join("01"[first <= slot < last] for slot in range(96))
            day = DayOfIntervals(meter_id, LOAD_PROFILE, 900, DAY.date(), bits)
            marks.add_intervals(connection, [day])

        hold(found[0], 0, 20)
        hold(found[1], 12, 22)
        judging.judge(connection, NOW)
        hold(found[1], 0, 8)
        losses.answered(connection, [(found[1], Gap(LOAD_PROFILE, DAY, DAY + 12 * HOUR))])
    return found


def board(database: Database, by: By) -> dict[str | None, Cell]:
    found = BoardReader(database, clock=lambda: NOW).board(by, DAY, DAY + 24 * HOUR)
    assert (found.from_, found.to) == (DAY, NOW)
    return {one.name: one.cell for one in found.cells}


FIRST = Cell(24, 20, 0, 0, 0, 4, {})
SECOND = Cell(24, 10, 8, 4, 0, 2, {"not-in-buffer": 4})
THIRD = Cell(24, 0, 0, 0, 20, 4, {"connect-timeout": 20})
BOTH = Cell(48, 30, 8, 4, 0, 6, {"not-in-buffer": 4})
ALL = Cell(72, 30, 8, 4, 20, 10, {"connect-timeout": 20, "not-in-buffer": 4})


def test_cells_by_what_meters_are(database: Database, meters: list[UUID]) -> None:
    assert board(database, By.PLAN) == {"hourly": ALL}
    rest = Cell(48, 10, 8, 4, 20, 6, {"connect-timeout": 20, "not-in-buffer": 4})
    assert board(database, By.MODEL) == {"m": FIRST, None: rest}
    assert board(database, By.GROUP) == {"a": BOTH, "b": BOTH, None: THIRD}
    assert board(database, By.SEGMENT) == {None: ALL}
    assert board(database, By.FEEDER) == {None: ALL}


def test_cells_by_hour(database: Database, meters: list[UUID]) -> None:
    hours = board(database, By.HOUR)
    assert list(hours) == [(DAY + number * HOUR).isoformat() for number in range(6)]
    assert hours[DAY.isoformat()] == Cell(12, 4, 4, 0, 4)
    assert hours[(DAY + 2 * HOUR).isoformat()] == Cell(12, 4, 0, 4, 4)
    assert hours[(DAY + 5 * HOUR).isoformat()] == Cell(12, 2, pending=10)


def test_one_meter(database: Database, meters: list[UUID]) -> None:
    found = BoardReader(database, clock=lambda: NOW).meter(meters[1], DAY, NOW)
    (profile,) = found.profiles
    assert profile.total == SECOND
    assert [(at, cell.expected) for at, cell in profile.days] == [(DAY, 24)]
    (loss,) = found.losses
    assert (loss.from_at, loss.to_at) == (DAY + 2 * HOUR, DAY + 3 * HOUR)


def test_commands(
    database: Database, meters: list[UUID], migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", migrated_url)
    from hes import wiring

    wiring.settings.cache_clear()

    def hes(*arguments: str) -> Any:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    span = ("--from", "2026-11-20", "--to", "2026-11-20T06:00:00Z", "-o", "json")
    said = hes("board", "--by", "group", *span)
    assert [(one["of"], one["late"]) for one in said["cells"]] == [("a", 8), ("b", 8), (None, 0)]
    assert said["total"]["causes"] == {"connect-timeout": 20, "not-in-buffer": 4}
    of_meter = hes("board", "--meter", "S000001", *span)
    assert (of_meter["days"][0]["share"], len(of_meter["losses"])) == (45.45, 1)
    table = CliRunner().invoke(cli, ["board", "--from", "2026-11-20", "--to", "2026-11-21"])
    assert "connect-timeout 20" in table.stdout
    assert hes("clock", "ls", "-o", "json") == []
    (order,) = hes("clock", "set", "S000001", "--why", "never set", "-o", "json")
    assert order["ordered"] is True
    wiring.settings.cache_clear()
