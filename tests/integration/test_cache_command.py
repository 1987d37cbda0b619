"""`hes cache rebuild`, and the processes' wiring to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hes import wiring
from hes.cli.cache import cache as command
from hes.cli.errors import UNREACHABLE, exit_code
from hes.diagnosis import ServiceHealth, ServiceState
from hes.domain.errors import PermanentError
from hes.pipeline.keeper import CacheKeeper
from hes.readings import LatestReader, Source
from hes.settings import DatabaseSettings, Settings
from hes.storage.cache import Cache, CacheUnavailableError, Feed, LatestCache
from hes.storage.cache.feed import START
from hes.storage.database import Database
from tests.batches import NOW, add_meters, later, open_bus, profile

DEAD = "redis://:secret@127.0.0.1:1/0"


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with Database(migrated_url) as opened:
        meters = add_meters(opened, 3)
        with open_bus(opened) as bus:
            bus.publish(profile(meters, start=later(NOW, -8), intervals=4))
        yield opened


@pytest.fixture
def cache(redis_url: str) -> Iterator[Cache]:
    with Cache(redis_url) as opened:
        yield opened


def run(
    monkeypatch: pytest.MonkeyPatch, data: Path, database_url: str, redis_url: str, *arguments: str
) -> Result:
    monkeypatch.setenv("HES_DATABASE_URL", database_url)
    monkeypatch.setenv("HES_REDIS_URL", redis_url)
    monkeypatch.setenv("HES_DATA", str(data))
    wiring.settings.cache_clear()
    try:
        return CliRunner().invoke(command, ["rebuild", *arguments])
    finally:
        wiring.settings.cache_clear()


def test_rebuilt_from_the_database(
    database, cache, migrated_url, redis_url, monkeypatch, tmp_path
) -> None:
    keeper = CacheKeeper(database, cache)
    keeper.run_once()
    meters = meters_of(database)
    reader = LatestReader(database, LatestCache(cache), clock=lambda: NOW)
    before = reader.read(meters)
    assert {len(rows) for rows in before.rows.values()} == {4}
    result = run(monkeypatch, tmp_path, migrated_url, redis_url, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "of 3 meters" in result.stderr
    position = Feed(cache).end()
    # Something wrong that nobody can know of.
    name = next(iter(cache.call(lambda client: client.keys("hes:latest:*"))))
    cache.call(lambda client: client.hset(name, "1", "99:0:1:0:30:0:i7"))
    assert reader.read(meters).rows != before.rows
    monkeypatch.setattr("hes.cli.cache._PAGE", 2)
    monkeypatch.setattr("hes.cli.cache._SETTLE_S", 0.0)
    result = run(monkeypatch, tmp_path, migrated_url, redis_url)
    assert result.exit_code == 0, result.output
    assert result.stderr == "12 latest values of 3 meters\n"
    after = reader.read(meters)
    assert (after.rows, after.source) == (before.rows, Source.CACHE)
    assert Feed(cache).read(position, limit=9).gap


def meters_of(database: Database):
    with database.connection() as connection:
        return [row[0] for row in connection.execute("SELECT meter_id FROM meter")]


def test_without_redis_it_says_so(database, migrated_url, monkeypatch, tmp_path) -> None:
    result = run(monkeypatch, tmp_path, migrated_url, DEAD)
    assert isinstance(result.exception, CacheUnavailableError)
    assert exit_code(result.exception) == UNREACHABLE
    assert "secret" not in str(result.exception)
    result = run(monkeypatch, tmp_path, migrated_url, "")
    assert isinstance(result.exception, PermanentError)
    assert "HES_REDIS_URL" in str(result.exception)


def test_what_a_collector_commits_is_told(database, cache, migrated_url) -> None:
    meters = meters_of(database)
    settings = Settings(database=DatabaseSettings(url=migrated_url))
    with (
        wiring.publishing(database, cache) as listeners,
        wiring.bus(settings, listeners) as bus,
    ):
        receipt = bus.publish(profile(meters[:1], start=later(NOW, -4), intervals=2))
    told = [one.batch_id for one in Feed(cache).read(START, limit=99).entries]
    assert receipt.batch_id in told
    with wiring.publishing(database, None) as listeners:
        assert listeners == ()


def test_how_the_servers_do(database, cache) -> None:
    def states(held: Cache | None, of: Database = database) -> list[ServiceState]:
        return [one.state for one in ServiceHealth(of, held, trust_s=10.0).read()]

    assert states(None) == [ServiceState.OK, ServiceState.AWAY]
    assert states(cache) == [ServiceState.OK, ServiceState.DEGRADED]
    CacheKeeper(database, cache).run_once()
    assert states(cache) == [ServiceState.OK, ServiceState.OK]
    ago_ms = cache.now_ms() - 60_000
    cache.call(lambda client: client.hset("hes:state", "settled_ms", ago_ms))
    assert states(cache) == [ServiceState.OK, ServiceState.DEGRADED]
    with Cache(DEAD) as dead, Database("postgresql://127.0.0.1:1/none", wait_s=0.2) as away:
        assert states(dead, away) == [ServiceState.AWAY, ServiceState.AWAY]
        reports = ServiceHealth(away, dead, trust_s=10.0).read()
        assert "127.0.0.1" not in str(reports)
