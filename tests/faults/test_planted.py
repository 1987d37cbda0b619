"""
Faults planted into the writer's way turn the judge red; without them the same run is clean.

An ack before COMMIT; the key of the readings gone; INSERT and revision in one statement.
"""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import attrs
import pytest

from hes.domain.readings import ValueStore
from hes.pipeline import WindowPolicy, Writer
from hes.storage import merge
from hes.storage.database import Database
from tests import publisher
from tests.batches import NOW
from tests.e2e.system import wait_until
from tests.faults.proxy import Fault, Proxy, When
from tests.history import History, Journal, Row, Verdict, everything_said, judge
from tests.publisher import numbered_batch, rows_of

METERS = 5
ROWS = METERS * 4 * 96
CLEAN = Verdict(lost=0, doubled=0, torn=0, unexpected=0, recovered=0)
_INTEGER = merge._BY_STORE[ValueStore.INTEGER]
# Days of different offsets are different batches.
_OFFSET = 1000


# An ack before COMMIT.


@pytest.mark.parametrize("early", [True, False])
def test_an_ack_before_commit(
    database: Database, database_url: str, tmp_path: Path, early: bool
) -> None:
    journal = tmp_path / "journal"
    options = ["--meters", str(METERS), *(["--ack-early"] if early else [])]
    # Nothing can be committed while the table is locked.
    with database.connection() as blocker:
        blocker.execute("LOCK TABLE reading")
        process = publisher.start(database_url, journal, 0, 1, *options)
        wait_until(lambda: _somebody_waits(database), 60, "the writer is at the table")
        process.kill()
        process.wait()
    assert _verdict(database, journal).lost == (ROWS if early else 0)


# Two writers at once.


@pytest.fixture
def nothing(database: Database) -> None:
    """The writer as it is."""


@pytest.fixture
def no_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the readings is gone, and with it what refers to it."""
    with database.connection() as connection:
        connection.execute("ALTER TABLE reading DROP CONSTRAINT reading_pkey")
    insert = _INTEGER.insert.replace(b"ON CONFLICT (series_id, captured_at) DO NOTHING", b"")
    assert insert != _INTEGER.insert
    monkeypatch.setitem(merge._BY_STORE, ValueStore.INTEGER, attrs.evolve(_INTEGER, insert=insert))


@pytest.fixture
def one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is looked for in the snapshot in which the insert has begun."""
    insert, revise = _INTEGER.insert.decode(), _INTEGER.revise.decode()
    once = re.sub(r"^\s*WITH ", f"WITH new AS ({insert} RETURNING 1), ", revise).encode()
    assert insert.encode() in once

    def merged(connection, statements, batch_id, first, last):  # type: ignore[no-untyped-def]
        found = connection.execute(once, {"first": first, "last": last}).fetchall()
        return merge.Merged({row[0]: row[1] for row in found}, {row[0]: row[2] for row in found})

    monkeypatch.setattr(merge, "_merge", merged)


@pytest.mark.parametrize(
    ("planted", "offsets", "fault"),
    [
        # The same rows under another key: a meter that was read twice.
        ("nothing", (0, 0), {}),
        ("no_key", (0, 0), {"doubled": 2 * ROWS}),  # both days
        # The same instants with other values.
        ("nothing", (0, 1), {}),
        ("one_statement", (0, 1), {"lost": ROWS}),
    ],
)
def test_the_second_writer_meets_the_first_uncommitted(
    planted: str,
    offsets: tuple[int, int],
    fault: dict[str, int],
    database: Database,
    database_url: str,
    proxy: Proxy,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(planted)
    path = tmp_path / "journal"
    with (
        Database(proxy.url, max_connections=1) as one,
        Database(database_url, max_connections=1) as two,
        ThreadPoolExecutor(1) as threads,
    ):
        first = Writer(one, WindowPolicy(), clock=lambda: NOW)
        second = Writer(two, WindowPolicy(), clock=lambda: NOW)
        # Channels, series and chunks are there: they meet at the readings and nowhere before.
        _write(first, path, 1, offsets[0])
        _write(second, path, 1, offsets[1])
        meeting: list[Future[None]] = []

        def let_the_second_come() -> None:
            meeting.append(threads.submit(_write, second, path, 0, offsets[1]))
            wait_until(
                lambda: meeting[0].done() or _somebody_waits(database), 60, "the second is there"
            )

        held = proxy.arm(Fault(None, When.HOLD, harm=let_the_second_come))
        _write(first, path, 0, offsets[0])
        assert held.struck
        meeting[0].result(60)
    assert _verdict(database, path) == attrs.evolve(CLEAN, **fault)


def _write(writer: Writer, path: Path, day: int, offset: int) -> None:
    batch = attrs.evolve(numbered_batch(day, METERS, offset), batch_key=uuid4())
    journal = Journal(path)
    journal.invoked(day + offset * _OFFSET)
    writer.write([batch])
    journal.acked(day + offset * _OFFSET)
    journal.close()


def _verdict(database: Database, path: Path) -> Verdict:
    def rows(number: int) -> list[Row]:
        return rows_of(number % _OFFSET, METERS, number // _OFFSET)

    return judge(History.read(path), rows, everything_said(database))


def _somebody_waits(database: Database) -> bool:
    """Whether a session waits for another's lock; a transaction sees its first answer only."""
    with database.connection() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return row is not None and row[0] > 0
