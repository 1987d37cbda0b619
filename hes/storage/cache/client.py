"""
The way to Redis (or Valkey): short time-outs, one kind of error, and no waiting in a queue for a
server that is away.

Owns connecting and running scripts; knows no key. Nothing in Redis is the only copy of anything,
so everything above it has a way to go on when `CacheUnavailableError` is raised.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from types import TracebackType
from typing import Any, Self

import attrs
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hes.domain.errors import PermanentError, TemporaryError

Argument = str | bytes | int | float


class CacheUnavailableError(TemporaryError):
    """Redis cannot be reached or refused to work now."""


class CacheUrlError(PermanentError):
    """The Redis URL is none. Does not quote it: there is a password in it."""


@attrs.frozen
class Script:
    """A script of `lua/`; it runs at once or not at all."""

    name: str
    text: bytes = attrs.field(repr=False)
    sha: str = attrs.field(repr=False)

    @classmethod
    def load(cls, name: str) -> Script:
        """The script of this name."""
        text = resources.files("hes.storage.cache").joinpath("lua", f"{name}.lua").read_bytes()
        # Not for secrecy: it is how Redis calls a script.
        return cls(name, text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


class Cache:
    """
    One Redis server. Opens lazily and reconnects by itself. Thread-safe.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`; one that is none raises CacheUrlError.
        timeout_s: how long an answer may take.
        pause_s: after a failure nobody asks again for so long, so that a server that answers
            nobody costs one time-out per pause and not one per request.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 0.5,
        pause_s: float = 1.0,
        max_connections: int = 16,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_s = pause_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away: tuple[float, str] | None = None
        pool = _pool(
            url,
            max_connections=max_connections,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once, and only for a connection that the server has closed while it lay idle.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._redis = redis.Redis(connection_pool=pool)

    def run(
        self, script: Script, keys: Sequence[str | bytes], arguments: Sequence[Argument] = ()
    ) -> Any:
        """
        Run a script.

        Raises: CacheUnavailableError: perhaps after it was run; scripts may be run twice.
        """
        return self.call(lambda client: _evaluate(client, script, keys, arguments))

    def call(self, what: Callable[[Any], Any]) -> Any:
        """
        Do something with the client of redis-py.

        Raises: CacheUnavailableError.
        """
        self._refuse_while_away()
        try:
            return what(self._redis)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
            with self._lock:
                self._away = (self._monotonic() + self._pause_s, str(exc))
            raise CacheUnavailableError(str(exc)) from exc
        except redis.RedisError as exc:
            # It answers, but is full, cannot write its snapshot, or is a replica.
            raise CacheUnavailableError(str(exc)) from exc

    def now_ms(self) -> int:
        """
        The server's clock, by which everything here is judged: milliseconds since 1970.

        Raises: CacheUnavailableError.
        """
        seconds, microseconds = self.call(lambda client: client.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    def memory(self) -> Mapping[str, int]:
        """`used`, `limit` (0: none) and `evicted` keys. Raises: CacheUnavailableError."""
        memory = self.call(lambda client: client.info("memory"))
        stats = self.call(lambda client: client.info("stats"))
        return {
            "used": int(memory["used_memory"]),
            "limit": int(memory["maxmemory"]),
            "evicted": int(stats["evicted_keys"]),
        }

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()
        self._redis.connection_pool.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _refuse_while_away(self) -> None:
        with self._lock:
            if self._away is None:
                return
            until, reason = self._away
            if self._monotonic() < until:
                raise CacheUnavailableError(reason)
            self._away = None


def _pool(url: str, **settings: Any) -> redis.BlockingConnectionPool:
    try:
        return redis.BlockingConnectionPool.from_url(url, **settings)
    except (ValueError, TypeError):
        problem = "the Redis URL is not of the form redis://user:password@host:port/0"
    # Raised here, so that the driver's error is not even its context.
    raise CacheUrlError(problem)


def _evaluate(
    client: Any, script: Script, keys: Sequence[str | bytes], arguments: Sequence[Argument]
) -> Any:
    try:
        return client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
    except redis.exceptions.NoScriptError:
        return client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
