"""
Which batches have been committed since a snapshot: what must be published, and perhaps was not.

Unlike `hes.storage.queries.changes` this does not wait for transactions that still run: a batch
belongs to the answer as soon as it can be seen, in no order, and is asked for by snapshots, so that
one which began early and commits late is in the next answer. So a long transaction elsewhere
does not hold up what is known of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs

from hes.domain.readings import Receipt, SourceKind
from hes.storage import epochs
from hes.storage.database import Connection

# A database that was restored counts its transactions anew from where it was: on another timeline,
# or, where that cannot be seen, in a new epoch.
_IDENTITY: Final = f"""
SELECT concat_ws(':', {epochs.IDENTITY}, (SELECT max(epoch_id) FROM database_epoch))
"""  # noqa: S608 - constants only

# What a snapshot does not see: transactions from its xmax on, and those that it saw running.
_SINCE: Final = """
SELECT batch_id FROM batch WHERE xid >= pg_snapshot_xmax(%(snapshot)s::text::pg_snapshot)
UNION ALL
SELECT batch_id FROM batch
WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(snapshot)s::text::pg_snapshot)))
LIMIT %(limit)s
"""

_NAMED: Final = """
SELECT batch_id, source_kind, received_at, stored, duplicates, revised, quarantined, meter_ids
FROM batch WHERE batch_id = ANY (%s)
"""


@attrs.frozen
class NamedBatch:
    """A batch with the meters that it names; None: an older release wrote it."""

    receipt: Receipt
    kind: SourceKind
    received_at: datetime
    meter_ids: tuple[UUID, ...] | None


def identity(connection: Connection) -> str:
    """What tells this database from others, and from itself before it was restored."""
    row = connection.execute(_IDENTITY.encode()).fetchone()
    assert row is not None
    return str(row[0])


def snapshot(connection: Connection) -> str:
    """What can be seen now, in PostgreSQL's own words."""
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return str(row[0])


def since(connection: Connection, snapshot: str, *, limit: int) -> Sequence[int]:
    """The ids of batches that `snapshot` does not see, in no order."""
    rows = connection.execute(_SINCE, {"snapshot": snapshot, "limit": limit})
    return [batch_id for (batch_id,) in rows]


def named(connection: Connection, batch_ids: Sequence[int]) -> Sequence[NamedBatch]:
    """These batches."""
    return [
        NamedBatch(
            receipt=Receipt(batch_id, stored, duplicates, revised, quarantined),
            kind=SourceKind(kind),
            received_at=received_at,
            meter_ids=None if meter_ids is None else tuple(meter_ids),
        )
        for batch_id, kind, received_at, stored, duplicates, revised, quarantined, meter_ids in (
            connection.execute(_NAMED, (list(batch_ids),))
        )
    ]
