"""
Batches -> committed rows, one transaction per group of batches.

Batches that are there already get the receipts of the first time; what is done with the others is
told in `hes.pipeline.transaction`. Publishing a batch again, with the same `batch_key`, is safe at
any time; so a COMMIT whose outcome is unknown is settled by doing just that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg
import structlog

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt
from hes.pipeline.committed import CommitListener, Committed
from hes.pipeline.series import SeriesCache
from hes.pipeline.transaction import ChunksUnknownError, Stored, Transaction
from hes.pipeline.window import WindowPolicy
from hes.storage import batches as batch_rows
from hes.storage.database import Database, OutcomeUnknownError
from hes.storage.features import chunks, partitions

_log = structlog.get_logger(__name__)

_TABLES: Final = (*chunks.READINGS, "event")
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2

# Somebody else was quicker: with the batch itself, with a meter that is gone now, or with a
# partition that was dropped. Or the server chose us to end a deadlock. The batch may be all right.
_TRY_AGAIN = (
    psycopg.errors.CheckViolation,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


def utc_now() -> datetime:
    """Our clock."""
    return datetime.now(UTC)


class Writer:
    """
    Writes groups of batches. One thread at a time.

    Args:
        database: with the schema of `hes migrate`.
        policy: which rows are taken.
        clock: our clock, aware UTC.
        listeners: are told of each transaction after its COMMIT.
        settle_s: how long to ask for the outcome of a COMMIT that is unknown.
    """

    def __init__(
        self,
        database: Database,
        policy: WindowPolicy,
        *,
        clock: Callable[[], datetime] = utc_now,
        listeners: Sequence[CommitListener] = (),
        settle_s: float = 15.0,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._listeners = tuple(listeners)
        self._settle_s = settle_s
        self._cache = SeriesCache()
        self._chunks: set[int] = set()
        self._made = 0

    def write(self, batches: Sequence[ReadingBatch]) -> list[Receipt]:
        """
        Store batches and return their receipts, in the same order, once all are committed.

        Args:
            batches: well-formed (`hes.pipeline.group.check`).

        Raises:
            LeaseLostError: what a session has read under a lease that is over or somebody else's is
                not stored, nor is anything else of the group.
            StorageUnavailableError: nothing is stored, or (OutcomeUnknownError) it could not be
                found out within `settle_s` whether it is; publish again either way.
        """
        return self._write(batches, None)

    def refuse(self, batch: ReadingBatch, reason: str) -> Receipt:
        """
        Put all rows of a batch into the quarantine, with its octets, and record it as written.

        Args:
            reason: what the server has said of it.

        Raises:
            As `write`.
        """
        return self._write([batch], reason)[0]

    def stored(self, batch_key: UUID) -> bool:
        """
        Whether a batch of this key is committed. Thread-safe.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return batch_key in batch_rows.receipts(connection, [batch_key])

    def _write(self, batches: Sequence[ReadingBatch], condemned: str | None) -> list[Receipt]:
        settle_until: float | None = None
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._write_once(batches, condemned)
            except StorageUnavailableError as exc:
                self._forget()
                if isinstance(exc, OutcomeUnknownError) and settle_until is None:
                    settle_until = time.monotonic() + self._settle_s
                if settle_until is not None:
                    if time.monotonic() >= settle_until:
                        raise OutcomeUnknownError(str(exc)) from exc
                    time.sleep(_PAUSE_S)
                elif not isinstance(exc.__cause__, _TRY_AGAIN) or attempts == _ATTEMPTS:
                    raise
            except _TRY_AGAIN:
                self._forget()
                if attempts == _ATTEMPTS:
                    raise

    def _forget(self) -> None:
        """Know nothing of the database any more: it may be another one, or changed."""
        self._cache.clear()
        self._chunks.clear()

    def _write_once(self, batches: Sequence[ReadingBatch], condemned: str | None) -> list[Receipt]:
        unique = list({batch.batch_key: batch for batch in reversed(batches)}.values())
        while True:
            try:
                receipts, stored = self._transact(unique, condemned)
                break
            except ChunksUnknownError as exc:
                # Again and again, if what is known is forgotten meanwhile.
                partitions.ensure(self._database, exc.numbers, _TABLES)
                self._chunks |= exc.numbers
        if stored is not None:
            self._cache.keep(stored.channels)
            receipts |= {batch.batch_key: receipt for batch, receipt in stored.committed.receipts}
            _log_refused(stored)
            self._tell(stored.committed)
        return [receipts[batch.batch_key] for batch in batches]

    def _transact(
        self, batches: Sequence[ReadingBatch], condemned: str | None
    ) -> tuple[dict[UUID, Receipt], Stored | None]:
        """Store what is not there yet; the receipts of the others."""
        transaction = Transaction(self._policy, self._cache, self._chunks, self._clock(), condemned)
        with self._database.connection() as connection:
            if self._made != self._database.made:
                # The server may have been restored while we had nothing to write.
                self._made = self._database.made
                self._forget()
            receipts = batch_rows.receipts(connection, [batch.batch_key for batch in batches])
            fresh = [batch for batch in batches if batch.batch_key not in receipts]
            return receipts, transaction.store(connection, fresh) if fresh else None

    def _tell(self, committed: Committed) -> None:
        for listener in self._listeners:
            try:
                listener.committed(committed)
            except Exception:  # noqa: BLE001 - whatever it is, it is the listener's
                # It is committed: whoever published must not be told otherwise.
                _log.exception("commit_listener_failed", listener=type(listener).__name__)


def _log_refused(stored: Stored) -> None:
    for entry, kept in stored.refused:
        _log.warning(
            "rows_quarantined",
            meter_id=str(entry.meter_id or entry.identity),
            session_id=entry.session_id and str(entry.session_id),
            reason=entry.reason,
            rows=entry.detail and entry.detail["rows"],
            kept=kept,
        )
