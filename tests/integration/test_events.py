"""Events of meters: a log that is read again adds nothing, and nothing in it is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs
import pytest

from hes.domain.errors import LeaseLostError
from hes.domain.readings import (
    IntegerRows,
    LogEntry,
    LogGap,
    Provenance,
    ReadingBatch,
    SourceKind,
)
from hes.storage import events, marks, quarantine
from hes.storage.database import Database
from hes_protocol.cosem import Obis
from tests.batches import EVIDENCE, NOW, add_meters, meter_id, open_bus

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


def log_batch(
    *lines: LogEntry, gaps: tuple[LogGap, ...] = (), asked_until: datetime | None = None
) -> ReadingBatch:
    return ReadingBatch(
        uuid4(),
        (),
        IntegerRows.empty(),
        (),
        Provenance(SourceKind.PROFILE, NOW, evidence=EVIDENCE, asked_until=asked_until),
        lines,
        gaps,
    )


def logged(minutes: float, code: int, *, source: Obis = LOG) -> LogEntry:
    """A line that was noted so long before now."""
    return LogEntry(meter_id(0), source, NOW - timedelta(minutes=minutes), code)


def test_a_log_goes_through_the_writer_once(database: Database) -> None:
    """With a receipt, under the batch's key, and the log's mark moves with it."""
    add_meters(database, 1)
    lines = (logged(60, 1), logged(10, 2), logged(10, 2))
    with open_bus(database) as bus:
        batch = log_batch(*lines)
        receipt = bus.publish(batch)
        assert (receipt.stored, receipt.duplicates, receipt.quarantined) == (3, 0, 0)
        assert bus.publish(batch) == receipt
        again = bus.publish(log_batch(*lines, logged(5, 3)))
        assert (again.stored, again.duplicates) == (1, 3)
    with database.connection() as connection:
        found = events.of_meter(connection, meter_id(0), NOW - timedelta(hours=2), NOW, limit=9)
        [mark] = marks.select(connection, [meter_id(0)])
    assert [(one.entry.code, one.ordinal) for one in found] == [(3, 0), (2, 1), (2, 0), (1, 0)]
    assert {one.batch_id for one in found[1:]} == {receipt.batch_id}
    assert (mark.source, mark.captured_at) == (LOG, NOW - timedelta(minutes=5))


def test_lines_of_another_age_go_to_quarantine_and_move_no_mark(database: Database) -> None:
    add_meters(database, 1)
    old, ahead = logged(60 * 24 * 900, 1), logged(-180, 2)
    with open_bus(database) as bus:
        receipt = bus.publish(log_batch(old, logged(1, 3), ahead))
        unknown = bus.publish(log_batch(LogEntry(meter_id(7), LOG, NOW, 1)))
    assert (receipt.stored, receipt.quarantined) == (1, 2)
    assert (unknown.stored, unknown.quarantined) == (0, 1)
    with database.connection() as connection:
        kept = quarantine.page(connection, before=None, limit=9)
        [mark] = marks.select(connection, [meter_id(0)])
    assert {entry.reason for entry in kept} == {"before_window", "after_window", "unknown_meter"}
    [listed] = next(e.detail["events"] for e in kept if e.reason == "after_window")
    assert (listed["source"], listed["code"]) == (str(LOG), 2)
    assert mark.captured_at == NOW - timedelta(minutes=1)


def test_a_log_read_under_a_lost_lease_is_not_stored(database: Database) -> None:
    add_meters(database, 1)
    batch = log_batch(logged(1, 1))
    batch = attrs.evolve(batch, provenance=attrs.evolve(batch.provenance, lease_token=999))
    with open_bus(database) as bus, pytest.raises(LeaseLostError):
        bus.publish(batch)


def test_what_is_gone_from_a_log_is_kept_once(database: Database) -> None:
    add_meters(database, 1)
    gap = LogGap(meter_id(0), LOG, NOW - timedelta(days=9), NOW - timedelta(days=1), "overwritten")
    with open_bus(database) as bus:
        bus.publish(log_batch(logged(1, 1), gaps=(gap,)))
        bus.publish(log_batch(gaps=(attrs.evolve(gap, until=None, reason="cleared"),)))
    with database.connection() as connection:
        assert events.gaps_of(connection, meter_id(0)) == [gap]
