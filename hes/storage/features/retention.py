"""
Old chunks go whole, by one call for hypertables and partitions alike.

A partition is detached CONCURRENTLY before it is dropped: that waits for long queries without
letting anybody wait behind it. It is done outside of transactions, so it may break off half-way;
the next call finishes what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from psycopg import sql

from hes.storage.database import Connection, Database
from hes.storage.features import partitions
from hes.storage.features.chunks import TABLES, Chunk
from hes.storage.features.server import is_hypertable

_LOCK_TIMEOUT: Final = "2s"
_PATIENCE: Final = "60s"

_CHUNKS: Final = """
SELECT chunk_name::text, range_start, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema AND hypertable_name = %s
ORDER BY range_start
"""

_HALF_DETACHED: Final = """
SELECT FROM pg_inherits
WHERE inhparent = to_regclass(%s) AND inhrelid = to_regclass(%s) AND inhdetachpending
"""

# A drop that broke off between detaching and dropping has left these.
_DETACHED: Final = """
SELECT left_over.relname::text
FROM pg_class AS left_over
JOIN pg_class AS parent USING (relnamespace)
WHERE parent.oid = to_regclass(%(table)s) AND left_over.relkind = 'r'
  AND NOT left_over.relispartition AND left_over.relname ~ ('^' || %(table)s || '_p[0-9]{8}$')
ORDER BY 1
"""

_TIMEOUTS: Final = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
_SET_TIMEOUTS: Final = """
SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)
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

    Each goes by itself, so that what is done stays done.

    Args: table: one of `chunks.TABLES`.

    Returns:
        What was dropped, oldest first; nothing for a plain table.

    Raises:
        StorageUnavailableError: the database is away, or somebody used a chunk for too long.
    """
    with database.connection() as connection:
        hypertable = is_hypertable(connection, table)
        old = [chunk for chunk in _chunks(connection, table) if chunk.until <= before]
        if not hypertable:
            _drop_detached(connection, table, before)
    for chunk in old:
        if hypertable:
            with database.connection() as connection:
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                connection.execute("SELECT drop_chunks(%s::regclass, %s)", (table, chunk.until))
        else:
            _drop_partition(database, table, chunk.name)
    return old


def _drop_detached(connection: Connection, table: str, before: datetime) -> None:
    for (name,) in connection.execute(_DETACHED, {"table": table}).fetchall():
        if partitions.chunk_of(table, name).until <= before:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def _drop_partition(database: Database, table: str, partition: str) -> None:
    names = {"table": sql.Identifier(table), "partition": sql.Identifier(partition)}
    with outside_of_transactions(database) as connection:
        begun = connection.execute(_HALF_DETACHED, (table, partition)).fetchone() is not None
        how = sql.SQL("FINALIZE" if begun else "CONCURRENTLY")
        connection.execute(
            sql.SQL("ALTER TABLE {table} DETACH PARTITION {partition} {how}").format(
                how=how, **names
            )
        )
        connection.execute(sql.SQL("DROP TABLE {partition}").format(**names))


@contextmanager
def outside_of_transactions(database: Database) -> Iterator[Connection]:
    """Lend a connection on which each statement is a transaction of its own."""
    with database.connection() as connection:
        before = connection.execute(_TIMEOUTS).fetchone()
        connection.commit()
        connection.autocommit = True
        connection.execute(_SET_TIMEOUTS, (_PATIENCE, _PATIENCE))
        try:
            yield connection
        except BaseException:
            # Nobody else is to get it as it is now.
            connection.close()
            raise
        connection.execute(_SET_TIMEOUTS, before)
        connection.autocommit = False


def _chunks(connection: Connection, table: str) -> Sequence[Chunk]:
    if table not in TABLES:
        raise ValueError(f"{table} is not cut into chunks")
    if not is_hypertable(connection, table):
        return partitions.partitions(connection, table)
    return [Chunk(*row) for row in connection.execute(_CHUNKS, (table,))]
