"""
Sees that Redis misses nothing that was committed, and says how far that is certain.

A writer may die between COMMIT and publishing, Redis may be away, flushed or come back with an old
state. So the keeper asks the database which batches have been committed since it last looked, waits
a moment for those that are just being published, and has the meters of the others forgotten: what
is not held is asked of the database. Where the past is unknown, everything is forgotten at once.

Any number of keepers may run; one is enough.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import attrs
import structlog

from hes.domain.errors import StorageUnavailableError
from hes.storage import unsettled
from hes.storage.cache import Cache, CacheUnavailableError, Ledger
from hes.storage.cache.feed import entry
from hes.storage.cache.publication import State
from hes.storage.database import Database

_log = structlog.get_logger(__name__)

_MOST_BATCHES: Final = 50_000
_AT_ONCE: Final = 1000
_POLL_S: Final = 0.05
_CLOCK_SLACK_MS: Final = 1000
_STATEMENT_TIMEOUT_S: Final = 5.0


@attrs.frozen
class Settled:
    """What one look has found; `begun`: everything was forgotten."""

    begun: bool = False
    batches: int = 0
    repaired: int = 0


class CacheKeeper:
    """
    Keeps Redis true to the database, in a thread of its own between `start` and `close`.

    Args:
        database: the primary, never a standby that may lag.
        every_s: how often to look.
        grace_s: how long a batch that is committed may take to be published.
    """

    def __init__(
        self,
        database: Database,
        cache: Cache,
        *,
        every_s: float = 1.0,
        grace_s: float = 2.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._cache = cache
        self._ledger = Ledger(cache)
        self._every_s = every_s
        self._grace_s = grace_s
        self._sleep = sleep
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hes-cache-keeper", daemon=True)

    def run_once(self) -> Settled:
        """
        Look once.

        Raises:
            CacheUnavailableError, StorageUnavailableError: nothing is settled.
        """
        state = self._ledger.state()
        now_ms = self._cache.now_ms()
        # Redis' clock before the snapshot: what is visible then is what is settled.
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            here = unsettled.identity(connection)
            snapshot = unsettled.snapshot(connection)
            if state is None or not _goes_on(state, here, now_ms):
                return self._begin(state, here, snapshot, now_ms)
            batches = unsettled.since(connection, state.snapshot, limit=_MOST_BATCHES + 1)
        if len(batches) > _MOST_BATCHES:
            return self._begin(state, here, snapshot, now_ms)
        missing = self._await_publication(batches)
        if not self._repair(missing):
            return self._begin(state, here, snapshot, now_ms)
        self._ledger.settle(state.generation, snapshot=snapshot, now_ms=now_ms)
        return Settled(batches=len(batches), repaired=len(missing))

    def begin(self) -> Settled:
        """
        Have everything forgotten, so that all is asked of the database anew.

        Raises: CacheUnavailableError, StorageUnavailableError: nothing has happened.
        """
        state = self._ledger.state()
        now_ms = self._cache.now_ms()
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            here, snapshot = unsettled.identity(connection), unsettled.snapshot(connection)
        return self._begin(state, here, snapshot, now_ms)

    def start(self) -> Self:
        """Look again and again until `close`."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        away = False
        while True:
            try:
                found = self.run_once()
                if away:
                    _log.info("cache_settling_resumed")
                if found.repaired:
                    _log.warning("cache_repaired", batches=found.repaired)
                away = False
            except (CacheUnavailableError, StorageUnavailableError) as exc:
                if not away:
                    _log.warning("cache_settling_stopped", reason=str(exc))
                away = True
            if self._ended.wait(self._every_s):
                return

    def _begin(self, state: State | None, database: str, snapshot: str, now_ms: int) -> Settled:
        begun = self._ledger.begin(state, database=database, snapshot=snapshot, now_ms=now_ms)
        if begun:
            _log.info("cache_begun", first=state is None)
        return Settled(begun=begun)

    def _await_publication(self, batch_ids: Sequence[int]) -> Sequence[int]:
        """Those that are still not published after some time."""
        waited_s = 0.0
        missing = self._ledger.unpublished(batch_ids)
        while missing and waited_s < self._grace_s:
            self._sleep(_POLL_S)
            waited_s += _POLL_S
            missing = self._ledger.unpublished(missing)
        return missing

    def _repair(self, batch_ids: Sequence[int]) -> bool:
        """Publish batches without their values; False if nobody knows which meters they name."""
        for begin in range(0, len(batch_ids), _AT_ONCE):
            some = batch_ids[begin : begin + _AT_ONCE]
            with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                found = unsettled.named(connection, some)
            entries = {}
            meter_ids: set[UUID] = set()
            for one in found:
                if one.meter_ids is None:
                    return False
                meter_ids.update(one.meter_ids)
                entries[one.receipt.batch_id] = entry(
                    one.receipt, one.kind, one.received_at, one.meter_ids
                )
            self._ledger.publish(entries, dict.fromkeys(meter_ids))
        return True


def _goes_on(state: State, database: str, now_ms: int) -> bool:
    """Whether the state is of this database, and Redis' clock was not set back since."""
    return state.database == database and state.settled_ms <= now_ms + _CLOCK_SLACK_MS
