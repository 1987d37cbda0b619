"""
The bus `direct`: batches are written in this process; `publish` returns once they are committed.

Several lanes write side by side, each with its thread, queue and connection. All batches of a meter
take the same one, so that what stops one lane stops no meter of another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from hes.domain.readings import ReadingBatch, Receipt
from hes.pipeline.backlog import Backlog, Limits
from hes.pipeline.committed import CommitListener
from hes.pipeline.group import check
from hes.pipeline.lane import Lane
from hes.pipeline.window import WindowPolicy
from hes.pipeline.writer import Writer, utc_now
from hes.storage.database import Database

_LANES: Final = 2


class DirectBus:
    """
    `BatchSink` that writes to the database in threads of its own. Thread-safe.

    `close` (or leaving the context) ends them after what was published is written.

    Args:
        database: with the schema of `hes migrate`, and a connection for each lane and one more.
        policy: which rows are taken.
        clock: our clock, aware UTC.
        lanes: how many transactions run side by side.
        limits: of each lane's queue.
        listeners: are told of each transaction after its COMMIT.
    """

    def __init__(
        self,
        database: Database,
        policy: WindowPolicy | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        lanes: int = _LANES,
        limits: Limits | None = None,
        listeners: Sequence[CommitListener] = (),
    ) -> None:
        writers = [
            Writer(database, policy or WindowPolicy(), clock=clock, listeners=listeners)
            for _ in range(lanes)
        ]
        self._writer = writers[0]
        self._lanes = [
            Lane(writer, limits or Limits(), name=f"hes-writer-{number}")
            for number, writer in enumerate(writers)
        ]

    @property
    def backlogs(self) -> Sequence[Backlog]:
        """What waits, lane by lane."""
        return [lane.backlog for lane in self._lanes]

    def publish(self, batch: ReadingBatch) -> Receipt:
        """
        Hand a batch over and wait until it is committed.

        Rows that the server refuses for good are in the quarantine then, and the receipt says so.

        Raises:
            LeaseLostError: it was read under a lease that is over; nothing of it is stored.
            BatchTooSlowError: it can never be stored.
            StorageUnavailableError: no receipt; publish it again with the same `batch_key`. An
                OverloadedError, if there was no room for a batch of its priority.
            ValueError: the batch is not well-formed.
        """
        check(batch)
        return self._lanes[_hash(batch) % len(self._lanes)].publish(batch)

    def stored(self, batch_key: UUID) -> bool:
        """
        Whether a batch of this key is committed.

        Raises:
            StorageUnavailableError: the database is away.
        """
        return self._writer.stored(batch_key)

    def close(self) -> None:
        """Write what was published, then end the threads. Later publishers are refused."""
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _hash(batch: ReadingBatch) -> int:
    """The same for all batches of a meter, in every process."""
    return min(batch.meter_ids, default=batch.batch_key).int
