"""Databases at the current schema, and an inventory in one, for the integration tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage.database import Database
from hes.storage.migrations import migrate

if TYPE_CHECKING:
    from tests.conftest import Databases


@pytest.fixture(scope="session")
def shared_url(databases: Databases) -> Iterator[str]:
    """
    URL of a database at the current schema, for one test after the other.

    Not a template to be copied for each: TimescaleDB's workers connect to it, and a database that
    anybody is connected to cannot be copied.
    """
    url = databases.create()
    with Database(url) as database:
        migrate(database)
    yield url
    databases.drop(url)


@pytest.fixture
def migrated_url(shared_url: str) -> str:
    """URL of a database at the current schema with nothing in it."""
    with psycopg.connect(shared_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT string_agg(quote_ident(relname), ', ') FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
            " AND relname NOT IN ('schema_migration', 'tenant')"
        ).fetchone()
        assert tables is not None
        connection.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE")
        # The one that the migrations make is part of the schema.
        connection.execute("DELETE FROM tenant WHERE tenant_id <> 1")
    return shared_url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """A `Database` at the current schema with nothing in it."""
    with Database(migrated_url) as opened:
        yield opened


@pytest.fixture
def keys(database: Database, tmp_path: Path) -> KeyService:
    """Keys wrapped by a KEK in `tmp_path / "kek"`."""
    return KeyService.open(database, tmp_path / "kek")


@pytest.fixture
def inventory(database: Database, keys: KeyService) -> Inventory:
    """The inventory, empty."""
    return Inventory(database, keys)


@pytest.fixture
def add_meter(inventory: Inventory) -> Callable[..., UUID]:
    """Import one meter: `add_meter(serial, **fields of a meter file) -> meter_id`."""

    def add(serial: str, **fields: Any) -> UUID:
        row = {"serial": serial, "timezone": "Europe/Vienna", **fields}
        report = inventory.import_file([json.dumps(row)], on_existing="replace")
        assert not report.errors, report.errors
        return inventory.find(serial)

    return add
