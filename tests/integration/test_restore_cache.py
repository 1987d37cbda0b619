"""What a process remembers of channels, it forgets when the server comes back restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hes.pipeline import DirectBus
from hes.pipeline.keeper import CacheKeeper
from hes.pipeline.publisher import Publisher
from hes.readings import LatestReader
from hes.services import Postgres
from hes.storage.cache import Cache, LatestCache, Ledger
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.migrations import migrate
from tests.batches import NOW, add_meters, later, profile
from tests.restoring import Drill


def test_a_channels_number_that_is_another_meters_now_harms_nothing_in_redis(
    postgres_factory: Callable[[], Postgres], tmp_path: Path, redis_url: str
) -> None:
    server = postgres_factory()
    server.start()
    for folder in (tmp_path, *tmp_path.parents):
        if folder == tmp_path or folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    drill = Drill(server, tmp_path)
    drill.begin()
    with (
        Database(server.url, wait_s=20) as database,
        # Of its own, and idle all the time.
        Database(server.url, wait_s=20) as publishing,
        Cache(redis_url) as cache,
    ):
        migrate(database)
        reconcile(database)
        first, second = add_meters(database, 2)
        backup = drill.back_up()
        keeper = CacheKeeper(database, cache)
        reader = LatestReader(database, LatestCache(cache), clock=lambda: NOW)
        truth = LatestReader(database, None, clock=lambda: NOW)
        with (
            Publisher(publishing, Ledger(cache)) as publisher,
            DirectBus(database, clock=lambda: NOW, listeners=[publisher]) as bus,
        ):
            keeper.run_once()
            bus.publish(profile([first], start=later(NOW, -4), intervals=1))
            keeper.run_once()
            assert reader.read([first, second]).rows == truth.read([first, second]).rows
            drill.destroy()
            drill.restore(backup, None)
            assert keeper.run_once().begun
            reader.read([first, second])  # now they are held, both empty
            bus.publish(profile([second], start=later(NOW, -3), intervals=1, offset=7))
            bus.publish(profile([second], start=later(NOW, -2), intervals=1, offset=8))
        keeper.run_once()
        rows = reader.read([first, second]).rows
    assert rows[first] == []
    assert len(rows[second]) == 4
