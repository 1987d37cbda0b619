"""Every kind of read of real sessions, in a real database, against what the meters really held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from uuid import UUID

import attrs
import pytest
import structlog
import trio

from hes.domain.plans import Selection, Terms
from hes.domain.quality import Quality
from hes.domain.recurrence import parse
from hes.domain.work import Read, ReadKind, WorkKind
from hes.meters import Inventory
from hes.models import models
from hes.storage import due_items, plans
from hes.storage.database import Database
from hes.storage.due_items import NewItem
from hes_collectors.dlms import Ports, run
from hes_protocol.cosem import Obis
from hes_simulators import Fleet, FleetSettings, MeterNetwork
from hes_simulators.scenario.population import District, Group, Population
from hes_simulators.truth import FileJournal
from hes_simulators.truth.compare import LineKey, difference, read
from tests.integration.test_collector import collector, ports

__all__ = ["ports"]  # a fixture

METERS = 2
KINDS = (
    ReadKind.PROFILE,
    ReadKind.REGISTERS,
    ReadKind.BILLING,
    ReadKind.EVENTS,
    ReadKind.POWER_QUALITY,
)
EVENTS = ("cover_opened", "cover_opened", "firmware_ready", "over_limit")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def due(database: Database, plan_id: int, meters: list[UUID], run_at: datetime) -> None:
    """An item of the plan for each meter, now."""
    later = run_at + timedelta(hours=1)
    with database.connection() as connection:
        items = [
            NewItem(one, WorkKind.PLAN, run_at, run_at, later, later, plan_id=plan_id, zone="UTC")
            for one in meters
        ]
        assert due_items.add(connection, items) == len(meters)


def results(database: Database) -> list[tuple[str, str | None]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT outcome, cause FROM due_result WHERE kind = 'plan'"
        ).fetchall()


def lines(database: Database) -> dict[LineKey, None]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT serial, source, code, occurred_at, ordinal"
            " FROM event JOIN meter USING (meter_id)"
        ).fetchall()
    return {
        LineKey(serial, str(Obis(source)), code, at, ordinal): None
        for serial, source, code, at, ordinal in rows
    }


async def test_all_kinds_of_reads_are_stored_and_again_add_nothing(
    database: Database, inventory: Inventory, ports: Ports, tmp_path: Path
) -> None:
    terms = Terms(
        name="everything",
        reads=tuple(map(Read, KINDS)),
        selection=Selection(all_meters=True),
        recurrence=parse("every 900s"),
        window_s=3600,
        deadline_s=3600,
    )
    with database.connection() as connection:
        [(tenant_id,)] = connection.execute("SELECT tenant_id FROM tenant").fetchall()
        plan_id = plans.add(connection, tenant_id, terms)
    truth = tmp_path / "truth.jsonl"
    with FileJournal(truth) as journal:
        fleet = Fleet(
            FleetSettings(
                population=Population(
                    [Group(name="idis", model="idis-single-phase", count=METERS)],
                    [District(name="Town")],
                    1,
                ),
                network=MeterNetwork(IPv4Network("127.56.0.0/16")),
                port=0,
                profile_days=2,
            ),
            start_number=1,
            journal=journal,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(fleet.serve)
            records = [
                json.dumps({**one, "commissioned_at": "2026-01-01T00:00:00Z"})
                for one in fleet.meter_file()
            ]
            await trio.to_thread.run_sync(inventory.import_file, records)
            with database.connection() as connection:
                meters = [row[0] for row in connection.execute("SELECT meter_id FROM meter")]
            for index in range(METERS):
                fleet.meter(index).advance(datetime.now(UTC))
                for event in EVENTS:
                    fleet.meter(index).event(event)
            context = collector(ports, allowed_networks=(ip_network("127.56.0.0/16"),))
            known = {model.name: model for model in models()}
            nursery.start_soon(run, attrs.evolve(context, models=known))
            counted = []
            for number in (1, 2):
                now = datetime.now(UTC)
                due(database, plan_id, meters, now - timedelta(seconds=number))
                with trio.fail_after(30):
                    while len(results(database)) < number * METERS:  # noqa: ASYNC110
                        await trio.sleep(0.1)
                with database.connection() as connection:
                    counted.append(
                        connection.execute(
                            "SELECT source IS NULL, count(*) FROM reading"
                            " JOIN series USING (series_id) JOIN channel USING (channel_id)"
                            " GROUP BY 1 ORDER BY 1"
                        ).fetchall()
                    )
            nursery.cancel_scope.cancel()
    assert results(database) == [("done", None)] * (2 * METERS)
    serials = {fleet.meter(index).identity.serial for index in range(METERS)}
    true = dict.fromkeys(key for key in read(truth).log_lines if key.serial in serials)
    assert len(true) >= len(EVENTS) * METERS
    found = difference(true, lines(database))
    assert not found, str(found)
    (_, profile_rows), (_, spot_rows) = counted[0]
    assert profile_rows > 96 * 3 * METERS
    assert spot_rows >= 15 * METERS
    # Profiles and billing have nothing new; registers are read once more, maxima as they were.
    assert counted[1][0] == (False, profile_rows)
    assert spot_rows < counted[1][1][1] < 2 * spot_rows
    with database.connection() as connection:
        sources = {Obis(row[0]) for row in connection.execute("SELECT source FROM mark")}
        assert Obis.parse("0.0.98.1.0.255") in sources
        assert {row[0] for row in connection.execute("SELECT recognised_model FROM meter")} == {
            "idis-single-phase"
        }
        assert connection.execute("SELECT 1 FROM log_gap").fetchall() == []
        [(without_time,)] = connection.execute(
            "SELECT count(*) FROM reading WHERE quality & %s > 0",
            (int(Quality.TIME_OF_RECEIPT),),
        ).fetchall()
    assert without_time
