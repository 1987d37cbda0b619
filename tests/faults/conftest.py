"""Databases with meters, a proxy before them, and servers of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from hes.services import Postgres, Redis, redis_service
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.migrations import migrate
from tests.batches import add_meters, open_database
from tests.faults.mixed import METERS
from tests.faults.proxy import Proxy

_add_meters = partial(add_meters, count=METERS, commissioned_at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Hypertables where the server has them, and 100 meters that were there for years."""
    with open_database(database_url, hypertables=True) as opened:
        _add_meters(opened)
        yield opened


@pytest.fixture
def partitioned(database_url: str) -> Iterator[Database]:
    """The same in a database with plain PostgreSQL's partitions."""
    with open_database(database_url, hypertables=False) as opened:
        _add_meters(opened)
        yield opened


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A way to the test's database that can be cut."""
    made = Proxy(database_url)
    yield made
    made.close()


@pytest.fixture
def own_server(postgres_factory: Callable[[], Postgres]) -> Postgres:
    """A durable server of the test's own, with schema and meters."""
    server = postgres_factory()
    server.start()
    furnish(server)
    return server


def furnish(server: Postgres) -> None:
    """Make schema and meters in a server's own database."""
    with Database(server.url) as database:
        migrate(database)
        reconcile(database)
        _add_meters(database)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    with redis_service(tmp_path / "redis") as server:
        assert isinstance(server, Redis)
        yield server
