"""
What Redis says of latest values is what the database says, whatever happens in between.

The truth is a reader without Redis. Publications are delayed, doubled and lost as a writer that
dies between COMMIT and publishing, or a Redis that is away, would have it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis

from hes.domain.readings import SourceKind, ValueStore
from hes.pipeline import WindowPolicy, Writer
from hes.pipeline.committed import Committed
from hes.pipeline.keeper import CacheKeeper, Settled
from hes.pipeline.publisher import Publisher
from hes.readings import LatestReader, Source
from hes.services import Redis, redis_service
from hes.storage.cache import Cache, CacheUnavailableError, Feed, LatestCache, Ledger, keys
from hes.storage.cache.feed import START
from hes.storage.database import Database
from tests.batches import NOW, add_meters, batch, channel, later, meter_id, series

METER, OTHER = meter_id(0), meter_id(1)
COUNT = series(channel(METER))
PUSHED = series(channel(METER, source=None))


class Bench:
    """A writer whose publications are held back, a keeper and readers over one database."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self.database = database
        self.cache = cache
        self.held_back: list[Committed] = []
        self.writer = Writer(database, WindowPolicy(), clock=lambda: NOW, listeners=[self])
        self.publisher = Publisher(database, Ledger(cache))
        self.keeper = CacheKeeper(database, cache, grace_s=0.0)
        self.reader = LatestReader(database, LatestCache(cache), clock=lambda: NOW)
        self.truth = LatestReader(database, None, clock=lambda: NOW)

    def committed(self, committed: Committed) -> None:
        self.held_back.append(committed)

    def write(self, *rows, kind: SourceKind = SourceKind.PROFILE, publish: bool = True) -> int:
        (receipt,) = self.writer.write([batch(rows, kind=kind)])
        if publish:
            self.publish()
        return receipt.batch_id

    def publish(self) -> None:
        """Publish what is held back."""
        while self.held_back:
            self.publisher._publish(self.held_back.pop(0))

    def expect(self, source: Source, meters: Sequence[UUID] = (METER,)) -> None:
        """See that the answer is right, and where it comes from."""
        found = self.reader.read(meters)
        assert found.rows == self.truth.read(meters).rows
        assert found.source is source


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with Database(migrated_url) as opened:
        add_meters(opened, 3)
        yield opened


