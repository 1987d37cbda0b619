"""
Plain PostgreSQL: the large tables are declaratively partitioned by time, one partition per chunk.

Partitions are made ahead and on demand by `ensure`: a table of its own that is then attached,
which blocks nobody, neither readers nor writers. There is no default partition: attaching beside
one would have to search it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from hes.storage.database import Connection, Database
from hes.storage.features import chunks
from hes.storage.features.chunks import Chunk

AHEAD: Final = 4

# Whoever makes partitions holds it, and nobody else, since writers wait for it: the migrations hold
# ...00, changes of meters ...01, what comes from unknown senders ...02.
_ADVISORY_LOCK: Final = 0x4845_5303
_LOCK_TIMEOUT: Final = "2s"
_SUFFIX: Final = "_p%Y%m%d"

# By name first, which is cheap enough for every transaction of a writer.
_MISSING: Final = """
SELECT wanted.name, chunk.number
FROM unnest(%(tables)s::text[]) AS wanted (name)
JOIN pg_class ON pg_class.oid = to_regclass(wanted.name) AND relkind = 'p'
CROSS JOIN unnest(%(numbers)s::int8[], %(suffixes)s::text[]) AS chunk (number, suffix)
WHERE to_regclass(wanted.name || chunk.suffix) IS NULL
"""

_PARTITIONS: Final = """
SELECT child.relname::text, pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(%s)
ORDER BY 1
"""

_BOUND: Final = re.compile(r"FOR VALUES FROM \('(?P<since>[^']+)'\) TO \('(?P<until>[^']+)'\)")


def ensure(
    database: Database, numbers: Iterable[int], tables: Iterable[str] = chunks.READINGS
) -> None:
    """
    See that rows of these chunks find a place. Cheap when they do; needless with TimescaleDB.

    In transactions of its own: call it before the one that inserts, not within.

    Args:
        numbers: `chunks.numbers(captured_at)`.
        tables: of `chunks.TABLES`.

    Raises:
        StorageUnavailableError: the database is away, or somebody changes the table.
    """
    wanted = sorted(set(numbers))
    parameters = {
        "tables": list(tables),
        "numbers": wanted,
        "suffixes": [name_of("", number) for number in wanted],
    }
    with database.connection() as connection:
        missing = connection.execute(_MISSING, parameters).fetchall()
    if missing:
        with database.connection() as connection:
            make(connection, missing)


def ensure_ahead(database: Database, now: datetime) -> None:
    """
    Make the partitions of now and of the weeks to come, so that nobody has to on the way.

    Raises:
        StorageUnavailableError: as `ensure`.
    """
    first = chunks.number_of(now)
    ensure(database, range(first, first + AHEAD + 1), chunks.TABLES)


def make(connection: Connection, missing: Sequence[tuple[str, int]]) -> None:
    """Make partitions where no other covers the chunk yet, within a transaction of the caller's."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    for table in sorted({table for table, _ in missing}):
        # As attaching does anyway, but before one looks: it may be a hypertable by now.
        connection.execute(
            sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(sql.Identifier(table))
        )
        if not is_partitioned(connection, table):
            continue
        there = partitions(connection, table)
        for number in sorted(number for name, number in missing if name == table):
            since, until = chunks.since(number), chunks.since(number + 1)
            if not any(one.since < until and since < one.until for one in there):
                partition = name_of(table, number)
                connection.execute(
                    sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(
                        sql.Identifier(partition), sql.Identifier(table)
                    )
                )
                attach(connection, table, partition, since, until)


def is_partitioned(connection: Connection, table: str) -> bool:
    """Whether a table has partitions of ours, and is neither plain nor a hypertable."""
    row = connection.execute(
        "SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", (table,)
    ).fetchone()
    return row == (True,)


def name_of(table: str, number: int) -> str:
    """Name the partition that `make` makes for a chunk."""
    return table + chunks.since(number).strftime(_SUFFIX)


def chunk_of(table: str, name: str) -> Chunk:
    """Tell for which chunk a partition was made, from its name."""
    since = datetime.strptime(name, table + _SUFFIX).replace(tzinfo=UTC)
    return Chunk(name, since, chunks.since(chunks.number_of(since) + 1))


def partitions(connection: Connection, table: str) -> Sequence[Chunk]:
    """The partitions of a table, oldest first."""
    found = []
    for name, bound in connection.execute(_PARTITIONS, (table,)):
        # Null: somebody is dropping it just now.
        match = _BOUND.fullmatch(bound or "")
        if match is not None:  # what an administrator attached otherwise is none of ours
            since, until = (datetime.fromisoformat(match[side]) for side in ("since", "until"))
            found.append(Chunk(name, since.astimezone(UTC), until.astimezone(UTC)))
    return sorted(found, key=lambda one: one.since)


def attach(
    connection: Connection, table: str, partition: str, since: datetime, until: datetime
) -> None:
    """Make a table that is like `table`, and whose rows lie in [since, until), a part of it."""
    connection.execute(
        sql.SQL(
            "ALTER TABLE {table} ATTACH PARTITION {partition}"
            " FOR VALUES FROM ({since}) TO ({until})"
        ).format(
            table=sql.Identifier(table),
            partition=sql.Identifier(partition),
            since=sql.Literal(since.isoformat()),
            until=sql.Literal(until.isoformat()),
        )
    )
