"""Queries go to a real standby while it keeps up, and to the primary when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.readings import ReadingQueries
from hes.services import Postgres
from hes.storage.database import Database
from hes.storage.migrations import migrate
from hes.storage.replica import ReplicaFirst
from tests.batches import add_meters, open_bus, profile

LAG_S = 1.0


@pytest.fixture
def primary(postgres_factory: Callable[[], Postgres]) -> Postgres:
    server = postgres_factory()
    server.start()
    with Database(server.url) as database:
        migrate(database)
    return server


@pytest.fixture
def standby(primary: Postgres, postgres_factory: Callable[[], Postgres]) -> Postgres:
    """Made as docs/operations/replica.md says."""
    server = postgres_factory()
    data = server.data_folder
    data.parent.mkdir(parents=True)
    shutil.copy(primary.data_folder.parent / "passwords.json", data.parent)
    parts = psycopg.conninfo.conninfo_to_dict(primary.admin_url)
    password = str(parts.pop("password"))
    parts["dbname"] = "replication"
    subprocess.run(
        [primary.bin_folder / "pg_basebackup", "-R", "-D", data, "-X", "stream", "-c", "fast",
         "-d", psycopg.conninfo.make_conninfo("", **parts)],
        env={**os.environ, "PGPASSWORD": password},
        check=True,
    )  # fmt: skip
    if os.geteuid() == 0:
        owner = primary.data_folder.stat()
        for path in (data, *data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
    server.start()
    return server


@pytest.fixture
def reader(primary: Postgres, standby: Postgres) -> Iterator[ReplicaFirst]:
    with ReplicaFirst(primary.url, standby.url, max_lag_s=LAG_S, check_s=0.05) as opened:
        yield opened


def admin(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def from_standby(reader: ReplicaFirst) -> bool:
    with reader.connection() as connection:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return row == (True,)


def eventually(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_queries_go_to_the_standby_while_it_keeps_up(
    primary: Postgres, standby: Postgres, reader: ReplicaFirst
) -> None:
    with Database(primary.url) as database:
        meter, other = add_meters(database, 2)
        with open_bus(database) as bus:
            bus.publish(profile([meter]))
        queries = ReadingQueries(reader)
        eventually(lambda: len(queries.channels(meter)) == 4)
        assert from_standby(reader)

        # It stops replaying: for a while what it shows is young enough, then the primary is asked.
        admin(standby, "SELECT pg_wal_replay_pause()")
        with open_bus(database) as bus:
            bus.publish(profile([other]))
        assert reader.lag_s is not None
        eventually(lambda: not from_standby(reader))
        assert len(queries.channels(other)) == 4
        assert (reader.lag_s or 99) > LAG_S

        admin(standby, "SELECT pg_wal_replay_resume()")
        eventually(lambda: from_standby(reader))
        assert len(queries.channels(other)) == 4


def test_an_idle_primary_makes_no_lag(reader: ReplicaFirst) -> None:
    eventually(lambda: from_standby(reader))
    time.sleep(2 * LAG_S)
    assert from_standby(reader)
    assert reader.lag_s is not None
    assert reader.lag_s < LAG_S


def test_a_standby_that_is_away_is_not_waited_for_twice(
    standby: Postgres, reader: ReplicaFirst
) -> None:
    eventually(lambda: from_standby(reader))
    standby.kill()
    for _ in range(3):  # one query may have been on its way
        try:
            assert not from_standby(reader)
        except StorageUnavailableError:
            continue
        break
    assert not from_standby(reader)
    assert reader.lag_s is None
    standby.start()
    eventually(lambda: from_standby(reader))


def test_a_promoted_standby_or_another_server_is_not_believed(
    primary: Postgres, standby: Postgres, reader: ReplicaFirst
) -> None:
    eventually(lambda: from_standby(reader))
    admin(standby, "SELECT pg_promote()")

    def on_primary() -> bool:
        with reader.connection() as connection:
            row = connection.execute("SELECT inet_server_port()").fetchone()
        return row is not None and str(row[0]) in primary.url

    eventually(on_primary)
    # A server that is not a standby of this primary.
    with ReplicaFirst(primary.url, standby.url, max_lag_s=LAG_S) as other:
        for _ in range(3):
            with other.connection() as connection:
                row = connection.execute("SELECT inet_server_port()").fetchone()
            assert row is not None
            assert f":{row[0]}/" in primary.url
