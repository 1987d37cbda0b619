"""Batches: where rows come from, what became of them, and the key by which a doubt is settled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.domain.readings import Provenance, Receipt
from hes.storage.database import Connection

_RECEIPTS = """
SELECT batch_key, batch_id, stored, duplicates, revised, quarantined
FROM batch WHERE batch_key = ANY (%s)
"""

_NEXT_IDS = """
SELECT nextval(pg_get_serial_sequence('batch', 'batch_id')) FROM generate_series(1, %s)
"""

# In the order of the keys, like every insert that may meet another writer's.
_INSERT = """
INSERT INTO batch (batch_id, batch_key, source_kind, session_id, lease_token, received_at,
                   stored, duplicates, revised, quarantined, meter_ids,
                   captured_from, captured_to)
OVERRIDING SYSTEM VALUE
SELECT batch_id, batch_key, source_kind, session_id, lease_token, received_at,
       stored, duplicates, revised, quarantined, meter_ids::uuid[], captured_from, captured_to
FROM unnest(%s::int8[], %s::uuid[], %s::text[], %s::uuid[], %s::int8[], %s::timestamptz[],
            %s::int4[], %s::int4[], %s::int4[], %s::int4[], %s::text[], %s::timestamptz[],
            %s::timestamptz[])
    AS new (batch_id, batch_key, source_kind, session_id, lease_token, received_at,
            stored, duplicates, revised, quarantined, meter_ids, captured_from, captured_to)
ORDER BY batch_key
"""


@attrs.frozen
class FinishedBatch:
    """
    A batch with its receipt, to be recorded in the transaction that stored its rows.

    `meter_ids` are the meters that it names, be their rows stored or refused. `captured_from` and
    `captured_to`: its first and last accepted instant, None if no row was accepted.
    """

    batch_key: UUID
    provenance: Provenance
    receipt: Receipt
    meter_ids: Collection[UUID]
    captured_from: datetime | None
    captured_to: datetime | None


def receipts(connection: Connection, batch_keys: Sequence[UUID]) -> dict[UUID, Receipt]:
    """Receipts of those batches that are committed, by key."""
    rows = connection.execute(_RECEIPTS, (list(batch_keys),))
    return {row[0]: Receipt(*row[1:]) for row in rows}


def next_ids(connection: Connection, count: int) -> list[int]:
    """Ids for batches to come, known before their rows are stored."""
    return [number for (number,) in connection.execute(_NEXT_IDS, (count,))]


def insert(connection: Connection, batches: Sequence[FinishedBatch]) -> None:
    """
    Record batches.

    Raises:
        psycopg.errors.UniqueViolation: somebody stored a batch of this key meanwhile.
    """
    connection.execute(
        _INSERT,
        (
            [batch.receipt.batch_id for batch in batches],
            [batch.batch_key for batch in batches],
            [batch.provenance.kind.value for batch in batches],
            [batch.provenance.session_id for batch in batches],
            [batch.provenance.lease_token for batch in batches],
            [batch.provenance.received_at for batch in batches],
            [batch.receipt.stored for batch in batches],
            [batch.receipt.duplicates for batch in batches],
            [batch.receipt.revised for batch in batches],
            [batch.receipt.quarantined for batch in batches],
            # As texts: unnest would take arrays of arrays apart, and they differ in length.
            ["{" + ",".join(map(str, sorted(batch.meter_ids))) + "}" for batch in batches],
            [batch.captured_from for batch in batches],
            [batch.captured_to for batch in batches],
        ),
    )
