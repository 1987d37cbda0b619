"""
Switch on what the server has, after the migrations and as often as one likes.

A server that gains TimescaleDB later gains hypertables at the next `hes migrate`; one that has none
gets partitions. Rows that are there stay.
"""

from __future__ import annotations

from typing import Final

import psycopg

from hes.storage.database import Database
from hes.storage.features.chunks import CHUNK_DAYS, READINGS
from hes.storage.features.server import Features, Server, server, state

_CREATE_HYPERTABLE: Final = """
SELECT create_hypertable(
    %s::regclass, 'captured_at', chunk_time_interval => make_interval(days => %s),
    create_default_indexes => false, if_not_exists => true, migrate_data => true)
"""

_STATEMENT_TIMEOUT_S: Final = 600.0


def reconcile(database: Database) -> Features:
    """
    Make use of what the server has. Idempotent; run after `migrate`.

    Raises:
        StorageUnavailableError: the database is away or a table is locked for too long.
    """
    if _extension(database).timescaledb is not None:
        with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            for table in READINGS:
                connection.execute(_CREATE_HYPERTABLE, (table, CHUNK_DAYS))
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
