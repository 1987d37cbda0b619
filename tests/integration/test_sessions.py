"""Finished sessions, security events and what was learnt of a meter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import attrs
import pytest

from hes.domain.errors import UnknownMeterError
from hes.domain.meters import MeterKnowledge, ObjectEntry, ProfileKnowledge
from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
from hes.storage.database import Database
from hes.storage.knowledge import KnowledgeStore
from hes.storage.sessions import SessionStore
from hes_protocol.cosem import Obis

AddMeter = Callable[..., UUID]

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sessions(database: Database) -> SessionStore:
    return SessionStore(database)


def report(meter_id: UUID, minute: int = 0) -> SessionReport:
    started_at = BEGIN + timedelta(minutes=minute)
    return SessionReport(
        session_id=uuid4(),
        meter_id=meter_id,
        inbound=False,
        started_at=started_at,
        ended_at=started_at + timedelta(seconds=2.5),
        phase=SessionPhase.ASSOCIATE,
        outcome=SessionOutcome.SECURITY,
        cause="wrong-key",
        octets_in=2**40,
        octets_out=7,
        clock_drift_s=-0.5,
    )


def test_come_back_as_they_were_latest_first(sessions: SessionStore, add_meter: AddMeter) -> None:
    meter_id, other = add_meter("S1"), add_meter("S2")
    reports = [report(meter_id, minute) for minute in range(5)]
    for each in (reports[3], reports[0], report(other), reports[4], reports[2], reports[1]):
        sessions.record(each)
    assert sessions.latest(meter_id, limit=3) == reports[:1:-1]


def test_one_that_is_kept_twice_is_kept_once(sessions: SessionStore, add_meter: AddMeter) -> None:
    each = report(add_meter("S1"))
    sessions.record(each)
    sessions.record(each)
    assert sessions.latest(each.meter_id, limit=9) == [each]


def test_of_meters_that_are_none_are_refused(sessions: SessionStore) -> None:
    with pytest.raises(UnknownMeterError):
        sessions.record(report(uuid4()))
    with pytest.raises(UnknownMeterError):
        sessions.security_event(uuid4(), "wrong-key", "", None)


def test_equal_security_events_of_a_minute_are_counted_in_one_row(
    sessions: SessionStore, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1")

    def happen(i: int) -> None:
        sessions.security_event(meter_id, "wrong-key", f"event {i}", "10.0.0.1")
        sessions.security_event(None, "wrong-key", "x" * 5000, None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(happen, range(20)))
    sessions.security_event(meter_id, "plain-frame", "\0\ud800", "10.0.0.1")
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT meter_id, code, peer, sum(occurrences)::int, max(length(detail)), count(*)"
            " FROM security_event GROUP BY meter_id, code, peer ORDER BY 4, 1"
        ).fetchall()
    assert [row[:4] for row in rows] == [
        (meter_id, "plain-frame", "10.0.0.1", 1),
        (meter_id, "wrong-key", "10.0.0.1", 20),
        (None, "wrong-key", None, 20),
    ]
    assert max(row[4] for row in rows) == 500
    assert all(row[5] <= 2 for row in rows)  # two, if a minute ended meanwhile


def test_what_was_learnt_is_kept_and_replaced(database: Database, add_meter: AddMeter) -> None:
    store = KnowledgeStore(database)
    meter_id = add_meter("S1")
    assert store.load(meter_id) is None
    profile = Obis.parse("1.0.99.1.0.255")
    for period_s in (900, 3600):
        learnt = MeterKnowledge(
            (ObjectEntry(7, 1, profile),), (ProfileKnowledge(profile, period_s, ()),)
        )
        store.save(meter_id, learnt)
        assert store.load(meter_id) == learnt
    for model in ("idis-solar", None):
        store.save(meter_id, attrs.evolve(learnt, model=model))
        with database.connection() as connection:
            [(taken_for,)] = connection.execute("SELECT recognised_model FROM meter").fetchall()
        assert taken_for == model
    with pytest.raises(UnknownMeterError):
        store.save(uuid4(), learnt)
