"""
Row `half-open`: ten thousand connections whose other ends have gone without a word.

Half of them are sessions with meters that accept and never answer, half have called and stopped in
the middle of a header. All are freed by their deadlines and five seconds; meters that answer are
read meanwhile, their median within 1.2 of what it was before. Fault row 2. A real database, real
sockets; the other ends are a process of their own. `HES_BENCH_HALF_OPEN` says how many.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry

from hes.keys import KeyService
from hes.meters import Inventory
from hes.pipeline import DirectBus
from hes.services import Postgres
from hes.storage.database import Database
from hes.storage.due_items import put_in_service
from hes_collectors.dlms import (
    CollectorMetrics,
    CollectorSettings,
    Context,
    Deadlines,
    InboundLimits,
    make_context,
    run,
)
from hes_simulators import Fleet
from tests.batches import open_database
from tests.bench.conftest import Record
from tests.bench.half_open_peers import SILENT_HOST, fleet_settings
from tests.integration.test_collector import ports_on

HALF_OPEN = int(os.environ.get("HES_BENCH_HALF_OPEN", "10000"))
HEALTHY = 100
ROUND_S = 0.5
ROUNDS = 20
PER_ROUND = 10
CONNECT_S, ASSOCIATE_S, FRAME_S = 5.0, 60.0, 70.0
GRACE_S = 5.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(postgres_server: Postgres) -> Iterator[Database]:
    with open_database(postgres_server.url, hypertables=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    """As many open files as there may be, and no log lines."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    with structlog.testing.capture_logs():
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextmanager
def peers(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.bench.half_open_peers"]
    process = subprocess.Popen(
        [*command, str(HEALTHY), str(HALF_OPEN // 2), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return list(map(int, process.stdout.readline().split()))


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def settings() -> CollectorSettings:
    return CollectorSettings(
        holder="bench",
        system_title=b"HEH\0\0\0\0\1",
        allowed_networks=(ip_network("127.64.0.0/15"),),
        listen_port=0,
        listen_udp=False,
        max_sessions=HALF_OPEN,
        connections_per_s=1000.0,
        lease_s=150.0,
        poll_interval_s=0.2,
        deadlines=Deadlines(
            connect_s=CONNECT_S, associate_s=ASSOCIATE_S, request_s=ASSOCIATE_S, session_s=120.0
        ),
        inbound=InboundLimits(max_connections=HALF_OPEN, frame_s=FRAME_S, connections_per_s=2000.0),
    )


@asynccontextmanager
async def collecting(database: Database, keys: KeyService) -> AsyncIterator[tuple[Context, int]]:
    with DirectBus(database) as sink:
        metrics = CollectorMetrics(CollectorRegistry())
        context = make_context(settings(), ports_on(database, keys, sink), metrics)
        async with trio.open_nursery() as nursery:
            [(_, port)] = await nursery.start(run, context)
            yield context, port
            nursery.cancel_scope.cancel()


def rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(query, values).fetchall()


def some_be_due(database: Database, number: int) -> None:
    """Ten of the meters that answer, in turn."""
    with database.connection() as connection:
        found = connection.execute(
            "SELECT meter_id FROM meter WHERE serial LIKE 'HES%%' ORDER BY serial"
            " LIMIT %s OFFSET %s",
            (PER_ROUND, number * PER_ROUND % HEALTHY),
        ).fetchall()
        put_in_service(connection, [row[0] for row in found])


async def healthy_median_s(database: Database) -> float:
    """Of the sessions of meters that answer, over some rounds of all of them."""
    began: datetime = rows(database, "SELECT clock_timestamp()")[0][0]
    for number in range(ROUNDS):
        await trio.to_thread.run_sync(some_be_due, database, number)
        await trio.sleep(ROUND_S)
    await trio.sleep(1)
    durations = [
        row[0]
        for row in await trio.to_thread.run_sync(
            rows,
            database,
            "SELECT extract(epoch FROM ended_at - started_at)::float8 FROM session"
            " JOIN meter USING (meter_id) WHERE serial LIKE 'HES%%' AND started_at >= %s"
            " AND outcome = 'ok'",
            began,
        )
    ]
    causes = rows(database, "SELECT cause, count(*) FROM session GROUP BY 1")
    assert len(durations) >= PER_ROUND * ROUNDS / 2, f"meters that answer are not read: {causes}"
    return float(statistics.median(durations))


def gauge(metric: Any) -> float:
    return float(metric._value.get())


async def measured(database: Database, keys: KeyService) -> dict[str, float]:
    inventory, told = Inventory(database, keys), {"commissioned_at": "2026-01-01T00:00:00Z"}
    found: dict[str, float] = {}
    async with collecting(database, keys) as (context, port):
        with peers(port) as process:
            silent_port, fleet_port = await trio.to_thread.run_sync(said, process)
            healthy = Fleet(fleet_settings(HEALTHY), start_number=1)
            lines = [json.dumps({**r, **told, "port": fleet_port}) for r in healthy.meter_file()]
            await trio.to_thread.run_sync(inventory.import_file, lines)
            learnt = "SELECT count(DISTINCT meter_id) FROM session WHERE outcome = 'ok'"
            with trio.fail_after(60):
                while rows(database, learnt)[0][0] < HEALTHY:  # noqa: ASYNC110
                    await trio.sleep(0.2)
            found["before_s"] = await healthy_median_s(database)

            silent = [
                json.dumps(
                    {"serial": f"SILENT{n:06}", "timezone": "UTC", "address": SILENT_HOST,
                     "port": silent_port, "transport": "wrapper", **told}
                )
                for n in range(HALF_OPEN // 2)
            ]  # fmt: skip
            await trio.to_thread.run_sync(inventory.import_file, silent)
            began = time.monotonic()
            tell(process)
            metrics = context.metrics
            with trio.fail_after(50):
                while (  # noqa: ASYNC110 - gauges tell nobody
                    gauge(metrics.sessions_running) < HALF_OPEN * 0.49
                    or gauge(metrics.inbound_connections_open) < HALF_OPEN // 2
                ):
                    await trio.sleep(0.05)
            found["held"] = gauge(metrics.sessions_running)
            found["held"] += gauge(metrics.inbound_connections_open)
            found["opened_s"] = time.monotonic() - began
            found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            found["during_s"] = await healthy_median_s(database)
            # They rest and are due again: only the first attempt is looked at.
            stop = "UPDATE meter SET state = 'suspended' WHERE serial LIKE 'SILENT%'"
            with database.connection() as connection:
                connection.execute(stop)
            last = began + found["opened_s"]
            open_now = metrics.inbound_connections_open, metrics.sessions_running
            while any(left := [gauge(metric) for metric in open_now]):
                late_s = time.monotonic() - last - FRAME_S - GRACE_S
                assert late_s < 0, f"not freed: {left}, {found}"
                await trio.sleep(0.05)
            found["freed_s"] = time.monotonic() - last
            # What they said is kept soon after.
            kept = (
                "SELECT count(*), max(extract(epoch FROM ended_at - started_at))::float8"
                " FROM session JOIN meter USING (meter_id)"
                " WHERE serial LIKE 'SILENT%%' AND cause = 'deadline-exceeded'"
            )
            with trio.move_on_after(60):
                while rows(database, kept)[0][0] < HALF_OPEN // 2:  # noqa: ASYNC110
                    await trio.sleep(0.5)
            [(found["silent"], found["most_s"])] = rows(database, kept)
    return found


def test_half_open(
    database: Database, tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = KeyService.open(database, tmp_path / "kek")
    found = trio.run(measured, database, keys)
    with capsys.disabled():
        print({name: round(value, 4) for name, value in found.items()})
    assert found["held"] >= HALF_OPEN * 0.98
    assert found["silent"] >= HALF_OPEN * 0.49
    assert found["most_s"] <= CONNECT_S + ASSOCIATE_S + GRACE_S
    assert found["freed_s"] <= FRAME_S + GRACE_S
    assert found["during_s"] <= 1.2 * found["before_s"]
