"""
Fixtures that every test may use: real servers, and the folder of real captures.

A server starts when the first test asks for it and ends with the session. One that is missing is a
failure, not a skip, unless HES_TEST_ALLOW_MISSING=1. Set HES_DATABASE_URL or HES_REDIS_URL to run
against servers of your own (the database role needs CREATEDB).
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import structlog
from psycopg import sql

from hes.services import (
    Postgres,
    ServerMissingError,
    Service,
    database_service,
    mqtt_service,
    redis_service,
)

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("HES_DATA") or ROOT / ".hes")
SERVERS = DATA / "servers"
_DROP_WITHIN_S = 20.0


@pytest.fixture(scope="session", autouse=True)
def _no_logger_is_kept() -> Iterator[None]:
    """What a command keeps that a test runs in this process, no later test could capture."""
    with pytest.MonkeyPatch.context() as patch:
        configure = structlog.configure
        patch.setattr(
            structlog,
            "configure",
            lambda **given: configure(**given | {"cache_logger_on_first_use": False}),
        )
        _log_plainly()
        yield


def _log_plainly() -> None:
    """As by default, but for rich tracebacks: half a second each, and a meter's keys in them."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.reset_defaults()
    *processors, _ = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors, plain])
    structlog.contextvars.clear_contextvars()


@pytest.fixture(autouse=True)
def _logs_are_the_tests_own(_no_logger_is_kept: None) -> Iterator[None]:
    before = structlog.get_config()
    yield
    if structlog.get_config() != before:
        _log_plainly()


def _say(line: str) -> None:
    print(line)


@contextlib.contextmanager
def _missing_is_a_failure() -> Iterator[None]:
    try:
        yield
    except ServerMissingError as error:
        if os.environ.get("HES_TEST_ALLOW_MISSING") == "1":
            pytest.skip(str(error))
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """
    Folder for the data of the session's servers, in the clone and removed at the end.

    Not pytest's own: it keeps three sessions, which is much for databases. What sessions left
    that were killed is removed by the next.
    """
    folders = DATA / "test"
    folders.mkdir(parents=True, exist_ok=True)
    for left in folders.iterdir():
        if not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = folders / str(os.getpid())
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Fresh databases on the test session's server."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._prefix = f"t{secrets.token_hex(4)}"
        self._count = 0

    def create(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of `template` (its name), and return its URL."""
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement)
        return self._url(name)

    def drop(self, url: str) -> None:
        """Remove a database that `create` made, whoever is still connected."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        end = time.monotonic() + _DROP_WITHIN_S
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            while True:
                try:
                    connection.execute(statement.format(sql.Identifier(str(name))))
                except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
                    # A worker of the server's own (autovacuum, TimescaleDB) is in it for a moment,
                    # and those are not ours to end.
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)
                else:
                    return

    def _url(self, name: str) -> str:
        base, _, query = self._server_url.partition("?")
        return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


@pytest.fixture(scope="session")
def database_server(server_folder: Path) -> Iterator[Service]:
    """The session's PostgreSQL; without fsync, so fit for everything but tests of durability."""
    with _missing_is_a_failure():
        service = database_service(
            server_folder,
            url=os.environ.get("HES_DATABASE_URL"),
            servers=SERVERS,
            durable=False,
            report=_say,
        )
    with service:
        yield service


@pytest.fixture(scope="session")
def databases(database_server: Service) -> Databases:
    """Maker of databases: `create(template=None) -> url`, `drop(url)`."""
    return Databases(database_server.url)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """URL of an empty database of the test's own, with TimescaleDB in it if there is any."""
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
def postgres_factory(tmp_path: Path) -> Iterator[Callable[[], Postgres]]:
    """
    Make durable servers that the test may `kill()` with -9 and `start()` again.

    Each call gives one, not yet started, on data of its own; all are stopped afterwards.
    """
    made: list[Postgres] = []

    def make() -> Postgres:
        with _missing_is_a_failure():
            service = database_service(
                tmp_path / f"server-{len(made)}", servers=SERVERS, durable=True, report=_say
            )
        assert isinstance(service, Postgres)
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()


@pytest.fixture
def postgres_server(postgres_factory: Callable[[], Postgres]) -> Postgres:
    """One running durable server, for this test alone."""
    server = postgres_factory()
    server.start()
    return server


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[Service]:
    """The session's Redis."""
    with _missing_is_a_failure():
        service = redis_service(server_folder, url=os.environ.get("HES_REDIS_URL"))
    with service:
        yield service


@pytest.fixture
def redis_url(redis_server: Service) -> str:
    """URL of the session's Redis, emptied before the test (unless it is one of your own)."""
    if "HES_REDIS_URL" not in os.environ:
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def mqtt_server(server_folder: Path) -> Iterator[Service]:
    """The session's MQTT broker."""
    with _missing_is_a_failure():
        service = mqtt_service(server_folder, url=os.environ.get("HES_MQTT_URL"))
    with service:
        yield service


@pytest.fixture
def mqtt_url(mqtt_server: Service) -> str:
    """`mqtt://user:password@host:port` of the session's broker."""
    return mqtt_server.url


@pytest.fixture(scope="session")
def hes_vectors() -> Path:
    """Folder with `captures.jsonl`, the frames of real meters, which are never committed."""
    folder = Path(os.environ.get("HES_VECTORS") or ROOT.parent / "shared" / "vectors")
    if not (folder / "captures.jsonl").exists():
        pytest.skip(f"no captures.jsonl in {folder}: set HES_VECTORS")
    return folder
