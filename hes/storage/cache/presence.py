"""
Who is there: processes, devices; each says so again before its time is over.

Redis may forget all of them at any time, so absence proves nothing: it is a reason to look.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import attrs

from hes.storage.cache import keys
from hes.storage.cache.client import Cache, CacheUnavailableError

DIALLED: Final = "dialled"
"""The kind of meters that have a connection to a collector which they have dialled."""


class Presence:
    """Says and tells who is there. Thread-safe."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def beat(self, kind: str, *names: str, ttl_s: float) -> None:
        """
        Say that these are there for the next `ttl_s`.

        Raises: CacheUnavailableError.
        """
        now_ms = self._cache.now_ms()
        until_ms = now_ms + int(ttl_s * 1000)
        key = keys.present(kind)

        def say(client: Any) -> None:
            with client.pipeline(transaction=True) as pipeline:
                pipeline.zadd(key, dict.fromkeys(names, until_ms))
                pipeline.zremrangebyscore(key, "-inf", now_ms)
                # The key lives as long as the last of them; GT leaves a key without TTL alone.
                pipeline.pexpireat(key, until_ms, nx=True)
                pipeline.pexpireat(key, until_ms, gt=True)
                pipeline.execute()

        self._cache.call(say)

    def gone(self, kind: str, name: str) -> None:
        """Say that `name` has left. Raises: CacheUnavailableError."""
        self._cache.call(lambda client: client.zrem(keys.present(kind), name))

    def present(self, kind: str) -> Sequence[str]:
        """Who of a kind is there, in alphabetical order. Raises: CacheUnavailableError."""
        now_ms = self._cache.now_ms()
        found = self._cache.call(
            lambda client: client.zrangebyscore(keys.present(kind), f"({now_ms}", "+inf")
        )
        return sorted(name.decode() for name in found)


@attrs.frozen
class DialledPresence:
    """`PresencePort` on Redis; while it is away nobody is told, and nothing depends on that."""

    presence: Presence

    def here(self, meter_ids: Collection[UUID], *, ttl_s: float) -> None:
        """See `PresencePort`."""
        with suppress(CacheUnavailableError):
            self.presence.beat(DIALLED, *map(str, meter_ids), ttl_s=ttl_s)
