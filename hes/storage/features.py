"""
Switch on what the server has, after the migrations and as often as one likes.

TimescaleDB's hypertables where the extension can be had, plain tables elsewhere; queries use only
what plain PostgreSQL has, so that both answer alike. A server that gains the extension later gains
hypertables at the next `hes migrate`. Declarative partitions for plain PostgreSQL, roll-ups with
their dirty buckets and compression come with their consumers, not before.
"""

from __future__ import annotations

import attrs
import psycopg

from hes.storage.database import Connection, Database

HYPERTABLES = ("reading", "reading_float", "reading_text")

# 7 days: a year of one series then takes 164 locks; with chunks of one day it is 1,085.
_CREATE_HYPERTABLE = """
SELECT create_hypertable(
    %s::regclass, 'captured_at', chunk_time_interval => interval '7 days',
    create_default_indexes => false, if_not_exists => true, migrate_data => true)
"""

# Preloading is what lets CREATE EXTENSION succeed; without it the server ends the connection. The
# list of preloaded libraries is hidden from ordinary roles, a setting of the loader is not.
_STATE = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
       AND current_setting('timescaledb.disable_load', true) IS NOT NULL
"""

_STATEMENT_TIMEOUT_S = 600.0


@attrs.frozen
class Features:
    """What of the server is in use: TimescaleDB's version (None: plain tables), hypertables."""

    timescaledb: str | None
    hypertables: tuple[str, ...]


def reconcile(database: Database) -> Features:
    """
    Make use of what the server has. Idempotent; run after `migrate`.

    Raises:
        StorageUnavailableError: the database is away or a table is locked for too long.
    """
    version = _extension(database)
    if version is None:
        return Features(None, ())
    with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
        for table in HYPERTABLES:
            connection.execute(_CREATE_HYPERTABLE, (table,))
    return Features(version, HYPERTABLES)


def features(database: Database) -> Features:
    """Tell what is in use, changing nothing (for `hes doctor`)."""
    with database.connection() as connection:
        version, _ = _state(connection)
        if version is None:
            return Features(None, ())
        rows = connection.execute(
            "SELECT hypertable_name::text FROM timescaledb_information.hypertables"
            " WHERE hypertable_name = ANY (%s) ORDER BY 1",
            (list(HYPERTABLES),),
        )
        return Features(version, tuple(name for (name,) in rows))


def _extension(database: Database) -> str | None:
    """Return TimescaleDB's version, created if it can be; None where it cannot."""
    try:
        with database.connection() as connection:
            version, available = _state(connection)
            if version is None and available:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
                version, _ = _state(connection)
            return version
    except psycopg.errors.InsufficientPrivilege:
        # An administrator may create it; until then plain tables do.
        return None


def _state(connection: Connection) -> tuple[str | None, bool]:
    row = connection.execute(_STATE).fetchone()
    assert row is not None
    return row[0], row[1]
