"""
Chunks are made before the first row needs them.

Else the first row of a week makes them in its own transaction, and whoever else has rows of that
week waits until it ends; on plain PostgreSQL, sessions would find no place at all at first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from psycopg import sql

from hes.storage.database import Connection, Database
from hes.storage.features import chunks, partitions
from hes.storage.features.server import is_hypertable

_LOCK_TIMEOUT: Final = "2s"

_IS_THERE: Final = """
SELECT EXISTS (
    SELECT FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema AND hypertable_name = %s
      AND range_start <= %s AND range_end > %s
)
"""

# TimescaleDB has no call for it that lasts; a row makes the chunk. Nobody ever sees this one: it is
# of no series, and goes in the transaction that brings it.
_MAKE: Final = (
    sql.SQL("INSERT INTO {} (captured_at, batch_id, series_id, quality) VALUES (%s, 0, 0, 0)"),
    sql.SQL("DELETE FROM {} WHERE series_id = 0 AND captured_at = %s"),
)


def ensure_ahead(database: Database, now: datetime) -> None:
    """
    Make the chunks of now and of the time to come. Cheap when they are there.

    Raises:
        StorageUnavailableError: the database is away, or somebody changes a table.
    """
    partitions.ensure_ahead(database, now)
    for table in chunks.READINGS:
        for number in (chunks.number_of(now), chunks.number_of(now) + 1):
            with database.connection() as connection:
                if is_hypertable(connection, table):
                    _make(connection, table, chunks.since(number))


def _make(connection: Connection, table: str, since: datetime) -> None:
    if connection.execute(_IS_THERE, (table, since, since)).fetchone() == (True,):
        return
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
    for statement in _MAKE:
        connection.execute(statement.format(sql.Identifier(table)), (since,))
