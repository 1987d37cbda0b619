"""The keys in a real Redis: latest values under leases, the ledger, the feed, limits, presence."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import redis

from hes.domain.readings import Receipt, SourceKind
from hes.storage.cache import (
    Cache,
    CacheUnavailableError,
    DialledPresence,
    Feed,
    HeldValue,
    LatestCache,
    Ledger,
    NewValue,
    Presence,
    Rate,
    RateLimits,
    keys,
)
from hes.storage.cache.feed import START, entry
from hes.storage.cache.latest import rest
from hes.storage.cache.presence import DIALLED

METER, OTHER = uuid4(), uuid4()
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
TRUST_S = 10.0


@pytest.fixture
def cache(redis_url: str) -> Iterator[Cache]:
    with Cache(redis_url) as opened:
        yield opened


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def ledger(cache: Cache) -> Ledger:
    """A ledger that has just begun a generation."""
    opened = Ledger(cache)
    assert opened.begin(None, database="d", snapshot="1:1:", now_ms=cache.now_ms())
    return opened


@pytest.fixture
def latest(cache: Cache, ledger: Ledger) -> LatestCache:
    return LatestCache(cache)


def held(
    channel_id: int, captured_at: int, value: object = 1, *, revised: bool = False
) -> HeldValue:
    return HeldValue(channel_id, channel_id + 100, captured_at, value, -1, 30, 4, revised)


def new(channel_id: int, captured_at: int, value: object = 1) -> NewValue:
    return NewValue(channel_id, captured_at, rest(channel_id + 100, -1, 30, 4, value))


def told(batch_id: int, meter_ids: Sequence[UUID] = (METER,)) -> dict[int, bytes]:
    return {batch_id: entry(Receipt(batch_id, 1, 0, 0, 0), SourceKind.PUSH, AT, meter_ids)}


def fill(latest: LatestCache, values: Mapping[UUID, Sequence[HeldValue]]) -> int:
    lease = latest.read(list(values), trust_s=TRUST_S).lease
    assert lease is not None
    return latest.fill(lease, values)


def of_meter(latest: LatestCache, meter_id: UUID = METER) -> list[HeldValue] | None:
    found = latest.read([meter_id], trust_s=TRUST_S).values.get(meter_id)
    return None if found is None else sorted(found, key=lambda one: one.channel_id)


# Latest values.


def test_what_was_filled_in_is_read_again(latest) -> None:
    values = [
        held(1, 1_763_726_400_123_456, 2**63 - 1),
        held(2, -5, -(2**63)),
        held(3, 7, 0.1 + 0.2),
        held(4, 8, "a:b\nzähler\x01"),
        held(5, 9, None, revised=True),
        held(6, 10, ""),
    ]
    assert fill(latest, {METER: values, OTHER: []}) == 2
    assert of_meter(latest) == values
    assert of_meter(latest, OTHER) == []


def test_a_meter_with_thousands_of_channels(latest, ledger) -> None:
    values = [held(number, 5) for number in range(5000)]
    assert fill(latest, {METER: values}) == 1
    ledger.publish(told(1), {METER: [new(number, 6) for number in range(5000)]})
    assert [one.captured_at for one in of_meter(latest) or ()] == [6] * 5000


def test_commits_move_what_is_held_forward_only(latest, ledger) -> None:
    fill(latest, {METER: [held(1, 10, 5)]})
    ledger.publish(told(1), {METER: [new(1, 9, 4), new(2, 1, 7)]})
    # 9 is a late row; channel 2 is new, so what comes first is its latest.
    assert of_meter(latest) == [held(1, 10, 5), held(2, 1, 7)]
    ledger.publish(told(2), {METER: [new(1, 11, 6)]})
    assert of_meter(latest) == [held(1, 11, 6), held(2, 1, 7)]


def test_the_same_again_changes_nothing(latest, ledger) -> None:
    fill(latest, {METER: [held(1, 10, 5, revised=True)]})
    ledger.publish(told(1), {METER: [new(1, 10, 5)]})
    assert of_meter(latest) == [held(1, 10, 5, revised=True)]


def test_two_values_of_one_instant_are_left_to_the_database(latest, ledger) -> None:
    fill(latest, {METER: [held(1, 10, 5)], OTHER: [held(9, 10)]})
    ledger.publish(told(1), {METER: [new(1, 10, 6)]})
    assert of_meter(latest) is None
    assert of_meter(latest, OTHER) == [held(9, 10)]


def test_a_commit_alone_begins_no_meter(latest, ledger) -> None:
    """A late row of a meter that was evicted must not become its latest value."""
    ledger.publish(told(1), {METER: [new(1, 3)]})
    assert of_meter(latest) is None


def test_a_commit_breaks_the_lease(latest, ledger) -> None:
    """What was read before the commit must not be filled in after it."""
    lease = latest.read([METER, OTHER], trust_s=TRUST_S).lease
    assert lease is not None
    ledger.publish(told(1), {METER: [new(1, 11)]})
    assert latest.fill(lease, {METER: [held(1, 10)], OTHER: [held(2, 10)]}) == 1
    assert of_meter(latest) is None
    assert of_meter(latest, OTHER) == [held(2, 10)]


def test_a_lease_is_given_once_and_ends(latest, client) -> None:
    first = latest.read([METER], trust_s=TRUST_S).lease
    assert first is not None
    assert latest.read([METER], trust_s=TRUST_S).lease is None
    assert 0 < client.pttl(keys.latest(METER)) <= keys.LEASE_S * 1000
    client.delete(keys.latest(METER))  # as if its time were over
    second = latest.read([METER], trust_s=TRUST_S).lease
    assert latest.fill(first, {METER: [held(1, 1)]}) == 0
    assert latest.fill(second, {METER: [held(1, 2)]}) == 1


def test_forgotten_meters_and_their_leases(latest) -> None:
    fill(latest, {METER: [held(1, 10)]})
    lease = latest.read([OTHER], trust_s=TRUST_S).lease
    latest.forget([METER, OTHER])
    assert of_meter(latest) is None
    assert latest.fill(lease, {OTHER: [held(2, 10)]}) == 0
    latest.forget([])


def test_nothing_is_told_unless_it_was_settled_lately(latest, ledger, cache, client) -> None:
    fill(latest, {METER: [held(1, 10)]})
    now_ms = cache.now_ms()
    for settled_ms, believed in ((now_ms - 9000, True), (now_ms - 11_000, False)):
        client.hset(keys.STATE, "settled_ms", settled_ms)
        found = latest.read([METER, OTHER], trust_s=TRUST_S)
        assert bool(found.values) is believed
        assert (found.lease is not None) is believed
        assert found.settled_ago_s == pytest.approx((now_ms - settled_ms) / 1000, abs=1)
        latest.forget([OTHER])
    # A clock that was set back: nobody knows how old it is.
    client.hset(keys.STATE, "settled_ms", now_ms + 60_000)
    assert latest.read([METER], trust_s=TRUST_S).settled_ago_s is None
    client.delete(keys.STATE)
    assert latest.read([METER], trust_s=TRUST_S).values == {}


def test_another_generation_makes_all_before_it_worthless(latest, ledger, cache) -> None:
    fill(latest, {METER: [held(1, 10)]})
    lease = latest.read([OTHER], trust_s=TRUST_S).lease
    state = ledger.state()
    assert ledger.begin(state, database="d", snapshot="2:2:", now_ms=cache.now_ms())
    assert latest.fill(lease, {OTHER: [held(2, 10)]}) == 0
    ledger.publish(told(1), {METER: [new(1, 11)]})
    assert of_meter(latest) is None
    assert not ledger.begin(state, database="d", snapshot="2:2:", now_ms=cache.now_ms())
    assert not ledger.settle(state.generation, snapshot="3:3:", now_ms=cache.now_ms())


def test_settling_never_goes_back(ledger, cache) -> None:
    state = ledger.state()
    later = state.settled_ms + 5
    assert ledger.settle(state.generation, snapshot="9:9:", now_ms=later)
    assert ledger.settle(state.generation, snapshot="8:8:", now_ms=later - 1)
    assert (ledger.state().snapshot, ledger.state().settled_ms) == ("9:9:", later)


# The ledger and the feed.


def test_a_batch_is_in_the_feed_once(cache, ledger) -> None:
    feed = Feed(cache)
    start = feed.end()
    assert ledger.unpublished([1, 2, 3]) == [1, 2, 3]
    assert ledger.publish(told(1) | told(2), {}) == 2
    assert ledger.publish(told(2) | told(3), {}) == 1
    assert ledger.unpublished([1, 2, 3, 4]) == [4]
    assert ledger.unpublished([]) == []
    page = feed.read(start, limit=2)
    assert [one.batch_id for one in page.entries] == [1, 2]
    assert page.entries[0].meter_ids == (METER,)
    assert (page.entries[0].kind, page.entries[0].received_at) == (SourceKind.PUSH, AT)
    page = feed.read(page.position, limit=2)
    assert [one.batch_id for one in page.entries] == [3]
    assert not page.gap
    assert feed.read(page.position, limit=2).entries == ()


def test_an_entry_of_very_many_meters_names_none(cache, ledger) -> None:
    ledger.publish(told(1, [uuid4() for _ in range(501)]), {})
    assert Feed(cache).read(START, limit=9).entries[0].meter_ids is None


def test_a_follower_is_told_of_what_it_has_missed(cache, ledger, client) -> None:
    feed = Feed(cache)
    ledger.publish(told(1), {})
    position = feed.end()
    assert not feed.read(position, limit=9).gap
    ledger.publish(told(2) | told(3), {})
    client.xtrim(keys.FEED, maxlen=1, approximate=False)
    page = feed.read(position, limit=9)
    assert ([one.batch_id for one in page.entries], page.gap) == ([3], True)
    client.flushall()
    page = feed.read(page.position, limit=9)
    assert (page.entries, page.position, page.gap) == ((), START, True)
    assert not feed.read(page.position, limit=9).gap


def test_a_new_generation_is_a_gap(cache, ledger) -> None:
    feed = Feed(cache)
    position = feed.end()
    ledger.begin(ledger.state(), database="d", snapshot="2:2:", now_ms=cache.now_ms())
    page = feed.read(position, limit=9)
    assert page.gap
    assert not feed.read(page.position, limit=9).gap


def test_the_feed_and_the_ledger_are_bounded(cache, ledger, client, monkeypatch) -> None:
    monkeypatch.setattr(keys, "FEED_ENTRIES", 100)
    monkeypatch.setattr(keys, "PUBLISHED_BATCHES", 150)
    for number in range(1000):
        ledger.publish(told(number), {})
    assert 100 <= client.xlen(keys.FEED) <= 300  # whole nodes go
    assert client.zcard(keys.PUBLISHED) == 150
    assert ledger.unpublished([0, 999]) == [0]


def test_everything_has_a_time_to_live(cache, latest, ledger, client) -> None:
    fill(latest, {METER: [held(1, 1)]})
    latest.read([OTHER], trust_s=TRUST_S)
    ledger.publish(told(1), {METER: [new(1, 2)]})
    RateLimits(cache).take("x", Rate(1, 2))
    Presence(cache).beat("collector", "a", ttl_s=5)
    found = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert len(found) == 7
    assert all(0 < ttl <= keys.LATEST_TTL_S for ttl in found.values()), found


# Limits.


def test_a_bucket_is_shared_and_fills_again(redis_url) -> None:
    rate = Rate(per_s=20, burst=3)
    with Cache(redis_url) as one, Cache(redis_url) as two:
        taken = [RateLimits(cache).take("login:a", rate) for cache in (one, two, one)]
        assert [verdict.wait_s for verdict in taken] == [0, 0, 0]
        assert all(verdict.shared for verdict in taken)
        refused = RateLimits(two).take("login:a", rate)
        assert 0 < refused.wait_s <= 0.05
        assert RateLimits(two).take("login:b", rate).wait_s == 0
        time.sleep(refused.wait_s)
        assert RateLimits(one).take("login:a", rate).wait_s == 0
        with pytest.raises(ValueError, match="never fit"):
            RateLimits(one).take("login:a", rate, cost=4)


# Presence.


def test_who_is_there_until_its_time_is_over(cache, client) -> None:
    presence = Presence(cache)
    presence.beat("collector", "b:2", ttl_s=60)
    presence.beat("collector", "a:1", ttl_s=0.05)
    presence.beat("api", "c:3", ttl_s=60)
    assert presence.present("collector") == ["a:1", "b:2"]
    assert 50 < client.ttl(keys.present("collector")) <= 60
    time.sleep(0.06)
    assert presence.present("collector") == ["b:2"]
    presence.gone("collector", "b:2")
    assert presence.present("collector") == []
    assert presence.present("api") == ["c:3"]


def test_who_has_dialled_in_is_told_and_nothing_depends_on_it(cache) -> None:
    here = [UUID(int=2), UUID(int=1)]
    DialledPresence(Presence(cache)).here(here, ttl_s=60)
    assert Presence(cache).present(DIALLED) == sorted(map(str, here))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = Cache(f"redis://127.0.0.1:{nobody.getsockname()[1]}/0")
        DialledPresence(Presence(away)).here(here, ttl_s=60)


# The client.


def test_scripts_come_back_after_they_were_flushed(cache, client) -> None:
    limits = RateLimits(cache)
    assert limits.take("x", Rate(1, 9)).shared
    client.script_flush()
    assert limits.take("x", Rate(1, 9)).shared


def test_a_full_redis_is_unavailable_and_not_away(cache, ledger, client) -> None:
    before = client.config_get("maxmemory")["maxmemory"]
    try:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(CacheUnavailableError, match="maxmemory"):
            ledger.publish(told(1), {})
    finally:
        client.config_set("maxmemory", before)
        client.config_set("maxmemory-policy", "volatile-ttl")
    assert ledger.publish(told(1), {}) == 1
    assert cache.memory()["limit"] == int(before)
