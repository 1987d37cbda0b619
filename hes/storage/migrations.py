"""
Bring a database to the schema that this code expects.

`migrations/NNNN_what.sql`, one schema change per file, applied in the order of their numbers, each
in a transaction of its own under one advisory lock. `schema.sql` is the whole schema, kept by hand
and compared with the outcome of the migrations in a test. What depends on the server's features is
not here but in `hes.storage.features`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable

import attrs

from hes.domain.errors import PermanentError
from hes.storage.database import Connection, Database

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_ADVISORY_LOCK = 0x4845_5300  # "HES": everything that changes the schema holds it
_TURN_TIMEOUT = "120s"
_LOCK_TIMEOUT = "5s"
_STATEMENT_TIMEOUT = "600s"

_STATE_TABLE = """
CREATE TABLE schema_migration (
    number int4 PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(PermanentError):
    """The migrations here and those that the database has seen do not belong together."""


@attrs.frozen
class Migration:
    """One file; `name` is the file name without number and suffix."""

    number: int
    name: str
    sql: bytes = attrs.field(repr=False)

    @property
    def file_name(self) -> str:
        """The name under which it lies in `migrations/`."""
        return f"{self.number:04}_{self.name}.sql"

    @property
    def sha256(self) -> bytes:
        """Digest of the file, by which a changed old file is noticed."""
        return hashlib.sha256(self.sql).digest()


def shipped() -> Sequence[Migration]:
    """
    The migrations of this version of the code.

    Raises:
        MigrationError: a file is named otherwise than `NNNN_what.sql`, or a number comes twice.
    """
    return read(resources.files("hes.storage") / "migrations")


def read(folder: Traversable) -> Sequence[Migration]:
    """
    The migrations in a folder, in the order of their numbers.

    Raises:
        MigrationError: a file is named otherwise than `NNNN_what.sql`, or a number comes twice.
    """
    found: dict[int, Migration] = {}
    for entry in folder.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(entry.name)
        if match is None:
            raise MigrationError(f"{entry.name}: a migration is named NNNN_what.sql")
        migration = Migration(int(match[1]), match[2], entry.read_bytes())
        if migration.number in found:
            other = found[migration.number].file_name
            raise MigrationError(f"{entry.name}: {other} has the same number")
        found[migration.number] = migration
    return [found[number] for number in sorted(found)]


def migrate(database: Database, migrations: Sequence[Migration] | None = None) -> list[str]:
    """
    Apply what the database has not seen yet. Safe to run twice, and from two processes at once.

    Args:
        migrations: those shipped with the code, unless given.

    Returns:
        The names of the files applied, in order.

    Raises:
        MigrationError: a file was changed after it was applied, the database knows one that is
            not here (it is newer than this code), or one is missing below the latest.
        StorageUnavailableError: the database is away, or somebody holds a lock for too long; files
            applied before that stay applied.
    """
    wanted = shipped() if migrations is None else migrations
    applied: list[str] = []
    while True:
        with database.connection() as connection:
            take_turn(connection)
            if not _has_state(connection):
                connection.execute(_STATE_TABLE)
            left = _pending(wanted, _seen(connection))
            if not left:
                return applied
            migration = left[0]
            connection.execute(migration.sql, prepare=False)
            connection.execute(
                "INSERT INTO schema_migration (number, name, sha256) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.sha256),
            )
        applied.append(migration.file_name)


def pending(database: Database, migrations: Sequence[Migration] | None = None) -> list[str]:
    """
    The names of the files that `migrate` would apply, changing nothing.

    Raises:
        MigrationError: as `migrate`.
        StorageUnavailableError: the database is away.
    """
    wanted = shipped() if migrations is None else migrations
    with database.connection() as connection:
        seen = _seen(connection) if _has_state(connection) else {}
        return [migration.file_name for migration in _pending(wanted, seen)]


def take_turn(connection: Connection) -> None:
    """Wait until nobody else migrates, then set the time-outs for the change itself."""
    connection.execute(
        "SELECT set_config('statement_timeout', %(patient)s, true),"
        "       set_config('lock_timeout', %(patient)s, true)",
        {"patient": _TURN_TIMEOUT},
    )
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    # A change that cannot get its lock must not queue before everybody else's work.
    connection.execute(
        "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
        (_STATEMENT_TIMEOUT, _LOCK_TIMEOUT),
    )


def _has_state(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone()
    return row == (True,)


def _seen(connection: Connection) -> dict[int, tuple[str, bytes]]:
    rows = connection.execute("SELECT number, name, sha256 FROM schema_migration")
    return {number: (name, bytes(sha256)) for number, name, sha256 in rows}


def _pending(wanted: Sequence[Migration], seen: dict[int, tuple[str, bytes]]) -> list[Migration]:
    here = {migration.number for migration in wanted}
    for number, (name, _) in sorted(seen.items()):
        if number not in here:
            raise MigrationError(
                f"{number:04}_{name}.sql was applied but is not here: newer schema"
            )
    latest = max(seen, default=0)
    left: list[Migration] = []
    for migration in wanted:
        if migration.number in seen:
            if seen[migration.number][1] != migration.sha256:
                raise MigrationError(f"{migration.file_name} was changed after it was applied")
        elif migration.number < latest:
            raise MigrationError(f"{migration.file_name} comes late: {latest:04} is applied")
        else:
            left.append(migration)
    return left
