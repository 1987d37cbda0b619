"""Databases at the current schema, for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest

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
    yield str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    databases.drop(url)


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
