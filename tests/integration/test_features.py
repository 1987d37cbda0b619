"""The large tables on each path: partitions, hypertables, from one to the other with rows."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from hes.cli.doctor import State, check_database
from hes.pipeline import DirectBus
from hes.storage.database import Database
from hes.storage.features import (
    Features,
    Path,
    chunks,
    list_chunks,
    partitions,
    reconcile,
    state,
)
from hes.storage.migrations import migrate
from tests.batches import DAY, add_meters, open_bus, plain, profile
from tests.chunked import CUT, OLD, WEEK, put, rows
from tests.conftest import Databases

SERVER = "hes.storage.features.server._SERVER"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of the test's own at the current schema, not reconciled yet."""
    with Database(database_url) as opened:
        migrate(opened)
        yield opened


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


def test_without_the_extension_there_are_partitions(database: Database) -> None:
    before = definition(database)
    assert state(database).path is Path.PLAIN
    with plain():
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
    database: Database, table: str, timescaledb: None
) -> None:
    before = definition(database)
    add_meters(database, 1)
    put(database, table, OLD, OLD + timedelta(days=9), DAY)
    kept = rows(database, table)
    with plain():
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


def test_views_on_a_table_and_what_was_granted_on_it_survive(database: Database) -> None:
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
    with plain():
        reconcile(database)
    assert seen() == before
    assert rows(database, "(SELECT 1, * FROM two, (SELECT 2) AS _) AS _") == [(1, 1, 0, 2)]
    reconcile(database)
    assert seen() == before


def test_the_doctor_says_which_path_is_active(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> tuple[object, str]:
        (found,) = (one for one in check_database(database_url) if one.name == "readings")
        return found.state, found.detail

    with plain():
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


def test_writers_go_on_while_partitions_become_hypertables(
    database: Database, timescaledb: None
) -> None:
    with plain():
        reconcile(database)
    meters = add_meters(database, 2)
    began = threading.Event()

    def write(bus: DirectBus) -> list[int]:
        stored = []
        for day in range(40):
            stored.append(bus.publish(profile(meters, start=DAY - timedelta(days=day))).stored)
            if day == 10:
                began.set()
        return stored

    with open_bus(database) as bus, ThreadPoolExecutor(1) as threads:
        writer = threads.submit(write, bus)
        assert began.wait(60)
        assert reconcile(database).path is Path.APACHE
        assert writer.result(120) == [2 * 4 * 96] * 40
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM reading").fetchone() == (40 * 2 * 4 * 96,)


def test_a_partition_that_was_missing_is_not_made_for_what_became_a_hypertable(
    database: Database, timescaledb: None
) -> None:
    with plain():
        reconcile(database)
    missing = [("reading", chunks.number_of(DAY) - 9)]
    assert reconcile(database).path is Path.APACHE
    with database.connection() as connection:
        partitions.make(connection, missing)
    put(database, "reading", DAY - 9 * WEEK)


def test_another_width_of_chunks_is_set_right(database: Database, timescaledb: None) -> None:
    reconcile(database)
    with database.connection() as connection:
        connection.execute("SELECT set_chunk_time_interval('reading', interval '1 day')")
    reconcile(database)
    put(database, "reading", DAY)
    assert list_chunks(database, "reading")[0].until == CUT + WEEK


def test_a_database_that_never_had_the_extension_gets_it(databases: Databases) -> None:
    url = databases.create(template="template0")
    with Database(url) as database:
        migrate(database)
        assert state(database) == Features(None, None, (), ())
        with plain():
            reconcile(database)
        assert state(database).path is Path.PARTITIONS
        partitions.ensure(database, [chunks.number_of(DAY)])
        put(database, "reading", DAY)
        if reconcile(database).timescaledb is None:
            pytest.skip("this server has no TimescaleDB")
        assert state(database).path is Path.APACHE
        assert len(rows(database, "reading")) == 1
    databases.drop(url)
