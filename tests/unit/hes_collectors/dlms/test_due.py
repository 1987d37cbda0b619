"""When a meter is due again."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from uuid import UUID

import attrs
import pytest

from hes.domain.ports import Lease, SessionOutcome, SessionPhase, SessionReport
from hes_collectors.dlms.due import Due, next_due
from hes_collectors.dlms.outcomes import DONE, Verdict
from hes_collectors.dlms.session import SessionResult
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.support import METER_ID, START, meter, settings

LEASE = Lease(meter(), 1, START, 180, 0, ((Obis.parse("1.0.99.1.0.255"), START),))
GOOD = SessionResult(
    SessionReport(
        UUID(int=9),
        METER_ID,
        False,
        START,
        START,
        SessionPhase.DONE,
        SessionOutcome.OK,
        None,
        0,
        0,
    ),
    DONE,
    read=True,
    backlog=False,
    stored=4,
)


def failed(outcome: SessionOutcome) -> SessionResult:
    return attrs.evolve(GOOD, verdict=Verdict(outcome, "x"), read=False)


@pytest.mark.parametrize(
    ("late_s", "due_in_s"), [(0, 60), (3, 60), (59.9, 60), (60, 120), (3600, 3660)]
)
def test_after_success_a_meter_keeps_its_place_in_the_cycle(late_s: float, due_in_s: float) -> None:
    now = START + timedelta(seconds=late_s)
    due = next_due(LEASE, GOOD, now, settings(read_every_s=60), Random(1))
    assert due.at == START + timedelta(seconds=due_in_s)
    assert due.at > now
    assert not due.failed


def test_meters_imported_together_get_places_of_their_own_in_the_cycle() -> None:
    new = attrs.evolve(LEASE, marks=())
    dues = [next_due(new, GOOD, START, settings(read_every_s=60), Random(n)).at for n in range(400)]
    seconds = sorted((due - START).total_seconds() for due in dues)
    assert 0 <= seconds[0] < 2
    assert 58 < seconds[-1] <= 60
    assert 25 < seconds[200] < 35
    # A meter that has nothing to store has no first rows: it stays where it is.
    nothing = attrs.evolve(GOOD, stored=0)
    assert next_due(
        new, nothing, START, settings(read_every_s=60), Random(1)
    ).at == START + timedelta(seconds=60)


def test_a_backlog_goes_on_at_once() -> None:
    result = attrs.evolve(GOOD, backlog=True)
    assert next_due(LEASE, result, START, settings(), Random(1)) == Due(START)


def test_a_backlog_that_came_no_further_waits_for_its_turn() -> None:
    result = attrs.evolve(GOOD, backlog=True, stored=0)
    due = next_due(LEASE, result, START, settings(read_every_s=60), Random(1))
    assert due == Due(START + timedelta(seconds=60))


def test_a_release_without_answer_is_no_failed_reading() -> None:
    result = attrs.evolve(GOOD, verdict=Verdict(SessionOutcome.TRANSPORT, "deadline-exceeded"))
    assert next_due(LEASE, result, START, settings(), Random(1)).failed is False


def test_failures_back_off_with_full_jitter_up_to_a_bound() -> None:
    chosen = settings()
    for attempts, bound_s in ((0, 15), (1, 30), (3, 120), (6, 900), (500, 900)):
        lease = attrs.evolve(LEASE, attempts=attempts)
        result = failed(SessionOutcome.TRANSPORT)
        delays = []
        for seed in range(300):
            due = next_due(lease, result, START, chosen, Random(seed))
            delays.append((due.at - START).total_seconds())
            assert due.failed
            assert not due.rests
        assert 0 <= min(delays) < bound_s * 0.05
        assert bound_s * 0.95 < max(delays) <= bound_s


def test_a_wrong_key_is_tried_twice_and_then_left_alone() -> None:
    result = failed(SessionOutcome.SECURITY)
    first = next_due(LEASE, result, START, settings(), Random(3))
    assert first.at - START <= timedelta(seconds=15)
    assert (first.failed, first.rests) == (True, False)
    for attempts in (1, 2, 50):
        lease = attrs.evolve(LEASE, attempts=attempts)
        due = next_due(lease, result, START, settings(), Random(3))
        assert timedelta(hours=24) <= due.at - START <= timedelta(hours=27)
        assert (due.failed, due.rests) == (True, True)


def test_trouble_with_storage_is_no_attempt_of_the_meter() -> None:
    lease = attrs.evolve(LEASE, attempts=3)
    due = next_due(lease, failed(SessionOutcome.STORAGE), START, settings(), Random(5))
    assert START <= due.at <= START + timedelta(seconds=5)
    assert not due.failed
