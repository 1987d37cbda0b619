"""A million rows wait until storage goes on: what waits is bounded, senders are put off."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from hes.domain.errors import OverloadedError
from hes.pipeline import DirectBus
from hes.pipeline.backlog import Limits, Priority, Terms
from hes.storage.database import Database
from tests.batches import NOW
from tests.e2e.system import wait_until
from tests.faults.mixed import METERS
from tests.history import untrue_receipts
from tests.publisher import numbered_batch, rows_of

SERIES = METERS * 4
DAYS = 27
ROWS = DAYS * SERIES * 96

_THERE = """
SELECT count(*), min(rows), max(rows), sum(total)
FROM (SELECT series_id, count(*) AS rows, sum(value) AS total FROM reading GROUP BY series_id) s
"""


def test_a_million_rows_wait(database: Database) -> None:
    assert ROWS > 1_000_000
    limits = Limits(terms=dict.fromkeys(Priority, Terms(1.0, 0.5)))
    put_off = threading.Semaphore(0)

    def publish(day: int) -> int:
        batch = numbered_batch(day, METERS, 0)
        while True:
            try:
                return bus.publish(batch).stored
            except OverloadedError:
                put_off.release()
                time.sleep(0.1)

    with (
        DirectBus(database, clock=lambda: NOW, limits=limits) as bus,
        ThreadPoolExecutor(DAYS) as threads,
    ):
        with database.connection() as blocker:
            blocker.execute("LOCK TABLE reading")
            published = [threads.submit(publish, day) for day in range(DAYS)]
            # Each but for those that are taken is put off.
            for _ in range(DAYS):
                assert put_off.acquire(timeout=60)
            waiting = sum(backlog.rows for backlog in bus.backlogs)
        wait_until(lambda: all(one.done() for one in published), 120, "all is stored")
        assert sum(one.result() for one in published) == ROWS
    assert 0 < waiting <= limits.rows
    with database.connection() as connection:
        found = connection.execute(_THERE).fetchone()
    expected = sum(row[3] for row in rows_of(0, METERS, 0) if isinstance(row[3], int)) * DAYS
    assert found == (SERIES, DAYS * 96, DAYS * 96, expected)
    assert untrue_receipts(database) == 0
