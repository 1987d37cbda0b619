"""
What the continuous aggregate still holds of readings that are gone.

Its policy looks back only as far as chunks are not compressed, so hours before that would outlive
the readings that they were computed from. Without the community licence `stated_hour` is a plain
view, and there is nothing to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hes.storage.database import Database
from hes.storage.features import community
from hes.storage.features.retention import outside_of_transactions

_HOUR: Final = timedelta(hours=1)

_KNOWN: Final = "SELECT to_regclass('timescaledb_information.continuous_aggregates') IS NOT NULL"
REFRESH: Final = f"""
CALL refresh_continuous_aggregate('{community.AGGREGATE}', %s::timestamptz, %s::timestamptz)
"""


def forget(database: Database, since: datetime | None, until: datetime) -> None:
    """
    Have the hours of [since, until) computed anew, after readings of that time have gone.

    Args: since: None: from the beginning. Hours of which nothing went cost nothing.

    Raises: StorageUnavailableError: the database is away; do it again.
    """
    with database.connection() as connection:
        row = connection.execute(_KNOWN).fetchone()
        if row != (True,) or community.look(connection).refreshed is None:
            return
    with outside_of_transactions(database) as connection:
        connection.execute("SET statement_timeout = 0")
        begin = None if since is None else since - _HOUR
        connection.execute(REFRESH.encode(), (begin, until + _HOUR))
