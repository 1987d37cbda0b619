"""
Reading from a standby while it keeps up, else from the primary.

How far a standby is behind is not asked of its clock, nor of what it last replayed: both say
nothing when the primary is idle or the way to it is cut. Instead the primary's position in the log
is noted about once a second; what the standby has replayed says which of these positions it has
reached, and so how old at most what it shows is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import psycopg

from hes.domain.errors import StorageUnavailableError
from hes.storage.database import Connection, Database

_STATEMENT_TIMEOUT_S: Final = 2.0
_WAIT_S: Final = 1.0

_PRIMARY: Final = """
SELECT system_identifier, pg_current_wal_flush_lsn() - '0/0'::pg_lsn FROM pg_control_system()
"""
# Null where it is no standby: promoted, it goes its own way.
_STANDBY: Final = """
SELECT system_identifier, CASE WHEN pg_is_in_recovery()
                               THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END
FROM pg_control_system()
"""


@attrs.frozen
class _Position:
    """Where the primary was at an instant of the monotonic clock."""

    at: float
    octets: int


class ReplicaFirst(Database):
    """
    The primary, whose `connection` goes to a standby while that is at most `max_lag_s` behind.

    For who only reads, and may see what was true that long ago; a write fails where it lands on the
    standby. Thread-safe.

    Args:
        url: of the primary.
        replica_url: of its standby.
        check_s: how often at most to look how far it is.
        settings: as of `Database`, for both.
    """

    def __init__(
        self,
        url: str,
        replica_url: str,
        *,
        max_lag_s: float,
        check_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> None:
        super().__init__(url, **settings)
        self._replica = Database(replica_url, **{**settings, "wait_s": _WAIT_S})
        self._max_lag_s = max_lag_s
        self._check_s = check_s
        self._clock = clock
        self._checking = threading.Lock()
        self._checked_at: float | None = None
        self._positions: deque[_Position] = deque()
        # What the standby shows is not older than this.
        self._true_at: float | None = None

    @property
    def lag_s(self) -> float | None:
        """How old what the standby shows is at most; None: nobody knows, or it is away."""
        true_at = self._true_at
        return None if true_at is None else self._clock() - true_at

    @contextmanager
    def connection(self, *, statement_timeout_s: float | None = None) -> Iterator[Connection]:
        """As of `Database`, from the standby while it keeps up."""
        if not self._keeps_up():
            with super().connection(statement_timeout_s=statement_timeout_s) as connection:
                yield connection
            return
        try:
            with self._replica.connection(statement_timeout_s=statement_timeout_s) as connection:
                yield connection
        except StorageUnavailableError:
            # Away, or what was asked was in the way of its replaying: the next asks the primary.
            self._true_at = None
            raise

    def close(self) -> None:
        """Close all connections to both."""
        self._replica.close()
        super().close()

    def _keeps_up(self) -> bool:
        now = self._clock()
        due = self._checked_at is None or now - self._checked_at >= self._check_s
        # Who finds somebody else looking goes by what was found before.
        if due and self._checking.acquire(blocking=False):
            try:
                self._checked_at = now
                self._true_at = self._look(now)
            finally:
                self._checking.release()
        lag_s = self.lag_s
        return lag_s is not None and lag_s <= self._max_lag_s

    def _look(self, now: float) -> float | None:
        """Since when what the standby shows has been true; None: it cannot be told."""
        try:
            with super().connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                cluster, octets = _row(connection, _PRIMARY)
            self._positions.append(_Position(now, octets))
            with self._replica.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                of, replayed = _row(connection, _STANDBY)
        except (StorageUnavailableError, psycopg.Error):
            return None
        if of != cluster or replayed is None:
            return None
        reached = None
        while self._positions and self._positions[0].octets <= replayed:
            reached = self._positions.popleft()
        if reached is not None:
            self._positions.appendleft(reached)
        elif len(self._positions) > 1:
            # Far behind: only the newest positions will matter when it has caught up.
            while self._positions[0].at < now - 2 * self._max_lag_s:
                self._positions.popleft()
        return None if reached is None else reached.at


def _row(connection: Connection, statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row
