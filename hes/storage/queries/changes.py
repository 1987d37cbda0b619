"""
What has been committed since a reader last looked, so that a late correction is never missed.

Neither ids nor times will do for that: a transaction that began early may commit late, after a
reader has gone past its id and its time. Batches therefore come in the order of their transaction
ids, and only those below the oldest transaction that still runs: whatever commits later has a
higher one. A reader that keeps its `Position` gets every batch once, in the same order each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain.errors import PermanentError
from hes.domain.readings import Int32Array, Int64Array, SourceKind
from hes.storage.database import Connection
from hes.storage.pgcopy import EPOCH_SHIFT_US
from hes.storage.queries.columns import numbers

# One statement, so that horizon and rows are of one snapshot. Ordered by the column and not by what
# is given out under its name, which no index serves.
BATCHES: Final = """
SELECT batch_id, batch_key, source_kind, received_at, stored_at, xid::text::int8, meter_ids
FROM batch
WHERE (xid, batch_id) > (%(xid)s::text::xid8, %(batch_id)s::int8)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY batch.xid, batch.batch_id LIMIT %(limit)s
"""

# Where a database that was restored counts on, transactions have the numbers of others before them.
_HORIZON: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8,
       (SELECT coalesce(max(epoch_id), 0) FROM database_epoch WHERE reason <> 'first')
"""

# By the keys of the rows; the bounds given as constants spare the chunks that they exclude.
ROWS: Final = """
WITH spoken AS (
    SELECT batch.batch_id, channel.channel_id, series.series_id, channel.store,
           batch.captured_from, batch.captured_to
    FROM batch
    CROSS JOIN LATERAL unnest(batch.meter_ids) AS named (meter_id)
    JOIN channel ON channel.meter_id = named.meter_id
    JOIN series ON series.channel_id = channel.channel_id
    WHERE batch.batch_id = ANY (%(batch_ids)s) AND batch.captured_from IS NOT NULL
)
SELECT array_agg(batch_id), array_agg(channel_id), array_agg(captured_at)
FROM (
    SELECT batch_id, channel_id, row.captured_at
    FROM spoken CROSS JOIN LATERAL (
        SELECT captured_at FROM reading
        WHERE store = 'integer' AND reading.series_id = spoken.series_id
          AND captured_at BETWEEN spoken.captured_from AND spoken.captured_to
          AND captured_at BETWEEN %(first)s AND %(last)s AND batch_id = spoken.batch_id
        UNION ALL
        SELECT captured_at FROM reading_float
        WHERE store = 'float' AND reading_float.series_id = spoken.series_id
          AND captured_at BETWEEN spoken.captured_from AND spoken.captured_to
          AND captured_at BETWEEN %(first)s AND %(last)s AND batch_id = spoken.batch_id
        UNION ALL
        SELECT captured_at FROM reading_text
        WHERE store = 'text' AND reading_text.series_id = spoken.series_id
          AND captured_at BETWEEN spoken.captured_from AND spoken.captured_to
          AND captured_at BETWEEN %(first)s AND %(last)s AND batch_id = spoken.batch_id
        UNION ALL
        SELECT captured_at FROM reading_revision
        WHERE reading_revision.series_id = spoken.series_id
          AND captured_at BETWEEN spoken.captured_from AND spoken.captured_to
          AND batch_id = spoken.batch_id
    ) AS row
) AS row
"""

_SPAN: Final = """
SELECT min(captured_from), max(captured_to) FROM batch WHERE batch_id = ANY (%s)
"""


class PositionLostError(PermanentError):
    """
    A position is not of this database's past: it was restored or moved since, or is another one.

    The reader starts again at `START`, or where it knows that both agree.
    """


@attrs.frozen(order=True)
class Position:
    """
    How far a reader has come: everything up to and including this batch.

    `epoch_id`: since when the database is where it is (`hes.storage.epochs`).
    """

    xid: int
    batch_id: int
    epoch_id: int = 0


START: Final = Position(0, 0)
_LAST_BATCH: Final = 2**63 - 1


@attrs.frozen
class CommittedBatch:
    """A batch; `meter_ids`: whose rows it has, None if an older release wrote it."""

    batch_id: int
    batch_key: UUID
    kind: SourceKind
    received_at: datetime
    stored_at: datetime
    position: Position
    meter_ids: tuple[UUID, ...] | None


@attrs.frozen
class ChangePage:
    """
    Batches in commit order; `position` is where to go on, the one asked from if there are none.

    `has_more`: the page is full; ask again at once.
    """

    batches: tuple[CommittedBatch, ...]
    position: Position
    has_more: bool


@attrs.frozen(eq=False)
class ChangedRows:
    """Which instants batches have spoken of, without their values: parallel arrays."""

    batch_id: Int64Array
    channel_id: Int32Array
    captured_at: Int64Array

    def __len__(self) -> int:
        return len(self.captured_at)


def committed(connection: Connection, after: Position, *, limit: int) -> ChangePage:
    """
    The batches that follow `after` in commit order, as far as that order is settled.

    Args:
        after: `START`, or `ChangePage.position` of the page before.
        limit: how many at most, above 0.

    Raises:
        PositionLostError: `after` lies beyond all that this database has committed, or is of
            before it was restored.
    """
    horizon, epoch_id = _horizon(connection)
    if after != START and (after.epoch_id != epoch_id or after.xid >= horizon):
        raise PositionLostError(f"{after} is not of this database's past")
    bounds = {"xid": after.xid, "batch_id": after.batch_id, "limit": limit}
    batches = tuple(_batch(row, epoch_id) for row in connection.execute(BATCHES, bounds))
    position = batches[-1].position if batches else after
    return ChangePage(batches, position, has_more=len(batches) == limit)


def end(connection: Connection) -> Position:
    """The position after all that is settled now: what follows is news."""
    horizon, epoch_id = _horizon(connection)
    return Position(horizon - 1, _LAST_BATCH, epoch_id)


def rows(connection: Connection, batches: Sequence[CommittedBatch]) -> ChangedRows:
    """
    The instants that these batches have spoken of; `ranges` says what is current there.

    A correction that changed nothing of what was said is none, and not here. Of a batch that an
    older release wrote (`meter_ids` is None) nothing is found.
    """
    ids = [batch.batch_id for batch in batches]
    span = connection.execute(_SPAN, (ids,)).fetchone()
    assert span is not None
    if span[0] is None:
        return ChangedRows(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))
    with connection.cursor(binary=True) as cursor:
        cursor.execute(ROWS, {"batch_ids": ids, "first": span[0], "last": span[1]})
        result = cursor.pgresult
        assert result is not None
        batch_id, channel_id, captured_at = (result.get_value(0, column) for column in range(3))
    return ChangedRows(
        numbers(batch_id, ">i8"),
        numbers(channel_id, ">i4"),
        numbers(captured_at, ">i8") + EPOCH_SHIFT_US,
    )


def _horizon(connection: Connection) -> tuple[int, int]:
    """The oldest transaction that still runs, and the epoch."""
    row = connection.execute(_HORIZON).fetchone()
    assert row is not None
    return row[0], row[1]


def _batch(row: Sequence[Any], epoch_id: int) -> CommittedBatch:
    batch_id, batch_key, kind, received_at, stored_at, xid, meter_ids = row
    return CommittedBatch(
        batch_id=batch_id,
        batch_key=batch_key,
        kind=SourceKind(kind),
        received_at=received_at,
        stored_at=stored_at,
        position=Position(xid, batch_id, epoch_id),
        meter_ids=None if meter_ids is None else tuple(meter_ids),
    )
