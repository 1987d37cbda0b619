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
from typing import Final
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError
from hes.domain.readings import Int32Array, Int64Array, SourceKind
from hes.storage.database import Connection

# One statement, so that horizon and rows are of one snapshot.
_BATCHES: Final = """
SELECT batch_id, batch_key, source_kind, received_at, stored_at, xid::text::int8, meter_ids
FROM batch
WHERE (xid, batch_id) > (%(xid)s::text::xid8, %(batch_id)s::int8)
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, batch_id LIMIT %(limit)s
"""

_HORIZON: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8"


class PositionLostError(PermanentError):
    """
    A position lies in this database's future: it was restored to before, or is another one.

    The reader starts again at `START`, or where it knows that both agree.
    """


@attrs.frozen(order=True)
class Position:
    """How far a reader has come: everything up to and including this batch."""

    xid: int
    batch_id: int


START: Final = Position(0, 0)


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
        PositionLostError: `after` lies beyond all that this database has committed.
    """
    raise NotImplementedError


def end(connection: Connection) -> Position:
    """The position after all that is settled now: what follows is news."""
    raise NotImplementedError


def rows(connection: Connection, batches: Sequence[CommittedBatch]) -> ChangedRows:
    """The instants that these batches have spoken of; what is current there says `ranges`."""
    raise NotImplementedError
