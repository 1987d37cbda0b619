"""Events of meters: a log that is read again adds nothing, and nothing in it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hes.domain.readings import LogEntry
from hes.storage import events
from hes.storage.database import Database
from hes_protocol.cosem import Obis
from tests.batches import meter_id

AT = datetime(2026, 11, 1, tzinfo=UTC)
LOG = Obis.parse("0.0.99.98.0.255")
FRAUD = Obis.parse("0.0.99.98.1.255")
METER = meter_id(1)


def entry(minute: int, code: int, *, source: Obis = LOG, detail: object = None) -> LogEntry:
    return LogEntry(METER, source, AT + timedelta(minutes=minute), code, detail)


def store(database: Database, batch_id: int, entries: Sequence[LogEntry]) -> int:
    with database.connection() as connection:
        return events.insert(connection, batch_id, entries)


def stored(database: Database, limit: int = 100) -> list[tuple[int, int, int]]:
    with database.connection() as connection:
        found = events.of_meter(connection, METER, AT, AT + timedelta(hours=1), limit=limit)
    return [(each.entry.code, each.ordinal, each.batch_id) for each in found]


def test_a_log_read_again_adds_nothing_but_what_is_new(database: Database) -> None:
    log = [entry(0, 1), entry(1, 2), entry(1, 2), entry(1, 3)]
    assert store(database, 1, log) == 4
    assert store(database, 2, log) == 0
    assert store(database, 3, [*log[1:], entry(1, 2), entry(2, 1)]) == 2
    assert stored(database) == [(1, 0, 3), (3, 0, 1), (2, 2, 3), (2, 1, 1), (2, 0, 1), (1, 0, 1)]
    assert stored(database, limit=2) == [(1, 0, 3), (3, 0, 1)]


def test_logs_and_meters_are_told_apart(database: Database) -> None:
    other = LogEntry(meter_id(2), LOG, AT, 1)
    assert store(database, 1, [entry(0, 1), entry(0, 1, source=FRAUD), other]) == 3
    assert len(stored(database)) == 2


def test_details_come_back_as_they_went_in(database: Database) -> None:
    detail = {"voltage": 2301, "text": "Deckel ö"}
    store(database, 1, [entry(0, 1, detail=detail), entry(1, 1)])
    with database.connection() as connection:
        found = events.of_meter(connection, METER, AT, AT + timedelta(hours=1), limit=9)
    assert [each.entry for each in found] == [entry(1, 1), entry(0, 1, detail=detail)]


def test_nothing_to_store_is_nothing_stored(database: Database) -> None:
    assert store(database, 1, []) == 0
