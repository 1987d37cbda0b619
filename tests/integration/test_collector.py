"""The collector with a real fleet, real sockets and a real database."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry

from hes.domain.plans import Selection, Terms
from hes.domain.recurrence import parse
from hes.domain.work import Read, ReadKind, WorkKind
from hes.keys import KeyService
from hes.meters import Inventory
from hes.models import models
from hes.pipeline import DirectBus
from hes.storage import due_items, plans
from hes.storage.clock_changes import ClockStore
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.due_items import NewItem
from hes.storage.inbound import InboundStore
from hes.storage.knowledge import KnowledgeStore
from hes.storage.leases import LeaseStore
from hes.storage.migrations import migrate
from hes.storage.segments import SegmentStore
from hes.storage.sessions import SessionStore
from hes_collectors.dlms import (
    CollectorMetrics,
    CollectorSettings,
    Context,
    Deadlines,
    Ports,
    make_context,
    run,
)
from hes_simulators import Fleet, FleetSettings, Security, rows
from hes_simulators.scenario.local import step_clock
from tests.unit.hes_collectors import port_contracts
from tests.unit.hes_collectors.pushes import ciphered, hdlc, notification, wrapped

if TYPE_CHECKING:
    from hes.services import Postgres

QUARTER = timedelta(minutes=15)
OUR_TITLE = b"HEH\0\0\0\0\1"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """One line per session is too much here; a failure shows by itself."""
    with structlog.testing.capture_logs():
        yield


def utc_now() -> datetime:
    return datetime.now(UTC)


def ports_on(database: Database, keys: KeyService, sink: DirectBus) -> Ports:
    return Ports(
        leases=LeaseStore(database),
        sessions=SessionStore(database),
        keys=keys,
        counters=CounterStore(database),
        knowledge=KnowledgeStore(database),
        inbound=InboundStore(database),
        clocks=ClockStore(database),
        sink=sink,
        segments=SegmentStore(database),
    )


@pytest.fixture
def ports(database: Database, keys: KeyService) -> Iterator[Ports]:
    with DirectBus(database) as sink:
        yield ports_on(database, keys, sink)


def collector(ports: Ports, **changes: Any) -> Context:
    defaults: dict[str, Any] = {
        "holder": "test",
        "system_title": OUR_TITLE,
        "allowed_networks": (ip_network("127.16.0.0/16"),),
        "listen_port": 0,
        "first_read_days": 1,
        "poll_interval_s": 0.05,
        "storage_retry_s": 0.5,
    }
    settings = CollectorSettings(**(defaults | changes))
    return make_context(settings, ports, CollectorMetrics(CollectorRegistry()))


@asynccontextmanager
async def fleet_of(
    meters: int, inventory: Inventory, now: Callable[[], datetime] = utc_now, **changes: Any
) -> AsyncIterator[Fleet]:
    """A fleet at work whose meters the inventory knows."""
    settings = FleetSettings(meters=meters, port=0, profile_days=2, **changes)
    fleet = Fleet(settings, start_number=1, now=now)
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        records = [
            json.dumps({**record, "commissioned_at": "2026-01-01T00:00:00Z"})
            for record in fleet.meter_file()
        ]
        report = await trio.to_thread.run_sync(inventory.import_file, records)
        assert not report.errors, report.errors
        yield fleet
        nursery.cancel_scope.cancel()


def stored(database: Database) -> Counter[tuple[str, datetime, str, int]]:
    """Every stored profile value, counted."""
    query = (
        "SELECT m.serial, r.captured_at, encode(c.obis, 'hex'), r.value FROM reading r"
        " JOIN series s USING (series_id) JOIN channel c USING (channel_id)"
        " JOIN meter m USING (meter_id) WHERE c.source IS NOT NULL"
    )
    with database.connection() as connection:
        return Counter(connection.execute(query).fetchall())


def statements(database: Database) -> dict[tuple[str, datetime, str], list[int]]:
    """What is stored of each instant: the reading, and in order what was told otherwise."""
    query = (
        "SELECT m.serial, r.captured_at, encode(c.obis, 'hex'), r.value FROM"
        " (SELECT 0 AS nth, series_id, captured_at, value FROM reading UNION ALL"
        "  SELECT revision_id, series_id, captured_at, value FROM reading_revision) AS r"
        " JOIN series s USING (series_id) JOIN channel c USING (channel_id)"
        " JOIN meter m USING (meter_id) WHERE c.source IS NOT NULL ORDER BY nth"
    )
    found: dict[tuple[str, datetime, str], list[int]] = {}
    with database.connection() as connection:
        for serial, at, obis, value in connection.execute(query):
            found.setdefault((serial, at, obis), []).append(value)
    return {key: [value for value, _ in groupby(values)] for key, values in found.items()}


def truth(fleet: Fleet, begun: datetime, until: datetime) -> set[tuple[str, datetime, str, int]]:
    """What the meters captured from the first grid point that is read up to `until`."""
    first = begun - timedelta(days=1)
    first -= timedelta(seconds=first.timestamp() % QUARTER.total_seconds())
    return {
        (row.serial, row.captured_at, bytes(map(int, obis.split("."))).hex(), value)
        for meter in fleet.all_meters()
        for row in rows(meter, first, until)
        for obis, value in row.values.items()
    }


def missing(database: Database, fleet: Fleet, begun: datetime, until: datetime) -> int:
    """How many values of the truth are not stored; what is stored is right and there once."""
    kept = stored(database)
    assert set(kept.values()) <= {1}, "a value is stored twice"
    captured = truth(fleet, begun, until)
    later = truth(fleet, begun, utc_now() + QUARTER)
    assert kept.keys() <= later, "a value is stored that no meter captured"
    return len(captured - kept.keys())


def count(database: Database, query: str) -> int:
    with database.connection() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 - a database has no event
            await trio.sleep(0.05)


async def keep_due(database: Database, every_s: float = 0.5) -> None:
    """Let a run of a plan for load profiles begin on all meters, again and again."""
    terms = Terms(
        name="again and again",
        reads=(Read(ReadKind.PROFILE),),
        selection=Selection(all_meters=True),
        recurrence=parse("every 900s"),
        window_s=3600,
        deadline_s=3600,
        enabled=False,  # nobody else is to make its items
    )
    plan_id: list[int] = []

    def begin() -> None:
        now = utc_now()
        later = now + timedelta(hours=1)
        with database.connection() as connection:
            if not plan_id:
                plan_id.append(plans.add(connection, 1, terms))
            meters = connection.execute("SELECT meter_id FROM due_work").fetchall()
            items = [
                NewItem(
                    meter_id, WorkKind.PLAN, now, now, later, later, plan_id=plan_id[0], zone="UTC"
                )
                for (meter_id,) in meters
            ]
            due_items.add(connection, items)

    while True:
        await trio.to_thread.run_sync(begin)
        await trio.sleep(every_s)


# --- ports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", port_contracts.CONTRACTS, ids=lambda c: c.__name__)
def test_contract(
    contract: Callable[[Ports, UUID, Callable[[], datetime]], None],
    ports: Ports,
    add_meter: Callable[..., UUID],
) -> None:
    """The real ports keep the contracts that the collector's unit tests rely on."""
    meter_id = add_meter(
        "HES00000001",
        system_title="4845530000000001",
        address="127.16.0.1",
        port=4159,
        ek="00" * 16,
        ak="01" * 16,
        mechanism="gmac",
        commissioned_at="2026-01-01T00:00:00Z",
    )
    contract(ports, meter_id, utc_now)


