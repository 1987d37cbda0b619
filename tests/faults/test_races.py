"""Several writers at once, with the same keys, over weeks for which there is no chunk yet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from hes.domain.readings import ReadingBatch
from hes.pipeline import WindowPolicy, Writer
from hes.storage.database import Database
from tests.batches import DAY, NOW, batch, channel, meter_id, series
from tests.history import untrue_receipts

WRITERS = 4
METERS = 6
WEEKS = 12
ROUNDS = 4


def _sent(round_: int, writer: int, *, reverse: bool) -> ReadingBatch:
    """Each writer's values differ; every other writer has its rows in the opposite order."""
    rows = [
        (series(channel(meter_id(meter))), DAY - timedelta(weeks=round_ * WEEKS + week), writer)
        for meter in range(METERS)
        for week in range(WEEKS)
    ]
    return batch(rows[::-1] if reverse else rows)


@pytest.mark.parametrize("tables", ["database", "partitioned"])
def test_writers_meet_where_chunks_are_to_be_made(
    tables: str, request: pytest.FixtureRequest, database_url: str
) -> None:
    database: Database = request.getfixturevalue(tables)
    together = threading.Barrier(WRITERS)

    def write(number: int) -> list[tuple[int, int]]:
        said = []
        with Database(database_url, max_connections=1) as mine:
            writer = Writer(mine, WindowPolicy(), clock=lambda: NOW)
            for round_ in range(ROUNDS):
                together.wait(60)
                (receipt,) = writer.write([_sent(round_, number, reverse=number % 2 == 1)])
                said.append((receipt.stored, receipt.revised))
        return said

    with ThreadPoolExecutor(WRITERS) as threads:
        said = list(threads.map(write, range(WRITERS)))
    keys = METERS * WEEKS * ROUNDS
    assert sum(stored for one in said for stored, _ in one) == keys
    assert sum(revised for one in said for _, revised in one) == keys * (WRITERS - 1)
    with database.connection() as connection:
        counts = connection.execute(
            "SELECT (SELECT count(DISTINCT (series_id, captured_at, value)) FROM"
            " (SELECT series_id, captured_at, value FROM reading UNION ALL"
            " SELECT series_id, captured_at, value FROM reading_revision) AS said),"
            " (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())"
        ).fetchone()
    assert counts == (keys * WRITERS, 0)
    assert untrue_receipts(database) == 0
