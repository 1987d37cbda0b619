"""
Switch on what the server has, after the migrations and as often as one likes.

A server that has TimescaleDB, or gains it later, gets hypertables; another one gets partitions.
Rows that are there stay: partitions are filled over into hypertables, a plain table becomes the
first partition as it is. Each table changes in a transaction of its own, in which nobody else uses
it: with many rows that takes a while, once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import sql

from hes.storage.database import Connection, Database
from hes.storage.features import chunks, community, partitions
from hes.storage.features.replacing import put_in_place, set_aside
from hes.storage.features.server import Features, Server, is_hypertable, server, state
from hes.storage.migrations import take_turn

_STATEMENT_TIMEOUT: Final = "3600s"

_CREATE_HYPERTABLE: Final = """
SELECT create_hypertable(
    %(table)s::regclass, %(column)s, chunk_time_interval => make_interval(days => %(days)s),
    create_default_indexes => false, if_not_exists => true, migrate_data => true)
"""
_SET_INTERVAL: Final = """
SELECT set_chunk_time_interval(%(table)s::text::regclass, make_interval(days => %(days)s))
FROM timescaledb_information.dimensions
WHERE hypertable_schema = current_schema AND hypertable_name = %(table)s
  AND dimension_number = 1 AND time_interval <> make_interval(days => %(days)s)
"""


def reconcile(database: Database, *, buffer_depth_days: int = 60) -> Features:
    """
    Make use of what the server has. Idempotent; run after `migrate`.

    Args: buffer_depth_days: how old rows may be that meters still bring.

    Raises:
        StorageUnavailableError: the database is away or a table is locked for too long.
    """
    found = _extension(database)
    for table in chunks.TABLES:
        with database.connection() as connection:
            take_turn(connection)
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", (_STATEMENT_TIMEOUT,)
            )
            if found.timescaledb is not None:
                _to_hypertable(connection, table)
            else:
                _to_partitions(connection, table)
    if found.is_community:
        community.switch_on(database, buffer_depth_days=buffer_depth_days)
    partitions.ensure_ahead(database, datetime.now(UTC))
    return state(database)


def _extension(database: Database) -> Server:
    """What the server has, with TimescaleDB created where it can be."""
    with database.connection() as connection:
        found = server(connection)
    if found.timescaledb is None and found.available:
        try:
            with database.connection() as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                return server(connection)
        except psycopg.errors.InsufficientPrivilege:
            # An administrator may create it; until then partitions do.
            pass
    return found


def _to_hypertable(connection: Connection, table: str) -> None:
    names = {"table": table, "column": chunks.TABLES[table], "days": chunks.CHUNK_DAYS}
    if is_hypertable(connection, table):
        connection.execute(_SET_INTERVAL, names)
        return
    if not partitions.is_partitioned(connection, table):
        connection.execute(_CREATE_HYPERTABLE, names)
        return
    aside = set_aside(connection, table, f"{table}_partitioned")
    put_in_place(connection, aside)
    connection.execute(_CREATE_HYPERTABLE, names)
    for part in partitions.partitions(connection, aside.old):
        connection.execute(
            sql.SQL("INSERT INTO {} SELECT * FROM {}").format(
                sql.Identifier(table), sql.Identifier(part.name)
            )
        )
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(aside.old)))


def _to_partitions(connection: Connection, table: str) -> None:
    if partitions.is_partitioned(connection, table):
        return
    column = chunks.TABLES[table]
    aside = set_aside(connection, table, f"{table}_before")
    put_in_place(connection, aside, f"PARTITION BY RANGE ({column})")
    row = connection.execute(
        sql.SQL("SELECT min({column}), max({column}) FROM {table}").format(
            column=sql.Identifier(column), table=sql.Identifier(aside.old)
        )
    ).fetchone()
    assert row is not None
    first, last = row
    if first is None:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(aside.old)))
    else:
        since, until = chunks.number_of(first), chunks.number_of(last) + 1
        partitions.attach(connection, table, aside.old, chunks.since(since), chunks.since(until))