# --- outbound ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hdlc",
    [False, pytest.param(True, marks=pytest.mark.conformance("hdlc-tcp", "client", "server"))],
    ids=["wrapper", "hdlc"],
)
async def test_a_day_of_a_fleet_is_stored_once_and_whole(
    hdlc: bool, ports: Ports, database: Database, inventory: Inventory
) -> None:
    begun = utc_now()
    async with fleet_of(10, inventory, hdlc=hdlc) as fleet, trio.open_nursery() as nursery:
        await nursery.start(run, collector(ports))
        await until(lambda: missing(database, fleet, begun, begun) == 0)
        nursery.start_soon(keep_due, database)
        sessions = fleet.counters.sessions
        await until(lambda: fleet.counters.sessions >= sessions + 20)
        assert missing(database, fleet, begun, begun) == 0
        assert fleet.counters.failed == 0
        nursery.cancel_scope.cancel()
    assert count(database, "SELECT count(*) FROM reading_revision") == 0
    assert count(database, "SELECT count(*) FROM quarantine") == 0
    assert count(database, "SELECT count(*) FROM session WHERE outcome <> 'ok'") == 0
    assert count(database, "SELECT count(*) FROM meter_knowledge") == 10
    assert count(database, "SELECT count(*) FROM due_work WHERE token IS NOT NULL") == 0
    assert count(database, "SELECT count(*) FROM association WHERE accepted_counter > 0") == 10


