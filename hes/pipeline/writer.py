"""
Batches -> committed rows, one transaction per group of batches.

In order: receipts of batches that are there already; the leases under which the others were read;
the window; channels and series; staging and
merge; marks and completeness; quarantine; the batch rows. Every writer keeps this order and sorts
within each step, so that two of them never wait for each other. Publishing a batch again, with
the same `batch_key`, is safe at any time; so a COMMIT whose outcome is unknown is settled by doing
just that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import attrs
import numpy as np
import psycopg
import structlog

from hes.domain.errors import LeaseLostError, StorageUnavailableError
from hes.domain.readings import Int32Array, ReadingBatch, Receipt, SourceKind, ValueStore
from hes.pipeline import progress, series, window
from hes.pipeline.group import Group, group
from hes.pipeline.series import Channels, SeriesCache
from hes.pipeline.window import Verdict, WindowPolicy
from hes.storage import batches as batch_rows
from hes.storage import channels, leases, marks, merge, quarantine
from hes.storage.batches import FinishedBatch
from hes.storage.database import Connection, Database, OutcomeUnknownError
from hes.storage.merge import IntegersToMerge, Merged, OtherToMerge
from hes.storage.quarantine import NewEntry

_log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.2

# Somebody else was quicker: with the batch itself, or with a meter that is gone now. Or the server
# chose us to end a deadlock. Nothing is wrong with the batch.
_TRY_AGAIN = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


def utc_now() -> datetime:
    """Our clock."""
    return datetime.now(UTC)


@attrs.frozen
class _Done:
    """What a transaction did: receipts by key, channels seen, refusals and if they are kept."""

    receipts: dict[UUID, Receipt]
    channels: Channels
    refused: Sequence[tuple[NewEntry, bool]]


class Writer:
    """
    Writes groups of batches. One thread at a time.

    Args:
        database: with the schema of `hes migrate`.
        policy: which rows are taken.
        clock: our clock, aware UTC.
        settle_s: how long to ask for the outcome of a COMMIT that is unknown.
    """

    def __init__(
        self,
        database: Database,
        policy: WindowPolicy,
        *,
        clock: Callable[[], datetime] = utc_now,
        settle_s: float = 15.0,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._settle_s = settle_s
        self._cache = SeriesCache()

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
        settle_until: float | None = None
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._write_once(batches)
            except StorageUnavailableError as exc:
                self._cache.clear()
                if isinstance(exc, OutcomeUnknownError) and settle_until is None:
                    settle_until = time.monotonic() + self._settle_s
                if settle_until is not None:
                    if time.monotonic() >= settle_until:
                        raise OutcomeUnknownError(str(exc)) from exc
                    time.sleep(_PAUSE_S)
                elif not isinstance(exc.__cause__, _TRY_AGAIN) or attempts == _ATTEMPTS:
                    raise
            except _TRY_AGAIN:
                if attempts == _ATTEMPTS:
                    raise

    def stored(self, batch_key: UUID) -> bool:
        """
        Whether a batch of this key is committed. Thread-safe.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return batch_key in batch_rows.receipts(connection, [batch_key])

    def _write_once(self, batches: Sequence[ReadingBatch]) -> list[Receipt]:
        unique = list({batch.batch_key: batch for batch in reversed(batches)}.values())
        done = _Done({}, {}, [])
        with self._database.connection() as connection:
            receipts = batch_rows.receipts(connection, [batch.batch_key for batch in unique])
            fresh = [batch for batch in unique if batch.batch_key not in receipts]
            if fresh:
                done = self._store(connection, fresh)
        self._cache.keep(done.channels)
        for entry, kept in done.refused:
            _log.warning(
                "rows_quarantined",
                meter_id=str(entry.meter_id or entry.identity),
                session_id=entry.session_id and str(entry.session_id),
                reason=entry.reason,
                rows=entry.detail and entry.detail["rows"],
                kept=kept,
            )
        receipts |= done.receipts
        return [receipts[batch.batch_key] for batch in batches]

    def _store(self, connection: Connection, batches: Sequence[ReadingBatch]) -> _Done:
        _check_leases(connection, batches)
        everything = group(batches)
        now = self._clock()
        meters = {one.channel.meter_id for one in everything.series}
        commissioned = channels.commissioned(connection, meters)
        verdicts = window.judge(everything, commissioned, self._policy, now)
        within = everything.select(verdicts == Verdict.ACCEPTED)
        known = series.find(connection, within, self._cache)
        surplus = series.surplus(connection, within, known, self._policy.max_channels)
        if surplus:
            refuse = (verdicts == Verdict.ACCEPTED) & np.isin(everything.series_index, surplus)
            verdicts[refuse] = Verdict.TOO_MANY_CHANNELS
        accepted = everything.select(verdicts == Verdict.ACCEPTED)

        series_ids, found = series.resolve(connection, accepted, known)
        batch_ids = batch_rows.next_ids(connection, len(batches))
        merged = _merge(connection, accepted, series_ids, batch_ids)
        marks.raise_marks(connection, progress.marks(accepted, now))
        marks.add_intervals(connection, progress.intervals(accepted))
        limit = self._policy.max_quarantined_octets
        refused = [
            (entry, quarantine.insert_within(connection, entry, max_octets=limit))
            for entry in window.refusals(everything, verdicts, commissioned)
        ]
        receipts = _receipts(everything, accepted, merged, batch_ids)
        batch_rows.insert(
            connection,
            [
                FinishedBatch(
                    batch.batch_key,
                    batch.provenance,
                    receipts[batch.batch_key],
                    {one.channel.meter_id for one in batch.series},
                    *(span or (None, None)),
                )
                for batch, span in zip(batches, progress.spans(accepted), strict=True)
            ],
        )
        return _Done(receipts, found, refused)


