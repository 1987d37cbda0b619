"""
What taking leases costs while a snapshot is held open, with a floor and without.

A backup holds the snapshot; behind it 40,000 leases have left their dead rows. Each run is the p95
of twenty takes of a hundred leases, by turns with the floor of `hes.storage.due_floor` and without.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hes.domain.ports import Limits
from hes.keys import KeyService
from hes.meters import Inventory
from hes.services import database_service
from hes.storage.database import Database
from hes.storage.due_floor import Floor
from hes.storage.leases import LeaseStore
from hes.storage.migrations import migrate
from tests.bench.conftest import Record
from tests.bench.lease_cycles import BATCH, cycles, p95, snapshot
from tests.conftest import DATA

METERS = 5_000
DEAD = 40_000
TAKES = 20
RUNS = 5


class NoFloor(Floor):
    """Looks at all rows each time."""

    def ask(self, monotonic: float, shut: object) -> datetime | None:
        return None


def without_floor(database: Database) -> LeaseStore:
    store = LeaseStore(database)
    store._floors = {priority: NoFloor() for priority in store._floors}
    store._lease_floor = NoFloor()
    return store


@pytest.fixture
def due(tmp_path: Path) -> Iterator[tuple[Database, str]]:
    """A fleet of which everything is due, and the address of its database."""
    with (
        tempfile.TemporaryDirectory() as folder,
        database_service(
            Path(folder), servers=DATA / "servers", durable=False, report=print
        ) as service,
        Database(service.url) as database,
    ):
        migrate(database)
        inventory = Inventory(database, KeyService.open(database, tmp_path / "kek"))
        inventory.import_file(
            [
                f'{{"serial":"S{n:05}","timezone":"UTC","address":"127.16.0.1","port":4159}}'
                for n in range(METERS)
            ]
        )
        yield database, service.url


@pytest.mark.timeout(900)
def test_leases_behind_a_snapshot(due: tuple[Database, str], record: Record) -> None:
    database, url = due
    kept, looks = LeaseStore(database), without_floor(database)
    assert kept.take(holder="bench", limit=0, lease_s=60, limits=Limits()) == []
    with snapshot(url):
        cycles(database, DEAD)
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(p95(cycles(database, TAKES * BATCH, store=lambda _: kept)))
            theirs.append(p95(cycles(database, TAKES * BATCH, store=lambda _: looks)))
    record(
        "lease-take",
        ours,
        unit="ms, p95 of 100 leases",
        better="lower",
        peer="without a floor",
        peer_values=theirs,
    )
