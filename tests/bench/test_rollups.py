"""What the roll-ups cost: the marks in the writer's transaction, and taking in what was written."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from hes.domain.readings import microseconds
from hes.pipeline.rollup import Roller
from hes.services import Postgres
from hes.storage import rollups
from hes.storage.database import Database
from tests.batches import DAY, add_meters, open_database
from tests.bench.conftest import Record

SERIES = 400
DAYS = 14
QUARTERS = 96
ROWS = SERIES * DAYS * QUARTERS
RUNS = 5

FILL = """
WITH made AS (
    INSERT INTO channel (meter_id, source, capture_period_s, obis, class_id, attribute_index,
                         data_index, kind, stamped_at, store)
    SELECT meter_id, '\\x0100630100ff', 900, '\\x0100010800ff', 3, 2, 0, 'cumulative', 'end',
           'integer'
    FROM meter RETURNING channel_id
), versions AS (
    INSERT INTO series (channel_id, scaler, unit, valid_from)
    SELECT channel_id, 0, 30, '-infinity' FROM made RETURNING series_id
)
INSERT INTO reading (captured_at, value, batch_id, series_id, quality)
SELECT at, 1000 * series_id + 25 * extract(epoch FROM at - %(start)s) / 900, 1, series_id, 0
FROM versions, generate_series(
    %(start)s + interval '15 minutes', %(start)s + %(days)s * interval '1 day', '15 minutes') AS at
ORDER BY at, series_id
"""


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Database]:
    with open_database(postgres_server.url, hypertables=True) as opened:
        add_meters(opened, SERIES)
        with opened.connection(statement_timeout_s=120) as connection:
            connection.execute(FILL, {"start": DAY, "days": DAYS})
            connection.execute("ANALYZE")
        yield opened


def mark(database: Database, days: range, quarters: range) -> float:
    """Mark these quarters of these days in every series, and return how long that took."""
    start = microseconds(DAY)
    at = [start + (day * 96 + quarter + 1) * 900_000_000 for day in days for quarter in quarters]
    series = np.repeat(np.arange(1, SERIES + 1, dtype=np.int32), len(at))
    captured = np.tile(np.array(at, np.int64), SERIES)
    with database.connection() as connection:
        begin = time.perf_counter()
        rollups.mark_dirty(connection, series, captured)
        return time.perf_counter() - begin


def roll(database: Database) -> float:
    roller = Roller(database)
    begin = time.perf_counter()
    while roller.run_once().places:
        pass
    return time.perf_counter() - begin


def test_rollups(database: Database, record: Record) -> None:
    mark(database, range(DAYS), range(QUARTERS))
    roll(database)
    marks, rolled = [], []
    for _ in range(RUNS):
        marks.append(mark(database, range(DAYS), range(QUARTERS)) * 1e6 / ROWS)
        rolled.append(ROWS / roll(database))
    record("rollup-mark", marks, unit="µs/row", better="lower")
    record("rollup", rolled, unit="rows/s", better="higher")
