"""Partitions are made when they are needed and chunks go when they are old; nobody waits for it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path as FilePath
from uuid import uuid4

import psycopg
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage.database import Database
from hes.storage.features import (
    Chunk,
    Path,
    chunks,
    drop_older,
    list_chunks,
    partitions,
    reconcile,
    retention,
)
from hes.storage.leases import LeaseStore
from hes.storage.meter_changes import MeterChangeStore
from hes.storage.migrations import migrate
from hes.storage.sessions import SessionStore
from tests.batches import DAY, add_meters, plain
from tests.chunked import CUT, OLD, WEEK, put, rows
from tests.unit.hes_collectors.lease_contracts import done


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of the test's own at the current schema, not reconciled yet."""
    with Database(database_url) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def partitioned(database: Database) -> Iterator[Database]:
    """A database that was reconciled on a server without TimescaleDB, and still is on one."""
    with plain():
        reconcile(database)
        yield database


def test_a_partition_is_made_on_demand_and_once(partitioned: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        put(partitioned, "reading", OLD)
    with ThreadPoolExecutor(4) as threads:
        for job in [
            threads.submit(partitions.ensure, partitioned, [chunks.number_of(OLD)])
            for _ in range(8)
        ]:
            job.result()
    there = {table: list_chunks(partitioned, table)[0] for table in chunks.TABLES}
    assert there["reading_text"] == Chunk("reading_text_p20261008", OLD, OLD + WEEK)
    assert there["event"].since > OLD
    put(partitioned, "reading", OLD, OLD + WEEK - timedelta(microseconds=1))
    assert len(rows(partitioned, "reading")) == 2


def test_making_a_partition_waits_for_nobody_and_nobody_for_it(partitioned: Database) -> None:
    """Neither for a long transaction that reads and writes, nor does one wait while it is open."""
    number = chunks.number_of(DAY)
    partitions.ensure(partitioned, [number])
    with partitioned.connection() as other:
        other.execute("SELECT count(*) FROM reading")
        other.execute("INSERT INTO reading VALUES (%s, 1, 1, 1, 0)", (DAY,))
        partitions.ensure(partitioned, [number - 3])
        with partitioned.connection() as maker:
            partitions.make(maker, [("reading", number - 4)])
            other.execute("SET LOCAL lock_timeout = '100ms'")
            other.execute("INSERT INTO reading VALUES (%s, 1, 1, 2, 0)", (DAY,))
            assert other.execute("SELECT count(*) FROM reading").fetchone() == (2,)


def test_partitions_are_made_while_meters_are_imported(partitioned: Database) -> None:
    with MeterChangeStore(partitioned).chunk(dry_run=False):
        partitions.ensure(partitioned, [chunks.number_of(OLD)])


@pytest.mark.parametrize("table", list(chunks.TABLES))
@pytest.mark.parametrize("path", [Path.PARTITIONS, Path.APACHE])
def test_chunks_go_whole_when_all_in_them_is_older(
    database: Database, table: str, path: Path
) -> None:
    with plain() if path is Path.PARTITIONS else nullcontext():
        if reconcile(database).path is not path:
            pytest.skip("this server has no TimescaleDB")
        add_meters(database, 1)
        wanted = [chunks.number_of(OLD + WEEK * week) for week in (0, 1, 2)]
        partitions.ensure(database, wanted, [table])
        instants = [OLD, OLD + WEEK, OLD + 2 * WEEK]
        put(database, table, *instants)
        before = rows(database, table)
        second, third = instants[1:]
        assert drop_older(database, table, OLD + WEEK - timedelta(microseconds=1)) == []
        dropped = drop_older(database, table, third + timedelta(days=1))
        assert [(one.since, one.until) for one in dropped] == [(OLD, second), (second, third)]
        assert list_chunks(database, table)[0].since == third
        assert rows(database, table) == before[2:]
        assert drop_older(database, table, third) == []
        # What comes late all the same finds a place again.
        partitions.ensure(database, wanted[:1], [table])
        put(database, table, OLD)
        assert len(rows(database, table)) == 2


def test_plain_tables_have_no_chunks_to_drop(database: Database) -> None:
    put(database, "reading", OLD)
    assert drop_older(database, "reading", DAY) == []
    with pytest.raises(ValueError, match="meter"):
        drop_older(database, "meter", DAY)


def test_dropping_lets_others_work_while_it_waits_for_a_long_query(
    partitioned: Database,
) -> None:
    partitions.ensure(partitioned, [chunks.number_of(OLD), chunks.number_of(DAY)])
    put(partitioned, "reading", OLD, DAY)
    with ThreadPoolExecutor(1) as threads:
        with partitioned.connection() as reader:
            reader.execute("SELECT count(*) FROM reading")
            job = threads.submit(drop_older, partitioned, "reading", CUT)
            wait_for_lock(partitioned)
            with partitioned.connection() as writer:
                writer.execute("SET LOCAL lock_timeout = '100ms'")
                writer.execute("INSERT INTO reading VALUES (%s, 1, 1, 2, 0)", (DAY,))
                assert writer.execute("SELECT count(*) FROM reading").fetchone() in [(2,), (3,)]
        assert [one.since for one in job.result(10)] == [OLD]
    assert len(rows(partitioned, "reading")) == 2


def test_what_a_broken_off_drop_left_is_finished(
    partitioned: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions.ensure(partitioned, [chunks.number_of(OLD), chunks.number_of(DAY)])
    put(partitioned, "reading", OLD, DAY)
    with monkeypatch.context() as patch, partitioned.connection() as reader:
        patch.setattr(retention, "_PATIENCE", "200ms")
        reader.execute("SELECT count(*) FROM reading")
        with pytest.raises(StorageUnavailableError):
            drop_older(partitioned, "reading", CUT)
    assert len(rows(partitioned, "reading")) == 1
    assert [one.since for one in drop_older(partitioned, "reading", CUT)] == [OLD]
    assert drop_older(partitioned, "reading", CUT) == []
    with partitioned.connection() as connection:
        assert connection.execute("SELECT to_regclass('reading_p20261008')").fetchone() == (None,)


def test_what_was_detached_and_not_dropped_is_found_again(partitioned: Database) -> None:
    partitions.ensure(partitioned, [chunks.number_of(OLD), chunks.number_of(DAY)])
    put(partitioned, "reading", OLD, DAY)
    with partitioned.connection() as connection:
        connection.execute("ALTER TABLE reading DETACH PARTITION reading_p20261008")
        connection.execute("CREATE TABLE reading_p20261008_of_mine ()")
    drop_older(partitioned, "reading", OLD)
    with partitioned.connection() as connection:
        assert connection.execute("SELECT count(*) FROM reading_p20261008").fetchone() == (1,)
    drop_older(partitioned, "reading", CUT)
    with partitioned.connection() as connection:
        assert connection.execute("SELECT to_regclass('reading_p20261008')").fetchone() == (None,)
        connection.execute("SELECT FROM reading_p20261008_of_mine")
    # Late rows of that week find a place again.
    partitions.ensure(partitioned, [chunks.number_of(OLD)])
    put(partitioned, "reading", OLD)
    assert len(rows(partitioned, "reading")) == 2


def test_a_partition_that_goes_while_one_looks_is_passed_over(partitioned: Database) -> None:
    partitions.ensure(partitioned, [chunks.number_of(OLD), chunks.number_of(DAY)])
    with partitioned.connection() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT")
        drop_older(partitioned, "reading", CUT)
        assert OLD not in [one.since for one in partitions.partitions(connection, "reading")]


def wait_for_lock(database: Database) -> None:
    """Until somebody in this database waits for another's transaction or lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with database.connection() as connection:
            if connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock'"
            ).fetchone():
                return
        time.sleep(0.01)
    pytest.fail("nobody waits")


def test_a_session_makes_the_partition_that_it_needs(partitioned: Database) -> None:
    (meter_id,) = add_meters(partitioned, 1)
    report = SessionReport(
        session_id=uuid4(),
        meter_id=meter_id,
        inbound=False,
        started_at=OLD,
        ended_at=OLD + timedelta(seconds=3),
        phase=SessionPhase.RELEASE,
        outcome=SessionOutcome.OK,
        cause=None,
        octets_in=1,
        octets_out=2,
        clock_drift_s=None,
    )
    store = SessionStore(partitioned)
    for _ in range(2):
        store.record(report)
    assert store.latest(meter_id, limit=9) == [report]


def test_a_session_that_ends_with_its_lease_makes_it_too(
    partitioned: Database, tmp_path: FilePath
) -> None:
    inventory = Inventory(partitioned, KeyService.open(partitioned, tmp_path / "kek"))
    row = '{"serial":"S1","timezone":"UTC","address":"127.16.0.1","port":4159}'
    assert inventory.import_file([row]).created == 1
    leases = LeaseStore(partitioned)
    [lease] = leases.take(holder="a", limit=1, lease_s=60)
    told = done(lease, OLD)
    assert not leases.finish([told])
    assert not leases.finish([told])
    assert SessionStore(partitioned).latest(lease.meter.meter_id, limit=9) == [told.report]
