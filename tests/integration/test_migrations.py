"""Migrations on a real server: from nothing, again, at once, refused; and what reconcile adds."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.migrate import migrate as migrate_command
from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.storage.database import Database
from hes.storage.features import reconcile, state
from hes.storage.features.chunks import CHUNK_DAYS, TABLES
from hes.storage.migrations import Migration, MigrationError, migrate, pending, shipped
from tests.batches import DAY, add_meters, open_bus, open_database, profile
from tests.catalog import describe

FIRST = Migration(1, "first", b"-- one\nCREATE TABLE one (x int4); CREATE TABLE two (x int4)")
SECOND = Migration(2, "second", b"ALTER TABLE one ADD y int4")
SECOND_ALONE = Migration(2, "second", b"CREATE TABLE three (x int4)")


@pytest.fixture
def database(database_url: str):
    """An empty database: no schema at all."""
    with Database(database_url) as opened:
        yield opened


def tables(database: Database) -> set[str]:
    with database.connection() as connection:
        return {name for name, *_ in describe(connection)["relations"]}


def columns(database: Database) -> set[object]:
    with database.connection() as connection:
        return {column for _, _, column, *_ in describe(connection)["columns"]}


def test_from_nothing_to_the_kept_full_schema(database: Database, databases) -> None:
    applied = migrate(database)
    assert applied == [migration.file_name for migration in shipped()]
    other_url = databases.create()
    with Database(other_url) as other, other.connection() as connection:
        connection.execute((resources.files("hes.storage") / "schema.sql").read_bytes())
        kept = describe(connection)
    with database.connection() as connection:
        assert describe(connection) == kept
    databases.drop(other_url)


def test_again_without_effect(database: Database) -> None:
    assert pending(database) == [migration.file_name for migration in shipped()]
    migrate(database)
    with database.connection() as connection:
        before = describe(connection)
    assert pending(database) == []
    assert migrate(database) == []
    with database.connection() as connection:
        assert describe(connection) == before


def test_several_at_once_apply_each_file_once(database_url: str) -> None:
    def run() -> list[str]:
        with Database(database_url) as mine:
            return migrate(mine)

    with ThreadPoolExecutor(4) as threads:
        applied = [
            name for future in [threads.submit(run) for _ in range(4)] for name in future.result()
        ]
    assert sorted(applied) == [migration.file_name for migration in shipped()]


def test_a_changed_old_file_is_refused(database: Database) -> None:
    migrate(database, [FIRST])
    changed = Migration(1, "first", FIRST.sql + b" ")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed"):
        migrate(database, [changed, SECOND])
    assert "y" not in columns(database)


def test_a_database_newer_than_the_code_is_refused(database: Database) -> None:
    migrate(database, [FIRST, SECOND])
    with pytest.raises(MigrationError, match=r"0002_second\.sql was applied but is not here"):
        migrate(database, [FIRST])


def test_a_file_below_the_latest_is_refused(database: Database) -> None:
    migrate(database, [SECOND_ALONE])
    with pytest.raises(MigrationError, match=r"0001_first\.sql comes late"):
        migrate(database, [FIRST, SECOND_ALONE])


def test_a_failing_file_leaves_nothing_and_those_before_it_stay(database: Database) -> None:
    broken = Migration(2, "broken", b"CREATE TABLE three (x int4); SELECT 1/0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(database, [FIRST, broken])
    assert tables(database) == {"one", "two"}
    assert migrate(database, [FIRST, SECOND_ALONE]) == ["0002_second.sql"]


def test_a_change_does_not_queue_for_ever_before_other_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database, [FIRST])
    monkeypatch.setattr("hes.storage.migrations._LOCK_TIMEOUT", "50ms")
    with database.connection() as reader:
        reader.execute("SELECT * FROM one")
        with pytest.raises(StorageUnavailableError, match="lock timeout"):
            migrate(database, [FIRST, SECOND])
    assert migrate(database, [FIRST, SECOND]) == ["0002_second.sql"]


def test_reconcile_uses_what_the_server_has(database: Database) -> None:
    with database.connection() as connection:
        available = connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    if available == (0,):
        pytest.skip("this server has no TimescaleDB")
    migrate(database)
    found = reconcile(database)
    assert found.timescaledb is not None
    assert found.hypertables == tuple(sorted(TABLES))
    assert reconcile(database) == found == state(database)
    assert migrate(database) == []
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT hypertable_name::text, time_interval FROM timescaledb_information.dimensions"
        ).fetchall()
    assert {name: interval.days for name, interval in rows} == dict.fromkeys(TABLES, CHUNK_DAYS)


def test_a_server_that_gains_the_extension_gains_hypertables_with_its_rows(
    database_url: str,
) -> None:
    with open_database(database_url, hypertables=False) as database:
        assert state(database).hypertables == ()
        meters = add_meters(database, 2)
        with open_bus(database) as bus:
            bus.publish(profile(meters, start=DAY))
            if reconcile(database).timescaledb is None:
                pytest.skip("this server has no TimescaleDB")
            again = bus.publish(profile(meters, start=DAY))
        assert (again.stored, again.duplicates) == (0, 2 * 4 * 96)


@pytest.fixture
def fresh_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Settings are read once per process; here they are this test's alone."""
    monkeypatch.setenv("HES_DATA", str(tmp_path))
    wiring.settings.cache_clear()
    yield
    wiring.settings.cache_clear()


@pytest.mark.usefixtures("fresh_settings")
def test_the_command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", database_url)
    names = [migration.file_name for migration in shipped()]
    dry = CliRunner().invoke(migrate_command, ["--dry-run", "-o", "csv"])
    assert dry.stdout.split() == ["migration", *names]
    run = CliRunner().invoke(migrate_command, ["-o", "csv"])
    assert run.stdout.split() == ["migration", *names]
    assert f"{len(names)} applied; readings are in" in run.stderr
    assert CliRunner().invoke(migrate_command, ["-o", "csv"]).stdout.split() == ["migration"]


@pytest.mark.usefixtures("fresh_settings")
def test_the_command_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HES_DATABASE_URL", raising=False)
    result = CliRunner().invoke(migrate_command)
    assert isinstance(result.exception, PermanentError)
    assert "HES_DATABASE_URL" in str(result.exception)
