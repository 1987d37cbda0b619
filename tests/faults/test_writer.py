"""
What a sender sees when the server is away, slow or ends sessions, and when COMMIT is cut.

Also two processes with the same keys in opposite orders, judged from outside by `tests.history`.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import Receipt
from hes.pipeline import WindowPolicy, Writer
from hes.services import Postgres
from hes.storage.database import Database, OutcomeUnknownError
from tests import publisher
from tests.batches import (
    DAY,
    NOW,
    batch,
    channel,
    meter_id,
    open_bus,
    profile,
    series,
)
from tests.faults.mixed import METERS
from tests.faults.proxy import Fault, Proxy, When
from tests.history import History, Journal, Verdict, everything_said, judge
from tests.publisher import numbered_batch, rows_of

COUNT = series(channel(meter_id(0)))


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def eventually(publish: Callable[[], Receipt]) -> Receipt:
    """Publish as a sender does: again, until there is a receipt."""
    deadline = time.monotonic() + 60.0
    while True:
        try:
            return publish()
        except StorageUnavailableError:
            assert time.monotonic() < deadline


def verdict(database: Database, journal: Path) -> Verdict:
    rows = partial(rows_of, meters=METERS, offset=0)
    return judge(History.read(journal), rows, everything_said(database))


def invoked(journal: Path) -> int:
    return len(History.read(journal).invoked)


# The process that writes.


def test_a_lost_row_and_a_doubled_row_are_found_out(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    with open_bus(database) as bus:
        publisher.publish(bus, journal, 0, numbered_batch(0, METERS, 0))
    journal.close()
    assert verdict(database, path).clean
    with database.connection() as connection:
        connection.execute("DELETE FROM reading WHERE series_id = 1 AND captured_at = %s", (DAY,))
    assert verdict(database, path).lost == 1
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO reading_revision (series_id, captured_at, batch_id, value, quality)"
            " SELECT series_id, captured_at, batch_id, value, quality FROM reading"
            " WHERE series_id = 2 ORDER BY captured_at LIMIT 1"
        )
    assert verdict(database, path).doubled == 1


# Two writers.


@pytest.mark.parametrize("same_values", [True, False])
def test_two_processes_race_on_the_same_keys(
    database: Database, database_url: str, tmp_path: Path, same_values: bool
) -> None:
    meters, batches = 30, 4
    offsets = (0, 0) if same_values else (0, 1)
    journals = [tmp_path / "one", tmp_path / "two"]
    common = ("--meters", str(meters), "--start-at", str(time.time() + 2.0))
    processes = [
        publisher.start(database_url, journal, 0, batches, "--offset", str(offset), *common, *order)
        for journal, offset, order in zip(journals, offsets, ((), ("--reverse",)), strict=True)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]

    rows = meters * 4 * 96 * batches
    said = everything_said(database)
    for journal, offset in zip(journals, offsets, strict=True):
        mine = [row for row in said if row[3] is not None and row[3] // 10**9 == offset]
        found = judge(History.read(journal), partial(rows_of, meters=meters, offset=offset), mine)
        assert found.clean
        assert len(mine) == rows
    with database.connection() as connection:
        (stored, revised, deadlocks) = connection.execute(
            "SELECT (SELECT count(*) FROM reading), (SELECT count(*) FROM reading_revision),"
            " (SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())"
        ).fetchone()
    # Both values of each key are there: one as the reading, the other as its revision.
    assert (stored, revised) == (rows, 0 if same_values else rows)
    assert deadlocks == 0


def test_the_same_batch_published_twice_at_once_is_stored_once(
    database: Database, database_url: str
) -> None:
    sent = profile([meter_id(number) for number in range(20)])
    with (
        Database(database_url) as other,
        open_bus(database) as one,
        open_bus(other) as two,
        ThreadPoolExecutor(2) as threads,
    ):
        receipts = [threads.submit(bus.publish, sent) for bus in (one, two)]
        assert receipts[0].result(60) == receipts[1].result(60)
    assert batch_rows(database) == [(20 * 4 * 96, 0)]


def batch_rows(database: Database) -> list[tuple[int, int]]:
    with database.connection() as connection:
        return connection.execute("SELECT stored, duplicates FROM batch").fetchall()


# The server.


def test_while_the_server_is_away_nothing_gets_a_receipt(own_server: Postgres) -> None:
    sent = profile([meter_id(0)])
    own_server.stop()
    # A process may start while the database is away.
    with Database(own_server.url, wait_s=0.5) as database, open_bus(database) as bus:
        for _ in range(2):
            with pytest.raises(StorageUnavailableError):
                bus.publish(sent)
        own_server.start()
        assert eventually(lambda: bus.publish(sent)).stored == 4 * 96
        own_server.stop()
        with pytest.raises(StorageUnavailableError):
            bus.publish(profile([meter_id(1)]))
        own_server.start()
        assert eventually(lambda: bus.publish(profile([meter_id(1)]))).stored == 4 * 96
        assert bus.publish(sent).stored == 4 * 96
        assert batch_rows(database) == [(4 * 96, 0)] * 2


def test_a_server_that_is_too_slow_gives_no_receipt(database: Database, database_url: str) -> None:
    sent = profile([meter_id(0)])
    with Database(database_url, lock_timeout_s=0.1) as impatient, open_bus(impatient) as bus:
        with database.connection() as blocker:
            blocker.execute("LOCK TABLE reading")
            with pytest.raises(StorageUnavailableError, match="lock timeout"):
                bus.publish(sent)
        assert bus.publish(sent).stored == 4 * 96
    assert batch_rows(database) == [(4 * 96, 0)]


def test_a_server_that_ends_our_session_gives_no_receipt_or_a_true_one(
    database: Database, database_url: str
) -> None:
    stop = threading.Event()

    def harass() -> None:
        with psycopg.connect(database_url, autocommit=True) as admin:
            while not stop.wait(0.05):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'victim' AND datname = current_database()"
                )

    meters = [meter_id(number) for number in range(METERS)]
    with (
        Database(database_url, application_name="victim") as victim,
        open_bus(victim) as bus,
        ThreadPoolExecutor(1) as threads,
    ):
        harasser = threads.submit(harass)
        outcomes = []
        with suppress(StorageUnavailableError):
            for number in range(40):
                outcomes.append(bus.publish(profile(meters[number : number + 1])))
        stop.set()
        harasser.result(10)
        assert bus.publish(profile(meters)).stored >= (METERS - len(outcomes) - 1) * 4 * 96
    assert sum(stored for stored, _ in batch_rows(database)) == METERS * 4 * 96


# The connection, around COMMIT.


@pytest.mark.parametrize("cut", [When.BEFORE, When.AFTER, When.LATE, When.NEVER])
def test_the_connection_is_cut_around_commit(database: Database, proxy: Proxy, cut: When) -> None:
    # The server ends a transaction whose client is gone after two statement time-outs.
    with Database(proxy.url, statement_timeout_s=1.0) as cut_off, open_bus(cut_off) as bus:
        bus.publish(batch([(COUNT, NOW, 1)]))
        fault = proxy.arm(Fault(None, cut))
        sent = profile([meter_id(0)])
        receipt = bus.publish(sent)
        assert fault.done.wait(10)
        assert (receipt.stored, receipt.duplicates) == (4 * 96, 0)
        assert bus.publish(sent) == receipt
    assert sorted(batch_rows(database)) == [(1, 0), (4 * 96, 0)]


@pytest.mark.parametrize("cut", [When.BEFORE, When.AFTER])
def test_an_outcome_that_nobody_can_tell_is_no_receipt(
    database: Database, proxy: Proxy, cut: When
) -> None:
    with Database(proxy.url, wait_s=0.2) as cut_off:
        writer = Writer(cut_off, WindowPolicy(), clock=lambda: NOW, settle_s=0.5)
        writer.write([batch([(COUNT, NOW, 1)])])
        sent = profile([meter_id(0)])
        proxy.refuse = True
        proxy.arm(Fault(None, cut))
        with pytest.raises(OutcomeUnknownError):
            writer.write([sent])
        assert len(batch_rows(database)) == (1 if cut is When.BEFORE else 2)
        proxy.refuse = False
        receipt = eventually(lambda: writer.write([sent])[0])
        assert (receipt.stored, receipt.duplicates) == (4 * 96, 0)
    assert sorted(batch_rows(database)) == [(1, 0), (4 * 96, 0)]
