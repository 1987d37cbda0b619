"""How the servers do that the head-end stands on: the database, Redis and how far it is settled."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import attrs

from hes.domain.errors import StorageUnavailableError
from hes.storage.cache import Cache, CacheUnavailableError, Ledger
from hes.storage.database import Database

_STATEMENT_TIMEOUT_S: Final = 2.0


class ServiceState(StrEnum):
    """`degraded`: slower, and correct."""

    OK = "ok"
    DEGRADED = "degraded"
    AWAY = "away"


@attrs.frozen
class ServiceReport:
    """One server; `detail` holds no address."""

    name: str
    state: ServiceState
    detail: str


class ServiceHealth:
    """
    Asks the servers how they do. Thread-safe.

    Args:
        cache: None: no Redis is configured.
        trust_s: how long ago Redis may have been settled to be believed.
    """

    def __init__(self, database: Database, cache: Cache | None, *, trust_s: float) -> None:
        self._database = database
        self._cache = cache
        self._trust_s = trust_s

    def read(self) -> Sequence[ServiceReport]:
        """Ask each; never raises for one that is away."""
        return [self._ask_database(), report_cache(self._cache, trust_s=self._trust_s)]

    def _ask_database(self) -> ServiceReport:
        try:
            with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                connection.execute("SELECT")
        except StorageUnavailableError:
            return ServiceReport("database", ServiceState.AWAY, "does not answer")
        return ServiceReport("database", ServiceState.OK, "answers")


def report_cache(cache: Cache | None, *, trust_s: float) -> ServiceReport:
    """How Redis does; while it is not `ok`, latest values are read from the database."""
    if cache is None:
        return ServiceReport("cache", ServiceState.AWAY, "not configured")
    try:
        state = Ledger(cache).state()
        ago_s = None if state is None else (cache.now_ms() - state.settled_ms) / 1000
    except CacheUnavailableError:
        return ServiceReport("cache", ServiceState.AWAY, "does not answer")
    if ago_s is None:
        return ServiceReport("cache", ServiceState.DEGRADED, "nobody has settled it yet")
    # A settling that lies ahead by more than a second: the clock was set back.
    if not -1 <= ago_s <= trust_s:
        detail = f"settled {ago_s:.0f} s ago: not believed after {trust_s:.0f} s"
        return ServiceReport("cache", ServiceState.DEGRADED, detail)
    return ServiceReport("cache", ServiceState.OK, f"settled {max(0.0, ago_s):.1f} s ago")