@pytest.mark.parametrize("name", ["hes-household-entry", "hes-household-odd"])
async def test_a_fleet_that_does_otherwise_is_read_by_its_model(
    name: str, ports: Ports, database: Database, inventory: Inventory
) -> None:
    """The quirks of config/models, from the meter file to the rows; counters are asked for."""
    begun = utc_now()
    model = next(model for model in models() if model.name == name)
    surroundings = attrs.evolve(collector(ports), models={name: model})
    async with (
        fleet_of(3, inventory, model=name, quirks=model.quirks) as fleet,
        trio.open_nursery() as nursery,
    ):
        for meter in fleet.all_meters():
            meter.state.counters[1] = 250_000  # another head-end has talked to it before
        await nursery.start(run, surroundings)
        await until(lambda: missing(database, fleet, begun, begun) == 0)
        nursery.start_soon(keep_due, database)
        sessions = fleet.counters.sessions
        await until(lambda: fleet.counters.sessions >= sessions + 6)
        nursery.cancel_scope.cancel()
    assert fleet.counters.failed == 0
    assert count(database, "SELECT count(*) FROM session WHERE outcome <> 'ok'") == 0
    assert count(database, "SELECT count(*) FROM security_event") == 0
    assert count(database, "SELECT count(*) FROM reading_revision") == 0
    assert count(database, "SELECT count(*) FROM own_counter WHERE reserved_to > 250000") == 3


