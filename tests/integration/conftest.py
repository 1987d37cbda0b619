"""Databases at the current schema, and an inventory in one, for the integration tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from hes.keys import KeyService
from hes.meters import Inventory
from hes.storage.database import Database
from hes.storage.migrations import migrate

if TYPE_CHECKING:
    from tests.conftest import Databases


@pytest.fixture(scope="session")
def migrated_template(databases: Databases) -> Iterator[str]:
    """Name of a database at the current schema: copied, it saves every test the migrations."""
    url = databases.create()
    with Database(url) as database:
        migrate(database)
    name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    _disconnect(url, name)
    yield name
    databases.drop(url)


def _disconnect(url: str, name: str) -> None:
    """Let nobody into a database: only such a one can be copied, and TimescaleDB's workers stay."""
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


@pytest.fixture
def migrated_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """URL of a database of the test's own, at the current schema."""
    url = databases.create(template=migrated_template)
    yield url
    databases.drop(url)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """A `Database` of the test's own, at the current schema."""
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
