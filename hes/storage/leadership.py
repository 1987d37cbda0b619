"""
One leader among many processes, by an advisory lock of the database.

The leader writes on the connection that holds the lock, so nobody who has lost it can write: who is
frozen or cut off has no connection when he wakes up. The server ends a connection that says nothing
for `silence_s`, and with it the lock; so another one leads seconds later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import attrs

from hes.domain.errors import StorageUnavailableError, TemporaryError
from hes.storage import epochs
from hes.storage.database import Connection, Database

_LEAD: str = """
SELECT CASE WHEN EXISTS (
           SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (classid, objid, objsubid) = (0, %(lock)s, 1)
       ) THEN true ELSE pg_try_advisory_lock(%(lock)s) END,
       pg_backend_pid(), now(),
       set_config('idle_session_timeout', %(silence)s, false),
       set_config('idle_in_transaction_session_timeout', %(silence)s, false)
"""


class NotLeadingError(TemporaryError):
    """Another process leads."""


@attrs.frozen
class Turn:
    """
    A transaction of the leader's.

    `now` is the database's clock; `term` changes when the lead was lost and won again in between.
    """

    connection: Connection
    now: datetime
    term: int


class Leadership:
    """
    The lead, as far as this process has it.

    Args:
        database: with one connection at most; nobody else uses it.
        lock: the advisory lock's number.
        silence_s: after which the server takes the lead from whoever says nothing.
    """

    def __init__(self, database: Database, lock: int, *, silence_s: float = 8.0) -> None:
        self._database = database
        self._lock = lock
        self._silence = f"{round(silence_s * 1000)}ms"

    @contextmanager
    def turn(self, *, term: int | None = None) -> Iterator[Turn]:
        """
        A transaction on the connection that holds the lock; takes the lead if nobody has it.

        Args: term: that of the caller, who would not go on in another one.
        Raises:
            NotLeadingError: another process leads, or the lead was lost since and taken anew.
            StorageUnavailableError: the database is away; nothing has happened.
        """
        for _ in range(2):
            with self._database.connection() as connection:
                row = connection.execute(
                    _LEAD.encode(), {"lock": self._lock, "silence": self._silence}
                ).fetchone()
                assert row is not None
                leads, this_term, now = row[:3]
                if not leads or term not in (None, this_term):
                    raise NotLeadingError
                if epochs.is_current(connection):
                    yield Turn(connection, now, this_term)
                    return
            epochs.settle(self._database)
        raise StorageUnavailableError("the database is on the move")
