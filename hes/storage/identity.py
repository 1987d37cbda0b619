"""
Under which system title this installation talks to meters (table `own_identity`).

A (key, system title, counter) may be used once, for ever. Counters lie in the database and begin at
1 in a fresh one, while meters and their keys may be those of an older one. So a database makes
itself a title of its own, and keeps it as long as its counters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from hes.storage.database import Database

_MANUFACTURER: Final = b"HEH"  # "head-end"; the simulated meters are HES
_RANDOM_OCTETS: Final = 5


def own_system_title(
    database: Database, *, random_octets: Callable[[int], bytes] = os.urandom
) -> bytes:
    """
    The system title of this database, made at the first call.

    Returns:
        Eight octets: three of the manufacturer, five at random.

    Raises:
        StorageUnavailableError: the database is away.
    """
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO own_identity (system_title) VALUES (%s) ON CONFLICT DO NOTHING",
            (_MANUFACTURER + random_octets(_RANDOM_OCTETS),),
        )
    # Anew, so that the one is seen that another process has made meanwhile.
    with database.connection() as connection:
        row = connection.execute("SELECT system_title FROM own_identity").fetchone()
    assert row is not None
    title: bytes = row[0]
    return title
