"""Rows in each of the tables that are cut by time, for tests."""

from datetime import datetime, timedelta

from hes.storage.database import Database
from hes.storage.features import chunks
from tests.batches import DAY

WEEK = timedelta(days=chunks.CHUNK_DAYS)
CUT = chunks.since(chunks.number_of(DAY))
OLD = CUT - 6 * WEEK


def rows(database: Database, table: str) -> list[tuple[object, ...]]:
    """All rows of a table, oldest first."""
    with database.connection() as connection:
        order = chunks.TABLES.get(table, "1")
        return connection.execute(f"SELECT * FROM {table} ORDER BY {order}".encode()).fetchall()


def put(database: Database, table: str, *instants: datetime) -> None:
    """Rows of a table at these instants, however it is kept."""
    statements = {
        "reading": "INSERT INTO reading VALUES (%s, 1, 1, 1, 0)",
        "reading_float": "INSERT INTO reading_float VALUES (%s, 1, 1, 1, 0)",
        "reading_text": "INSERT INTO reading_text VALUES (%s, 1, 1, 0, 'a')",
        "event": "INSERT INTO event VALUES (%s, 1, gen_random_uuid(), 1, 0, '\\x000000000000')",
        "session": "INSERT INTO session SELECT gen_random_uuid(), meter_id, false, now(), %s,"
        " 'p', 'ok', NULL, 0, 0 FROM meter LIMIT 1",
    }
    with database.connection() as connection:
        for at in instants:
            connection.execute(statements[table].encode(), (at,))
