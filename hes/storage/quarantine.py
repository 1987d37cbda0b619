"""
The quarantine: what is no reading (yet), with the reason, until somebody replays or drops it.

Owns the table `quarantine` and the shares in `quarantine_usage`, which bound what is open: an entry
takes its share when it is kept and gives it back when it is handled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID

import attrs
from psycopg.types.json import Jsonb

from hes.domain.errors import PermanentError
from hes.storage.database import Connection

HEAD_OCTETS: Final = 64
"""How much of an entry's octets `page` gives."""

_SAID_LENGTH: Final = 500

_INSERT = """
INSERT INTO quarantine (meter_id, identity, peer, reason, raw, detail, received_at, session_id,
                        rows, sender, octets)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING quarantine_id
"""

_ENTRY = f"""
quarantine_id, meter_id, serial, identity, host(quarantine.peer), reason,
substring(raw FOR {HEAD_OCTETS}), octet_length(raw), detail, received_at, session_id,
rows IS NOT NULL, quarantine.state, handled_at, handled_by, handled_why, batch_id,
requested_at, requested_by, requested_why, any_time, attempted_at, attempt_said
"""

_PAGE = f"""
SELECT {_ENTRY} FROM quarantine LEFT JOIN meter USING (meter_id)
WHERE quarantine_id < %(before)s
  AND (%(meter_id)s::uuid IS NULL OR meter_id = %(meter_id)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(state)s::text IS NULL OR quarantine.state = %(state)s)
ORDER BY quarantine_id DESC LIMIT %(limit)s
"""  # noqa: S608 - constants only

_CONTENTS = f"""
SELECT raw, rows, {_ENTRY} FROM quarantine LEFT JOIN meter USING (meter_id)
WHERE quarantine_id = %s
"""  # noqa: S608 - constants only

_CLAIM = "SELECT state FROM quarantine WHERE quarantine_id = %s FOR UPDATE"

# Nothing comes back if the limit would be passed; then nothing is counted.
_COUNT_USAGE = """
INSERT INTO quarantine_usage AS used (sender, known, frames, octets)
SELECT %(sender)s, %(known)s, 1, %(octets)s WHERE %(octets)s <= %(limit)s
ON CONFLICT (sender) DO UPDATE
SET frames = used.frames + 1, octets = used.octets + excluded.octets, last_at = now()
WHERE used.octets + excluded.octets <= %(limit)s
RETURNING sender
"""

_SHARE = "SELECT sender, octets FROM quarantine WHERE quarantine_id = %s"

_GIVE_BACK = """
UPDATE quarantine_usage
SET frames = frames - %(frames)s, octets = greatest(octets - %(octets)s, 0)
WHERE sender = %(sender)s
RETURNING frames <= 0
"""

# What was replayed stays as it was, beside what became of it: it is evidence, and says whose data
# there are. Of what was dropped only the fact stays.
_FINISH = """
UPDATE quarantine
SET state = %(state)s, handled_at = %(at)s, handled_by = %(by)s, handled_why = %(why)s,
    batch_id = %(batch_id)s, meter_id = coalesce(meter_id, %(meter_id)s),
    sender = NULL, octets = NULL,
    rows = CASE %(state)s::text WHEN 'dropped' THEN NULL ELSE rows END,
    raw = CASE %(state)s::text WHEN 'dropped' THEN ''::bytea ELSE raw END,
    detail = CASE WHEN %(state)s::text = 'dropped' AND detail ? 'rows'
                  THEN jsonb_build_object('rows', detail -> 'rows')
                  WHEN %(state)s::text = 'dropped' THEN NULL ELSE detail END,
    requested_at = NULL, requested_by = NULL, requested_why = NULL
WHERE quarantine_id = %(quarantine_id)s
"""

_REQUEST = """
UPDATE quarantine
SET requested_at = %(at)s, requested_by = %(by)s, requested_why = %(why)s, any_time = %(any_time)s
WHERE quarantine_id = %(quarantine_id)s AND state = 'open'
"""

