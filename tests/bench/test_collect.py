"""
Rows `collect-10k`, `collect-cpu`, `collect-growth`, `collect-500`: a day of a fleet through the
whole engine, simulators included.

HLS-GMAC, 96 rows of four registers and a status word each, from the lease to the commit in
TimescaleDB. Simulators, collector, writer and server share the machine's cores. `HES_BENCH_METERS`
says how many meters, 10,000 unless told otherwise: with 1,000 it is a look that takes a minute.
`HES_BENCH_PROFILE` names a file for what cProfile saw of the collector's loop.

`collect-growth` is the collector's CPU per meter of that fleet against that of its first tenth.
`collect-500` is a fleet of 500, and the peer what one would write with dlms-cosem (`collect_peer`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hes.services import Postgres
from hes.storage.database import Database
from hes.storage.knowledge import KnowledgeStore
from tests.batches import open_database
from tests.bench.collect_peer import Peer
from tests.bench.collecting import LOAD_PROFILE, VALUES, collection
from tests.bench.conftest import Record

PEER_METERS = 500
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
        days, tenths = [], []
        for _ in range(ROUNDS):
            tenths.append(fleet.day(METERS // 10))
            days.append(fleet.day())
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
    cpu_ms = [1000 * day.cpu_s / METERS for day in days]
    record(
        "collect-growth",
        cpu_ms,
        unit="ms CPU/meter, collector",
        better="lower",
        peer="a tenth of the meters",
        peer_values=[1000 * tenth.cpu_s / (METERS // 10) for tenth in tenths],
    )
    record("collect-memory", [day.rss / 2**20 for day in days], unit="MiB peak", better="lower")


def test_collect_against_threads(
    database: Database, postgres_server: Postgres, tmp_path: Path, record: Record
) -> None:
    """Each reads its own half of a fleet; what the other does not read is idle."""
    ours, theirs = [], []
    with collection(database, postgres_server.url, tmp_path, 2 * PEER_METERS) as fleet:
        with database.connection() as connection:
            row = connection.execute("SELECT meter_id FROM meter LIMIT 1").fetchone()
        assert row is not None
        known = KnowledgeStore(database).load(row[0])
        assert known is not None
        [profile] = [one for one in known.profiles if one.obis == LOAD_PROFILE]
        peer = Peer(postgres_server.url, fleet.records[PEER_METERS:], profile)
        for _ in range(ROUNDS + 1):
            gap = fleet.next_day()
            theirs.append(PEER_METERS / peer.day(gap.start, gap.end))
            ours.append(PEER_METERS / fleet.day(PEER_METERS).wall_s)
    record(
        "collect-500",
        ours[1:],
        unit="meters/s",
        better="higher",
        peer="dlms-cosem threads",
        peer_values=theirs[1:],
    )
