"""The large tables on each path: partitions, hypertables, from one to the other with rows."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from hes.cli.doctor import State, check_database
from hes.domain.errors import StorageUnavailableError
from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
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
    state,
)
from hes.storage.migrations import migrate
from hes.storage.sessions import SessionStore
from tests.batches import DAY, add_meters

SERVER = "hes.storage.features.server._SERVER"
WEEK = timedelta(days=chunks.CHUNK_DAYS)
CUT = chunks.since(chunks.number_of(DAY))
OLD = CUT - 6 * WEEK


@contextmanager
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the server had no TimescaleDB."""
    with monkeypatch.context() as patch:
        patch.setattr(SERVER, b"SELECT NULL, false, NULL")
        yield


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of the test's own at the current schema, not reconciled yet."""
    with Database(database_url) as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def partitioned(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that was reconciled on a server without TimescaleDB, and still is on one."""
    with plain(monkeypatch):
        reconcile(database)
        yield database


def rows(database: Database, table: str) -> list[tuple[object, ...]]:
    with database.connection() as connection:
        order = chunks.TABLES.get(table, "1")
        return connection.execute(f"SELECT * FROM {table} ORDER BY {order}".encode()).fetchall()


def put(database: Database, table: str, *instants: datetime) -> None:
    """Rows of a table at these instants, however it is kept."""
    statements = {
        "reading": "INSERT INTO reading VALUES (%s, 1, 1, 1, 0)",
        "reading_float": "INSERT INTO reading_float VALUES (%s, 1, 1, 1, 0)",
        "reading_text": "INSERT INTO reading_text VALUES (%s, 1, 1, 0, 'a')",
        "event": "INSERT INTO event VALUES (%s, 1, gen_random_uuid(), 1, 0, '\\x000000000000')",
        "session": "INSERT INTO session SELECT gen_random_uuid(), meter_id, false, now(), %s,"
        " 'p', 'ok', NULL, 0, 0 FROM meter LIMIT 1",
    }
    with database.connection() as connection:
        for at in instants:
            connection.execute(statements[table].encode(), (at,))


def definition(database: Database) -> object:
    """Keys, indexes and foreign keys of the large tables themselves, and all views."""
    with database.connection() as connection:
        return (
            connection.execute(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE conrelid::regclass::text = ANY (%s) AND contype <> 'n'"
                " ORDER BY 1, 2",
                (list(chunks.TABLES),),
            ).fetchall(),
            connection.execute(
                "SELECT replace(pg_get_indexdef(indexrelid), 'ON ONLY', 'ON') FROM pg_index"
                " WHERE indrelid::regclass::text = ANY (%s) ORDER BY 1",
                (list(chunks.TABLES),),
            ).fetchall(),
            connection.execute(
                "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1"
            ).fetchall(),
        )


@pytest.fixture
def timescaledb(database: Database) -> None:
    """The server has TimescaleDB, or the test is skipped."""
    with database.connection() as connection:
        if not connection.execute(
            "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone():
            pytest.skip("this server has no TimescaleDB")


def test_without_the_extension_there_are_partitions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = definition(database)
    assert state(database).path is Path.PLAIN
    with plain(monkeypatch):
        found = reconcile(database)
        assert found.path is Path.PARTITIONS
        assert found.partitioned == tuple(sorted(chunks.TABLES))
        assert definition(database) == before
        there = [list_chunks(database, table) for table in chunks.TABLES]
        now = datetime.now(UTC)
        assert all(one[0].since <= now < one[0].until for one in there)
        assert all(len(one) == 1 + partitions.AHEAD for one in there)
        assert reconcile(database) == found == state(database)
        assert [list_chunks(database, table) for table in chunks.TABLES] == there


@pytest.mark.parametrize("table", list(chunks.TABLES))
def test_rows_go_along_from_plain_tables_to_partitions_to_hypertables(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: str, timescaledb: None
) -> None:
    before = definition(database)
    add_meters(database, 1)
    put(database, table, OLD, OLD + timedelta(days=9), DAY)
    kept = rows(database, table)
    with plain(monkeypatch):
        reconcile(database)
        assert rows(database, table) == kept
        assert definition(database) == before
        # They are a part of the table as they lay there, which new partitions do not cut.
        partitions.ensure(database, [chunks.number_of(OLD), chunks.number_of(DAY) + 2], [table])
        first, *others = list_chunks(database, table)
        assert (first.since, first.until) == (OLD, CUT + WEEK)
        assert all(one.since >= first.until for one in others)
        put(database, table, OLD + timedelta(hours=1), DAY + 2 * WEEK)
        kept = rows(database, table)
    found = reconcile(database)
    assert found.path is Path.APACHE
    assert found.hypertables == tuple(sorted(chunks.TABLES))
    assert found.partitioned == ()
    assert rows(database, table) == kept
    assert definition(database) == before
    # Cut where partitions were, which the order of the writers' merge relies on.
    assert [(one.since, one.until) for one in list_chunks(database, table)] == [
        (at, at + WEEK) for at in (OLD, OLD + WEEK, CUT, CUT + 2 * WEEK)
    ]
    assert reconcile(database) == found


def test_views_on_a_table_and_what_was_granted_on_it_survive(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, "reading", DAY)
    with database.connection() as connection:
        connection.execute("GRANT SELECT ON reading TO pg_monitor")
        connection.execute("CREATE VIEW one WITH (security_barrier) AS SELECT * FROM reading")
        connection.execute("COMMENT ON VIEW one IS 'it''s one'")
        connection.execute("GRANT SELECT ON one TO PUBLIC")
        connection.execute("CREATE VIEW two AS SELECT one.value, reading.quality FROM one, reading")

    def seen() -> object:
        with database.connection() as connection:
            return connection.execute(
                "SELECT relname, relacl::text, reloptions, obj_description(oid),"
                " pg_get_viewdef(oid)"
                " FROM pg_class WHERE relname IN ('one', 'two') UNION ALL"
                " SELECT relname, relacl::text, NULL, NULL, NULL FROM pg_class"
                " WHERE relname = 'reading' ORDER BY 1"
            ).fetchall()

    before = seen()
    with plain(monkeypatch):
        reconcile(database)
    assert seen() == before
    assert rows(database, "(SELECT 1, * FROM two, (SELECT 2) AS _) AS _") == [(1, 1, 0, 2)]
    reconcile(database)
    assert seen() == before


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


@pytest.mark.parametrize("table", list(chunks.TABLES))
@pytest.mark.parametrize("path", [Path.PARTITIONS, Path.APACHE])
def test_chunks_go_whole_when_all_in_them_is_older(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: str, path: Path
) -> None:
    with plain(monkeypatch) if path is Path.PARTITIONS else nullcontext():
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


def test_the_doctor_says_which_path_is_active(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> tuple[object, str]:
        (found,) = (one for one in check_database(database_url) if one.name == "readings")
        return found.state, found.detail

    with plain(monkeypatch):
        assert said() == (State.WARN, "in plain tables: the server can do better")
        reconcile(database)
        assert said() == (State.OK, "in partitions by time")
    if state(database).timescaledb is None:
        pytest.skip("this server has no TimescaleDB")
    assert said() == (State.WARN, "in partitions by time: the server can do better")
    version = reconcile(database).timescaledb
    assert said() == (State.OK, f"in hypertables (TimescaleDB {version}, Apache edition)")
    monkeypatch.setattr(SERVER, b"SELECT 'x', true, 'timescale'")
    detail = "in hypertables (TimescaleDB x, community edition): the server can do better"
    assert said() == (State.WARN, detail)