def _check_leases(connection: Connection, batches: Sequence[ReadingBatch]) -> None:
    """
    See that what sessions have read was read under leases that still run.

    What a meter pushes by itself needs no lease and would not come again.

    Raises:
        LeaseLostError: some lease is over, or somebody else's.
    """
    under = {
        (one.channel.meter_id, batch.provenance.lease_token)
        for batch in batches
        if batch.provenance.lease_token is not None and batch.provenance.kind is not SourceKind.PUSH
        for one in batch.series
    }
    lost = under - leases.held(connection, under) if under else under
    if lost:
        raise LeaseLostError(", ".join(f"meter {meter}, lease {token}" for meter, token in lost))


def _merge(
    connection: Connection, rows: Group, series_ids: Int32Array, batch_ids: Sequence[int]
) -> Merged:
    integers = rows.integer_rows
    batch_of_row = np.array(batch_ids, np.int64)[rows.batch_index]
    merged = [
        merge.merge_integers(
            connection,
            IntegersToMerge(
                batch_id=batch_of_row[:integers],
                series_id=series_ids[:integers],
                captured_at=rows.captured_at[:integers],
                quality=rows.quality[:integers],
                value=rows.value,
                null=rows.null,
            ),
        )
    ]
    others: dict[ValueStore, list[OtherToMerge]] = {}
    for row, value in enumerate(rows.others, start=integers):
        assert not isinstance(value, int)
        others.setdefault(rows.series[rows.series_index[row]].channel.store, []).append(
            OtherToMerge(
                batch_id=int(batch_of_row[row]),
                series_id=int(series_ids[row]),
                captured_at=int(rows.captured_at[row]),
                quality=int(rows.quality[row]),
                value=value,
            )
        )
    merged += [
        merge.merge_others(connection, store, others.get(store, []))
        for store in (ValueStore.FLOAT, ValueStore.TEXT)
    ]
    return Merged(
        stored=_sum([one.stored for one in merged]), revised=_sum([one.revised for one in merged])
    )


def _sum(counts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in counts:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return total


def _receipts(
    everything: Group, accepted: Group, merged: Merged, batch_ids: Sequence[int]
) -> dict[UUID, Receipt]:
    count = len(batch_ids)
    rows = np.bincount(everything.batch_index, minlength=count).tolist()
    staged = np.bincount(accepted.batch_index, minlength=count).tolist()
    receipts = {}
    for index, batch_id in enumerate(batch_ids):
        stored, revised = merged.stored.get(batch_id, 0), merged.revised.get(batch_id, 0)
        receipts[everything.batches[index].batch_key] = Receipt(
            batch_id=batch_id,
            stored=stored,
            duplicates=staged[index] - stored - revised,
            revised=revised,
            quarantined=rows[index] - staged[index],
        )
    return receipts
