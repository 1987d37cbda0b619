"""
Who a push comes from, and what becomes of a frame that is no reading.

A sender is looked for by what its frame says first (system title, then the texts that name a
meter), and only if the frame names nobody at all by the line it came in on. A name that fits two
meters, or none, is nobody's: a reading in the wrong meter's account is worse than one in
quarantine.

Also owns the limits of the quarantine (table `quarantine_usage`): nobody may fill the disk from
outside. An entry that is handled gives its share back (`hes.storage.quarantine.finish`), and so
must who deletes open ones (`give_back`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final
from uuid import UUID

import psycopg

from hes.domain.errors import QuarantineFullError, UnknownMeterError
from hes.domain.meters import Meter
from hes.domain.ports import Sender
from hes.storage import due_items, quarantine
from hes.storage.database import Connection, Database
from hes.storage.meters import METER_COLUMNS, METER_SOURCE, meter_from_row
from hes.storage.quarantine import Share
from hes_protocol.cosem import Obis

# What an entry takes beside its octets; so that empty frames do not come for free.
ENTRY_OVERHEAD_OCTETS: Final = 256

_NAMES_TRIED: Final = 64
_NAME_LENGTH: Final = 64
_REASON_LENGTH: Final = 500
_ADVISORY_LOCK: Final = 0x4845_5302  # the migrations hold ...00, changes of meters ...01

_BY_TITLE: Final = f"""
SELECT {METER_COLUMNS} FROM {METER_SOURCE} WHERE m.system_title = %s
"""  # noqa: S608 - constants only

# `coalesce(id_value, serial)` is what pushes call a meter; where it has an id object, the text
# must have stood under that.
_BY_NAMES: Final = f"""
SELECT {METER_COLUMNS} FROM {METER_SOURCE}
WHERE coalesce(m.id_value, m.serial) = ANY(%(texts)s)
  AND (m.id_object IS NULL OR (m.id_object, coalesce(m.id_value, m.serial)) IN (
      SELECT * FROM unnest(%(objects)s::bytea[], %(texts)s::text[])
  ))
"""  # noqa: S608 - constants only

_BY_LINE: Final = f"""
SELECT {METER_COLUMNS}, masklen(m.peer) FROM {METER_SOURCE}
WHERE m.peer >>= %s AND m.state = 'in_service'
ORDER BY masklen(m.peer) DESC LIMIT 2
"""  # noqa: S608 - constants only

_REST: Final = """
UPDATE due_work SET rests_until = greatest(
    rests_until, clock_timestamp() + make_interval(secs => %(for_s)s * (0.5 + random()))
)
WHERE meter_id = %(meter_id)s
"""

_COUNT_USAGE: Final = """
INSERT INTO quarantine_usage AS used (sender, known, frames, octets)
VALUES (%(sender)s, %(known)s, 1, %(octets)s)
ON CONFLICT (sender) DO UPDATE
SET frames = used.frames + 1, octets = used.octets + excluded.octets, last_at = excluded.last_at
RETURNING octets
"""


class InboundStore:
    """
    `InboundPort` on PostgreSQL. Thread-safe, and safe between processes.

    Args:
        database: where meters and the quarantine lie.
        max_unknown_senders: how many senders that nobody has verified the quarantine holds at most.
        max_unknown_octets: how much of them, all together.
        max_meter_octets: how much of one meter that was verified.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_unknown_senders: int = 1000,
        max_unknown_octets: int = 64 * 1024 * 1024,
        max_meter_octets: int = 4 * 1024 * 1024,
    ) -> None:
        self._database = database
        self._max_unknown_senders = max_unknown_senders
        self._max_unknown_octets = max_unknown_octets
        self._max_meter_octets = max_meter_octets

    def by_system_title(self, system_title: bytes) -> Meter | None:
        """
        The meter with this system title.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return _by_system_title(connection, system_title)

    def by_sender(self, sender: Sender) -> Meter | None:
        """
        The meter that a push names, by system title, then id object, then configured line.

        A meter with an `id_object` is named by the text under that object, any other by its serial
        under any object. Under a system title that nobody has, only a meter whose own we do not
        know yet can be named. The line counts only if the frame holds neither title nor name; of
        several lines the one with the narrowest network.

        Returns:
            None if nobody, or more than one meter, is meant.

        Raises:
            StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            if sender.system_title is not None:
                meter = _by_system_title(connection, sender.system_title)
                if meter is not None:
                    return meter
            if sender.identities:
                meter = _by_names(connection, sender.identities)
                if meter is not None and sender.system_title and meter.system_title:
                    return None
                return meter
            if sender.system_title is not None:
                return None
            return _by_line(connection, sender.peer)

    def rest(self, meter_id: UUID, for_s: float) -> None:
        """See `InboundPort`."""
        with self._database.connection() as connection:
            due_items.lock(connection, [meter_id])
            connection.execute(_REST, {"meter_id": meter_id, "for_s": for_s})
            due_items.refresh(connection, [meter_id])

    def quarantine(
        self,
        sender: Sender,
        reason: str,
        raw: bytes,
        *,
        meter_id: UUID | None,
        received_at: datetime,
        verified: bool = False,
    ) -> None:
        """
        Keep a frame that is no reading (yet), with its raw octets and the reason.

        Args:
            meter_id: whose frame it is (or claims to be), None if nobody knows.
            verified: that it is certainly the meter's. Only that counts for the meter's own share
                of the quarantine; what merely names a meter counts as an unknown sender's.

        Raises:
            QuarantineFullError: a limit would be passed; nothing is kept.
            UnknownMeterError: no such meter.
            StorageUnavailableError: the database is away.
        """
        entry = quarantine.NewEntry(
            reason=reason[:_REASON_LENGTH],
            raw=raw,
            received_at=received_at,
            meter_id=meter_id,
            identity=_identity(sender),
            peer=_plain(sender.peer),
        )
        octets = len(raw) + ENTRY_OVERHEAD_OCTETS
        try:
            with self._database.connection() as connection:
                if meter_id is not None and verified:
                    share = Share(f"meter {meter_id}", octets)
                    self._count_known(connection, share)
                else:
                    share = Share(_usage_key(sender), octets)
                    self._count_unknown(connection, share)
                quarantine.insert(connection, entry, share)
        except psycopg.errors.ForeignKeyViolation as exc:
            raise UnknownMeterError(f"no meter {meter_id}") from exc

    def _count_known(self, connection: Connection, share: Share) -> None:
        if _use(connection, share, known=True) > self._max_meter_octets:
            raise QuarantineFullError(
                f"{share.sender} has {self._max_meter_octets} octets in quarantine"
            )

    def _count_unknown(self, connection: Connection, share: Share) -> None:
        # One at a time, so that two who come at once do not both take the last place. Raising
        # undoes the count. The table has at most `max_unknown_senders` rows of this kind.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
        _use(connection, share, known=False)
        row = connection.execute(
            "SELECT count(*), sum(octets)::int8 FROM quarantine_usage WHERE NOT known"
        ).fetchone()
        assert row is not None
        if row[0] > self._max_unknown_senders:
            raise QuarantineFullError(
                f"{self._max_unknown_senders} unknown senders are in quarantine"
            )
        if row[1] > self._max_unknown_octets:
            raise QuarantineFullError(
                f"unknown senders have {self._max_unknown_octets} octets in quarantine"
            )