_REQUESTED = """
SELECT quarantine_id, requested_by, requested_why, any_time FROM quarantine
WHERE requested_at IS NOT NULL ORDER BY requested_at, quarantine_id LIMIT %s
"""

_ATTEMPTED = """
UPDATE quarantine
SET attempted_at = %(at)s, attempt_said = %(said)s,
    requested_at = NULL, requested_by = NULL, requested_why = NULL
WHERE quarantine_id = %(quarantine_id)s AND state = 'open'
"""


class EntryUnknownError(PermanentError):
    """The quarantine has no such entry."""


class EntryHandledError(PermanentError):
    """Somebody has replayed or dropped the entry already."""


class State(StrEnum):
    """What became of an entry."""

    OPEN = "open"
    REPLAYED = "replayed"
    DROPPED = "dropped"


@attrs.frozen
class NewEntry:
    """
    Something to be kept; `meter_id` None where nobody knows the sender.

    `rows`: refused rows, whole (`hes.storage.kept_rows`), None for a frame.
    """

    reason: str
    raw: bytes = attrs.field(repr=False)
    received_at: datetime
    meter_id: UUID | None = None
    identity: str | None = None
    peer: IPv4Address | IPv6Address | None = None
    detail: Mapping[str, Any] | None = None
    session_id: UUID | None = None
    rows: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Share:
    """Whose share of the quarantine an entry takes, and how much of it."""

    sender: str
    octets: int


@attrs.frozen
class Filter:
    """Which entries are wanted; None: whichever. `since`: received then or later."""

    meter_id: UUID | None = None
    reason: str | None = None
    since: datetime | None = None
    state: State | None = None


@attrs.frozen
class Decision:
    """Who handles an entry, why; `any_time`: rows are taken however odd their time."""

    by: str
    why: str
    any_time: bool = False


@attrs.frozen
class Entry:
    """
    Something kept: `raw` are its first octets, `raw_octets` how many there are.

    `has_rows`: its rows are there whole, and what is replayed; else the frame is. The fields of
    `handled` are None while it is open, those of `requested` unless a replay is wanted, those of
    `attempt` before the first replay that failed.
    """

    quarantine_id: int
    meter_id: UUID | None
    serial: str | None
    identity: str | None
    peer: str | None
    reason: str
    raw: bytes = attrs.field(repr=False)
    raw_octets: int
    detail: Mapping[str, Any] | None
    received_at: datetime
    session_id: UUID | None
    has_rows: bool
    state: State = attrs.field(converter=State)
    handled_at: datetime | None
    handled_by: str | None
    handled_why: str | None
    batch_id: int | None
    requested_at: datetime | None
    requested_by: str | None
    requested_why: str | None
    any_time: bool
    attempted_at: datetime | None
    attempt_said: str | None


@attrs.frozen
class Contents:
    """An entry with all its octets and rows."""

    entry: Entry
    raw: bytes = attrs.field(repr=False)
    rows: bytes | None = attrs.field(repr=False)


def insert(connection: Connection, entry: NewEntry, share: Share) -> int:
    """Keep one entry, whose share is counted by the caller, and return its id."""
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
            entry.rows,
            share.sender,
            share.octets,
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
    share = Share(
        f"meter {entry.meter_id or entry.identity}",
        len(entry.raw) + len(json.dumps(entry.detail)) + len(entry.rows or b""),
    )
    counted = connection.execute(
        _COUNT_USAGE,
        {
            "sender": share.sender,
            "known": entry.meter_id is not None,
            "octets": share.octets,
            "limit": max_octets,
        },
    ).fetchone()
    if counted is None:
        return False
    insert(connection, entry, share)
    return True


