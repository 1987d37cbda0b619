"""
Out of the quarantine: entries go through the writer's transaction again, once.

An entry ends in the transaction that stores what it holds; so it is replayed or it is not, whatever
dies in between, and nobody can replay it twice. What is refused again stays: the whole entry open,
with the reason; of an entry of which something was taken, the rest as an entry of its own.

Rows go by the window of today, or by none where the operator says so. How far a meter is read does
not show in rows from the quarantine: marks do not move. Frames are read anew by a `FrameReader`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import IPv4Address, ip_address
from types import TracebackType
from typing import Final, NoReturn, Self
from uuid import UUID, uuid5

import attrs
import psycopg
import structlog

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.domain.ports import FrameReader, KeptFrame
from hes.domain.readings import Provenance, ReadingBatch, Receipt
from hes.pipeline.committed import CommitListener, Committed
from hes.pipeline.group import check
from hes.pipeline.series import SeriesCache
from hes.pipeline.transaction import ChunksUnknownError, Transaction
from hes.pipeline.window import WindowPolicy
from hes.pipeline.writer import utc_now
from hes.storage import batches as batch_rows
from hes.storage import kept_rows, quarantine
from hes.storage.database import Database
from hes.storage.features import partitions
from hes.storage.quarantine import (
    Contents,
    Decision,
    EntryHandledError,
    EntryUnknownError,
    State,
)

_log = structlog.get_logger(__name__)

_NAMESPACE: Final = UUID("6a4a3c0e-6d2c-4a3f-9a53-0c4c2f6b7d15")
_ANY_TIME: Final = timedelta(days=100 * 365)
# Rows of an odd clock may each lie in a chunk of their own, and a transaction locks them all.
_MOST_CHUNKS: Final = 64
_AT_ONCE: Final = 50
_EVERY_S: Final = 2.0
_ATTEMPTS: Final = 3

# Somebody else was quicker, as in `hes.pipeline.writer`; or the rows are at fault, who knows.
_TRY_AGAIN: Final = (
    psycopg.errors.CheckViolation,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
)


class ReplayRefusedError(PermanentError):
    """It cannot be stored as things are; the entry stays open."""


class _Undone(Exception):  # noqa: N818 - nothing went wrong
    """Ends the transaction of a dry run."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__()
        self.receipt = receipt