@pytest.fixture
def bench(database: Database, redis_url: str) -> Iterator[Bench]:
    with Cache(redis_url) as cache:
        yield Bench(database, cache)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that the test may kill and stop."""
    with redis_service(tmp_path) as server:
        assert isinstance(server, Redis)
        yield server


@pytest.fixture
def own_bench(database: Database, own_redis: Redis) -> Iterator[Bench]:
    with Cache(own_redis.url, timeout_s=0.2, pause_s=0.3) as cache:
        yield Bench(database, cache)


def warm(bench: Bench) -> None:
    """Begin, and have two meters held."""
    bench.write((COUNT, later(NOW, -8), 1), (PUSHED, later(NOW, -8), 2))
    bench.keeper.run_once()
    bench.expect(Source.DATABASE, [METER, OTHER])
    bench.expect(Source.CACHE, [METER, OTHER])


def test_commits_are_seen_without_the_database(bench) -> None:
    warm(bench)
    bench.write((COUNT, later(NOW, -7), 10))
    bench.expect(Source.CACHE)
    (counted, _) = bench.reader.read([METER]).rows[METER]
    assert (counted.reading.captured_at, counted.reading.value) == (later(NOW, -7), 1)
    assert counted.unit == "Wh"
    # Late, null, another scaler, a new channel with text, and what is no change at all.
    bench.write((COUNT, later(NOW, -20), 3), (COUNT, later(NOW, -6), None))
    bench.expect(Source.CACHE)
    bench.write((series(channel(METER), -2), later(NOW, -5), 7))
    text = series(channel(METER, source=None, store=ValueStore.TEXT))
    bench.write((text, later(NOW, -5), "a:b ü"), kind=SourceKind.PUSH)
    bench.write((text, later(NOW, -5), "a:b ü"), kind=SourceKind.PUSH)
    bench.expect(Source.CACHE)


def test_a_correction_of_the_latest_value_is_asked_of_the_database_once(bench) -> None:
    warm(bench)
    for value, kind in ((5, SourceKind.SPOT), (6, SourceKind.PUSH), (5, SourceKind.SPOT)):
        bench.write((PUSHED, later(NOW, -8), value), kind=kind)
        bench.expect(Source.DATABASE)
        bench.expect(Source.CACHE)
    assert bench.reader.read([METER]).rows[METER][1].reading.revised


def test_unknown_meters_have_nothing(bench) -> None:
    warm(bench)
    found = bench.reader.read([meter_id(77), OTHER, OTHER])
    assert found.rows == {meter_id(77): [], OTHER: []}
    assert bench.reader.read([]).rows == {}


def test_a_batch_that_nobody_published_is_found(bench) -> None:
    warm(bench)
    feed = Feed(bench.cache)
    position = feed.end()
    lost = bench.write((COUNT, later(NOW, -7), 10), publish=False)
    known = bench.write((series(channel(OTHER)), later(NOW, -7), 10), publish=False)
    bench.publisher._publish(bench.held_back.pop())
    assert bench.keeper.run_once() == Settled(batches=2, repaired=1)
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE, [METER, OTHER])
    # The one who comes late with it changes nothing.
    bench.publish()
    bench.expect(Source.CACHE, [METER, OTHER])
    told = [one.batch_id for one in feed.read(position, limit=9).entries]
    assert sorted(told) == [lost, known]
    assert bench.keeper.run_once() == Settled()


def test_the_keeper_waits_for_what_is_being_published(bench) -> None:
    warm(bench)
    bench.write((COUNT, later(NOW, -7), 10), publish=False)
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            bench.publish()

    patient = CacheKeeper(bench.database, bench.cache, grace_s=2.0, sleep=nap)
    assert patient.run_once() == Settled(batches=1, repaired=0)
    assert len(naps) == 3
    bench.expect(Source.CACHE)


def test_a_transaction_that_commits_late_is_not_missed_and_holds_nobody_up(bench) -> None:
    warm(bench)
    with psycopg.connect(bench.database._pool.conninfo) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        bench.write((COUNT, later(NOW, -7), 10))
        assert bench.keeper.run_once().batches == 1
        assert bench.keeper.run_once().batches == 0
        bench.expect(Source.CACHE)
        (series_id,) = slow.execute("SELECT min(series_id) FROM series").fetchone()
        slow.execute(
            "INSERT INTO reading (captured_at, value, batch_id, series_id, quality)"
            " VALUES (%s, 99, 999, %s, 0)",
            (later(NOW, -6), series_id),
        )
        slow.execute(
            "INSERT INTO batch (batch_id, batch_key, source_kind, received_at, stored, duplicates,"
            " revised, quarantined, meter_ids) OVERRIDING SYSTEM VALUE"
            " VALUES (999, gen_random_uuid(), 'profile', now(), 1, 0, 0, 0, ARRAY[%s])",
            (METER,),
        )
        slow.commit()
    assert bench.keeper.run_once() == Settled(batches=1, repaired=1)
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_what_is_read_while_a_commit_is_published_is_not_kept(bench, monkeypatch) -> None:
    """The reader has asked the database before the commit and would fill in after it."""
    bench.keeper.run_once()
    cache = bench.reader._cache
    fill = cache.fill

    def late(lease, values):
        bench.write((COUNT, later(NOW, -7), 10))
        return fill(lease, values)

    monkeypatch.setattr(cache, "fill", late)
    bench.reader.read([METER])
    monkeypatch.undo()
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


# Nobody keeps Redis, or it has lost everything.


def test_without_a_keeper_nothing_is_believed(bench) -> None:
    warm(bench)
    ago_ms = bench.cache.now_ms() - 11_000
    bench.cache.call(lambda client: client.hset(keys.STATE, "settled_ms", ago_ms))
    bench.write((COUNT, later(NOW, -7), 10), publish=False)
    bench.expect(Source.DATABASE)
    bench.expect(Source.DATABASE)
    bench.keeper.run_once()
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_after_flushall_everything_is_right_at_once_and_fast_again_soon(bench) -> None:
    warm(bench)
    bench.cache.call(lambda client: client.flushall())
    bench.expect(Source.DATABASE)
    bench.write((COUNT, later(NOW, -30), 10))
    assert bench.keeper.run_once().begun
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_an_evicted_meter_is_not_begun_by_a_late_row(bench) -> None:
    warm(bench)
    bench.cache.call(lambda client: client.delete(keys.latest(METER)))
    bench.write((COUNT, later(NOW, -30), 10))
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_another_database_begins_anew(bench) -> None:
    warm(bench)
    state = Ledger(bench.cache).state()
    bench.cache.call(lambda client: client.hset(keys.STATE, "database", "1:00000001:2"))
    assert bench.keeper.run_once().begun
    assert Ledger(bench.cache).state().database == state.database
    bench.expect(Source.DATABASE)


def test_a_clock_of_redis_that_was_set_back_begins_anew(bench) -> None:
    warm(bench)
    ahead_ms = bench.cache.now_ms() + 3_600_000
    bench.cache.call(lambda client: client.hset(keys.STATE, "settled_ms", ahead_ms))
    bench.expect(Source.DATABASE)
    assert bench.keeper.run_once().begun
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_a_batch_of_an_older_release_begins_anew(bench) -> None:
    warm(bench)
    bench.write((COUNT, later(NOW, -7), 10), publish=False)
    with bench.database.connection() as connection:
        connection.execute("UPDATE batch SET meter_ids = NULL")
    assert bench.keeper.run_once().begun
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_after_a_long_absence_everything_is_forgotten(bench, monkeypatch) -> None:
    warm(bench)
    monkeypatch.setattr("hes.pipeline.keeper._MOST_BATCHES", 2)
    for number in range(3):
        bench.write((COUNT, later(NOW, -7 + number), 10), publish=False)
    assert bench.keeper.run_once().begun
    bench.expect(Source.DATABASE)
    assert bench.keeper.run_once() == Settled()


# Redis dies, hangs, comes back with an old state.


def test_killed_and_back_with_an_old_state(own_bench, own_redis) -> None:
    bench = own_bench
    warm(bench)
    with redis.Redis.from_url(own_redis.url) as client:
        client.save()
    bench.write((COUNT, later(NOW, -7), 10))
    bench.keeper.run_once()
    bench.expect(Source.CACHE)
    own_redis.kill()
    bench.expect(Source.DATABASE)
    with pytest.raises(CacheUnavailableError):
        bench.keeper.run_once()
    bench.write((COUNT, later(NOW, -6), 20), publish=False)
    own_redis.start()
    time.sleep(0.3)
    # The state of before the kill: both batches are news to it.
    assert bench.keeper.run_once() == Settled(batches=2, repaired=2)
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def test_a_redis_that_hangs_costs_one_time_out_now_and_then(own_bench, own_redis) -> None:
    bench = own_bench
    warm(bench)
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        bench.expect(Source.DATABASE)
        assert 0.2 <= time.monotonic() - begin < 2
        begin = time.monotonic()
        bench.expect(Source.DATABASE)
        assert time.monotonic() - begin < 0.2  # nobody asks Redis for a while
        bench.write((COUNT, later(NOW, -7), 10), publish=False)
        begin = time.monotonic()
        for committed in bench.held_back * 100:
            bench.publisher.committed(committed)
        assert time.monotonic() - begin < 0.1  # a commit waits for nobody
        bench.publisher.close()
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    bench.held_back.clear()
    _until(lambda: bench.keeper.run_once().repaired == 1)
    bench.expect(Source.DATABASE)
    bench.expect(Source.CACHE)


def _until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            if what():
                return
        except CacheUnavailableError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The threads.


def test_threads_publish_and_settle_by_themselves(bench) -> None:
    with (
        Publisher(bench.database, Ledger(bench.cache)) as publisher,
        CacheKeeper(bench.database, bench.cache, every_s=0.05, grace_s=1.0),
    ):
        writer = Writer(bench.database, WindowPolicy(), clock=lambda: NOW, listeners=[publisher])
        _until(lambda: Ledger(bench.cache).state() is not None)
        for number in range(20):
            writer.write([batch([(COUNT, later(NOW, number - 40), number)])])
            bench.reader.read([METER])
    page = Feed(bench.cache).read(START, limit=100)
    assert len(page.entries) == 20
    bench.keeper.run_once()
    bench.reader.read([METER])
    bench.expect(Source.CACHE)
    writer.write([batch([(COUNT, later(NOW, -2), 1)])])  # closed: not told, and no error
    assert len(Feed(bench.cache).read(page.position, limit=100).entries) == 0


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=5)])
def test_what_waits_is_bounded_and_the_largest_is_told_nevertheless(bench, ahead) -> None:
    """Also where no row was taken, because all lie in the future."""
    bench.keeper.run_once()
    for number in range(5):
        bench.write((COUNT, later(NOW, number - 40) + ahead, number), publish=False)
    entered, go_on = threading.Event(), threading.Event()

    class Stuck(Ledger):
        def publish(self, batches, values):
            entered.set()
            go_on.wait(10)
            return super().publish(batches, values)

    publisher = Publisher(bench.database, Stuck(bench.cache), max_octets=2500)
    publisher.committed(bench.held_back[0])
    assert entered.wait(10)
    for committed in bench.held_back[1:]:
        publisher.committed(committed)
    go_on.set()
    publisher.close()
    assert len(Feed(bench.cache).read(START, limit=9).entries) == 2
    one = Publisher(bench.database, Ledger(bench.cache), max_octets=0)
    one.committed(bench.held_back[4])
    one.close()
    assert len(Feed(bench.cache).read(START, limit=9).entries) == 3
    assert bench.keeper.run_once().repaired == 2


# Everything at once.


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_what_is_settled_is_the_truth(bench, seed) -> None:
    """
    Random rows (late, equal, corrected, null, of several series and sources), published at once,
    later, twice or never, between reads, evictions and flushes: after a look of the keeper's every
    answer is the database's.
    """
    dice = random.Random(seed)
    meters = [meter_id(number) for number in range(3)]
    from_cache = 0
    for _ in range(60):
        act = dice.random()
        if act < 0.55:
            bench.writer.write([_batch(dice, meters)])
        elif act < 0.75 and bench.held_back:
            index = dice.randrange(len(bench.held_back))
            committed = bench.held_back[index]
            if dice.random() < 0.8:
                del bench.held_back[index]
            bench.publisher._publish(committed)
        elif act < 0.8 and bench.held_back:
            bench.held_back.pop(0)
        elif act < 0.83:
            bench.cache.call(lambda client: client.delete(keys.latest(dice.choice(meters))))
        elif act < 0.84:
            bench.cache.call(lambda client: client.flushall())
        elif act < 0.85:
            bench.cache.call(lambda client: client.delete(keys.PUBLISHED))
        else:
            bench.reader.read(dice.sample(meters, 2))
            bench.keeper.run_once()
            found = bench.reader.read(meters)
            assert found.rows == bench.truth.read(meters).rows
            from_cache += bench.reader.read(meters).source is Source.CACHE
    assert from_cache > 3


def _batch(dice: random.Random, meters: Sequence[UUID]):
    kind = dice.choice(list(SourceKind))
    rows = []
    for _ in range(dice.randint(1, 4)):
        meter = dice.choice(meters)
        source = {} if kind is SourceKind.PROFILE else {"source": None}
        store = dice.choice([ValueStore.INTEGER, ValueStore.INTEGER, ValueStore.FLOAT])
        at: datetime = NOW - timedelta(hours=dice.randint(1, 4))
        value = dice.choice([None, 1, 2]) if store is ValueStore.INTEGER else dice.random()
        rows.append(
            (series(channel(meter, store=store, **source), dice.choice([-1, -2])), at, value)
        )
    return batch(rows, kind=kind)
