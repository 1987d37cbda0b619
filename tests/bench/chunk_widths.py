"""
How wide chunks should be: `python -m tests.bench.chunk_widths [SERIES] [DAYS]`, at least 60 days.

A database for each width, on one durable server with TimescaleDB. Batches of one day go into each
in turn, so that what else the machine does falls on all alike; then the same questions are asked of
each in turn.
The figures are in docs/reference/chunks.md.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg

from hes.domain.readings import microseconds
from hes.services import Postgres, database_service
from hes.storage.database import Connection, Database
from hes.storage.features import CHUNK_US, chunks, partitions
from hes.storage.merge import IntegersToMerge, merge_integers
from tests.batches import open_database
from tests.conftest import DATA, SERVERS

WIDTHS = {"7 days": 7, "14 days": 14, "28 days": 28}
PARTITIONS = "7 days, partitions"
SIZE = "SELECT sum(pg_total_relation_size(relid))::float8 FROM pg_partition_tree('reading')"
PER_DAY = 96
QUARTER_US = 900 * 1_000_000
# The beginning of a chunk of each width.
START = datetime.fromtimestamp(4 * 730 * CHUNK_US / 1_000_000, UTC)


def rows(series: np.ndarray, first_day: int, days: int) -> IntegersToMerge:
    """Cumulative values of these series in these days, as a batch brings them: series by series."""
    steps = np.arange(days * PER_DAY, dtype=np.int64) + first_day * PER_DAY
    count = len(series) * len(steps)
    return IntegersToMerge(
        batch_id=np.full(count, first_day, np.int64),
        series_id=np.repeat(series.astype(np.int32), len(steps)),
        captured_at=np.tile(microseconds(START) + steps * QUARTER_US, len(series)),
        quality=np.zeros(count, np.int32),
        value=np.repeat(series.astype(np.int64) * 1_000_000, len(steps))
        + np.tile(steps, len(series)),
        null=np.zeros(count, np.bool_),
    )


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begin


def in_turn(kinds: list[str], run: int) -> list[str]:
    """Each time another one is the first, which pays for what the machine did before."""
    first = run % len(kinds)
    return kinds[first:] + kinds[:first]


def store(database: Database, batch: IntegersToMerge) -> None:
    """One transaction of the merge."""
    with database.connection() as connection:
        merge_integers(connection, batch)


def span(database: Database, series: int, first_day: int, days: int) -> None:
    """Fetch a stretch of one series."""
    since = START + timedelta(days=first_day)
    with database.connection() as connection:
        cursor = connection.execute(
            "SELECT captured_at, value, quality FROM reading WHERE series_id = %s"
            " AND captured_at >= %s AND captured_at < %s ORDER BY captured_at",
            (series, since, since + timedelta(days=days)),
            binary=True,
        )
        assert len(cursor.fetchall()) == days * PER_DAY


def latest(database: Database, series: int) -> None:
    """Fetch the last row of a series."""
    with database.connection() as connection:
        assert connection.execute(
            "SELECT captured_at, value FROM reading WHERE series_id = %s"
            " ORDER BY captured_at DESC LIMIT 1",
            (series,),
        ).fetchone()


def locks(connection: Connection, days: int) -> int:
    """How many locks a stretch of `days` of one series takes."""
    connection.execute(
        "SELECT count(*) FROM reading WHERE series_id = 1"
        " AND captured_at >= %s AND captured_at < %s",
        (START, START + timedelta(days=days)),
    )
    row = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 365
    folder = DATA / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as data:
        Path(data).chmod(0o755)
        server = database_service(
            Path(data) / "server", servers=SERVERS, durable=True, report=print
        )
        assert isinstance(server, Postgres)
        with server:
            measure(server, np.arange(1, count + 1), days)


def measure(server: Postgres, series: np.ndarray, days: int) -> None:
    """Fill one database for each width, then ask."""
    databases = {}
    for number, kind in enumerate((*WIDTHS, PARTITIONS)):
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE number{number}".encode())
        url = f"{server.url.rpartition('/')[0]}/number{number}"
        with open_database(url, hypertables=kind != PARTITIONS):
            pass
        database = databases[kind] = Database(url)
        if kind == PARTITIONS:
            first = chunks.number_of(START)
            partitions.ensure(database, range(first, first + days // chunks.CHUNK_DAYS + 1))
            continue
        with database.connection() as connection:
            connection.execute(
                "SELECT set_chunk_time_interval('reading', make_interval(days => %s))",
                (WIDTHS[kind],),
            )
    table: dict[str, dict[str, float]] = {}

    def note(name: str, taken: dict[str, list[float]], scale: float = 1e3) -> None:
        for quantile, label in ((0.5, "median"), (0.95, "p95")):
            table[f"{name}, {label}"] = {
                kind: scale * float(np.quantile(values, quantile)) for kind, values in taken.items()
            }

    taken: dict[str, list[float]] = {kind: [] for kind in databases}
    for day in range(days):
        batch = rows(series, day, 1)
        for kind in in_turn(list(databases), day):
            taken[kind].append(seconds(store, databases[kind], batch))
    table["rows/s of batches of one day, last quarter, median"] = {
        kind: len(series) * PER_DAY / statistics.median(values[-days // 4 :])
        for kind, values in taken.items()
    }
    for database in databases.values():
        with database.connection(statement_timeout_s=600) as connection:
            connection.execute("ANALYZE reading")
    backfill: dict[str, list[float]] = {kind: [] for kind in databases}
    for run in range(10):
        batch = rows(np.arange(4) + 100_000 + 4 * run, 0, 60)
        for kind, database in databases.items():
            backfill[kind].append(seconds(store, database, batch))
    note("60 days of 4 series stored, ms", backfill)
    for name, ask in {
        "all days of a series, ms": lambda database, one: span(database, one, 0, days),
        "a month of a series, ms": lambda database, one: span(database, one, days // 3, 30),
        "the last row of a series, ms": latest,
        "partitions.ensure of what is there, ms": lambda database, one: partitions.ensure(
            database, [chunks.number_of(START) + one % (days // chunks.CHUNK_DAYS)]
        ),
    }.items():
        asked: dict[str, list[float]] = {kind: [] for kind in databases}
        for run in range(60):
            one = int(series[run % len(series)])
            for kind in in_turn(list(databases), run):
                took = seconds(ask, databases[kind], one)
                if run >= 10:
                    asked[kind].append(took)
        note(name, asked)
    for kind, database in databases.items():
        with database.connection() as connection:
            table.setdefault("locks of all days of a series", {})[kind] = locks(connection, days)
            how = SIZE if kind == PARTITIONS else "SELECT hypertable_size('reading')::float8"
            row = connection.execute(how.encode()).fetchone()
            assert row is not None
            stored = len(series) * days * PER_DAY + 40 * 60 * PER_DAY
            table.setdefault("octets per row", {})[kind] = row[0] / stored
        database.close()
    print(f"| {len(series)} series, {days} days | " + " | ".join(databases) + " |")
    print("|---|" + "---|" * len(databases))
    for name, figures in table.items():
        print(f"| {name} | " + " | ".join(f"{figures[kind]:,.1f}" for kind in databases) + " |")


if __name__ == "__main__":
    main()
