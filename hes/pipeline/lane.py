"""
A lane: one thread that writes what was published to it, and decides what becomes of what fails.

What is published while a transaction runs waits and goes into the next one together: nobody waits
for company when there is none, and under load the cost of a transaction is shared.

Where a group fails, its batches are written one by one, so that one at fault harms no other. Alone,
one that the server refuses for good goes to the quarantine, and its receipt says so. One that the
server never gets done within its time limit must not be tried for ever either: it would stop its
neighbours each time, and collection with them; after some times it is given up.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Final, Protocol

import psycopg
import structlog

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt, SourceKind
from hes.pipeline.backlog import Backlog, Limits, Published
from hes.storage.database import LockTimeoutError, StatementTimeoutError

_log = structlog.get_logger(__name__)

_ROWS_PER_GROUP: Final = 40_000
_TIMEOUTS_ALONE: Final = 5
_TIMEOUTS_PER_GROUP: Final = 3
_SLOW_KEPT: Final = 1000

# What the server says of the rows themselves, by SQLSTATE; a wrong statement or a missing right is
# not the batch's fault.
# Source: PostgreSQL manual, appendix A.
_REFUSED_FOR_GOOD: Final = (
    "22",  # data exception
    "23",  # integrity constraint violation
    "44",  # WITH CHECK OPTION violation
    "54",  # program limit exceeded
    "P0001",  # raised by a trigger
)


class BatchTooSlowError(PermanentError):
    """The server has given up this batch, alone in its transaction, time and again."""


class WritesGroups(Protocol):
    """What a lane needs of `Writer`."""

    def write(self, batches: Sequence[ReadingBatch]) -> list[Receipt]:
        """Store batches together."""

    def refuse(self, batch: ReadingBatch, reason: str) -> Receipt:
        """Put a batch into the quarantine."""


class Lane:
    """
    Writes in a thread of its own, which starts with the first batch. Thread-safe.

    Args:
        writer: this lane's own.
        name: of the thread.
    """

    def __init__(self, writer: WritesGroups, limits: Limits, *, name: str) -> None:
        self._writer = writer
        self._backlog = Backlog(limits)
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._timeouts: dict[Hashable, int] = {}

    @property
    def backlog(self) -> Backlog:
        """What waits for its turn."""
        return self._backlog

    def publish(self, batch: ReadingBatch) -> Receipt:
        """Hand a batch over and wait for its receipt; see `DirectBus.publish`."""
        published = Published(batch)
        # First, so that `join` waits for whatever is taken.
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._backlog.put(published)
        return published.outcome.result()

    def stop(self) -> None:
        """Take nothing any more; what was published will still be written."""
        self._backlog.close()

    def join(self) -> None:
        """After `stop`: wait until it is written."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while group := self._backlog.take(_ROWS_PER_GROUP):
            try:
                self._write(group)
            except Exception as exc:  # noqa: BLE001 - ours; without its thread nobody is served
                _log.exception("lane_failed", lane=self._name)
                for published in group:
                    if not published.outcome.done():
                        published.outcome.set_exception(exc)

    def _write(self, group: Sequence[Published]) -> StorageUnavailableError | None:
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
                return self._refuse(group[0], exc)
            # One of them is at fault; the others must not suffer for it.
            return self._write_singly(group)
        else:
            for published, receipt in zip(group, receipts, strict=True):
                self._timeouts.pop(_culprit(published.batch), None)
                published.outcome.set_result(receipt)
        return None

    def _write_singly(self, group: Sequence[Published]) -> StorageUnavailableError | None:
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

    def _refuse(self, published: Published, error: Exception) -> StorageUnavailableError | None:
        """Quarantine what the server will never take; other errors are the publisher's."""
        if not (
            isinstance(error, psycopg.Error)
            and (error.sqlstate or "").startswith(_REFUSED_FOR_GOOD)
        ):
            published.outcome.set_exception(error)
            return None
        said = f"{error.sqlstate} {error.diag.message_primary}"
        _log.error("batch_refused", batch_key=str(published.batch.batch_key), error=said)
        try:
            published.outcome.set_result(self._writer.refuse(published.batch, said))
        except StorageUnavailableError as exc:
            _fail([published], exc)
            return exc
        except Exception as exc:  # noqa: BLE001 - as above
            published.outcome.set_exception(exc)
        return None

    def _fail_slow(self, published: Published, exc: StorageUnavailableError) -> None:
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
    return batch.meter_ids


def _fail(group: Sequence[Published], exc: StorageUnavailableError) -> None:
    for published in group:
        # One exception each: every publisher's thread adds its own traceback.
        error = type(exc)(str(exc))
        error.__cause__ = exc
        published.outcome.set_exception(error)
