"""Fleets that dial in or push by TLS and UDP: real sockets, real database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from hes.keys import KeyService
from hes.meters import Inventory
from hes.pipeline import DirectBus
from hes.storage.database import Database
from hes.storage.due_items import put_in_service
from hes_collectors.dlms import Context, InboundLimits, TlsFiles, run
from hes_collectors.dlms.datagrams import run_datagrams
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models import ModelPush, PushForm, Transport
from hes_protocol.security.control import Protection
from hes_simulators import Fleet, FleetSettings, MeterNetwork, Security
from hes_simulators.reach import DialIn, Greeting, Reach, Target
from hes_simulators.tls import CertificateFolder
from tests.integration.test_collector import collector, count, ports_on, until, utc_now

NETWORK = MeterNetwork(IPv4Network("127.58.0.0/16"))
HOST = "127.0.0.1"
METERS = 12


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@asynccontextmanager
async def head_end(context: Context) -> AsyncIterator[Target]:
    """A collector at work."""
    async with trio.open_nursery() as nursery:
        [(host, port)] = await nursery.start(run, context)
        yield Target(host, port)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def fleet_of(inventory: Inventory, reach: Reach, **changes: Any) -> AsyncIterator[Fleet]:
    """Meters that call, once the inventory knows them."""
    defaults: dict[str, Any] = {"port": 0, "profile_days": 2, "network": NETWORK, "meters": METERS}
    fleet = Fleet(
        FleetSettings(**(defaults | {"reach": reach} | changes)), start_number=1, now=utc_now
    )
    rows = [
        json.dumps({**record, "commissioned_at": "2026-01-01T00:00:00Z"})
        for record in fleet.meter_file()
    ]
    report = await trio.to_thread.run_sync(inventory.import_file, rows)
    assert not report.errors, report.errors
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        yield fleet
        nursery.cancel_scope.cancel()


READ = (
    "SELECT count(DISTINCT meter_id) FROM session"
    " WHERE inbound AND outcome = 'ok' AND octets_out > 0"
)


def events(database: Database) -> list[Any]:
    """Security events: what, and of how many meters."""
    query = "SELECT code, detail, count(*) FROM security_event GROUP BY 1, 2"
    with database.connection() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("greeting", "security", "hdlc"),
    [
        (Greeting.IDENTITY, Security.GMAC, False),
        (Greeting.SILENT, Security.GMAC, False),
        (Greeting.SILENT, Security.SHA256, True),
        (Greeting.IDENTITY, Security.NONE, True),
    ],
)
async def test_a_fleet_that_dials_in_is_read(
    greeting: Greeting,
    security: Security,
    hdlc: bool,
    database: Database,
    keys: KeyService,
    inventory: Inventory,
) -> None:
    with DirectBus(database) as sink:
        silent = greeting is Greeting.SILENT
        limits = InboundLimits(greeting_s=0.5 if silent else 20)
        context = collector(ports_on(database, keys, sink), inbound=limits)
        async with head_end(context) as target:
            dial_in = DialIn(target=target, greeting=greeting, heartbeat_s=0.5, spread_s=0.5)
            reach = Reach(listens=False, dial_in=dial_in)
            async with fleet_of(inventory, reach, security=security, hdlc=hdlc) as fleet:
                await until(lambda: count(database, READ) == METERS)
                await trio.sleep(1.2)  # heartbeats go on
                assert (fleet.counters.open_dials, fleet.counters.failed) == (METERS, 0)
    assert events(database) == []
    channels = "SELECT count(DISTINCT meter_id) FROM channel WHERE source IS NOT NULL"
    assert count(database, channels) == METERS


async def test_a_fleet_dials_in_by_tls_with_certificates_of_its_own(
    database: Database, keys: KeyService, inventory: Inventory, tmp_path: Path
) -> None:
    folder = CertificateFolder(tmp_path / "tls")
    certificate = folder.issue("head-end", (IPv4Address(HOST),))
    files = TlsFiles(certificate, folder.folder / "meter.key", folder.authority)
    with DirectBus(database) as sink:
        context = collector(ports_on(database, keys, sink), tls=files)
        async with head_end(context) as target:
            dial_in = DialIn(target=target, heartbeat_s=0.3, spread_s=0.5, tls=True)
            reach = Reach(listens=False, tls=True, dial_in=dial_in, push_tls=True)
            changes = {"security": Security.GMAC, "tls_folder": folder.folder}
            async with fleet_of(inventory, reach, **changes) as fleet:
                await until(lambda: count(database, READ) == METERS)
                # Between two heartbeats, and between those and sessions, TLS stays in step.
                for _ in range(3):
                    await trio.to_thread.run_sync(_be_due, database)
                    await trio.sleep(1.0)
                assert (fleet.counters.open_dials, fleet.counters.failed) == (METERS, 0)
    assert events(database) == []


async def test_pushes_come_by_datagram(
    database: Database, keys: KeyService, inventory: Inventory
) -> None:
    with DirectBus(database) as sink:
        context = collector(ports_on(database, keys, sink))
        async with trio.open_nursery() as nursery:
            host, port = await nursery.start(run_datagrams, context)
            reach = Reach(listens=False, push_to=Target(host, port))
            async with fleet_of(inventory, reach, security=Security.GMAC) as fleet:
                for index in range(METERS):
                    fleet.push(index, _push_setup())
                heard = "SELECT count(DISTINCT meter_id) FROM session WHERE inbound"
                await until(lambda: count(database, heard) == METERS)
            nursery.cancel_scope.cancel()
    assert events(database) == []
    assert count(database, "SELECT count(*) FROM reading") > 0


def _push_setup() -> ModelPush:
    return ModelPush(
        obis=Obis.parse("0.1.25.9.0.255"),
        name="values",
        objects=(CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2),),
        form=PushForm.NAMED,
        transport=Transport.UDP,
        protection=Protection.AUTHENTICATED_ENCRYPTED,
        client_sap=1,
    )


def _be_due(database: Database) -> None:
    """One more run of a plan of which all meters are members."""
    with database.connection() as connection:
        ids = [row[0] for row in connection.execute("SELECT meter_id FROM meter").fetchall()]
        put_in_service(connection, ids)