@pytest.mark.parametrize("name", ["hes-household", "hes-household-entry"])
async def test_what_a_clock_captured_twice_is_stored_twice(
    name: str, ports: Ports, database: Database, inventory: Inventory
) -> None:
    """In the order of capture, once each, however often the meter is read; others are unharmed."""
    behind = [timedelta(hours=3)]  # everybody's time
    model = next(model for model in models() if model.name == name)

    def now() -> datetime:
        return utc_now() - behind[0]

    surroundings = attrs.evolve(collector(ports), models={name: model}, now=now)
    begun = now()
    async with (
        fleet_of(3, inventory, now, model=name, quirks=model.quirks) as fleet,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(run, surroundings)
        await until(lambda: missing(database, fleet, begun, begun) == 0)
        nursery.start_soon(keep_due, database)
        set_back = fleet.meter(1)
        step_clock(set_back, now(), -100 * 60_000_000)
        for hours in (2.5, 2, 1, 0):
            behind[0] = timedelta(hours=hours)
            sessions = fleet.counters.sessions
            await until(lambda: fleet.counters.sessions >= sessions + 9)  # noqa: B023 - at once
            kept = count(database, "SELECT count(*) FROM reading_revision")
        nursery.cancel_scope.cancel()
    assert fleet.counters.failed == 0
    first = begun - timedelta(days=1)
    first -= timedelta(seconds=first.timestamp() % QUARTER.total_seconds())
    told: dict[tuple[str, datetime, str], list[int]] = {}
    for meter in fleet.all_meters():
        for row in rows(meter, first, now() - timedelta(minutes=1)):
            for obis, value in row.values.items():
                key = (row.serial, row.captured_at, bytes(map(int, obis.split("."))).hex())
                told.setdefault(key, []).append(value)
    twice = {serial for (serial, _, _), values in told.items() if len(values) > 1}
    assert twice == {set_back.identity.serial}
    said = statements(database)
    assert said == {key: [value for value, _ in groupby(values)] for key, values in told.items()}
    assert kept > 4


@pytest.mark.parametrize("security", ["md5", "sha1", "sha256"])
async def test_a_fleet_is_read_by_every_mechanism(
    security: str, ports: Ports, database: Database, inventory: Inventory
) -> None:
    begun = utc_now()
    async with (
        fleet_of(2, inventory, security=Security(security)) as fleet,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(run, collector(ports))
        await until(lambda: missing(database, fleet, begun, begun) == 0)
        nursery.cancel_scope.cancel()
    assert count(database, "SELECT count(*) FROM session WHERE outcome <> 'ok'") == 0


async def test_two_collectors_share_a_fleet(
    ports: Ports, database: Database, inventory: Inventory
) -> None:
    begun = utc_now()
    async with fleet_of(12, inventory) as fleet, trio.open_nursery() as nursery:
        for holder in ("one", "two"):
            await nursery.start(run, collector(ports, holder=holder, max_sessions=4))
        await until(lambda: missing(database, fleet, begun, begun) == 0)
        nursery.start_soon(keep_due, database)
        await until(lambda: fleet.counters.sessions >= 60)
        nursery.cancel_scope.cancel()
    # Had they talked to one meter at once, a meter would have refused the lower counters.
    assert fleet.counters.failed == 0
    assert count(database, "SELECT count(*) FROM session WHERE outcome <> 'ok'") == 0
    assert count(database, "SELECT count(*) FROM reading_revision") == 0
    assert missing(database, fleet, begun, begun) == 0


async def test_a_foreign_key_is_an_event_and_no_reading(
    ports: Ports, database: Database, inventory: Inventory
) -> None:
    async with fleet_of(2, inventory) as fleet, trio.open_nursery() as nursery:
        record = {**next(iter(fleet.meter_file())), "ek": "00" * 16, "ak": "11" * 16}
        report = await trio.to_thread.run_sync(
            lambda: inventory.import_file([json.dumps(record)], on_existing="replace")
        )
        assert not report.errors
        await nursery.start(run, collector(ports))
        await until(lambda: count(database, "SELECT count(*) FROM security_event") > 0)
        await until(lambda: count(database, "SELECT count(*) FROM meter_knowledge") == 1)
        nursery.cancel_scope.cancel()
    assert record["serial"] == "HES00000001"
    assert {key[0] for key in stored(database)} == {"HES00000002"}
    assert count(database, "SELECT count(*) FROM association WHERE accepted_counter > 0") == 1


async def test_an_address_outside_is_not_connected(
    ports: Ports, database: Database, add_meter: Callable[..., UUID]
) -> None:
    [canary] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = canary.socket.getsockname()[1]
    add_meter("X1", address="127.0.0.1", port=port, mechanism="none")
    async with canary:
        async with trio.open_nursery() as nursery:
            await nursery.start(run, collector(ports))
            await until(lambda: count(database, "SELECT count(*) FROM security_event") > 0)
            nursery.cancel_scope.cancel()
        # The first connection that the canary sees is our own.
        async with await trio.open_tcp_stream("127.0.0.1", port) as ours:
            seen = await canary.accept()
            async with seen:
                assert seen.socket.getpeername() == ours.socket.getsockname()
    assert count(database, "SELECT count(*) FROM session WHERE cause = 'address-not-allowed'") > 0


async def test_a_killed_database_pauses_collection_and_loses_nothing(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    """kill -9 of PostgreSQL while a fleet is read: collectors wait, and all is there afterwards."""
    with Database(postgres_server.url) as database:
        migrate(database)
        inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
        ports_keys = KeyService.open(database, tmp_path / "kek")
        with DirectBus(database) as sink:
            ports = ports_on(database, ports_keys, sink)
            begun = utc_now()
            async with fleet_of(10, inventory) as fleet, trio.open_nursery() as nursery:
                surroundings = collector(ports, rows_per_request=16, max_sessions=4)
                await nursery.start(run, surroundings)
                await until(lambda: count(database, "SELECT count(*) FROM reading") > 500)
                await trio.to_thread.run_sync(postgres_server.kill)
                await until(lambda: not surroundings.gate.is_open)
                await trio.sleep(0.3)  # what was under way has ended
                asked = fleet.counters.sessions
                await trio.sleep(1.5)
                assert fleet.counters.sessions == asked, "meters are asked in vain"
                await trio.to_thread.run_sync(postgres_server.start)
                await until(lambda: surroundings.gate.is_open)
                await until(lambda: missing(database, fleet, begun, begun) == 0)
                nursery.cancel_scope.cancel()
            assert fleet.counters.failed == 0
            assert count(database, "SELECT count(*) FROM reading_revision") == 0


async def test_cancellation_is_quick_and_gives_all_leases_back(
    ports: Ports, database: Database, inventory: Inventory
) -> None:
    async with fleet_of(10, inventory):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                run, collector(ports, deadlines=Deadlines(release_s=1.0), rows_per_request=2)
            )
            await until(lambda: count(database, "SELECT count(*) FROM reading") > 0)
            nursery.cancel_scope.cancel()
            cancelled_at = trio.current_time()
        assert trio.current_time() - cancelled_at < 5
    assert count(database, "SELECT count(*) FROM due_work WHERE token IS NOT NULL") == 0


# --- the process ------------------------------------------------------------------------------


@asynccontextmanager
async def process(database_url: str, data: Path) -> AsyncIterator[trio.Process]:
    """`hes collect dlms` as an operator starts it; killed with -9 when the block ends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HES_")}
    environ |= {
        "HES_DATABASE_URL": database_url,
        "HES_DATA": str(data),
        "HES_COLLECTOR_LISTEN_PORT": "0",
        "HES_COLLECTOR_ALLOWED_NETWORKS": "127.16.0.0/16",
        "HES_COLLECTOR_ALLOWED_PORTS": "1024-65535",
        "HES_COLLECTOR_CONNECT_S": "1",
        "HES_COLLECTOR_ASSOCIATE_S": "2",
        "HES_COLLECTOR_REQUEST_S": "2",
        "HES_COLLECTOR_SESSION_S": "5",
        "HES_COLLECTOR_LEASE_S": "9",
    }
    hes = Path(sys.executable).with_name("hes")
    with (data / "collector.log").open("ab") as log:
        started = await trio.lowlevel.open_process(
            [hes, "collect", "dlms"], env=environ, cwd=data, stdout=log, stderr=log
        )
        try:
            yield started
        finally:
            started.kill()
            with trio.CancelScope(shield=True):
                await started.wait()


async def test_a_killed_collector_loses_and_doubles_nothing(
    database: Database, migrated_url: str, tmp_path: Path
) -> None:
    """kill -9 half-way, several times: the next one goes on where commits ended."""
    inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
    begun = utc_now() - timedelta(days=3)
    async with fleet_of(10, inventory) as fleet:
        for after in (200, 2000, 4000):
            async with process(migrated_url, tmp_path) as running:
                await until(
                    lambda rows=after: count(database, "SELECT count(*) FROM reading") > rows
                )
                assert running.returncode is None
        async with process(migrated_url, tmp_path) as running:
            held = utc_now() - timedelta(days=2) + timedelta(hours=1)  # two days are kept
            expected = {key for key in truth(fleet, begun, utc_now()) if key[1] > held}
            await until(lambda: expected <= stored(database).keys())
            # All may have been there before it began. It has every meter once it has told of each;
            # the last leases of those killed must run out first.
            now = utc_now()
            of_each = f"SELECT count(DISTINCT meter_id) FROM session WHERE started_at > '{now}'"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_due, database)
                await until(lambda: count(database, of_each) == 10)
                nursery.cancel_scope.cancel()
            running.send_signal(signal.SIGTERM)
            with trio.fail_after(10):
                assert await running.wait() == 0
        assert stored(database).keys() <= truth(fleet, begun, utc_now() + QUARTER)
    assert set(stored(database).values()) == {1}
    assert count(database, "SELECT count(*) FROM reading_revision") == 0
    assert count(database, "SELECT count(*) FROM due_work WHERE token IS NOT NULL") == 0
    # Counters that a killed collector had reserved were not used again: no meter refused one.
    assert fleet.counters.failed == 0
    log = (tmp_path / "collector.log").read_text()
    assert "Traceback" not in log
    identity = fleet.meter(0).identity
    assert identity.encryption_key.hex() not in log


# --- inbound ----------------------------------------------------------------------------------

EK, AK = bytes(range(16)), bytes(range(16, 32))


async def send(port: int, *frames: bytes) -> None:
    """Send, and wait until the collector has dealt with all of it and closed."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for frame in frames:
            await stream.send_all(frame)
        await stream.send_eof()
        with trio.fail_after(30):
            assert await stream.receive_some() == b""


async def test_pushes_become_readings_quarantine_or_events(
    ports: Ports, database: Database, add_meter: Callable[..., UUID]
) -> None:
    add_meter(
        "HES00000001",
        system_title="4845530000000001",
        ek=EK.hex(),
        ak=AK.hex(),
        mechanism="gmac",
        commissioned_at="2026-01-01T00:00:00Z",
    )
    async with trio.open_nursery() as nursery:
        [(_, port)] = await nursery.start(run, collector(ports))
        await send(port, wrapped(ciphered(1)), wrapped(ciphered(2)))
        await send(port, hdlc(ciphered(3), segment_octets=40))
        await send(port, wrapped(ciphered(3)))  # replayed
        await send(port, wrapped(ciphered(9, ak=bytes(16))))  # forged
        await send(port, wrapped(notification()))  # plain, under a policy that wants a tag
        await send(port, wrapped(ciphered(1, title=b"UNKNOWN!")))
        await send(port, b"GET / HTTP/1.1\r\n\r\n")
        nursery.cancel_scope.cancel()
    assert count(database, "SELECT count(*) FROM reading") == 3 * 2
    assert count(database, "SELECT max(accepted_counter) FROM association") == 3
    with database.connection() as connection:
        codes = {row[0] for row in connection.execute("SELECT code FROM security_event")}
        [entry] = connection.execute("SELECT raw, reason FROM quarantine").fetchall()
    assert codes == {"counter-replayed", "tag-mismatch", "policy-violated"}
    assert (bytes(entry[0]), entry[1]) == (wrapped(ciphered(1, title=b"UNKNOWN!")), "unknown-meter")
    # One session for each connection on which a meter was heard; who only says that he is a
    # meter leaves none.
    assert count(database, "SELECT count(*) FROM session WHERE inbound") == 2


async def test_pushes_that_were_overtaken_or_cut_off_are_stored(
    ports: Ports, database: Database, add_meter: Callable[..., UUID]
) -> None:
    meter_id = add_meter(
        "HES00000001",
        system_title="4845530000000001",
        ek=EK.hex(),
        ak=AK.hex(),
        mechanism="gmac",
        commissioned_at="2026-01-01T00:00:00Z",
    )
    ports.counters.accept(meter_id, 1, 150)  # by a session while the push was under way
    ports.counters.accept(meter_id, 1, 140)  # by an attempt that died before its COMMIT
    async with trio.open_nursery() as nursery:
        [(_, port)] = await nursery.start(run, collector(ports))
        await send(port, wrapped(ciphered(149)))
        await send(port, wrapped(ciphered(140)))
        assert count(database, "SELECT count(*) FROM security_event") == 0
        assert count(database, "SELECT count(*) FROM batch") == 2
        await send(port, wrapped(ciphered(149)), wrapped(ciphered(140)))
        nursery.cancel_scope.cancel()
    assert count(database, "SELECT count(*) FROM batch") == 2
    assert count(database, "SELECT sum(occurrences) FROM security_event") == 2
