"""
Storage under kill -9: a writing process, PostgreSQL, Redis, and who puts them up again.

One process writes and publishes; it is replaced when it is killed, and goes on with what has no
receipt. What Redis tells is kept true by a keeper in this process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import attrs
import redis

from hes.pipeline.keeper import CacheKeeper
from hes.readings import LatestReader, Source
from hes.services import Postgres, Redis
from hes.storage.cache import Cache, LatestCache
from hes.storage.database import Database
from tests.batches import NOW, meter_id
from tests.faults import writing
from tests.faults.judging import check
from tests.faults.mixed import MOST_BATCHES
from tests.history import History

_PAUSE_S = 0.04
_PATIENCE_S = 60.0


@attrs.define(slots=False)
class Storm:
    """
    Kills and measures.

    Use `with`: at its end the writer is stopped.
    """

    postgres: Postgres
    redis: Redis
    journal: Path
    chance: Random
    kills: Counter[str] = attrs.field(factory=Counter)
    recoveries_s: list[tuple[str, float]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self._database = Database(self.postgres.url, wait_s=1.0)
        self._cache = Cache(self.redis.url, timeout_s=0.5, pause_s=0.1)
        self._keeper = CacheKeeper(self._database, self._cache, every_s=0.2, grace_s=0.5)
        self._reader = LatestReader(self._database, LatestCache(self._cache), clock=lambda: NOW)
        self._process = self._start_writer()
        self._keeper.start()

    def kill(self, *names: str) -> None:
        """Kill these at once (`flush` empties Redis), and wait until all is as it was."""
        self.kills.update(names)
        since = time.monotonic()
        if "writer" in names:
            writing.kill(self._process)
        if "postgresql" in names:
            self.postgres.kill()
        if "redis" in names:
            self.redis.kill()
        elif "flush" in names:
            with redis.Redis.from_url(self.redis.url) as client:
                client.flushall()
        acked = self._acked()
        if "redis" in names:
            self.redis.start()
        if "postgresql" in names:
            self.postgres.start()
        if "writer" in names:
            self._process = self._start_writer()
        self._until(lambda: self._acked() > acked, "something is stored again")
        if {"redis", "flush"} & set(names):
            self._until(self._is_cached, "Redis is believed again")
        self.recoveries_s.append(("+".join(names), time.monotonic() - since))

    def kill_at_random(self) -> None:
        """Wait a moment, then kill one of them, sometimes two at once."""
        time.sleep(self.chance.uniform(0.0, 0.2))
        names = ["writer"] * 6 + ["postgresql", "redis"] * 2 + ["flush"]
        chosen = {self.chance.choice(names)}
        if self.chance.random() < 0.1:
            chosen.add(self.chance.choice(names))
        self.kill(*sorted(chosen))

    def check(self) -> int:
        """Finish what is unfinished and judge all; the number of rows that were checked."""
        writing.kill(self._process)
        history = History.read(self.journal)
        finishing = writing.start(
            self.postgres.url, self.journal, sorted(history.invoked - history.acked)
        )
        finishing.join(_PATIENCE_S)
        assert finishing.exitcode == 0
        finishing.close()
        self._process = self._start_writer(end=True)
        rows = check(self._database, self.journal)
        self._check_cache()
        return rows

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.close()
        writing.kill(self._process)
        self._cache.close()
        self._database.close()

    def _check_cache(self) -> None:
        meters = [meter_id(number) for number in range(20)]
        self._until(self._is_cached, "Redis is believed again")
        truth = LatestReader(self._database, None, clock=lambda: NOW).read(meters)
        assert truth.rows
        self._until(lambda: self._reader.read(meters).source is Source.CACHE, "all is cached")
        assert self._reader.read(meters).rows == truth.rows

    def _start_writer(self, *, end: bool = False) -> writing.Process:
        first = self._acked()
        last = first if end else MOST_BATCHES
        return writing.start(
            self.postgres.url,
            self.journal,
            range(first, last),
            redis_url=self.redis.url,
            pause_s=_PAUSE_S,
        )

    def _acked(self) -> int:
        return self.journal.read_bytes().count(b"acked") if self.journal.exists() else 0

    def _is_cached(self) -> bool:
        return self._reader.read([meter_id(0)]).source is Source.CACHE

    @staticmethod
    def _until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"still not: {what}"
            time.sleep(0.01)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
