"""
Due work and leases.

Each test of the contract takes a `LeasePort` and the few things around it that `Bench` names, so
that another implementation (in memory, issue 6) can be put through the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import pytest

from hes.domain.errors import LeaseLostError
from hes.domain.meters import Mechanism
from hes.domain.ports import Lease, LeasePort
from hes.storage.database import Database
from hes.storage.leases import LeaseStore
from hes_protocol.cosem import Obis

AddMeter = Callable[..., UUID]

PROFILE = Obis.parse("1.0.99.1.0.255")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class Bench:
    """A `LeasePort` with ways to make meters due and leases run out."""

    leases: LeasePort
    add_meter: AddMeter
    make_due: Callable[[UUID, datetime], None]
    let_expire: Callable[[Lease], None]
    set_mark: Callable[[UUID, Obis, datetime], None]

    def take(self, limit: int = 100, holder: str = "test") -> list[Lease]:
        return list(self.leases.take(holder=holder, limit=limit, lease_s=60))


@pytest.fixture
def bench(database: Database, add_meter: AddMeter) -> Bench:
    def execute(statement: str) -> Callable[..., None]:
        def run(*values: object) -> None:
            with database.connection() as connection:
                connection.execute(statement, values)

        return run

    due = execute("UPDATE due_work SET due_at = %s WHERE meter_id = %s")
    expire = execute("UPDATE due_work SET leased_until = now() WHERE token = %s")
    mark = execute("INSERT INTO mark (meter_id, source, captured_at) VALUES (%s, %s, %s)")

    def add(serial: str, **fields: object) -> UUID:
        return add_meter(serial, **{"address": "127.16.0.1", "port": 4159, **fields})

    return Bench(
        LeaseStore(database),
        add,
        lambda meter_id, due_at: due(due_at, meter_id),
        lambda lease: expire(lease.token),
        lambda meter_id, profile, captured_at: mark(meter_id, profile.octets, captured_at),
    )


def test_a_new_meter_is_due_at_once(bench: Bench) -> None:
    meter_id = bench.add_meter(
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
    (lease,) = bench.take()
    meter = lease.meter
    assert (meter.meter_id, meter.serial, meter.address) == (meter_id, "S1", "127.16.0.1")
    assert (meter.port, meter.timezone, meter.model) == (4159, "Europe/Vienna", "m")
    assert (meter.system_title, meter.peer) == (bytes.fromhex("4845530000000001"), "10.0.0.1")
    assert meter.id_object == Obis.parse("0.0.96.1.0.255")
    association = meter.association
    assert (association.client_sap, association.server_sap) == (2, 3)
    assert association.mechanism is Mechanism.LLS
    assert (lease.attempts, lease.lease_s, lease.marks) == (0, 60, ())
    assert abs(now() - lease.due_at) < timedelta(minutes=1)


def test_none_is_taken_twice_until_given_back(bench: Bench) -> None:
    bench.add_meter("S1")
    (lease,) = bench.take()
    assert bench.take() == []
    bench.leases.give_back(lease, due_at=now(), failed=False)
    (again,) = bench.take()
    assert again.token > lease.token


def test_the_most_overdue_come_first(bench: Bench) -> None:
    for i in range(6):
        meter_id = bench.add_meter(f"S{i}")
        bench.make_due(meter_id, LONG_AGO + timedelta(hours=(i * 5) % 6))
    taken = bench.take(4) + bench.take(4)
    assert [lease.due_at.hour for lease in taken] == [0, 1, 2, 3, 4, 5]


def test_what_is_not_due_stays(bench: Bench) -> None:
    meter_id = bench.add_meter("S1")
    bench.make_due(meter_id, now() + timedelta(hours=1))
    assert bench.take() == []
    bench.make_due(meter_id, LONG_AGO)
    (lease,) = bench.take()
    assert lease.due_at == LONG_AGO
    bench.leases.give_back(lease, due_at=now() + timedelta(hours=1), failed=False)
    assert bench.take() == []


def test_attempts_count_failures_until_success(bench: Bench) -> None:
    bench.add_meter("S1")
    counted = []
    for failed in (True, True, False, True, True):
        (lease,) = bench.take()
        counted.append(lease.attempts)
        bench.leases.give_back(lease, due_at=now(), failed=failed)
    assert counted == [0, 1, 2, 0, 1]


def test_a_lease_that_ran_out_is_taken_again_and_lost_to_its_holder(bench: Bench) -> None:
    bench.add_meter("S1")
    (lost,) = bench.take(holder="first")
    bench.let_expire(lost)
    (lease,) = bench.take(holder="second")
    assert lease.token > lost.token
    assert (lease.attempts, lease.due_at) == (1, lost.due_at)
    with pytest.raises(LeaseLostError):
        bench.leases.give_back(lost, due_at=now(), failed=False)
    assert bench.take() == []
    bench.leases.give_back(lease, due_at=now(), failed=False)


def test_a_lease_that_ran_out_is_lost_even_if_nobody_took_it(bench: Bench) -> None:
    bench.add_meter("S1")
    (lost,) = bench.take()
    bench.let_expire(lost)
    with pytest.raises(LeaseLostError):
        bench.leases.give_back(lost, due_at=now() + timedelta(hours=1), failed=False)
    (lease,) = bench.take()
    assert lease.attempts == 1


def test_a_lease_is_given_back_once(bench: Bench) -> None:
    bench.add_meter("S1")
    (lease,) = bench.take()
    bench.leases.give_back(lease, due_at=now() + timedelta(hours=1), failed=False)
    with pytest.raises(LeaseLostError):
        bench.leases.give_back(lease, due_at=now(), failed=False)
    assert bench.take() == []


def test_nobody_calls_meters_without_an_address(bench: Bench) -> None:
    bench.add_meter("S1", address=None, port=None)
    assert bench.take() == []
    bench.add_meter("S1")
    assert len(bench.take()) == 1


def test_a_meter_that_loses_its_address_is_called_no_more(bench: Bench) -> None:
    bench.add_meter("S1")
    (lease,) = bench.take()
    bench.add_meter("S1", address=None, port=None)
    bench.leases.give_back(lease, due_at=now(), failed=False)
    assert bench.take() == []


def test_the_marks_of_a_meter_come_with_its_lease(bench: Bench) -> None:
    meter_id, _ = bench.add_meter("S1"), bench.add_meter("S2")
    bench.set_mark(meter_id, PROFILE, LONG_AGO)
    daily = Obis.parse("1.0.99.2.0.255")
    bench.set_mark(meter_id, daily, LONG_AGO)
    marks = {lease.meter.serial: lease.marks for lease in bench.take()}
    assert marks == {"S1": ((PROFILE, LONG_AGO), (daily, LONG_AGO)), "S2": ()}


def test_takers_at_once_get_different_meters(bench: Bench) -> None:
    for i in range(100):
        bench.add_meter(f"S{i:03}")
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda i: bench.take(7, holder=f"holder {i}"), range(20)))
    meter_ids = [lease.meter.meter_id for part in taken for lease in part]
    assert len(meter_ids) == len(set(meter_ids)) == 100
    tokens = [lease.token for part in taken for lease in part]
    assert len(set(tokens)) == 100


def test_no_lease_is_shorter_than_nothing(bench: Bench) -> None:
    with pytest.raises(ValueError, match="lease"):
        bench.leases.take(holder="test", limit=1, lease_s=0)


# What follows is about the tables.


def test_only_meters_in_service_are_called(bench: Bench, database: Database) -> None:
    bench.add_meter("S1")
    with database.connection() as connection:
        connection.execute("UPDATE meter SET state = 'suspended'")
    assert bench.take() == []


def test_a_meter_is_called_as_management_then_as_reader_then_as_the_public_client(
    bench: Bench, database: Database
) -> None:
    add = (
        "INSERT INTO association (meter_id, client_sap, server_sap, mechanism, suite, policy, role)"
        " VALUES (%s, %s, 1, 0, 0, 0, %s)"
    )
    managed = bench.add_meter("S1", client_sap=48)
    read = bench.add_meter("S2", client_sap=16)
    public = bench.add_meter("S3", client_sap=16)
    with database.connection() as connection:
        for meter_id, sap, role in [
            (managed, 16, "public"),
            (managed, 32, "management"),
            (managed, 2, "reader"),
            (read, 2, "reader"),
            (public, 102, "pre_established"),
        ]:
            connection.execute(add, (meter_id, sap, role))
        connection.execute("UPDATE association SET role = 'public' WHERE client_sap = 16")
    saps = {lease.meter.meter_id: lease.meter.association.client_sap for lease in bench.take()}
    assert saps == {managed: 32, read: 2, public: 16}


def test_a_taker_passes_over_what_another_one_is_just_taking(
    bench: Bench, database: Database
) -> None:
    meter_id, other = bench.add_meter("S1"), bench.add_meter("S2")
    with database.connection() as connection:
        connection.execute("SELECT FROM due_work WHERE meter_id = %s FOR UPDATE", (meter_id,))
        (lease,) = bench.take()
        assert lease.meter.meter_id == other


def test_the_clock_of_the_database_decides(bench: Bench, database: Database) -> None:
    bench.add_meter("S1")
    (lease,) = bench.take()
    with database.connection() as connection:
        row = connection.execute(
            "SELECT holder, token, extract(epoch FROM leased_until - now()) FROM due_work"
        ).fetchone()
    assert row is not None
    assert row[:2] == ("test", lease.token)
    assert 50 < row[2] <= 60


def test_many_that_ran_out_are_all_taken_again(bench: Bench, database: Database) -> None:
    for i in range(30):
        bench.add_meter(f"S{i:02}")
    lost = bench.take()
    with database.connection() as connection:
        connection.execute("UPDATE due_work SET leased_until = now()")
    leases = bench.take(10) + bench.take(100)
    assert len({lease.meter.meter_id for lease in leases}) == len(lost) == 30
    assert {lease.attempts for lease in leases} == {1}
