"""
On which server this database lives, and what follows when it is another one than before.

A database that was restored, failed over to a standby or copied has lost what was committed last:
counters, leases, numbers were given out of which it knows nothing. The server says where we are
(system identifier, timeline, database, and the table of the counters itself), the last row of
`database_epoch` says where we were. Whoever is about to give out a counter or a lease and finds
them differ begins a new epoch first, in which

- every invocation counter of ours leaps above anything that can have been sent: what a key counts
  is bounded (`BURST`, and `RATE_PER_S` for each second since the last thing that is known);
- keys that have not counted yet, or of which nothing is known any more, begin above the same bound;
- keys count at most `RATE_PER_S` at first (and `AT_ONCE_AFTER_LEAP`): who restores the same backup
  again, because the first attempt was not good, leaps from the same place, and must come out above
  what was used in between. So a leap goes twice as far for each second as a key can count;
- lease tokens leap too, so that a process from before is refused.

What cannot be seen from within, a disk that was set back under a running server, is told by
`hes restore finish`, which begins a new epoch in any case.

Source: IEC 62056-5-3, security suite 0: no (key, system title, invocation counter) twice.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

import attrs

from hes.domain.errors import PermanentError
from hes.storage.database import Connection, Database

COUNTER_MAX: Final = 2**32 - 1
BURST: Final = 2**24
"""How far a key's counters may run, or leap on a hint, at once."""
RATE_PER_S: Final = 100
"""What drains of that; for ever at this rate a key would be used up in 16 months."""

LEAP_PER_S: Final = 125
AT_ONCE_AFTER_LEAP: Final = 1024
"""What of `BURST` is left after a leap, so that attempts 41 s apart are sure to lie apart."""

_MOST_TIMELINES: Final = 8  # drills make some too; hundreds would use keys up
_TOKEN_LEAP: Final = 2**32
_LOCK_TIMEOUT: Final = "10s"

# Only where it can be written to: a standby has no insert position.
IDENTITY: Final = """
concat_ws(':', (SELECT system_identifier FROM pg_control_system()),
          substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
          (SELECT oid FROM pg_database WHERE datname = current_database()),
          'own_counter'::regclass::oid)
"""
_SPENT_BY_LEAP: Final = f"CASE WHEN leap > 0 THEN {BURST - AT_ONCE_AFTER_LEAP} ELSE 0 END"
CURRENT: Final = f"""
SELECT epoch_id, counter_floor, greatest(0, {_SPENT_BY_LEAP}
    - {RATE_PER_S} * extract(epoch FROM statement_timestamp() - began_at))::float8 AS spent
FROM database_epoch
WHERE epoch_id = (SELECT max(epoch_id) FROM database_epoch) AND identity = {IDENTITY}
"""  # noqa: S608 - constants only
"""The epoch that counts, if it began where we are; `spent`: by a key that has not counted in it."""

# The latest instant of which it is certain that everything committed before it is here: these were
# noted before their COMMIT, and what was committed earlier comes earlier in the log.
_LOOK: Final = f"""
SELECT {IDENTITY}, last.identity, last.counter_floor,
       EXISTS (SELECT FROM own_counter),
       greatest(last.began_at,
                (SELECT max(counted_at) FROM own_counter),
                (SELECT stored_at FROM batch ORDER BY batch_id DESC LIMIT 1)),
       clock_timestamp()
FROM (SELECT) AS always
LEFT JOIN (SELECT * FROM database_epoch ORDER BY epoch_id DESC LIMIT 1) AS last ON true
"""  # noqa: S608 - constants only

_LEAP: Final = """
UPDATE own_counter
SET reserved_to = least(greatest(reserved_to, hinted_to) + %(leap)s, %(maximum)s),
    hinted_from = NULL, hinted_to = NULL, spent = %(spent)s, counted_at = clock_timestamp()
"""

_BEGIN: Final = """
INSERT INTO database_epoch (identity, reason, counter_floor, known_until, leap)
VALUES (%(identity)s, %(reason)s, %(floor)s, %(known_until)s, %(leap)s)
RETURNING epoch_id
"""

_NOTE: Final = """
INSERT INTO security_event (meter_id, code, detail, minute)
VALUES (NULL, 'database-restored', %s, date_trunc('minute', now()))
ON CONFLICT (minute, meter_id, code, peer)
DO UPDATE SET occurrences = security_event.occurrences + 1, last_at = excluded.last_at
"""


class NothingKnownError(PermanentError):
    """Counters were given out, and nothing says when: how far to leap cannot be known."""


