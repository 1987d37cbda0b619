"""Old chunks go whole, by one call for hypertables and partitions alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from psycopg import sql

from hes.storage.database import Connection, Database
from hes.storage.features import partitions
from hes.storage.features.chunks import TABLES, Chunk
from hes.storage.features.server import is_hypertable

_LOCK_TIMEOUT: Final = "2s"

_CHUNKS: Final = """
SELECT format('%%I.%%I', chunk_schema, chunk_name), range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema AND hypertable_name = %s
ORDER BY range_start
"""


def list_chunks(database: Database, table: str) -> Sequence[Chunk]:
    """
    The chunks or partitions of a table, oldest first; none if it is a plain table.

    Args: table: one of `chunks.TABLES`.
    Raises: StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        return _chunks(connection, table)


def drop_older(database: Database, table: str, before: datetime) -> Sequence[Chunk]:
    """
    Drop the chunks whose every row is older than `before`; younger rows of a chunk keep it.

    Each goes in a transaction of its own, so that what is done stays done.

    Args: table: one of `chunks.TABLES`.

    Returns:
        What was dropped, oldest first; nothing for a plain table.

    Raises:
        StorageUnavailableError: the database is away, or somebody used a chunk for too long.
    """
    old = [chunk for chunk in list_chunks(database, table) if chunk.until <= before]
    for chunk in old:
        with database.connection() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            if is_hypertable(connection, table):
                connection.execute("SELECT drop_chunks(%s::regclass, %s)", (table, chunk.until))
            else:
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(chunk.name)))
    return old


def _chunks(connection: Connection, table: str) -> Sequence[Chunk]:
    if table not in TABLES:
        raise ValueError(f"{table} is not cut into chunks")
    if not is_hypertable(connection, table):
        return partitions.partitions(connection, table)
    return [Chunk(*row) for row in connection.execute(_CHUNKS, (table,))]
