"""The way to the database: transactions, time-outs, errors, and a server that comes back."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from hes.domain.errors import StorageUnavailableError
from hes.services import Postgres
from hes.storage.database import (
    Database,
    LockTimeoutError,
    OutcomeUnknownError,
    StatementTimeoutError,
)


@pytest.fixture
def database(database_url: str):
    with Database(database_url) as opened:
        with opened.connection() as connection:
            connection.execute("CREATE TABLE note (text text)")
        yield opened


def notes(database: Database) -> list[str]:
    with database.connection() as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY 1")]


def test_a_use_is_a_transaction(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("INSERT INTO note VALUES ('kept')")

    def fail() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO note VALUES ('undone')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert notes(database) == ["kept"]


def test_a_failed_statement_that_somebody_swallows_is_no_success(database: Database) -> None:
    def swallow() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO note VALUES ('undone')")
            with suppress(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1/0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        swallow()
    assert notes(database) == []


def test_a_constraint_is_not_an_outage(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("CREATE UNIQUE INDEX once ON note (text)")
        connection.execute("INSERT INTO note VALUES ('a')")
    with pytest.raises(psycopg.errors.UniqueViolation), database.connection() as connection:
        connection.execute("INSERT INTO note VALUES ('a')")


def test_time_outs(database_url: str) -> None:
    with Database(database_url, statement_timeout_s=0.1) as database:
        with (
            pytest.raises(StatementTimeoutError, match="statement timeout"),
            database.connection() as connection,
        ):
            connection.execute("SELECT pg_sleep(5)")
        with database.connection(statement_timeout_s=5) as connection:
            connection.execute("SELECT pg_sleep(0.2)")
        with database.connection() as connection:
            row = connection.execute("SELECT current_setting('statement_timeout')").fetchone()
        assert row == ("100ms",)


def test_a_lock_that_is_not_given(database: Database, database_url: str) -> None:
    with Database(database_url, lock_timeout_s=0.05) as impatient, database.connection() as holder:
        holder.execute("LOCK TABLE note")
        with (
            pytest.raises(LockTimeoutError, match="lock timeout"),
            impatient.connection() as connection,
        ):
            connection.execute("SELECT * FROM note")


def test_a_server_that_cannot_be_written_to_is_an_outage(
    database: Database, database_url: str
) -> None:
    def alter(setting: str) -> None:
        with psycopg.connect(
            database_url, autocommit=True, options="-c default_transaction_read_only=off"
        ) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute(sql.SQL("ALTER DATABASE {} ").format(name) + sql.SQL(setting))  # type: ignore[arg-type]

    def write() -> None:
        with reader.connection() as connection:
            connection.execute("INSERT INTO note VALUES ('a')")

    with Database(database_url) as reader:
        alter("SET default_transaction_read_only = on")
        try:
            with pytest.raises(StorageUnavailableError, match="read-only"):
                write()
        finally:
            alter("RESET default_transaction_read_only")
        # Connections that cannot write are not kept: the server may have become another one. The
        # pool may have made one more while it could not.
        with suppress(StorageUnavailableError):
            write()
        write()


def test_a_transaction_that_idled_too_long_is_undone(database_url: str) -> None:
    def idle(database: Database) -> None:
        with database.connection() as connection:
            connection.execute("SELECT 1")
            time.sleep(0.6)
            connection.execute("SELECT 1")

    with (
        Database(database_url, statement_timeout_s=0.1) as database,
        pytest.raises(StorageUnavailableError, match="idle-in-transaction"),
    ):
        idle(database)


@pytest.mark.parametrize("state", ["08006", "25006", "53100", "57P03", "58030", "XX000", "XX001"])
def test_what_the_server_says_of_itself_is_an_outage(database: Database, state: str) -> None:
    with pytest.raises(StorageUnavailableError), database.connection() as connection:
        connection.execute(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$".encode())


@pytest.mark.parametrize("state", ["22003", "23505", "42P01", "54000", "P0001"])
def test_what_the_server_says_of_the_question_is_none(database: Database, state: str) -> None:
    with pytest.raises(psycopg.Error) as caught, database.connection() as connection:
        connection.execute(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; END $$".encode())
    assert caught.value.sqlstate == state


def test_all_connections_in_use(database_url: str) -> None:
    with (
        Database(database_url, max_connections=1, wait_s=0.1) as database,
        database.connection(),
        pytest.raises(StorageUnavailableError, match="all connections are in use"),
    ):
        database.connection().__enter__()


def test_instants_come_in_utc_and_a_receipt_survives_the_loss_of_power(database_url: str) -> None:
    with Database(database_url) as database, database.connection() as connection:
        row = connection.execute(
            "SELECT current_setting('TimeZone'), current_setting('synchronous_commit'),"
            " current_setting('transaction_isolation')"
        ).fetchone()
    assert row == ("UTC", "on", "read committed")


def test_a_session_that_the_server_ends(database: Database) -> None:
    with pytest.raises(StorageUnavailableError), database.connection() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert notes(database) == []


def test_a_commit_that_is_cut_off_has_an_unknown_outcome(database: Database) -> None:
    def cut() -> None:
        with database.connection() as connection:
            connection.execute("INSERT INTO note VALUES ('who knows')")
            pid = connection.info.backend_pid
            with database.connection() as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))

    with pytest.raises(OutcomeUnknownError):
        cut()
    assert notes(database) == []


def test_idle_connections_that_died_are_not_lent(database: Database, database_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        together = threading.Barrier(6)

        def use() -> None:
            with database.connection():
                together.wait(10)

        for job in [threads.submit(use) for _ in range(6)]:
            job.result(10)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'hes' AND datname = current_database()"
        )
    time.sleep(0.1)
    begin = time.monotonic()
    assert notes(database) == []
    assert time.monotonic() - begin < 1.0


def test_a_server_that_is_away_is_said_with_its_reason(
    postgres_factory: Callable[[], Postgres],
) -> None:
    server = postgres_factory()
    server.start()
    server.stop()
    with Database(server.url, wait_s=0.3) as database:
        for _ in range(2):
            with pytest.raises(StorageUnavailableError, match="Connection refused"):
                database.connection().__enter__()
        server.start()
        deadline = time.monotonic() + 10
        while True:
            try:
                with database.connection() as connection:
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                break
            except StorageUnavailableError:
                assert time.monotonic() < deadline


def test_closed_is_closed(database_url: str) -> None:
    database = Database(database_url)
    database.close()
    with pytest.raises(StorageUnavailableError):
        database.connection().__enter__()
