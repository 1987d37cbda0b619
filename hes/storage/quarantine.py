"""The quarantine: octets that are no reading (yet), with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import attrs
from psycopg.types.json import Jsonb

from hes.storage.database import Connection

_INSERT = """
INSERT INTO quarantine (meter_id, identity, peer, reason, raw, detail, received_at, session_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
RETURNING quarantine_id
"""

_PAGE = """
SELECT quarantine_id, meter_id, serial, identity, host(quarantine.peer), reason, raw, detail,
       received_at, session_id
FROM quarantine LEFT JOIN meter USING (meter_id)
WHERE quarantine_id < %(before)s AND (%(meter_id)s::uuid IS NULL OR meter_id = %(meter_id)s)
ORDER BY quarantine_id DESC LIMIT %(limit)s
"""

# Nothing comes back if the limit would be passed; then nothing is counted.
_COUNT_USAGE = """
INSERT INTO quarantine_usage AS used (sender, known, frames, octets)
SELECT %(sender)s, %(known)s, 1, %(octets)s WHERE %(octets)s <= %(limit)s
ON CONFLICT (sender) DO UPDATE
SET frames = used.frames + 1, octets = used.octets + excluded.octets, last_at = now()
WHERE used.octets + excluded.octets <= %(limit)s
RETURNING sender
"""


@attrs.frozen
class NewEntry:
    """Something to be kept; `meter_id` None where nobody knows the sender."""

    reason: str
    raw: bytes = attrs.field(repr=False)
    received_at: datetime
    meter_id: UUID | None = None
    identity: str | None = None
    peer: IPv4Address | IPv6Address | None = None
    detail: Mapping[str, Any] | None = None
    session_id: UUID | None = None


@attrs.frozen
class Entry:
    """Something kept, as `page` gives it."""

    quarantine_id: int
    meter_id: UUID | None
    serial: str | None
    identity: str | None
    peer: str | None
    reason: str
    raw: bytes = attrs.field(repr=False)
    detail: Mapping[str, Any] | None
    received_at: datetime
    session_id: UUID | None


def insert(connection: Connection, entry: NewEntry) -> int:
    """Keep one entry and return its id."""
    row = connection.execute(
        _INSERT,
        (
            entry.meter_id,
            None if entry.identity is None else _storable(entry.identity),
            entry.peer,
            entry.reason,
            entry.raw,
            None if entry.detail is None else Jsonb(entry.detail),
            entry.received_at,
            entry.session_id,
        ),
    ).fetchone()
    assert row is not None
    quarantine_id: int = row[0]
    return quarantine_id


def insert_within(connection: Connection, entry: NewEntry, *, max_octets: int) -> bool:
    """
    Keep one entry unless its meter would then take more than `max_octets`; say whether it is kept.

    Shares its count with `hes.storage.inbound`. In one transaction, call it in the order of
    meters, since the count of each stays locked until the end.
    """
    counted = connection.execute(
        _COUNT_USAGE,
        {
            "sender": f"meter {entry.meter_id or entry.identity}",
            "known": entry.meter_id is not None,
            "octets": len(entry.raw) + len(json.dumps(entry.detail)),
            "limit": max_octets,
        },
    ).fetchone()
    if counted is None:
        return False
    insert(connection, entry)
    return True


def page(
    connection: Connection, *, before: int | None, limit: int, meter_id: UUID | None = None
) -> Sequence[Entry]:
    """
    Entries, newest first.

    Args:
        before: the id of the last entry of the page before, None for the first page.
        limit: how many at most.
        meter_id: only this meter's.
    """
    newest = 2**63 - 1 if before is None else before
    rows = connection.execute(_PAGE, {"before": newest, "limit": limit, "meter_id": meter_id})
    return [Entry(*row) for row in rows]


def _storable(text: str) -> str:
    """PostgreSQL holds no NUL and no lone surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