@attrs.frozen
class Place:
    """
    Where the database is and where it was; `known` None: it has not begun to count.

    `known_until`: everything committed before that is here. `leap`: how far counters would leap.
    """

    actual: str
    known: str | None
    counter_floor: int
    counting: bool
    known_until: datetime | None
    leap: int

    @property
    def moved(self) -> bool:
        """Whether counters and leases may have been given out that are not known here."""
        return self.known != self.actual and (self.known is not None or self.counting)


@attrs.frozen
class Epoch:
    """An epoch as it began; `leap` 0: there was nothing to leap over."""

    epoch_id: int
    reason: str
    known_until: datetime | None
    leap: int


def is_current(connection: Connection) -> bool:
    """Whether the last epoch began where we are; if not, `settle` before giving anything out."""
    return connection.execute(CURRENT.encode()).fetchone() is not None


def look(database: Database, *, known_until: datetime | None = None) -> Place:
    """
    Where the database is and was, changing nothing; `known_until` as in `begin`.

    Raises: StorageUnavailableError: it is away.
    """
    with database.connection() as connection:
        return _look(connection, known_until)


def settle(database: Database) -> Epoch | None:
    """
    Begin an epoch if the database is elsewhere than before. Safe to call from many at once.

    Returns: the new epoch; None if somebody has begun it already, or nothing has changed.

    Raises:
        NothingKnownError: see `hes restore finish`.
        StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        # Whoever reserves waits, and then finds the new epoch.
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
        connection.execute("LOCK TABLE own_counter, database_epoch IN EXCLUSIVE MODE")
        place = _look(connection)
        if place.known == place.actual:
            return None
        return _begin(connection, place, "moved" if place.moved else "first")


def begin(database: Database, *, known_until: datetime | None = None) -> Epoch:
    """
    Begin an epoch in any case, as after a restore that cannot be seen from within.

    Where it can be seen too, counters leap twice as far: also over an earlier attempt to restore.

    Args: known_until: everything committed before that is here; earlier than what the database
        says of itself, or None.

    Raises:
        NothingKnownError: the database says nothing of itself; give `known_until`.
        StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
        connection.execute("LOCK TABLE own_counter, database_epoch IN EXCLUSIVE MODE")
        place = _look(connection, known_until)
        if place.moved:
            place = attrs.evolve(place, leap=min(2 * place.leap, COUNTER_MAX))
        return _begin(connection, place, "restored")


def _look(connection: Connection, told: datetime | None = None) -> Place:
    row = connection.execute(_LOOK.encode()).fetchone()
    assert row is not None
    actual, known, floor, counting, noted, now = row
    if known is None and not counting:
        noted = None
    known_until = min((one for one in (noted, told) if one is not None), default=None)
    if known_until is None:
        leap = 0
    else:
        # What may have been spent at once, and 46 hours of a clock that is wrong. Whoever restores
        # by archived WAL sees in the timeline how often it was done since, perhaps to other points.
        since_s = max(0.0, (now - known_until).total_seconds())
        leap = (1 + _timelines(known, actual)) * BURST + math.ceil(LEAP_PER_S * since_s)
        leap = min(leap, COUNTER_MAX)
    return Place(actual, known, floor or 0, counting, known_until, leap)


def _timelines(known: str | None, actual: str) -> int:
    """How many timelines the server has begun since, to a bound; 1 if that cannot be known."""
    before, after = (known or "").split(":"), actual.split(":")
    if len(before) != len(after) or before[0] != after[0]:
        return 1
    return min(max(1, int(after[1], 16) - int(before[1], 16)), _MOST_TIMELINES)


def _begin(connection: Connection, place: Place, reason: str) -> Epoch:
    if place.known_until is None and place.counting:
        raise NothingKnownError(
            "counters were given out by this database, and nothing in it says when: tell by"
            " `hes restore finish --known-until` up to when it is complete"
        )
    spent = BURST - AT_ONCE_AFTER_LEAP if place.leap else 0
    connection.execute(_LEAP, {"leap": place.leap, "maximum": COUNTER_MAX, "spent": spent})
    if reason != "first":
        connection.execute(
            "SELECT setval('lease_token', nextval('lease_token') + %s)", (_TOKEN_LEAP,)
        )
        detail = f"{place.known} is {place.actual}; counters leapt by {place.leap}"
        connection.execute(_NOTE, (detail,))
    row = connection.execute(
        _BEGIN,
        {
            "identity": place.actual,
            "reason": reason,
            "floor": min(place.counter_floor + place.leap, COUNTER_MAX),
            "known_until": place.known_until,
            "leap": place.leap,
        },
    ).fetchone()
    assert row is not None
    return Epoch(row[0], reason, place.known_until, place.leap)
