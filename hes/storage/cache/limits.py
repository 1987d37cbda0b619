"""
Rate limits shared by all processes: token buckets.

While Redis is away each process limits by itself, with the same rate: stricter than nothing, laxer
than all together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import attrs

from hes.storage.cache import keys
from hes.storage.cache.client import Cache, CacheUnavailableError, Script

_TAKE: Final = Script.load("take")
_BUCKETS_KEPT: Final = 10_000


@attrs.frozen
class Rate:
    """`per_s` tokens come in each second; `burst` are there at most, and at first."""

    per_s: float = attrs.field(validator=attrs.validators.gt(0))
    burst: float = attrs.field(validator=attrs.validators.gt(0))


@attrs.frozen
class Verdict:
    """`wait_s` 0: go on; else come back after so long. `shared`: all processes were counted."""

    wait_s: float
    shared: bool


class RateLimits:
    """Takes tokens out of named buckets. Thread-safe."""

    def __init__(
        self, cache: Cache | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._own: dict[str, tuple[float, float]] = {}

    def take(self, name: str, rate: Rate, cost: float = 1.0) -> Verdict:
        """
        Take tokens, or none of them.

        Args:
            name: of the bucket: what is limited and for whom, like `login:192.0.2.1`.
            cost: how many.

        Raises: ValueError: they never fit into the bucket.
        """
        if cost > rate.burst:
            raise ValueError(f"{cost} tokens never fit into a bucket of {rate.burst}")
        if self._cache is not None:
            ttl_ms = int(rate.burst / rate.per_s * 1000) + 1000
            arguments = [rate.per_s, rate.burst, cost, ttl_ms]
            try:
                wait_ms = self._cache.run(_TAKE, [keys.limit(name)], arguments)
                return Verdict(int(wait_ms) / 1000, shared=True)
            except CacheUnavailableError:
                pass
        return Verdict(self._take_own(name, rate, cost), shared=False)

    def _take_own(self, name: str, rate: Rate, cost: float) -> float:
        now = self._monotonic()
        with self._lock:
            tokens, at = self._own.pop(name, (rate.burst, now))
            tokens = min(rate.burst, tokens + (now - at) * rate.per_s)
            wait_s = 0.0 if tokens >= cost else (cost - tokens) / rate.per_s
            self._own[name] = (tokens - cost if wait_s == 0 else tokens, now)
            if len(self._own) > _BUCKETS_KEPT:
                del self._own[next(iter(self._own))]
        return wait_s
