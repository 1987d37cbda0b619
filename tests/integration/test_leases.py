"""Due work and leases in a database: the contract of both implementations, and SQL's own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import UUID

import attrs
import pytest

from hes.domain.meters import Mechanism, Transport
from hes.domain.work import ItemState, WorkKind
from hes.meters import Inventory
from hes.storage import due_items, leases
from hes.storage.database import Database
from hes.storage.due_floor import SLACK
from hes.storage.leases import LeaseStore
from hes_protocol.cosem import Obis
from tests.bench.lease_cycles import cycles, snapshot
from tests.integration.clocks import SkewedClock, skewed
from tests.unit.hes_collectors import lease_contracts
from tests.unit.hes_collectors.lease_contracts import (
    LEASE_S,
    Kept,
    LeaseBench,
    LeaseContract,
    done,
)

AddMeter = Callable[..., UUID]
Execute = Callable[..., list[tuple[object, ...]]]

PROFILE = Obis.parse("1.0.99.1.0.255")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """In the place of the plain one: with a clock that can be set."""
    with skewed(migrated_url) as opened:
        yield opened


@pytest.fixture
def clock(database: Database) -> SkewedClock:
    return SkewedClock(database)


@pytest.fixture
def execute(database: Database) -> Execute:
    def run(statement: str, *values: object) -> list[tuple[object, ...]]:
        with database.connection() as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    return run


@attrs.define
class Monotonic:
    """A monotonic clock that can be moved with the database's."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def bench(
    database: Database,
    add_meter: AddMeter,
    clock: SkewedClock,
    execute: Execute,
) -> LeaseBench:
    monotonic = Monotonic()

    def pass_s(seconds: float) -> None:
        clock.set_forward(seconds)
        monotonic.ahead_s += seconds

    def within(act: Callable[..., int]) -> Callable[..., int]:
        def run(*args: object, **kwargs: object) -> int:
            with database.connection() as connection:
                return act(connection, *args, **kwargs)

        return run

    def add(serial: str, *, segment: str | None = None, **fields: object) -> UUID:
        fields = {"address": "127.16.0.1", "port": 4159, **fields}
        meter_id = add_meter(serial, **{k: v for k, v in fields.items() if v is not None})
        if segment is not None:
            execute("INSERT INTO segment (name) VALUES (%s) ON CONFLICT DO NOTHING", segment)
            execute("UPDATE meter SET segment = %s WHERE meter_id = %s", segment, meter_id)
            with database.connection() as connection:
                due_items.refresh(connection, [meter_id])
        return meter_id

    return LeaseBench(
        leases=LeaseStore(database, monotonic=monotonic),
        now=lambda: execute("SELECT now()")[0][0],  # type: ignore[arg-type, return-value]
        pass_s=pass_s,
        add_meter=add,
        add=within(due_items.add),
        cancel=within(due_items.cancel),
        expire=lambda: within(due_items.expire)(since=None, limit=1000),
        limit_segment=lambda name, most: (
            execute("INSERT INTO segment (name, max_sessions) VALUES (%s, %s)", name, most) and None
        ),
        results=lambda: [
            Kept(row[0], WorkKind(row[1]), ItemState(row[2]), *row[3:])  # type: ignore[arg-type]
            for row in execute(
                "SELECT meter_id, kind, outcome, cause, session_id FROM due_result"
                " ORDER BY finished_at, item_id"
            )
        ],
        reports=lambda: execute("SELECT session_id, cause FROM session"),  # type: ignore[arg-type, return-value]
        findings=lambda: Counter(dict(execute("SELECT code, occurrences FROM security_event"))),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("contract", lease_contracts.CONTRACTS, ids=lambda c: c.__name__)
def test_contract(contract: LeaseContract, bench: LeaseBench) -> None:
    contract(bench)


def test_what_a_lease_tells_of_its_meter(bench: LeaseBench) -> None:
    bench.add_meter(
        "S1",
        system_title="4845530000000001",
        client_sap=2,
        server_sap=3,
        mechanism="lls",
        secret="30",
        model="m",
        peer="10.0.0.1",
        id_object="0.0.96.1.0.255",
    )
    [lease] = bench.take()
    meter = lease.meter
    assert (meter.serial, meter.address, meter.port) == ("S1", "127.16.0.1", 4159)
    assert (meter.timezone, meter.model, meter.peer) == ("Europe/Vienna", "m", "10.0.0.1")
    assert meter.system_title == bytes.fromhex("4845530000000001")
    assert meter.id_object == Obis.parse("0.0.96.1.0.255")
    association = meter.association
    assert (association.client_sap, association.server_sap) == (2, 3)
    assert association.mechanism is Mechanism.LLS


def test_the_marks_of_a_meter_come_with_its_lease(bench: LeaseBench, execute: Execute) -> None:
    meter_id, _ = bench.add_meter("S1"), bench.add_meter("S2")
    daily = Obis.parse("1.0.99.2.0.255")
    for profile in (daily, PROFILE):
        execute("INSERT INTO mark VALUES (%s, %s, %s)", meter_id, profile.octets, LONG_AGO)
    marks = {lease.meter.serial: lease.marks for lease in bench.take()}
    assert marks == {"S1": ((PROFILE, LONG_AGO), (daily, LONG_AGO)), "S2": ()}


def test_a_meter_that_loses_its_address_is_called_no_more(bench: LeaseBench) -> None:
    bench.add_meter("S1")
    [lease] = bench.take()
    bench.add_meter("S1", address=None, port=None)
    bench.leases.release([lease])
    assert bench.take() == []
    assert len(bench.take_dialled(lease.meter.meter_id)) == 1


def test_only_meters_in_service_are_called(bench: LeaseBench, execute: Execute) -> None:
    meter_id = bench.add_meter("S1")
    execute("UPDATE meter SET state = 'suspended'")
    assert bench.take() == bench.take_dialled(meter_id) == []


def test_a_meter_is_called_as_management_then_as_reader_then_as_the_public_client(
    bench: LeaseBench, execute: Execute
) -> None:
    managed = bench.add_meter("S1", client_sap=48)
    read = bench.add_meter("S2", client_sap=16)
    public = bench.add_meter("S3", client_sap=16)
    for meter_id, sap, role in [
        (managed, 16, "public"),
        (managed, 32, "management"),
        (managed, 2, "reader"),
        (read, 2, "reader"),
        (public, 102, "pre_established"),
    ]:
        execute(
            "INSERT INTO association (meter_id, client_sap, server_sap, mechanism, suite, policy,"
            " role) VALUES (%s, %s, 1, 0, 0, 0, %s)",
            meter_id,
            sap,
            role,
        )
    execute("UPDATE association SET role = 'public' WHERE client_sap = 16")
    saps = {lease.meter.meter_id: lease.meter.association.client_sap for lease in bench.take()}
    assert saps == {managed: 32, read: 2, public: 16}


def test_a_meter_is_talked_to_by_what_carries_its_association(
    bench: LeaseBench, execute: Execute
) -> None:
    meter_id = bench.add_meter("S1", counter_object="0.0.43.1.7.255")
    execute("UPDATE association SET transport = 'hdlc'")
    [lease] = bench.take()
    assert (lease.meter.meter_id, lease.meter.transport) == (meter_id, Transport.HDLC)
    assert lease.meter.association.counter_object == Obis.parse("0.0.43.1.7.255")


def test_a_lease_tells_the_networks_of_its_segment(bench: LeaseBench, execute: Execute) -> None:
    execute("INSERT INTO segment (name, networks) VALUES ('cell', '{10.1.0.0/16, fd00:1::/32}')")
    bench.add_meter("S1", segment="cell")
    bench.add_meter("S2")
    networks = {lease.meter.serial: lease.networks for lease in bench.take()}
    assert networks == {"S1": (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")), "S2": ()}


def test_takers_at_once_get_different_meters_and_no_segment_too_many(
    bench: LeaseBench, inventory: Inventory, execute: Execute
) -> None:
    lines = [
        f'{{"serial":"S{n:03}","timezone":"UTC","address":"127.16.0.1","port":4159}}'
        for n in range(100)
    ]
    inventory.import_file(lines)
    bench.limit_segment("cell", 5)
    execute("UPDATE meter SET segment = 'cell' WHERE serial < 'S050'")
    execute("UPDATE due_work SET segment = 'cell' FROM meter WHERE serial < 'S050'"
            " AND meter.meter_id = due_work.meter_id")  # fmt: skip
    with ThreadPoolExecutor(4) as threads:
        taken = [
            lease for part in threads.map(lambda _: bench.take(7), range(20)) for lease in part
        ]
    assert Counter(lease.segment for lease in taken) == {None: 50, "cell": 5}
    assert len({lease.meter.meter_id for lease in taken}) == len(taken)
    assert len({lease.token for lease in taken}) == len(taken)


def test_a_taker_passes_over_what_another_one_is_just_taking(
    bench: LeaseBench, database: Database
) -> None:
    meter_id, other = bench.add_meter("S1"), bench.add_meter("S2")
    with database.connection() as connection:
        due_items.lock(connection, [meter_id])
        [lease] = bench.take()
        assert lease.meter.meter_id == other


def test_no_lease_is_shorter_than_nothing(bench: LeaseBench) -> None:
    with pytest.raises(ValueError, match="lease"):
        bench.leases.take(holder="test", limit=1, lease_s=0)


def test_many_that_ran_out_are_all_taken_again(bench: LeaseBench) -> None:
    for i in range(30):
        bench.add_meter(f"S{i:02}")
    lost = bench.take()
    bench.pass_s(LEASE_S + 1)
    leases = bench.take(10) + bench.take(100)
    assert len({lease.meter.meter_id for lease in leases}) == len(lost) == 30
    assert {lease.failures for lease in leases} == {1}


def test_the_clock_set_forward_ends_no_lease_under_its_holder(
    bench: LeaseBench, clock: SkewedClock
) -> None:
    """Fault row 37: an hour forward. Who held a lease loses it; nobody else talks to the meter."""
    bench.add_meter("S1")
    [lease] = bench.take()
    clock.set_forward(3600)
    assert bench.take() == bench.take_dialled(lease.meter.meter_id) == []
    assert bench.leases.finish([done(lease, bench.now())]) == {lease.token}
    assert bench.take() == []
    bench.pass_s(LEASE_S + 1)
    [again] = bench.take()
    assert again.items == lease.items


def test_the_clock_set_back_hides_nothing_that_becomes_due(
    bench: LeaseBench, clock: SkewedClock
) -> None:
    """Fault row 37: an hour back. What is added, released or finished afterwards is found."""
    bench.due_meter("S1")
    [lease] = bench.take()
    bench.take()  # now all floors are set
    clock.set_forward(-3600)
    bench.leases.release([lease])
    assert bench.take() == []  # its run has not begun any more
    late = bench.due_meter("S2")
    [other] = bench.take()
    assert other.meter.meter_id == late
    bench.pass_s(3600)
    [again] = bench.take()
    assert again.items == lease.items


def test_dead_rows_behind_a_snapshot_are_not_walked_over(
    migrated_url: str, inventory: Inventory
) -> None:
    """
    A backup holds a snapshot for hours: `take` must not become slower from lease to lease.

    Told by the pages that the query touches with a floor, and would touch without one.
    """
    inventory.import_file(
        [
            f'{{"serial":"S{n:03}","timezone":"UTC","address":"127.16.0.1","port":4159}}'
            for n in range(200)
        ]
    )
    with Database(migrated_url) as plain, snapshot(migrated_url):
        cycles(plain, 2_000)
        with plain.connection() as connection:
            # What was freed more than the slack ago is below the floor.
            connection.execute("SELECT pg_sleep(%s)", (SLACK.total_seconds(),))
        cycles(plain, 100)
        walked = pages_touched(plain, "-infinity")
        asked = pages_touched(plain, "infinity")  # least(floor, now - slack), as `take` asks
    assert asked < walked / 3, (asked, walked)


def pages_touched(database: Database, floor: str) -> int:
    """How many pages the query for due rows touches to find them."""
    values = {
        "priority": 20, "floor": floor, "slack": SLACK, "full": [], "limit": 100,
    }  # fmt: skip
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON, TIMING OFF) " + leases.DUE.encode()
    with database.connection() as connection:
        row = connection.execute(explain, values).fetchone()
        connection.rollback()
    assert row is not None
    nodes, found = [row[0][0]["Plan"]], 0
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if node.get("Index Name") == "due_work_free":
            found += node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    assert found
    return int(found)
