"""
The bus `direct`: batches are written in this process; `publish` returns once they are committed.

One thread writes. What is published while a transaction runs waits in a bounded queue and goes
into the next one together: nobody waits for company when there is none, and under load the cost of
a transaction is shared.

A batch that the server never gets done within its time limit must not be tried for ever: it would
stop its neighbours each time, and collection with them. So the batches of a group that ran out of
time are written one by one, and one that does so alone again and again is refused for good.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from datetime import datetime
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt, SourceKind
from hes.pipeline.group import check
from hes.pipeline.window import WindowPolicy
from hes.pipeline.writer import Writer, utc_now
from hes.storage.database import Database, LockTimeoutError, StatementTimeoutError

_QUEUED_BATCHES: Final = 64
_ROWS_PER_GROUP: Final = 40_000
_TIMEOUTS_ALONE: Final = 5
_TIMEOUTS_PER_GROUP: Final = 3
_SLOW_KEPT: Final = 1000


class BatchTooSlowError(PermanentError):
    """The server has given up this batch, alone in its transaction, time and again."""


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
        self._timeouts: dict[Hashable, int] = {}

    def publish(self, batch: ReadingBatch) -> Receipt:
        """
        Hand a batch over and wait until it is committed.

        Raises:
            LeaseLostError: it was read under a lease that is over; nothing of it is stored.
            BatchTooSlowError: it can never be stored.
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

    def _write(self, group: Sequence[_Published]) -> StorageUnavailableError | None:
        """Write a group and tell its publishers; returns why it could not be written, if so."""
        try:
            receipts = self._writer.write([published.batch for published in group])
        except (StatementTimeoutError, LockTimeoutError) as exc:
            if len(group) > 1:
                return self._write_singly(group)
            self._fail_slow(group[0], exc)
            return exc
        except StorageUnavailableError as exc:
            _fail(group, exc)
            return exc
        except Exception as exc:  # noqa: BLE001 - whatever it is belongs to who published
            if len(group) == 1:
                group[0].outcome.set_exception(exc)
                return None
            # One of them is at fault; the others must not suffer for it.
            return self._write_singly(group)
        else:
            for published, receipt in zip(group, receipts, strict=True):
                self._timeouts.pop(_culprit(published.batch), None)
                published.outcome.set_result(receipt)
        return None

    def _write_singly(self, group: Sequence[_Published]) -> StorageUnavailableError | None:
        """Write what did not go together; give up once it is the server that is at fault."""
        timeouts = 0
        for number, published in enumerate(group, start=1):
            exc = self._write([published])
            if isinstance(exc, (StatementTimeoutError, LockTimeoutError)):
                timeouts += 1
                if timeouts < _TIMEOUTS_PER_GROUP:
                    continue
            if exc is not None:
                _fail(group[number:], exc)
                return exc
        return None

    def _fail_slow(self, published: _Published, exc: StorageUnavailableError) -> None:
        """Count how often a batch has run out of time alone; a lock is not the batch's fault."""
        who = _culprit(published.batch)
        times = self._timeouts.pop(who, 0) + isinstance(exc, StatementTimeoutError)
        if times >= _TIMEOUTS_ALONE:
            error = BatchTooSlowError(f"given up by the server {times} times: {exc}")
            error.__cause__ = exc
            published.outcome.set_exception(error)
            return
        self._timeouts[who] = times
        if len(self._timeouts) > _SLOW_KEPT:
            del self._timeouts[next(iter(self._timeouts))]
        _fail([published], exc)


def _culprit(batch: ReadingBatch) -> Hashable:
    """
    What comes again when a batch does: a push as it was, with its key; what a session reads, in
    another batch of the same meter's.
    """
    if batch.provenance.kind is SourceKind.PUSH:
        return batch.batch_key
    return frozenset(series.channel.meter_id for series in batch.series)


def _fail(group: Sequence[_Published], exc: StorageUnavailableError) -> None:
    for published in group:
        # One exception each: every publisher's thread adds its own traceback.
        error = type(exc)(str(exc))
        error.__cause__ = exc
        published.outcome.set_exception(error)
