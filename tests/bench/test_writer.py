"""
The writer against the bare merge of the same rows: `ReadingBatch` to committed rows.

A round is a day of quarter hours of 50 meters with four registers each, one batch per meter, as
sessions bring them. What counts as ours: leases, window, resolving, staging, merge, revisions,
batch rows, marks, completeness, dirty buckets.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from hes.domain.readings import ReadingBatch
from hes.pipeline import WindowPolicy, Writer
from hes.services import Postgres
from hes.storage.database import Database
from tests.batches import DAY, NOW, add_meters, meter_id, open_database, profile
from tests.bench.conftest import Record
from tests.bench.staged_merge import BareRows, create, executemany, staged_merge

METERS = 50
ROWS = METERS * 4 * 96
ROUNDS = 15


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Database]:
    with open_database(postgres_server.url, hypertables=True) as opened:
        add_meters(opened, METERS)
        yield opened


@pytest.fixture
def bare(database: Database, postgres_server: Postgres) -> Iterator[psycopg.Connection]:
    """A connection to a database with the table `bare`, on the same server."""
    with psycopg.connect(postgres_server.url) as connection:
        create(connection)
        yield connection


def day_of(day: int) -> list[ReadingBatch]:
    start = DAY - timedelta(days=day)
    return [profile([meter_id(meter)], start=start) for meter in range(METERS)]


def bare_day(day: int, batch_ids: int) -> BareRows:
    """The rows of `day_of`, with ids for their series."""
    batches = day_of(day)
    rows = [batch.integers for batch in batches]
    return BareRows(
        captured_at=np.concatenate([one.captured_at for one in rows]),
        value=np.concatenate([one.value for one in rows]),
        batch_id=np.repeat(np.arange(METERS, dtype=np.int64) + batch_ids, 4 * 96),
        series_id=np.concatenate([4 * i + one.series_index for i, one in enumerate(rows)]).astype(
            np.int32
        ),
        quality=np.concatenate([one.quality for one in rows]),
    )


def rate(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return ROWS / (time.perf_counter() - start)


def test_writer(database: Database, bare: psycopg.Connection, record: Record) -> None:
    writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
    writer.write(day_of(0))  # makes channels and series
    ours, merged, row_wise = [], [], []
    for number in range(ROUNDS):
        batches, rows = day_of(1 + number), bare_day(2 * number, 1000 * number)
        others = bare_day(2 * number + 1, 1000 * number + 500)
        ours.append(rate(lambda batches=batches: writer.write(batches)))
        merged.append(rate(lambda rows=rows: staged_merge(bare, rows)))
        row_wise.append(rate(lambda rows=others: executemany(bare, rows)))
    with database.connection() as connection:
        stored = connection.execute("SELECT count(*) FROM reading").fetchone()
    assert stored == ((ROUNDS + 1) * ROWS,)
    by_merge = record(
        "writer", ours, unit="rows/s", better="higher", peer="staged merge", peer_values=merged
    )
    by_row = record(
        "writer", ours, unit="rows/s", better="higher", peer="executemany", peer_values=row_wise
    )
    assert by_merge.peer_value is not None
    assert by_row.peer_value is not None
    assert by_merge.peer_value >= 4 * by_row.peer_value, "the baseline is not plainly fast"
