"""
Rows `collect-10k`, `collect-cpu`: a day of a fleet through the whole engine, simulators included.

HLS-GMAC, 96 rows of four registers and a status word each, from the lease to the commit in
TimescaleDB. Simulators, collector, writer and server share the machine's cores. `HES_BENCH_METERS`
says how many meters, 10,000 unless told otherwise: with 1,000 it is a look that takes a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hes.services import Postgres
from hes.storage.database import Database
from tests.batches import open_database
from tests.bench.collecting import VALUES, collection
from tests.bench.conftest import Record

METERS = int(os.environ.get("HES_BENCH_METERS", "10000"))
ROUNDS = 5


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Database]:
    with open_database(postgres_server.url, hypertables=True) as opened:
        yield opened


def test_collect(
    database: Database, postgres_server: Postgres, tmp_path: Path, record: Record
) -> None:
    told_profile = os.environ.get("HES_BENCH_PROFILE")
    profile = None if told_profile is None else Path(told_profile)
    with collection(database, postgres_server.url, tmp_path, METERS, profile=profile) as fleet:
        fleet.day()  # makes the meters, channels and series
        days = [fleet.day() for _ in range(ROUNDS)]
    rates = [METERS / day.wall_s for day in days]
    record(f"collect-{METERS // 1000}k", rates, unit="meters/s", better="higher")
    record(
        f"collect-{METERS // 1000}k-values",
        [rate * VALUES for rate in rates],
        unit="values/s",
        better="higher",
    )
    record(
        "collect-cpu",
        [1000 * day.cpu_s / METERS for day in days],
        unit="ms CPU/meter, collector",
        better="lower",
    )
    record(
        "collect-cpu-all",
        [1000 * day.machine_s / METERS for day in days],
        unit="ms CPU/meter, machine",
        better="lower",
    )
    record("collect-memory", [day.rss / 2**20 for day in days], unit="MiB peak", better="lower")
