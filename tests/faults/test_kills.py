"""
kill -9 of the writing process and of PostgreSQL, at every statement and at random, with Redis.

What remains is judged from outside; how long it took until something was stored again is printed.
"""

from __future__ import annotations

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from hes.pipeline import WindowPolicy, Writer
from hes.services import Postgres, Redis
from hes.storage.database import Database
from tests.batches import NOW
from tests.faults import writing
from tests.faults.judging import check
from tests.faults.mixed import mixed_batch
from tests.faults.proxy import Fault, Proxy, When
from tests.faults.storm import Storm
from tests.faults.writing import eventually
from tests.history import Journal

MOST_STATEMENTS = 40


def test_the_writer_is_killed_at_every_statement(
    database: Database, database_url: str, proxy: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
    kills = 0
    committed = []
    while _killed_at(kills, proxy, path):
        committed.append(writer.stored(mixed_batch(kills).batch_key))
        eventually(writer, kills)
        journal.acked(kills)
        kills += 1
    journal.close()
    assert kills > 20
    # Only the last was killed after its COMMIT: it is there, though nobody was told.
    assert committed == [False] * (kills - 1) + [True]
    check(database, path)


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_postgresql_is_killed_at_its_statements(
    own_server: Postgres, tmp_path: Path, when: When
) -> None:
    # Here at some of them, COMMIT included; `make soak` does it at each.
    kills = kill_server_at(own_server, tmp_path / "journal", when, every=10)
    assert kills >= 3


def test_twenty_kills_at_random(own_server: Postgres, own_redis: Redis, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    with Storm(own_server, own_redis, tmp_path / "journal", random.Random(seed)) as storm:
        for _ in range(20):
            storm.kill_at_random()
        rows = storm.check()
    took_s = [seconds for _, seconds in storm.recoveries_s]
    print(f"{dict(storm.kills)}, {rows} rows checked, slowest recovery {max(took_s):.1f} s")
    assert max(took_s) < 10.0


def kill_server_at(server: Postgres, path: Path, when: When, *, every: int) -> int:
    """Kill PostgreSQL at every so manieth statement and at COMMIT; the number of kills."""
    journal = Journal(path)
    proxy = Proxy(server.url)
    try:
        with Database(proxy.url, max_connections=1, wait_s=1.0) as database:
            writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
            places: list[int | None] = list(range(0, MOST_STATEMENTS, every))
            kills = 0
            # Past the last statement nobody is killed; at COMMIT somebody is at any rate.
            for number, at in enumerate([*places, None]):
                fault = proxy.arm(Fault(at, when, statements=True, harm=server.kill))
                journal.invoked(number)
                with ThreadPoolExecutor(1) as threads:
                    receipt = threads.submit(eventually, writer, number)
                    while not (fault.done.wait(0.01) or receipt.done()):
                        pass
                    if fault.struck:
                        assert fault.done.wait(10)
                        server.start()
                        kills += 1
                    receipt.result(60)
                journal.acked(number)
                proxy.disarm()
        assert fault.struck
    finally:
        proxy.close()
        journal.close()
    with Database(server.url) as database:
        check(database, path)
    return kills


def _killed_at(statement: int, proxy: Proxy, path: Path) -> bool:
    """Kill a writer of one batch after a statement; False if there was none any more."""
    victim: SimpleQueue[writing.Process] = SimpleQueue()
    # What the server was told it has done; after the last statement, COMMIT.
    fault = proxy.arm(
        Fault(statement, When.AFTER, statements=True, harm=lambda: victim.get().kill())
    )
    process = writing.start(proxy.url, path, [statement])
    victim.put(process)
    process.join(60)
    exit_code = process.exitcode
    process.close()
    assert exit_code == (-signal.SIGKILL if fault.struck else 0)
    assert not fault.struck or fault.done.wait(10)
    return fault.struck
