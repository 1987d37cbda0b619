"""Chunks of the weeks to come are there before their first rows, while a collector runs on."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest

from hes import wiring
from hes.pipeline.upkeep import ChunksAhead
from hes.settings import DatabaseSettings, Settings
from hes.storage.database import Database
from hes.storage.features import Path, chunks, ensure_ahead, list_chunks, state
from tests.batches import open_database
from tests.chunked import CUT, WEEK, put, rows

LATER = CUT + 40 * WEEK + timedelta(hours=1)


@pytest.fixture(params=["partitions", "hypertables"])
def database(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    hypertables = request.param == "hypertables"
    with open_database(database_url, hypertables=hypertables) as opened:
        if hypertables and state(opened).path is Path.PARTITIONS:
            pytest.skip("this server has no TimescaleDB")
        yield opened


def covered(database: Database, table: str, instant: datetime) -> bool:
    return any(one.since <= instant < one.until for one in list_chunks(database, table))


def test_chunks_of_this_and_the_next_week_are_made_and_hold_nothing(database: Database) -> None:
    for _ in range(2):
        ensure_ahead(database, LATER)
    for table in chunks.READINGS:
        assert covered(database, table, LATER)
        assert covered(database, table, LATER + WEEK)
        assert rows(database, table) == []
    # The first row waits for nobody who is storing others of its week, nor do they for it.
    with database.connection() as other:
        other.execute("INSERT INTO reading VALUES (%s, 1, 1, 7, 0)", (LATER,))
        put(database, "reading", LATER)
    assert len(rows(database, "reading")) == 2


def test_a_process_that_runs_for_long_makes_them_again_and_again(database: Database) -> None:
    now = [LATER]
    asked = threading.Semaphore(0)

    def clock() -> datetime:
        asked.release()
        if len(now) > 1 and now[1] == CUT:
            raise RuntimeError("a bug")
        return now[-1]

    def wait() -> None:
        # What the second call from here begins, the first one has done.
        assert all(asked.acquire(timeout=10) for _ in range(2))

    with ChunksAhead(database, clock=clock, every_s=0.05, again_s=0.05):
        wait()
        now[:] = [LATER, CUT]
        time.sleep(0.2)
        now[:] = [LATER + 10 * WEEK]
        while asked.acquire(blocking=False):
            pass
        wait()
    assert covered(database, "reading", LATER)
    assert covered(database, "reading_text", LATER + 10 * WEEK)


def test_upkeep_needs_none_of_the_collectors_connections(
    database: Database, database_url: str
) -> None:
    settings = Settings(database=DatabaseSettings(url=database_url, max_connections=4))
    with wiring.upkeep(settings):
        deadline = time.monotonic() + 20
        with psycopg.connect(database_url, autocommit=True) as looking:
            while looking.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'hes upkeep'"
            ).fetchone() != (2,):
                assert time.monotonic() < deadline
                time.sleep(0.01)
