"""Parts of the network whose meters share limits (table `segment`), and who shares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hes.domain.ports import Segment
from hes.storage.database import Database

_LIMITED: Final = """
SELECT name, max_sessions, connections_per_s FROM segment
WHERE max_sessions IS NOT NULL OR connections_per_s IS NOT NULL ORDER BY name
"""
_COLLECTORS: Final = "SELECT count(DISTINCT holder) FROM due_work WHERE leased_until > now()"


class SegmentStore:
    """`SegmentPort` on PostgreSQL. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def segments(self) -> Sequence[Segment]:
        """
        Those that have any limit, by name.

        Raises: StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return [Segment(*row) for row in connection.execute(_LIMITED)]

    def collectors(self) -> int:
        """
        How many collectors hold leases now, at least 1.

        Raises: StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            row = connection.execute(_COLLECTORS).fetchone()
        assert row is not None
        return max(1, int(row[0]))
