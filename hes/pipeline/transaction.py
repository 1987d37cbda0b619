"""
One transaction of the writer: fresh batches -> rows, marks, roll-up notes, quarantine, batch rows.

In order: the leases under which they were read; the window; channels and series; staging and
merge; events; marks, completeness, dirty buckets; quarantine; the batch rows. Every writer keeps
this order and sorts within each step, so that two of them never wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from uuid import UUID

import attrs
import numpy as np

from hes.domain.errors import LeaseLostError
from hes.domain.readings import Int32Array, ReadingBatch, Receipt, SourceKind, ValueStore
from hes.pipeline import clock_marks, logbook, progress, series, window
from hes.pipeline.committed import Committed
from hes.pipeline.group import Group, group
from hes.pipeline.series import Channels, Resolved, SeriesCache
from hes.pipeline.window import Verdict, Verdicts, WindowPolicy
from hes.storage import batches as batch_rows
from hes.storage import channels, clock_changes, leases, marks, merge, quarantine, rollups
from hes.storage.batches import FinishedBatch
from hes.storage.counters import raise_accepted
from hes.storage.database import Connection
from hes.storage.features import chunks
from hes.storage.merge import IntegersToMerge, Merged, OtherToMerge
from hes.storage.quarantine import NewEntry


class ChunksUnknownError(Exception):
    """It is not known yet that these chunks are there; the transaction has stored nothing."""

    def __init__(self, numbers: Set[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers


@attrs.frozen(eq=False)
class Stored:
    """What a transaction has done; `refused` are entries of the quarantine and if they are kept."""

    committed: Committed
    channels: Channels
    refused: Sequence[tuple[NewEntry, bool]]


@attrs.frozen(eq=False)
class Transaction:
    """
    What a transaction works by.

    Args:
        policy: which rows are taken.
        cache: read only.
        chunks: numbers of those that are known to be there.
        now: our clock.
        condemned: why no row of these batches is to be taken, whatever it says; None: as usual.
    """

    policy: WindowPolicy
    cache: SeriesCache
    chunks: Set[int]
    now: datetime
    condemned: str | None = None

    def store(self, connection: Connection, batches: Sequence[ReadingBatch]) -> Stored:
        """
        Store batches whose keys are not there yet.

        Raises:
            LeaseLostError: some lease is over.
            ChunksUnknownError: make them, then try again.
        """
        _check_leases(connection, batches)
        _keep_counters(connection, batches)
        everything = group(batches)
        meters = set().union(*(batch.meter_ids for batch in batches))
        commissioned = channels.commissioned(connection, meters)
        verdicts, known = self._judge(connection, everything, commissioned)
        accepted = everything.select(verdicts == Verdict.ACCEPTED)
        logs = logbook.judge(batches, commissioned, self.policy, self.now, self.condemned)
        needed = {*chunks.numbers(accepted.captured_at), *logs.chunks}
        if unknown := needed - self.chunks:
            raise ChunksUnknownError(unknown)

        since = self.now - self.policy.buffer_depth
        accepted = clock_marks.mark(accepted, clock_changes.touching(connection, meters, since))
        resolved = series.resolve(connection, accepted, known)
        batch_ids = batch_rows.next_ids(connection, len(batches))
        merged = _merge(connection, accepted, resolved.series_id, batch_ids)
        new_events = logbook.store(connection, logs, batch_ids)
        receipts = [
            attrs.evolve(
                receipt,
                stored=receipt.stored + new,
                duplicates=receipt.duplicates + len(lines) - new,
                quarantined=receipt.quarantined + len(batch.events) - len(lines),
            )
            for receipt, new, lines, batch in zip(
                _receipts(everything, accepted, merged, batch_ids),
                new_events,
                logs.accepted,
                batches,
                strict=True,
            )
        ]
        limit = self.policy.max_quarantined_octets
        reached = [*progress.marks(accepted, self.now), *logbook.marks(batches, logs, self.now)]
        marks.raise_marks(connection, reached)
        marks.add_intervals(connection, progress.intervals(accepted))
        rollups.mark_dirty(connection, resolved.series_id, accepted.captured_at)
        refused = [
            (entry, quarantine.insert_within(connection, entry, max_octets=limit))
            for entry in (
                *window.refusals(everything, verdicts, commissioned, self.condemned),
                *logs.refused,
            )
        ]
        # Not in psycopg's pipeline mode, and last: after a pipeline (executemany is one) the server
        # does not end a transaction whose client has vanished.
        batch_rows.insert(connection, _finished(accepted, receipts))
        return Stored(_committed(accepted, resolved, receipts), resolved.channels, refused)

    def _judge(
        self, connection: Connection, everything: Group, commissioned: Mapping[UUID, datetime]
    ) -> tuple[Verdicts, Channels]:
        verdicts = window.judge(everything, commissioned, self.policy, self.now)
        if self.condemned is not None:
            verdicts[verdicts == Verdict.ACCEPTED] = Verdict.REFUSED
        within = everything.select(verdicts == Verdict.ACCEPTED)
        known = series.find(connection, within, self.cache)
        surplus = series.surplus(connection, within, known, self.policy.max_channels)
        if surplus:
            refuse = (verdicts == Verdict.ACCEPTED) & np.isin(everything.series_index, surplus)
            verdicts[refuse] = Verdict.TOO_MANY_CHANNELS
        return verdicts, known


def _keep_counters(connection: Connection, batches: Sequence[ReadingBatch]) -> None:
    """The meters' counters, before anything that they vouch for."""
    raise_accepted(
        connection,
        [
            (meter_id, batch.provenance.counter)
            for batch in batches
            if batch.provenance.counter is not None
            for meter_id in batch.meter_ids
        ],
    )


