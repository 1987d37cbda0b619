"""
What a hundred million stored rows cost: reading them, idle and beside a writer, and writing more.

Latest values of 100 meters, and a year of quarters of one channel (35,040 rows), through the
capabilities' own queries. Each run is the p95 of many; runs beside a process that writes 50,000
rows/s alternate with idle ones. The rows are kept below `.hes/bench` (`tests/stored.py`).
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from hes.storage.database import Database
from hes.storage.queries import latest, ranges, selection
from tests.batches import meter_id
from tests.bench.conftest import Record
from tests.bench.load import groups, open_writer
from tests.conftest import DATA, ROOT
from tests.stored import END, HUNDRED_MILLION, INTERVALS, ONE_MILLION, Stored, stored

RUNS = 5
QUERIES = 60
LOAD_ROWS_PER_S = 50_000


@pytest.fixture(scope="module")
def both() -> Iterator[Sequence[Stored]]:
    with stored(DATA, HUNDRED_MILLION, ONE_MILLION, durable=True) as there:
        for one in there:
            _tidy(one)
        yield there
        for one in there:
            _tidy(one)


@pytest.fixture
def big(both: Sequence[Stored]) -> Stored:
    return both[0]


@pytest.fixture
def small(both: Sequence[Stored]) -> Stored:
    return both[1]


def _tidy(there: Stored) -> None:
    """Remove what benchmarks have written."""
    with psycopg.connect(there.admin_url, autocommit=True) as connection:
        connection.execute("DELETE FROM reading WHERE captured_at >= %s", [END])
        connection.execute("DELETE FROM batch WHERE captured_from >= %s", [END])
        connection.execute("TRUNCATE dirty_bucket, mark, completeness")
        connection.execute("VACUUM ANALYZE reading")
        connection.execute("CHECKPOINT")


def p95_ms(query: Callable[[], object]) -> float:
    times = []
    for _ in range(QUERIES):
        begin = time.perf_counter()
        query()
        times.append((time.perf_counter() - begin) * 1e3)
    return sorted(times)[int(QUERIES * 0.95) - 1]


@contextmanager
def writing(there: Stored, rates: list[float]) -> Iterator[None]:
    """A process that writes beside us; how fast it did is appended."""
    command = [sys.executable, "-m", "tests.bench.load", there.url, str(there.fleet.meters)]
    with subprocess.Popen(
        [*command, str(LOAD_ROWS_PER_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        assert load.stdout.readline() == "ready\n"
        yield
        load.stdin.close()
        rates.append(float(load.stdout.readline()))
    assert load.returncode == 0


def test_reading(big: Stored, record: Record) -> None:
    numbers = random.Random(4)
    meters = range(big.fleet.meters)
    with Database(big.url) as database:

        def latest_100() -> None:
            page = [meter_id(number) for number in numbers.sample(meters, 100)]
            with database.connection() as connection:
                found = latest.of_meters(connection, page, now=END)
            assert len(found) >= 100

        def year_of_quarters() -> None:
            channel_id = big.fleet.import_series(numbers.choice(meters))
            with database.connection() as connection:
                (channel,) = selection.of_ids(connection, [channel_id])
                found = ranges.values(connection, [channel], big.fleet.start, END)
            assert len(found) == big.fleet.days * INTERVALS

        queries = {"latest-100": latest_100, "year-of-quarters": year_of_quarters}
        idle: dict[str, list[float]] = {name: [] for name in queries}
        loaded: dict[str, list[float]] = {name: [] for name in queries}
        rates: list[float] = []
        for query in queries.values():
            p95_ms(query)
        for _ in range(RUNS):
            for name, query in queries.items():
                idle[name].append(p95_ms(query))
            with writing(big, rates):
                for name, query in queries.items():
                    loaded[name].append(p95_ms(query))
    for name in queries:
        record(name, loaded[name], unit="ms p95 under load", better="lower", peer="idle",
               peer_values=idle[name])  # fmt: skip
    record("latest-load", rates, unit="rows/s beside it", better="higher")


def test_insert_growth(big: Stored, small: Stored, record: Record) -> None:
    rates: dict[Stored, list[float]] = {big: [], small: []}
    with Database(big.url) as of_big, Database(small.url) as of_small:
        writers = {big: open_writer(of_big), small: open_writer(of_small)}
        for day in range(RUNS + 1):
            for there, writer in writers.items():
                batches = list(groups(there.fleet.meters, END + timedelta(days=day)))
                begin = time.perf_counter()
                for group in batches:
                    writer.write(group)
                if day:  # the first finds out which series there are
                    rows = there.fleet.meters * INTERVALS
                    rates[there].append(rows / (time.perf_counter() - begin))
    record("insert-growth", rates[big], unit="rows/s at 100 M", better="higher", peer="1M rows",
           peer_values=rates[small])  # fmt: skip


def test_bytes_per_reading(big: Stored, record: Record) -> None:
    with psycopg.connect(big.url) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'reading'::regclass"
        ).fetchone()
    assert row is not None
    size = float(row[0]) / big.fleet.rows
    record("bytes-per-reading", [size] * RUNS, unit="octets, key included", better="lower")
