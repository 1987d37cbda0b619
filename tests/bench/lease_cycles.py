"""Leases taken and ended again and again while somebody holds a snapshot open."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import psycopg

from hes.domain.ports import Finished, Lease, SessionOutcome, SessionPhase, SessionReport
from hes.domain.work import ItemResult
from hes.storage.database import Database
from hes.storage.leases import LeaseStore

BATCH = 100


@contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Somebody who looks at the database as it is now, as a backup does, and takes his time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM due_work")
        yield


def cycles(
    database: Database, count: int, *, store: Callable[[Database], LeaseStore] = LeaseStore
) -> list[float]:
    """
    Take and end `count` leases in batches; everything that was due is due again at once.

    Returns: how long each `take` took, in ms.
    """
    leases = store(database)
    times: list[float] = []
    done = 0
    while done < count:
        begun = time.perf_counter()
        taken = leases.take(holder="bench", limit=BATCH, lease_s=60)
        times.append((time.perf_counter() - begun) * 1000)
        assert len(taken) == BATCH
        assert not leases.finish([_tried(lease) for lease in taken])
        done += len(taken)
    return times


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20)[-1]


def _tried(lease: Lease) -> Finished:
    now = datetime.now(UTC)
    report = SessionReport(
        uuid4(), lease.meter.meter_id, False, now, now, SessionPhase.DONE, SessionOutcome.OK,
        None, 1, 1,
    )  # fmt: skip
    results = tuple(ItemResult(item.item_id, None, "again", now) for item in lease.items)
    return Finished(lease, report, results)
