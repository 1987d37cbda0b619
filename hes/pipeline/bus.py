"""
The bus `direct`: batches are written in this process; `publish` returns once they are committed.

One thread writes. What is published while a transaction runs waits in a bounded queue and goes
into the next one together: nobody waits for company when there is none, and under load the cost of
a transaction is shared.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import attrs

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt
from hes.pipeline.group import check
from hes.pipeline.window import WindowPolicy
from hes.pipeline.writer import Writer, utc_now
from hes.storage.database import Database

_QUEUED_BATCHES: Final = 64
_ROWS_PER_GROUP: Final = 40_000


@attrs.frozen(eq=False)
class _Published:
    batch: ReadingBatch
    outcome: Future[Receipt]


class DirectBus:
    """
    `BatchSink` that writes to the database in a thread of its own. Thread-safe.

    The thread starts with the first batch. `close` (or leaving the context) ends it after what was
    published is written.

    Args:
        database: with the schema of `hes migrate`.
        policy: which rows are taken.
        clock: our clock, aware UTC.
    """

    def __init__(
        self,
        database: Database,
        policy: WindowPolicy | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._writer = Writer(database, policy or WindowPolicy(), clock=clock)
        # Bounded: when storage is slower than collection, publishers wait here and read no further.
        self._queue: queue.Queue[_Published | None] = queue.Queue(_QUEUED_BATCHES)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def publish(self, batch: ReadingBatch) -> Receipt:
        """
        Hand a batch over and wait until it is committed.

        Raises:
            LeaseLostError: it was read under a lease that is over; nothing of it is stored.
            StorageUnavailableError: no receipt; publish it again with the same `batch_key`.
            ValueError: the batch is not well-formed.
        """
        check(batch)
        published = _Published(batch, Future())
        with self._lock:
            if self._closed:
                raise StorageUnavailableError("the bus is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hes-writer", daemon=True)
                self._thread.start()
            # Within the lock, so that nothing is queued after the thread was told to end.
            self._queue.put(published)
        return published.outcome.result()

    def stored(self, batch_key: UUID) -> bool:
        """
        Whether a batch of this key is committed.

        Raises:
            StorageUnavailableError: the database is away.
        """
        return self._writer.stored(batch_key)

    def close(self) -> None:
        """Write what was published, then end the thread. Later publishers are refused."""
        with self._lock:
            already, self._closed = self._closed, True
            thread = self._thread
            if thread is not None and not already:
                self._queue.put(None)
        if thread is not None:
            thread.join()

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
        ended = False
        while not ended:
            group, ended = self._next_group()
            if group:
                self._write(group)

    def _next_group(self) -> tuple[Sequence[_Published], bool]:
        """Wait for a batch and take along what else is there; tell whether it is the last."""
        group: list[_Published] = []
        rows = 0
        item = self._queue.get()
        while item is not None:
            group.append(item)
            rows += len(item.batch)
            if rows >= _ROWS_PER_GROUP:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _write(self, group: Sequence[_Published]) -> None:
        try:
            receipts = self._writer.write([published.batch for published in group])
        except StorageUnavailableError as exc:
            for published in group:
                # One exception each: every publisher's thread adds its own traceback.
                error = type(exc)(str(exc))
                error.__cause__ = exc
                published.outcome.set_exception(error)
        except Exception as exc:  # noqa: BLE001 - whatever it is belongs to who published
            if len(group) == 1:
                group[0].outcome.set_exception(exc)
                return
            # One of them is at fault; the others must not suffer for it.
            for published in group:
                self._write([published])
        else:
            for published, receipt in zip(group, receipts, strict=True):
                published.outcome.set_result(receipt)
