"""Parts of the network whose meters share limits (table `segment`), and who shares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from psycopg import sql

from hes.domain.ports import Segment
from hes.storage.database import Database

_LIMITED: Final = """
SELECT name, max_sessions, connections_per_s FROM segment
WHERE max_sessions IS NOT NULL OR connections_per_s IS NOT NULL ORDER BY name
"""
_COLLECTORS: Final = "SELECT count(DISTINCT holder) FROM due_work WHERE leased_until > now()"
_ROWS: Final = """
SELECT s.name, s.kind, s.max_sessions, s.connections_per_s, m.meters, w.running
FROM segment AS s
CROSS JOIN LATERAL (SELECT count(*) AS meters FROM meter WHERE meter.segment = s.name) AS m
CROSS JOIN LATERAL (
    SELECT count(*) AS running FROM due_work
    WHERE due_work.leased_until > now() AND due_work.segment = s.name
) AS w ORDER BY s.name
"""

KINDS: Final = ("network", "concentrator", "cell")


@attrs.frozen
class SegmentRow:
    """A segment for people: its limits, None: none; how many meters it has, and sessions now."""

    name: str
    kind: str
    max_sessions: int | None
    connections_per_s: float | None
    meters: int
    running: int


class SegmentStore:
    """`SegmentPort` on PostgreSQL, and what people see and set. Thread-safe."""

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

    def rows(self) -> Sequence[SegmentRow]:
        """
        All segments, by name.

        Raises: StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            return [SegmentRow(*row) for row in connection.execute(_ROWS)]

    def put(self, name: str, changes: Mapping[str, Any]) -> None:
        """
        Change a segment, which is made if there is none of this name.

        Args: changes: of `kind`, `max_sessions`, `connections_per_s`; None: no limit.
        Raises: StorageUnavailableError: the database is away.
        """
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO segment (name) VALUES (%s) ON CONFLICT DO NOTHING", (name,)
            )
            for column in sorted(changes):
                connection.execute(
                    sql.SQL("UPDATE segment SET {} = %s WHERE name = %s").format(
                        sql.Identifier(column)
                    ),
                    (changes[column], name),
                )
