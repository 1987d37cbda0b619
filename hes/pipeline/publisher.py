"""
Tells Redis what has been committed, behind the writer's back: never delays a commit.

What cannot be told, because Redis is away or too much is waiting, is let go: the keeper
(`hes.pipeline.keeper`) finds it in the database and puts it right.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import structlog

from hes.domain.errors import StorageUnavailableError
from hes.pipeline.backlog import octets
from hes.pipeline.committed import Committed
from hes.pipeline.newest import newest
from hes.storage import channels
from hes.storage.cache import CacheUnavailableError, Ledger
from hes.storage.cache.feed import entry
from hes.storage.database import Database

_log = structlog.get_logger(__name__)

# As batches are counted; their arrays come on top. One of which no row was taken has its evidence.
_OCTETS_WAITING: Final = 20 * 1024 * 1024
_OCTETS_PER_BATCH: Final = 1024
_CHANNELS_KEPT: Final = 500_000
_CLOSE_S: Final = 5.0


class Publisher:
    """
    A `CommitListener` with a thread of its own, which starts with the first commit.

    Args:
        database: asked whose a channel is, once per channel.
        max_octets: how much may wait, about.
    """

    def __init__(
        self, database: Database, ledger: Ledger, *, max_octets: int = _OCTETS_WAITING
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._max_octets = max_octets
        self._queue: queue.SimpleQueue[tuple[Committed, int] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._silent = False
        self._meter_of: dict[int, UUID] = {}
        self._made = 0

    def committed(self, committed: Committed) -> None:
        """Take note of a transaction, or let it go if too much is waiting."""
        size = sum(octets(batch) + _OCTETS_PER_BATCH for batch, _ in committed.receipts)
        with self._lock:
            # One always: else the largest of all would never be told.
            if self._closed or (self._waiting and self._waiting + size > self._max_octets):
                return
            self._waiting += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hes-publisher", daemon=True)
                self._thread.start()
            self._queue.put((committed, size))

    def close(self) -> None:
        """Tell what is waiting, for some seconds at most, then end the thread."""
        with self._lock:
            already, self._closed = self._closed, True
            thread = self._thread
        if thread is not None:
            if not already:
                self._queue.put(None)
            thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (waiting := self._queue.get()) is not None:
            committed, size = waiting
            try:
                self._publish(committed)
                silent = False
            except (CacheUnavailableError, StorageUnavailableError) as exc:
                silent = True
                if not self._silent:
                    _log.warning("cache_publishing_stopped", reason=str(exc))
            except Exception:  # noqa: BLE001 - the thread outlives it; the keeper repairs this one
                silent = self._silent
                _log.exception("batches_publishing_failed")
            if self._silent and not silent:
                _log.info("cache_publishing_resumed")
            self._silent = silent
            with self._lock:
                self._waiting -= size

    def _publish(self, committed: Committed) -> None:
        self._learn(set(committed.channel_id.tolist()))
        entries = {}
        for batch, receipt in committed.receipts:
            told = batch.provenance
            entries[receipt.batch_id] = entry(receipt, told.kind, told.received_at, batch.meter_ids)
        self._ledger.publish(entries, newest(committed, self._meter_of))

    def _learn(self, channel_ids: set[int]) -> None:
        with self._database.connection():
            # Asks nothing, but finds out if the server went away, and another came in its place.
            made = self._database.made
        if made != self._made:
            self._meter_of.clear()
            self._made = made
        unknown: Sequence[int] = sorted(channel_ids - self._meter_of.keys())
        if not unknown:
            return
        if len(self._meter_of) + len(unknown) > _CHANNELS_KEPT:
            self._meter_of.clear()
            unknown = sorted(channel_ids)
        with self._database.connection() as connection:
            self._meter_of.update(channels.meters_of(connection, unknown))
