"""
What was expected, by when it was there, what is asked for again, what is lost: in the database.

The runs of plans are put there by hand; what expands them is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hes.domain.ports import Finished, SessionOutcome, SessionPhase, SessionReport
from hes.domain.work import Gap, ItemResult, ItemState
from hes.pipeline import DirectBus
from hes.plans import judging
from hes.plans.gaps import GapRules
from hes.readings.completeness import Expected
from hes.storage import completeness, losses, marks
from hes.storage.database import Database
from hes.storage.leases import LeaseStore
from hes.storage.losses import LossReason, Lost
from hes.storage.marks import DayOfIntervals
from tests.batches import LOAD_PROFILE, add_meters, batch, channel, series

DAY = datetime(2026, 11, 20, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)


def bits(*slots: int, count: int = 96) -> str:
    return "".join("1" if slot in slots else "0" for slot in range(count))


def run(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database.connection() as connection:
        found = connection.execute(statement, values)
        return found.fetchall() if found.description else []


@pytest.fixture
def meter(database: Database) -> UUID:
    (meter_id,) = add_meters(database, 1)
    expect(database, meter_id)
    run(database, "INSERT INTO due_work (meter_id) VALUES (%s)", meter_id)
    return meter_id


def expect(
    database: Database,
    meter_id: UUID,
    since: datetime = DAY,
    until: datetime | None = None,
    period_s: int = 900,
    reach_s: int | None = None,
) -> None:
    run(
        database,
        "INSERT INTO expectation (meter_id, source, since, until, capture_period_s, reach_s,"
        " plan_id, zone, changed_at) VALUES (%s, %s, %s, %s, %s, %s, 1, 'UTC', %s)",
        meter_id, LOAD_PROFILE.octets, since, until, period_s, reach_s, since,
    )  # fmt: skip


def a_run(database: Database, run_at: datetime, deadline: timedelta = HOUR) -> None:
    run(
        database,
        "INSERT INTO plan_run (plan_id, zone, run_at, deadline_at, ends_at)"
        " VALUES (1, 'UTC', %s, %s, %s)",
        run_at, run_at + deadline, run_at + deadline,
    )  # fmt: skip


def hold(database: Database, meter_id: UUID, *slots: int) -> None:
    with database.connection() as connection:
        day = DayOfIntervals(meter_id, LOAD_PROFILE, 900, DAY.date(), bits(*slots))
        marks.add_intervals(connection, [day])


def judge(database: Database, now: datetime) -> int:
    with database.connection() as connection:
        return judging.judge(connection, now)


def find_gaps(database: Database, now: datetime, **rules: Any) -> int:
    with database.connection() as connection:
        return judging.find_gaps(connection, now, GapRules(**rules))


def day_of(database: Database, meter_id: UUID) -> tuple[str, str | None, str | None, bool]:
    (row,) = run(
        database,
        "SELECT bits::text, overdue::text, lost::text, open FROM completeness WHERE meter_id = %s",
        meter_id,
    )
    return row[0], row[1], row[2], row[3]


def gaps_of(database: Database, meter_id: UUID) -> list[tuple[str, str]]:
    return [
        (what["from"][11:16], what["to"][11:16])
        for (what,) in run(
            database, "SELECT what FROM due_item WHERE meter_id = %s ORDER BY item_id", meter_id
        )
    ]


def test_what_is_not_held_at_its_deadline_is_overdue(database: Database, meter: UUID) -> None:
    hold(database, meter, 0, 2)
    a_run(database, DAY + HOUR)
    assert judge(database, DAY + 2 * HOUR - timedelta(seconds=1)) == 0
    assert day_of(database, meter) == (bits(0, 2), None, None, False)
    assert judge(database, DAY + 2 * HOUR) == 1
    # What is captured as the run begins is the next one's.
    assert day_of(database, meter) == (bits(0, 2), bits(1, 3), None, True)
    hold(database, meter, 1)
    assert judge(database, DAY + 2 * HOUR) == 0
    assert day_of(database, meter) == (bits(0, 1, 2), bits(1, 3), None, True)  # 1 was late


def test_a_meter_of_which_nothing_ever_came_lacks_all(database: Database, meter: UUID) -> None:
    a_run(database, DAY + HOUR)
    a_run(database, DAY + 2 * HOUR)
    assert judge(database, DAY + 3 * HOUR) == 1
    assert day_of(database, meter) == (bits(), bits(*range(8)), None, True)


def test_each_look_judges_what_was_captured_since(database: Database, meter: UUID) -> None:
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    a_run(database, DAY + 2 * HOUR)
    hold(database, meter, 0, 4)
    judge(database, DAY + 3 * HOUR)
    assert day_of(database, meter)[1] == bits(0, 1, 2, 3, 5, 6, 7)


def test_what_is_expected_from_earlier_on_is_judged_when_it_is_known(
    database: Database, meter: UUID
) -> None:
    a_run(database, DAY + HOUR)
    run(database, "DELETE FROM expectation")
    judge(database, DAY + 2 * HOUR)
    expect(database, meter, since=DAY + QUARTER)
    run(database, "UPDATE expectation SET changed_at = %s", DAY + 2 * HOUR + QUARTER)
    a_run(database, DAY + 2 * HOUR)
    judge(database, DAY + 3 * HOUR)
    assert day_of(database, meter)[1] == bits(*range(1, 8))


def test_what_came_in_while_nobody_judged_was_late(database: Database, meter: UUID) -> None:
    hold(database, meter, *range(8))
    a_run(database, DAY + HOUR)
    a_run(database, DAY + 2 * HOUR)
    for first, last, stored_at in (
        (0, 1, DAY + HOUR),  # in time
        (2, 3, DAY + 2 * HOUR + QUARTER),  # after the first deadline
        (4, 7, DAY + 2 * HOUR + QUARTER),  # before the second
    ):
        run(
            database,
            "INSERT INTO batch (batch_key, source_kind, received_at, stored_at, stored, duplicates,"
            " revised, quarantined, meter_ids, captured_from, captured_to)"
            " VALUES (gen_random_uuid(), 'profile', now(), %s, 1, 0, 0, 0, %s, %s, %s)",
            stored_at, [meter], DAY + first * QUARTER, DAY + last * QUARTER,
        )  # fmt: skip
    judge(database, DAY + 9 * HOUR)
    assert day_of(database, meter)[:2] == (bits(*range(8)), bits(2, 3))


def test_gaps_are_asked_for_once_and_what_the_meter_lacks_is_lost(
    database: Database, meter: UUID
) -> None:
    hold(database, meter, *range(4, 20))
    a_run(database, DAY + 6 * HOUR)
    judge(database, DAY + 7 * HOUR)
    now = DAY + 7 * HOUR
    assert find_gaps(database, now) == 1
    assert gaps_of(database, meter) == [("00:00", "01:00"), ("05:00", "06:00")]
    assert find_gaps(database, now) == 0  # asked already
    run(database, "DELETE FROM due_item")
    hold(database, meter, 0, 2)
    with database.connection() as connection:
        gap = Gap(LOAD_PROFILE, DAY, DAY + HOUR)
        assert losses.answered(connection, [(meter, gap)]) == 2
        assert losses.answered(connection, [(meter, gap)]) == 0
    held, _, lost, is_open = day_of(database, meter)
    assert (held, lost, is_open) == (bits(0, 2, *range(4, 20)), bits(1, 3), True)
    assert find_gaps(database, now) == 1
    assert gaps_of(database, meter) == [("05:00", "06:00")]


def test_late_values_land_in_their_own_intervals(database: Database, meter: UUID) -> None:
    """Users' complaint 20: missing hours, and then two hours booked into one."""
    counted = series(channel(meter))
    now = datetime.now(UTC)
    begins = (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    run(database, "UPDATE expectation SET since = %s, changed_at = %s", begins, begins)
    with DirectBus(database) as bus:
        bus.publish(batch([(counted, begins + slot * QUARTER, slot) for slot in range(4, 8)]))
        a_run(database, begins + 2 * HOUR)
        judge(database, begins + 3 * HOUR)
        bus.publish(batch([(counted, begins + slot * QUARTER, slot) for slot in (2, 0, 3)]))
    assert run(database, "SELECT captured_at, value FROM reading ORDER BY captured_at") == [
        (begins + slot * QUARTER, slot) for slot in (0, 2, 3, 4, 5, 6, 7)
    ]
    assert day_of(database, meter) == (bits(0, *range(2, 8)), bits(0, 1, 2, 3), None, True)
    assert run(database, "SELECT count(*) FROM reading_revision") == [(0,)]


def test_a_session_that_has_answered_for_a_gap_ends_it(
    database: Database, add_meter: Callable[..., UUID]
) -> None:
    """From the judge over the lease to the loss, in the transaction that ends the session."""
    meter_id = add_meter("S1", address="127.16.0.1", port=4159)
    run(database, "DELETE FROM due_item")
    expect(database, meter_id)
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    now = datetime.now(UTC)
    find_gaps(database, now, reach=now - DAY + HOUR)
    leases = LeaseStore(database)
    [lease] = leases.take(holder="test", limit=5, lease_s=60)
    (item,) = lease.items
    assert item.gap == Gap(LOAD_PROFILE, DAY, DAY + HOUR)
    hold(database, meter_id, 0, 1, 2)  # what the meter had
    report = SessionReport(
        uuid4(), meter_id, False, now, now, SessionPhase.DONE, SessionOutcome.OK, None, 1, 1
    )
    done = ItemResult(item.item_id, ItemState.DONE)
    assert not leases.finish([Finished(lease, report, (done,))])
    held, overdue, lost, _ = day_of(database, meter_id)
    assert (held, overdue, lost) == (bits(0, 1, 2), bits(0, 1, 2, 3), bits(3))
    assert run(database, "SELECT reason FROM interval_loss") == [("not-in-buffer",)]
    assert find_gaps(database, now) == 1
    assert gaps_of(database, meter_id) == []


def test_what_comes_after_all_is_lost_no_more(database: Database, meter: UUID) -> None:
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    with database.connection() as connection:
        losses.answered(connection, [(meter, Gap(LOAD_PROFILE, DAY, DAY + HOUR))])
    hold(database, meter, 0, 1)
    assert day_of(database, meter)[2] == bits(2, 3)
    assert run(database, "SELECT ended_at IS NULL FROM interval_loss") == [(True,)]
    hold(database, meter, 2, 3)
    assert day_of(database, meter)[2] == bits()
    with database.connection() as connection:
        (loss,) = losses.of_meter(connection, meter, DAY, DAY + HOUR, limit=5)
    assert (loss.from_at, loss.to_at, loss.reason) == (DAY, DAY + HOUR, LossReason.NOT_IN_BUFFER)
    assert loss.ended_at is not None


def test_what_no_buffer_holds_any_more_is_given_up(database: Database, meter: UUID) -> None:
    run(database, "UPDATE expectation SET reach_s = 3600")
    a_run(database, DAY + 2 * HOUR)
    judge(database, DAY + 3 * HOUR)
    find_gaps(database, DAY + 2 * HOUR + QUARTER)
    assert day_of(database, meter)[2] == bits(*range(5))
    assert gaps_of(database, meter) == [("01:15", "02:00")]
    assert run(database, "SELECT reason FROM interval_loss") == [("beyond-buffer",)]


def test_of_a_meter_that_is_gone_all_is_given_up(database: Database, meter: UUID) -> None:
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    run(database, "UPDATE meter SET state = 'suspended'")
    assert find_gaps(database, DAY + 2 * HOUR) == 0  # it may come back
    run(database, "UPDATE meter SET state = 'retired'")
    find_gaps(database, DAY + 2 * HOUR)
    assert day_of(database, meter)[2:] == (bits(0, 1, 2, 3), False)
    assert run(database, "SELECT reason FROM interval_loss") == [("meter-gone",)]


def test_times_that_a_clock_never_showed_are_lost_for_that(database: Database, meter: UUID) -> None:
    a_run(database, DAY + 2 * HOUR)
    judge(database, DAY + 3 * HOUR)
    run(
        database,
        "INSERT INTO clock_change (meter_id, at, before_at, after_at, how, outcome)"
        " VALUES (%s, %s, %s, %s, 'set', 'done')",
        meter, DAY + HOUR, DAY + HOUR - timedelta(minutes=1), DAY + HOUR + 2 * QUARTER,
    )  # fmt: skip
    with database.connection() as connection:
        spans = [(0, 4, LossReason.NOT_IN_BUFFER), (4, 7, LossReason.NOT_IN_BUFFER)]
        gone = [
            Lost(meter, LOAD_PROFILE, DAY + first * QUARTER, DAY + last * QUARTER, reason)
            for first, last, reason in spans
        ]
        assert losses.lose(connection, gone) == 7
    assert run(
        database, "SELECT reason FROM interval_loss ORDER BY from_at"
    ) == [("not-in-buffer",), ("clock-change",)]  # fmt: skip


def test_meters_that_could_not_be_asked_are_left_alone_for_a_while(
    database: Database, meter: UUID
) -> None:
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    now = DAY + 2 * HOUR
    run(
        database,
        "INSERT INTO due_result (finished_at, item_id, meter_id, kind, run_at, deadline_at,"
        " outcome, attempts) VALUES (%s, 1, %s, 'gap', %s, %s, 'failed', 3)",
        now, meter, now, now,
    )  # fmt: skip
    assert find_gaps(database, now + HOUR / 2) == 0
    assert find_gaps(database, now + HOUR * 2) == 1


MOMENTS = st.datetimes(datetime(2026, 11, 18), datetime(2026, 11, 23)).map(
    lambda at: at.replace(tzinfo=UTC)
)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    period_s=st.sampled_from([60, 900, 3600, 7200, 86_400]),
    since=MOMENTS,
    until=st.none() | MOMENTS,
    to=st.none() | MOMENTS,
)
def test_the_database_expects_what_the_code_expects(
    database: Database, period_s: int, since: datetime, until: datetime | None, to: datetime | None
) -> None:
    day = date(2026, 11, 20)
    slots = Expected(period_s, since, until).slots(day, to)
    assert run(
        database,
        "SELECT expected_bits(%s, %s, %s, %s, NULL, %s)::text",
        period_s, day, since, until, to,
    ) == [(bits(*slots, count=86_400 // period_s),)]  # fmt: skip


def test_open_days_are_of_those_who_wait_longest(database: Database) -> None:
    meters = add_meters(database, 3)
    for number, meter_id in enumerate(meters):
        expect(database, meter_id, since=DAY - timedelta(days=number))
    a_run(database, DAY + HOUR)
    judge(database, DAY + 2 * HOUR)
    with database.connection() as connection:
        found = completeness.open_days(connection, meters=1, failed_since=DAY)
    assert {day.meter_id for day in found} == {meters[2]}
    assert len(found) == 3
