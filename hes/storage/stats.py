"""
Counts of the whole fleet, cheap enough to be asked for every second, for years.

Batches older than a minute do not change any more: what they stored is summed once and
remembered, as long as the database is where it was; only younger ones are summed again.
"""

from __future__ import annotations

import threading
from typing import Final

import attrs

from hes.storage.database import Database

_RATE_WINDOW_S: Final = 10

# A database that was restored gives the numbers of lost batches to others.
_EPOCH: Final = "SELECT max(epoch_id) FROM database_epoch"
_SETTLED = """
SELECT coalesce(max(batch_id), %(after)s), coalesce(sum(stored), 0)::int8
FROM batch WHERE batch_id > %(after)s AND batch_id <= coalesce((
    -- Everything below the oldest batch that may still be in flight.
    SELECT min(batch_id) - 1 FROM batch WHERE stored_at > now() - interval '1 minute'
), 9223372036854775807)
"""
_RECENT = """
SELECT (SELECT count(*) FROM meter),
       (SELECT coalesce(sum(stored), 0)::int8 FROM batch WHERE batch_id > %(after)s),
       (SELECT count(*) FROM session WHERE ended_at > now() - make_interval(secs => %(window)s)),
       (SELECT count(*) FROM session WHERE ended_at > now() - interval '1 minute')
"""


@attrs.frozen
class FleetStats:
    """How many there are, and how fast they are read."""

    meters: int
    readings: int
    sessions_per_s: float
    sessions_last_minute: int


class StatsStore:
    """Thread-safe; one per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._epoch_id: int | None = None
        self._settled_batch = 0
        self._settled_readings = 0

    def read(self) -> FleetStats:
        """
        Count.

        Raises: StorageUnavailableError: the database is away.
        """
        with self._lock, self._database.connection() as connection:
            row = connection.execute(_EPOCH).fetchone()
            assert row is not None
            if row[0] != self._epoch_id:
                self._epoch_id, self._settled_batch, self._settled_readings = row[0], 0, 0
            row = connection.execute(_SETTLED, {"after": self._settled_batch}).fetchone()
            assert row is not None  # an aggregate without GROUP BY always has a row
            settled_batch, settled_readings = row[0], self._settled_readings + row[1]
            parameters = {"after": settled_batch, "window": _RATE_WINDOW_S}
            row = connection.execute(_RECENT, parameters).fetchone()
            assert row is not None
            self._settled_batch, self._settled_readings = settled_batch, settled_readings
        return FleetStats(
            meters=row[0],
            readings=settled_readings + row[1],
            sessions_per_s=row[2] / _RATE_WINDOW_S,
            sessions_last_minute=row[3],
        )