def _by_system_title(connection: Connection, system_title: bytes) -> Meter | None:
    row = connection.execute(_BY_TITLE, (system_title,)).fetchone()
    return None if row is None else meter_from_row(row)


def _by_names(
    connection: Connection, identities: Sequence[tuple[Obis | None, str]]
) -> Meter | None:
    names = list(_names(identities))
    if not names:
        return None
    values: dict[str, Any] = {
        "objects": [None if obis is None else obis.octets for obis, _ in names],
        "texts": [text for _, text in names],
    }
    meters = [meter_from_row(row) for row in connection.execute(_BY_NAMES, values)]
    # A text under the very object says more than one that stands anywhere.
    under_object = [meter for meter in meters if meter.id_object is not None]
    candidates = under_object or meters
    return candidates[0] if len(candidates) == 1 else None


def _by_line(connection: Connection, peer: IPv4Address | IPv6Address) -> Meter | None:
    rows = connection.execute(_BY_LINE, (_plain(peer),)).fetchall()
    if not rows or (len(rows) == 2 and rows[0][-1] == rows[1][-1]):
        return None
    return meter_from_row(rows[0])


def _names(identities: Sequence[tuple[Obis | None, str]]) -> Iterator[tuple[Obis | None, str]]:
    """What can be a meter's name, without the padding that some meters add."""
    for obis, text in identities[:_NAMES_TRIED]:
        name = text.strip("\0 ")
        if name and len(name) <= _NAME_LENGTH and name.isprintable():
            yield obis, name


def _identity(sender: Sender) -> str | None:
    """What the frame calls its sender, for people."""
    if sender.system_title is not None:
        return sender.system_title.hex()
    for _, text in sender.identities:
        return text[:_NAME_LENGTH]
    return None


def _usage_key(sender: Sender) -> str:
    """Whom an unknown sender's share is counted for; the line, where the frame names nobody."""
    if sender.system_title is not None:
        return f"title {sender.system_title.hex()}"
    for obis, text in sender.identities:
        # Escaped: PostgreSQL takes no NUL, and this is a key, not a text to be read.
        return f"name {obis} {text[:_NAME_LENGTH].encode('unicode_escape').decode()}"
    return f"line {_plain(sender.peer)}"


def _plain(peer: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 sender as such where a dual socket shows ::ffff:a.b.c.d; no scope (`%eth0`)."""
    if isinstance(peer, IPv6Address):
        return peer.ipv4_mapped or IPv6Address(int(peer))
    return peer


def _use(connection: Connection, share: Share, *, known: bool) -> int:
    row = connection.execute(
        _COUNT_USAGE, {"sender": share.sender, "octets": share.octets, "known": known}
    ).fetchone()
    assert row is not None
    return int(row[0])
