"""Databases of older releases, with data in them, come to today's schema step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.migrations import migrate, shipped
from tests.batches import DAY, open_bus, profile
from tests.catalog import describe
from tests.older_dump import OLDER, kek_file

DUMPS = sorted(OLDER.glob("*.sql"))

# As the releases before partitions made them: hes/storage/features.py of that time.
HYPERTABLE = (
    "SELECT create_hypertable(%s::regclass, 'captured_at', chunk_time_interval =>"
    " interval '7 days', create_default_indexes => false, migrate_data => true)"
)
HYPERTABLES = ("reading", "reading_float", "reading_text")

Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture(params=DUMPS, ids=lambda path: path.stem)
def dump(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def older(dump: Path, database_url: str) -> Iterator[Database]:
    """A database as an older release left it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(dump.read_bytes())
    with Database(database_url) as database:
        yield database


def contents(database: Database, columns: dict[str, list[str]]) -> Rows:
    """Every row of these columns as text, by table."""
    with database.connection() as connection:
        return {
            table: connection.execute(
                f"SELECT ROW({', '.join(names)})::text FROM {table} ORDER BY 1"
            ).fetchall()
            for table, names in columns.items()
        }


def columns_of(database: Database) -> dict[str, list[str]]:
    """The columns of all tables, but for the migrations' own."""
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT relname, array_agg(quote_ident(attname) ORDER BY attnum)"
            " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0"
            "   AND NOT attisdropped AND relname <> 'schema_migration' GROUP BY relname"
        ).fetchall()
    return dict(rows)


# Every meter in service gets a row by 0104, with an address or without.
GROWS = {"due_work"}


def known_of(before: Rows, after: Rows) -> Rows:
    """`after` without the rows that a step may add."""
    return {
        table: [row for row in rows if table not in GROWS or row in before[table]]
        for table, rows in after.items()
    }


def test_each_step_leaves_what_there_was(dump: Path, older: Database) -> None:
    columns = columns_of(older)
    before = contents(older, columns)
    filled = {table for table, rows in before.items() if rows}
    assert filled >= {"meter", "association", "reading", "reading_float", "reading_text",
                      "reading_revision", "batch", "mark", "completeness", "quarantine",
                      "session", "own_counter", "kek", "due_work"}  # fmt: skip
    at = int(dump.stem)
    steps = [migration for migration in shipped() if migration.number > at]
    assert steps
    for step in steps:
        wanted = [migration for migration in shipped() if migration.number <= step.number]
        assert migrate(older, wanted) == [step.file_name]
        assert known_of(before, contents(older, columns)) == before, step.file_name


def test_in_one_go_it_becomes_the_schema_of_a_new_database(
    older: Database, shared_url: str
) -> None:
    migrate(older)
    with Database(shared_url) as new:
        assert described(older) == described(new)


@pytest.mark.parametrize("was_hypertable", [False, True], ids=["plain", "hypertables"])
def test_collecting_goes_on_where_it_stood(older: Database, was_hypertable: bool) -> None:
    if was_hypertable:
        make_hypertables(older)
    columns = columns_of(older)
    before = contents(older, columns)
    migrate(older)
    reconcile(older)
    assert known_of(before, contents(older, columns)) == before
    meters = meters_of(older)
    with open_bus(older) as bus:
        again = bus.publish(profile(meters, start=DAY))
        assert (again.stored, again.revised, again.quarantined) == (0, 4 * 4, 0)
        assert again.duplicates == 2 * 4 * 96 - 4 * 4
    with kek_file() as kek:
        keys = KeyService.open(older, kek)
        assert keys.secrets(meters[0], 1).ek == bytes.fromhex("00112233445566778899aabbccddeeff")
        assert keys.secrets(meters[1], 1).secret == b"0" * 8
    assert CounterStore(older).reserve(meters[0], 1, size=10).first > 100


def described(database: Database) -> dict[str, set[str]]:
    """The schema, without the parentheses that a dump and a restore put otherwise."""
    with database.connection() as connection:
        return {
            name: {str(row).translate({ord("("): None, ord(")"): None}) for row in rows}
            for name, rows in describe(connection).items()
        }


def make_hypertables(database: Database) -> None:
    with database.connection() as connection:
        available = connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
    if available == (0,):
        pytest.skip("this server has no TimescaleDB")
    with database.connection() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    with database.connection() as connection:
        for table in HYPERTABLES:
            connection.execute(HYPERTABLE, (table,))


def meters_of(database: Database) -> list[UUID]:
    inventory = Inventory(database)
    return [inventory.find(serial) for serial in ("OLD1", "OLD2")]
