"""Look what the server has and what of it is in use, changing nothing."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from hes.storage.database import Connection, Database
from hes.storage.features import community
from hes.storage.features.chunks import READINGS, TABLES

# Preloading is what lets CREATE EXTENSION succeed; without it the server ends the connection. The
# list of preloaded libraries is hidden from ordinary roles, a setting of the loader is not.
_SERVER: Final = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
       AND current_setting('timescaledb.disable_load', true) IS NOT NULL,
       current_setting('timescaledb.license', true)
"""

_PARTITIONED: Final = """
SELECT relname::text FROM pg_class
WHERE oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) AND relkind = 'p'
ORDER BY 1
"""

_HYPERTABLES: Final = """
SELECT hypertable_name::text FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema AND hypertable_name = ANY (%s)
ORDER BY 1
"""


class Path(enum.StrEnum):
    """By which means the large tables are kept."""

    PLAIN = "plain tables"
    PARTITIONS = "partitions by time"
    APACHE = "hypertables"
    COMMUNITY = "compressed hypertables"


@attrs.frozen
class Server:
    """What the server has: TimescaleDB's version in this database, or if it can be created."""

    timescaledb: str | None
    available: bool
    licence: str | None

    @property
    def is_community(self) -> bool:
        """Whether compression and continuous aggregates may be used."""
        return self.timescaledb is not None and self.licence == "timescale"


@attrs.frozen
class Features:
    """
    What is in use. `timescaledb`: its version; `licence`: `apache` or `timescale`.

    `compressed`: tables whose old chunks are; `aggregate`: whether there is a continuous one.
    """

    timescaledb: str | None
    licence: str | None
    hypertables: tuple[str, ...]
    partitioned: tuple[str, ...]
    compressed: tuple[str, ...] = ()
    aggregate: bool = False

    @property
    def path(self) -> Path:
        """The means by which the readings are kept."""
        if "reading" in self.hypertables:
            return Path.COMMUNITY if "reading" in self.compressed else Path.APACHE
        return Path.PARTITIONS if "reading" in self.partitioned else Path.PLAIN

    @property
    def is_settled(self) -> bool:
        """Whether `reconcile` would find nothing to do."""
        if self.timescaledb is None:
            return len(self.partitioned) == len(TABLES)
        licensed = self.licence == "timescale"
        return len(self.hypertables) == len(TABLES) and (
            not licensed or (self.aggregate and set(READINGS) <= set(self.compressed))
        )

    def __str__(self) -> str:
        """What a person is told: `hypertables (TimescaleDB 2.19.3, Apache edition)`."""
        if self.path in (Path.PLAIN, Path.PARTITIONS):
            return self.path.value
        edition = "community" if self.licence == "timescale" else "Apache"
        return f"{self.path.value} (TimescaleDB {self.timescaledb}, {edition} edition)"


def state(database: Database) -> Features:
    """
    Tell what is in use.

    Raises: StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        return look(connection)


def look(connection: Connection) -> Features:
    """Tell what is in use, within a transaction of the caller's."""
    tables = list(TABLES)
    found = server(connection)
    partitioned = tuple(name for (name,) in connection.execute(_PARTITIONED, (tables,)))
    if found.timescaledb is None:
        return Features(None, None, (), partitioned)
    catalog = community.look(connection)
    return Features(
        timescaledb=found.timescaledb,
        licence=found.licence,
        hypertables=tuple(name for (name,) in connection.execute(_HYPERTABLES, (tables,))),
        partitioned=partitioned,
        compressed=catalog.compressed,
        aggregate=catalog.refreshed is not None,
    )


def server(connection: Connection) -> Server:
    """What the server has, within a transaction of the caller's."""
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return Server(*row)


def is_hypertable(connection: Connection, table: str) -> bool:
    """Whether a table is cut by TimescaleDB."""
    if server(connection).timescaledb is None:
        return False
    return connection.execute(_HYPERTABLES, ([table],)).fetchone() is not None
