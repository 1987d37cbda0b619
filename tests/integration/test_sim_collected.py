"""A real collector takes what simulated meters push, in every form, and stores what they hold."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage.database import Database
from hes_protocol.axdr.data import INTEGER_TAGS
from hes_protocol.models import ModelPush
from hes_simulators import Fleet, FleetSettings, Meter, MeterNetwork
from hes_simulators.reach import DialIn, Greeting, Reach, Target
from hes_simulators.scenario.population import District, Group, Population

NETWORK: Final = MeterNetwork(IPv4Network("127.54.0.0/16"))
# By model: which of its pushes. They cover HDLC with and without names, M-Bus pieces enciphered,
# the wrapper enciphered and authenticated.
PUSHED: Final = {
    "nordic-han": "list 3",
    "nordic-han-named": "list 3",
    "austria-mbus-push": "customer information",
    "idis-three-phase": "interval 1",
}
METERS: Final = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def collecting(database_url: str, data: Path, port: int) -> AsyncIterator[None]:
    """`hes collect dlms` as an operator starts it, once it listens; ended by SIGTERM."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HES_")}
    environ |= {
        "HES_DATABASE_URL": database_url,
        "HES_DATA": str(data),
        "HES_COLLECTOR_LISTEN_PORT": str(port),
        "HES_COLLECTOR_ALLOWED_NETWORKS": "127.54.0.0/16",
        "HES_COLLECTOR_ALLOWED_PORTS": "1024-65535",
    }
    hes = Path(sys.executable).with_name("hes")
    with (data / "collector.log").open("ab") as log:
        process = await trio.lowlevel.open_process(
            [hes, "collect", "dlms"], env=environ, cwd=data, stdout=log, stderr=log
        )
    try:
        with trio.fail_after(30):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None, (data / "collector.log").read_text()
                    await trio.sleep(0.05)
                else:
                    await stream.aclose()
                    break
        yield
    finally:
        process.terminate()
        with trio.CancelScope(shield=True), trio.move_on_after(10):
            await process.wait()
        process.kill()


def reach_of(model: str, target: Target) -> Reach | None:
    """One of them keeps its connection and says who it is; the others are as by default."""
    if model != "idis-three-phase":
        return None
    return Reach(listens=False, dial_in=DialIn(target=target, greeting=Greeting.IDENTITY))


def push_of(fleet: Fleet, index: int) -> ModelPush:
    model = fleet.meter(index).kind.model
    [push] = [push for push in model.pushes if push.name == PUSHED[model.name]]
    return push


def registers(meter: Meter, push: ModelPush) -> dict[str, int]:
    """What the head-end must find of a push: raw values by object."""
    meter.advance(meter.kind.now())
    found = {}
    for column in push.objects:
        held = meter.capture(column)
        if column.class_id == 3 and held.tag in INTEGER_TAGS:
            found[str(column.obis)] = int(held.value)
    return found


def stored(database: Database) -> dict[str, dict[str, int]]:
    """By serial and object."""
    query = (
        "SELECT m.serial, encode(c.obis, 'hex'), r.value, r.captured_at FROM reading r"
        " JOIN series s USING (series_id) JOIN channel c USING (channel_id)"
        " JOIN meter m USING (meter_id)"
    )
    found: dict[str, dict[str, int]] = {}
    with database.connection() as connection:
        for serial, obis, value, _ in connection.execute(query).fetchall():
            name = ".".join(str(octet) for octet in bytes.fromhex(obis))
            found.setdefault(serial, {})[name] = value
    return found


async def test_pushes_of_every_form_are_stored_as_the_meters_hold_them(
    database: Database, migrated_url: str, tmp_path: Path
) -> None:
    port = free_port()
    target = Target("127.0.0.1", port)
    groups = [
        Group(name=model, model=model, count=METERS, reach=reach_of(model, target))
        for model in PUSHED
    ]
    now = datetime.now(UTC).replace(microsecond=0)  # it stands still: values stay as they are
    settings = FleetSettings(
        population=Population(groups, [District(name="Town")], 1),
        network=NETWORK,
        port=0,
        head_end=target,
    )
    fleet = Fleet(settings, start_number=1, now=lambda: now)
    inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
    async with collecting(migrated_url, tmp_path, port), trio.open_nursery() as nursery:
        records = [_commissioned(record) for record in fleet.meter_file()]
        report = await trio.to_thread.run_sync(inventory.import_file, map(json.dumps, records))
        assert not report.errors, report.errors
        # Nothing is due: else those that keep a connection would be read over it.
        with database.connection() as connection:
            connection.execute("UPDATE due_work SET due_at = NULL")
            connection.execute("DELETE FROM due_item")
        await nursery.start(fleet.serve)
        # Meters of three groups keep a connection; those of IDIS say who they are first.
        counters = fleet.counters
        await until(lambda: counters.open_dials == 4 * METERS and counters.pushes_sent == METERS)
        for index in range(4 * METERS):
            fleet.push(index, attrs.evolve(push_of(fleet, index), window_s=0))
        expected = {
            fleet.meter(index).identity.serial: registers(fleet.meter(index), push_of(fleet, index))
            for index in range(4 * METERS)
        }
        assert all(expected.values())
        await until(lambda: stored(database) == expected, give_up=False)
        nursery.cancel_scope.cancel()
    found = stored(database)
    for index in range(4 * METERS):
        serial = fleet.meter(index).identity.serial
        assert found.get(serial) == expected[serial], fleet.meter(index).kind.model.name
    assert (fleet.counters.pushes_failed, fleet.counters.pushes_dropped) == (0, 0)
    with database.connection() as connection:
        assert connection.execute("SELECT code FROM security_event").fetchall() == []
        assert connection.execute("SELECT reason FROM quarantine").fetchall() == []


async def until(condition: Callable[[], bool], *, give_up: bool = True) -> None:
    """Wait at most 20 s; whoever does not give up says himself what is missing."""
    with trio.move_on_after(20):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 - nobody tells it
            await trio.sleep(0.05)
        return
    assert not give_up


def _commissioned(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "commissioned_at": "2026-01-01T00:00:00Z"}
