"""Clocks in the database: changes and orders, drifts by model, and what they mark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from hes.domain.clock import ClockChange, ClockHow, ClockOutcome
from hes.domain.errors import UnknownMeterError
from hes.domain.ports import ClockPort, SessionOutcome, SessionPhase, SessionReport
from hes.domain.quality import Quality
from hes.pipeline import DirectBus
from hes.storage import clock_changes
from hes.storage.clock_changes import DRIFT_BOUNDS_S, ClockStore
from hes.storage.database import Database
from hes.storage.sessions import SessionStore
from tests.batches import add_meters, batch, channel, series

AddMeter = Callable[..., UUID]
NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clocks(database: Database) -> ClockPort:
    return ClockStore(database)


def run(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        found = connection.execute(statement, values)
        return found.fetchall() if found.description else []


def change(meter_id: UUID, at: datetime = NOW, step_s: float = 30) -> ClockChange:
    return ClockChange(meter_id, at, at, at + timedelta(seconds=step_s), ClockHow.SHIFT, uuid4())


def looked(database: Database, meter_id: UUID, at: datetime, drift_s: float | None) -> None:
    SessionStore(database).record(
        SessionReport(
            uuid4(), meter_id, False, at, at, SessionPhase.DONE, SessionOutcome.OK, None, 1, 1,
            drift_s,
        )
    )  # fmt: skip


def test_a_change_is_kept_before_and_after(database: Database, clocks: ClockPort) -> None:
    (meter_id,) = add_meters(database, 1)
    number = clocks.changing(change(meter_id))
    with database.connection() as connection:
        (kept,) = clock_changes.of_meter(connection, meter_id, limit=5)
        assert (kept.outcome, kept.drift_s, kept.change.step_s) == (ClockOutcome.SENT, None, 30)
    clocks.changed(number, ClockOutcome.DONE, 0.4)
    with database.connection() as connection:
        (kept,) = clock_changes.of_meter(connection, meter_id, limit=5)
        assert (kept.outcome, kept.drift_s) == (ClockOutcome.DONE, 0.4)
    with pytest.raises(UnknownMeterError):
        clocks.changing(change(uuid4()))


def test_an_order_holds_until_it_is_carried_out(database: Database, clocks: ClockPort) -> None:
    (meter_id,) = add_meters(database, 1)
    assert not clocks.ordered(meter_id)
    with database.connection() as connection:
        clock_changes.order(connection, meter_id, reason="far off", ordered_by="me")
    clocks.changed(clocks.changing(change(meter_id)), ClockOutcome.REFUSED, None)
    assert clocks.ordered(meter_id)
    clocks.changed(clocks.changing(change(meter_id)), ClockOutcome.DONE, 0.0)
    assert not clocks.ordered(meter_id)
    with pytest.raises(UnknownMeterError), database.connection() as connection:
        clock_changes.order(connection, uuid4(), reason="far off", ordered_by="me")


def test_a_meter_that_refuses_is_tried_once_a_day(database: Database, clocks: ClockPort) -> None:
    (meter_id,) = add_meters(database, 1)
    assert clocks.may_try(meter_id)
    clocks.changed(clocks.changing(change(meter_id)), ClockOutcome.REFUSED, None)
    assert not clocks.may_try(meter_id)
    run(database, "UPDATE clock_change SET at = at - interval '25 hours'")
    assert clocks.may_try(meter_id)


def test_what_others_do_to_clocks_is_seen(database: Database, clocks: ClockPort) -> None:
    set_by_us, set_by_others, drifts = add_meters(database, 3)
    for meter_id, drift_s in ((set_by_us, -40.0), (set_by_others, 2400.0), (drifts, 8.0)):
        looked(database, meter_id, NOW - 10 * MINUTE, 0.0)
        looked(database, meter_id, NOW - 5 * MINUTE, drift_s)
    clocks.changing(change(set_by_us, NOW - 7 * MINUTE))
    with database.connection() as connection:
        assert clock_changes.note_leaps(connection, NOW - 6 * MINUTE, NOW) == 1
        (seen,) = clock_changes.of_meter(connection, set_by_others, limit=5)
    assert (seen.change.how, seen.change.step_s) == (ClockHow.SEEN, 2400.0)
    with database.connection() as connection:
        assert clock_changes.note_leaps(connection, NOW - 6 * MINUTE, NOW) == 0  # once


def test_drifts_by_model_are_of_the_last_session_of_each(database: Database) -> None:
    meters = add_meters(database, 4)
    run(database, "UPDATE meter SET model = 'm' WHERE meter_id = ANY(%s)", meters[:3])
    for meter_id, drift_s in zip(meters, (-7.0, 0.0, 100.0, 1.0), strict=True):
        looked(database, meter_id, NOW - 3 * MINUTE, 5000.0)
        looked(database, meter_id, NOW - 2 * MINUTE, drift_s)
        looked(database, meter_id, NOW - MINUTE, None)
    with database.connection() as connection:
        of_model, of_none = clock_changes.drifts(connection, NOW - 5 * MINUTE)
        assert clock_changes.drifts(connection, NOW) == []
    assert (of_model.model, of_model.meters, of_none.model) == ("m", 3, None)
    assert (of_model.least_s, of_model.median_s, of_model.most_s) == (-7.0, 0.0, 100.0)
    places = [place for place, count in enumerate(of_model.counts) if count]
    assert [DRIFT_BOUNDS_S[place - 1] for place in places] == [-10.0, -2.0, 60.0]


def test_intervals_in_which_a_clock_was_set_are_marked(
    database: Database, clocks: ClockPort
) -> None:
    """Row 38: whatever became of the answer, unless the meter has refused."""
    meter_id, refuses = add_meters(database, 2)
    quarter = NOW.replace(minute=NOW.minute // 15 * 15, second=0) - timedelta(hours=2)
    for one, outcome in ((meter_id, None), (refuses, ClockOutcome.REFUSED)):
        number = clocks.changing(change(one, quarter + 5 * MINUTE))
        if outcome is not None:
            clocks.changed(number, outcome, None)
    rows = [
        (series(channel(one)), quarter + place * 15 * MINUTE, place)
        for one in (meter_id, refuses)
        for place in range(3)
    ]
    with DirectBus(database) as bus:
        bus.publish(batch(rows))
    flagged = run(
        database,
        "SELECT meter_id, captured_at FROM reading JOIN series USING (series_id)"
        " JOIN channel USING (channel_id) WHERE quality = %s",
        int(Quality.CLOCK_ADJUSTED),
    )
    assert flagged == [(meter_id, quarter + 15 * MINUTE)]
