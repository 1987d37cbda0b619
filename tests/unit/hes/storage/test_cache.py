"""What needs no Redis: the pause after a failure, and each process' own limits."""

import pytest

from hes.storage.cache import Cache, CacheUnavailableError, Rate, RateLimits
from hes.storage.cache.client import CacheUrlError

NOWHERE = "redis://:secret@127.0.0.1:1/0"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_after_a_failure_nobody_asks_for_a_while() -> None:
    clock, asked = Clock(), []

    def refuse(client: object) -> None:
        asked.append(client)
        raise OSError("no route")

    with Cache(NOWHERE, pause_s=1.0, monotonic=clock) as cache:
        for _ in range(3):
            with pytest.raises(CacheUnavailableError, match="no route"):
                cache.call(refuse)
        assert len(asked) == 1
        clock.now += 1.0
        assert cache.call(lambda client: 7) == 7
        assert cache.call(lambda client: 8) == 8


def test_no_server_and_no_password_in_what_is_said() -> None:
    with Cache(NOWHERE) as cache, pytest.raises(CacheUnavailableError) as caught:
        cache.now_ms()
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_url_that_is_none_is_not_quoted() -> None:
    with pytest.raises(CacheUrlError) as caught:
        Cache("secret://x:secret@y")
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("cache", [None, NOWHERE])
def test_without_redis_each_process_limits_by_itself(cache) -> None:
    clock = Clock()
    limits = RateLimits(None if cache is None else Cache(cache), monotonic=clock)
    rate = Rate(per_s=2, burst=4)
    first = [limits.take("a", rate) for _ in range(4)]
    assert [(one.wait_s, one.shared) for one in first] == [(0, False)] * 4
    assert limits.take("a", rate).wait_s == 0.5
    assert limits.take("b", rate, cost=4).wait_s == 0
    clock.now += 0.5
    assert limits.take("a", rate).wait_s == 0
    assert limits.take("a", rate, cost=3).wait_s == 1.5
    clock.now += 1000
    assert limits.take("a", rate, cost=4).wait_s == 0
    assert limits.take("a", rate).wait_s == 0.5


def test_own_buckets_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr("hes.storage.cache.limits._BUCKETS_KEPT", 2)
    limits = RateLimits(None, monotonic=Clock())
    for name in "abc":
        limits.take(name, Rate(1, 1))
    assert sorted(limits._own) == ["b", "c"]


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_rate_that_lets_nothing_through(per_s, burst) -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        Rate(per_s, burst)