class Replays:
    """
    Replays entries. Thread-safe.

    Args:
        database: with the schema of `hes migrate`.
        policy: which rows are taken.
        frames: reads frames; None: only rows can be replayed.
        clock: our clock, aware UTC.
        listeners: are told of each transaction after its COMMIT.
    """

    def __init__(
        self,
        database: Database,
        policy: WindowPolicy,
        frames: FrameReader | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        listeners: Sequence[CommitListener] = (),
    ) -> None:
        self._database = database
        self._policy = policy
        self._frames = frames
        self._clock = clock
        self._listeners = tuple(listeners)

    def replay(self, quarantine_id: int, decision: Decision, *, dry_run: bool = False) -> Receipt:
        """
        Store what an open entry holds.

        Args:
            decision: who wants it and why; `any_time`: rows are taken however odd their time.
            dry_run: undo it, and say what would have happened; the receipt's id means nothing.

        Raises:
            EntryUnknownError, EntryHandledError: there is nothing to replay.
            ReplayRefusedError: nothing of it can be stored; the entry is open and says why.
            StorageUnavailableError: nothing has happened, or (OutcomeUnknownError) it shows in the
                entry what has.
        """
        try:
            return self._replay(quarantine_id, decision, dry_run=dry_run)
        except ReplayRefusedError as exc:
            if not dry_run:
                with self._database.connection() as connection:
                    quarantine.attempted(connection, quarantine_id, str(exc), at=self._clock())
            raise

    def run_once(self) -> int:
        """
        Replay what people have asked for; returns how many entries were dealt with.

        Raises:
            StorageUnavailableError: the database is away; what is left is still asked for.
        """
        with self._database.connection() as connection:
            wanted = quarantine.requested(connection, limit=_AT_ONCE)
        for quarantine_id, decision in wanted:
            said = None
            try:
                receipt = self.replay(quarantine_id, decision)
            except StorageUnavailableError:
                raise
            except (ReplayRefusedError, EntryHandledError, EntryUnknownError) as exc:
                _log.warning("quarantine_not_replayed", quarantine_id=quarantine_id, said=str(exc))
            except Exception as exc:  # noqa: BLE001 - it must not stop the others
                # Ours; asked for it would come again for ever.
                _log.exception("quarantine_replay_failed", quarantine_id=quarantine_id)
                said = f"internal-error: {type(exc).__name__}"
            else:
                _log.info(
                    "quarantine_replayed",
                    quarantine_id=quarantine_id,
                    batch_id=receipt.batch_id,
                    by=decision.by,
                )
            if said is not None:
                with self._database.connection() as connection:
                    quarantine.attempted(connection, quarantine_id, said, at=self._clock())
        return len(wanted)

    def _replay(self, quarantine_id: int, decision: Decision, *, dry_run: bool) -> Receipt:
        with self._database.connection() as connection:
            quarantine.claim(connection, quarantine_id)
            contents = quarantine.contents(connection, quarantine_id)
        if contents is None:
            raise EntryUnknownError(f"no entry {quarantine_id} in quarantine")
        sink = _Sink(self, contents, decision, dry_run)
        if contents.rows is not None:
            return sink.publish(_batch(contents, contents.rows))
        return self._read_frame(contents, sink)

    def _read_frame(self, contents: Contents, sink: _Sink) -> Receipt:
        entry = contents.entry
        if self._frames is None:
            raise ReplayRefusedError("only a collector reads frames")
        if not contents.raw:
            raise ReplayRefusedError("nothing of it was kept")
        frame = KeptFrame(
            raw=contents.raw,
            peer=IPv4Address(0) if entry.peer is None else ip_address(entry.peer),
            received_at=entry.received_at,
            batch_key=_batch_key(entry.quarantine_id),
        )
        said = self._frames.read(frame, sink, dry_run=sink.dry_run)
        if sink.error is not None:
            raise sink.error
        if sink.receipt is None:
            raise ReplayRefusedError(said or "nothing to store")
        return sink.receipt

    def store(
        self, quarantine_id: int, batch: ReadingBatch, decision: Decision, *, dry_run: bool
    ) -> Receipt:
        """
        Store a batch and end the entry that it comes from, in one transaction.

        Raises:
            As `replay`.
        """
        check(batch)
        try:
            for attempt in range(_ATTEMPTS):
                last = attempt == _ATTEMPTS - 1
                with suppress(*(() if last else _TRY_AGAIN)):
                    receipt, committed = self._store(
                        quarantine_id, batch, decision, dry_run=dry_run
                    )
                    break
        except _Undone as undone:
            return undone.receipt
        except psycopg.Error as exc:
            raise ReplayRefusedError(f"{exc.sqlstate} {exc.diag.message_primary}") from exc
        if committed is not None:
            for listener in self._listeners:
                try:
                    listener.committed(committed)
                except Exception:  # noqa: BLE001 - whatever it is, it is the listener's
                    _log.exception("commit_listener_failed", listener=type(listener).__name__)
        return receipt

    def _store(
        self, quarantine_id: int, batch: ReadingBatch, decision: Decision, *, dry_run: bool
    ) -> tuple[Receipt, Committed | None]:
        try:
            return self._transact(quarantine_id, batch, decision, set(), dry_run=dry_run)
        except ChunksUnknownError as exc:
            if len(exc.numbers) > _MOST_CHUNKS:
                raise ReplayRefusedError(f"spread over {len(exc.numbers)} chunks of time") from exc
            partitions.ensure(self._database, exc.numbers)
            return self._transact(quarantine_id, batch, decision, exc.numbers, dry_run=dry_run)

    def _transact(
        self,
        quarantine_id: int,
        batch: ReadingBatch,
        decision: Decision,
        chunks: Set[int],
        *,
        dry_run: bool,
    ) -> tuple[Receipt, Committed | None]:
        now = self._clock()
        policy = attrs.evolve(
            self._policy,
            # Room for what is refused again beside the entry that is to give its share back.
            max_quarantined_octets=2 * self._policy.max_quarantined_octets,
        )
        if decision.any_time:
            policy = attrs.evolve(policy, buffer_depth=_ANY_TIME, ahead=_ANY_TIME)
        transaction = Transaction(policy, SeriesCache(), chunks, now)
        with self._database.connection() as connection:
            quarantine.claim(connection, quarantine_id)
            meters = {series.channel.meter_id for series in batch.series}
            committed = None
            # A frame that was repeated meanwhile may be stored already.
            receipt = batch_rows.receipts(connection, [batch.batch_key]).get(batch.batch_key)
            if receipt is None:
                stored = transaction.store(connection, [batch])
                committed = stored.committed
                ((_, receipt),) = committed.receipts
                if receipt.quarantined == len(batch):
                    _refuse(entry.reason for entry, _ in stored.refused)
                if not all(kept for _, kept in stored.refused):
                    _refuse(["no room in quarantine for what is refused again"])
            quarantine.finish(
                connection,
                quarantine_id,
                State.REPLAYED,
                decision,
                at=now,
                batch_id=receipt.batch_id,
                meter_id=meters.pop() if len(meters) == 1 else None,
            )
            if dry_run:
                raise _Undone(receipt)
        return receipt, committed