def _check_leases(connection: Connection, batches: Sequence[ReadingBatch]) -> None:
    """
    See that what sessions have read was read under leases that still run.

    What a meter pushes by itself needs no lease and would not come again.

    Raises:
        LeaseLostError: some lease is over, or somebody else's.
    """
    under = {
        (meter_id, batch.provenance.lease_token)
        for batch in batches
        if batch.provenance.lease_token is not None and batch.provenance.kind is not SourceKind.PUSH
        for meter_id in batch.meter_ids
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
) -> Sequence[Receipt]:
    count = len(batch_ids)
    rows = np.bincount(everything.batch_index, minlength=count).tolist()
    staged = np.bincount(accepted.batch_index, minlength=count).tolist()
    receipts = []
    for index, batch_id in enumerate(batch_ids):
        stored, revised = merged.stored.get(batch_id, 0), merged.revised.get(batch_id, 0)
        receipts.append(
            Receipt(
                batch_id=batch_id,
                stored=stored,
                duplicates=staged[index] - stored - revised,
                revised=revised,
                quarantined=rows[index] - staged[index],
            )
        )
    return receipts


def _finished(accepted: Group, receipts: Sequence[Receipt]) -> Sequence[FinishedBatch]:
    return [
        FinishedBatch(
            batch.batch_key,
            batch.provenance,
            receipt,
            batch.meter_ids,
            *(span or (None, None)),
        )
        for batch, receipt, span in zip(
            accepted.batches, receipts, progress.spans(accepted), strict=True
        )
    ]


def _committed(accepted: Group, resolved: Resolved, receipts: Sequence[Receipt]) -> Committed:
    return Committed(
        receipts=tuple(zip(accepted.batches, receipts, strict=True)),
        channel_id=resolved.channel_id,
        series_id=resolved.series_id,
        captured_at=accepted.captured_at,
        quality=accepted.quality,
        value=accepted.value,
        null=accepted.null,
        others=accepted.others,
        scaler=resolved.scaler,
        unit=resolved.unit,
    )