def page(
    connection: Connection, *, before: int | None, limit: int, wanted: Filter | None = None
) -> Sequence[Entry]:
    """
    Entries, newest first.

    Args:
        before: the id of the last entry of the page before, None for the first page.
        limit: how many at most.
        wanted: which.
    """
    newest = 2**63 - 1 if before is None else before
    asked = attrs.asdict(wanted or Filter())
    rows = connection.execute(_PAGE, {"before": newest, "limit": limit, **asked})
    return [Entry(*row) for row in rows]


def contents(connection: Connection, quarantine_id: int) -> Contents | None:
    """One entry, whole; None: there is none."""
    row = connection.execute(_CONTENTS, (quarantine_id,)).fetchone()
    return None if row is None else Contents(Entry(*row[2:]), row[0], row[1])


def claim(connection: Connection, quarantine_id: int) -> None:
    """
    Keep everybody else from handling an open entry until the transaction ends.

    Raises:
        EntryUnknownError: there is none.
        EntryHandledError: it is not open.
    """
    row = connection.execute(_CLAIM, (quarantine_id,)).fetchone()
    if row is None:
        raise EntryUnknownError(f"no entry {quarantine_id} in quarantine")
    if row[0] != State.OPEN:
        raise EntryHandledError(f"entry {quarantine_id} is {row[0]}")


def finish(
    connection: Connection,
    quarantine_id: int,
    state: State,
    decision: Decision,
    *,
    at: datetime,
    batch_id: int | None = None,
    meter_id: UUID | None = None,
) -> None:
    """
    End an open entry that this transaction has claimed, and give its share back.

    To be called last: the count of its sender stays locked until the end.

    Args:
        batch_id: as which batch it was replayed.
        meter_id: whose it has proved to be, if nobody knew before.
    """
    give_back(connection, connection.execute(_SHARE, (quarantine_id,)).fetchall())
    connection.execute(
        _FINISH,
        {
            "quarantine_id": quarantine_id,
            "state": state.value,
            "by": _said(decision.by),
            "why": _said(decision.why),
            "at": at,
            "batch_id": batch_id,
            "meter_id": meter_id,
        },
    )


def give_back(connection: Connection, shares: Iterable[tuple[str | None, int | None]]) -> None:
    """
    Free the room of open entries that are no more.

    Args:
        shares: `sender` and `octets` of each; null in entries that take no room.
    """
    frames: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    for sender, taken in shares:
        if sender is not None:
            frames[sender] += 1
            octets[sender] += taken or 0
    for sender in sorted(frames):
        is_last = connection.execute(
            _GIVE_BACK, {"sender": sender, "frames": frames[sender], "octets": octets[sender]}
        ).fetchone()
        if is_last == (True,):
            # Unknown senders are limited in number too.
            connection.execute("DELETE FROM quarantine_usage WHERE sender = %s", (sender,))


def request(
    connection: Connection, quarantine_id: int, decision: Decision, *, at: datetime
) -> bool:
    """Ask a collector to replay an entry; False: it is not open, or there is none."""
    done = connection.execute(
        _REQUEST,
        {
            "quarantine_id": quarantine_id,
            "by": _said(decision.by),
            "why": _said(decision.why),
            "any_time": decision.any_time,
            "at": at,
        },
    )
    return done.rowcount == 1


def requested(connection: Connection, *, limit: int) -> Sequence[tuple[int, Decision]]:
    """Entries of which a replay is wanted, who has waited longest first."""
    return [(row[0], Decision(*row[1:])) for row in connection.execute(_REQUESTED, (limit,))]


def attempted(connection: Connection, quarantine_id: int, said: str, *, at: datetime) -> None:
    """Note why a replay failed; it is not wanted any more until somebody asks again."""
    connection.execute(_ATTEMPTED, {"quarantine_id": quarantine_id, "said": _said(said), "at": at})


def _said(text: str) -> str:
    return _storable(text)[:_SAID_LENGTH]


def _storable(text: str) -> str:
    """PostgreSQL holds no NUL and no lone surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