class _Sink:
    """`BatchSink` of one entry."""

    def __init__(
        self, replays: Replays, contents: Contents, decision: Decision, dry_run: bool
    ) -> None:
        self.dry_run = dry_run
        self.receipt: Receipt | None = None
        self.error: Exception | None = None
        self._replays = replays
        self._contents = contents
        self._decision = decision

    def publish(self, batch: ReadingBatch) -> Receipt:
        """Store the batch as what the entry holds."""
        entry = self._contents.entry
        session_id = entry.session_id
        provenance = attrs.evolve(
            batch.provenance, session_id=session_id, evidence=self._contents.raw, beside_mark=True
        )
        try:
            self.receipt = self._replays.store(
                entry.quarantine_id,
                attrs.evolve(batch, provenance=provenance),
                self._decision,
                dry_run=self.dry_run,
            )
        except Exception as exc:
            # Whoever has read the frame makes a reason of it; this is what happened.
            self.error = exc
            raise
        return self.receipt

    def stored(self, batch_key: UUID) -> bool:  # noqa: ARG002 - the port's
        """No: whether it is stored shows in the transaction."""
        return False


class ReplayLoop:
    """Replays in a thread of its own what people have asked for, for as long as it is open."""

    def __init__(self, replays: Replays, *, every_s: float = _EVERY_S) -> None:
        self._replays = replays
        self._every_s = every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hes-replays", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            try:
                self._replays.run_once()
            except StorageUnavailableError as exc:
                _log.debug("quarantine_replay_waits", error=type(exc).__name__)
            except Exception:  # noqa: BLE001 - the next round may do better
                _log.exception("quarantine_replay_failed")


def _batch(contents: Contents, rows: bytes) -> ReadingBatch:
    entry = contents.entry
    try:
        kept = kept_rows.decode(rows)
    except ValueError as exc:
        raise ReplayRefusedError(str(exc)) from exc
    return ReadingBatch(
        batch_key=_batch_key(entry.quarantine_id),
        series=kept.series,
        integers=kept.integers,
        others=kept.others,
        provenance=Provenance(kind=kept.kind, received_at=entry.received_at),
    )


def _batch_key(quarantine_id: int) -> UUID:
    return uuid5(_NAMESPACE, str(quarantine_id))


def _refuse(reasons: Iterable[str]) -> NoReturn:
    raise ReplayRefusedError(", ".join(sorted(set(reasons))))
