"""What a session means for its items and its meter: by table, and for whatever may happen."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes.domain.ports import Lease, SessionOutcome, SessionPhase, SessionReport
from hes.domain.work import UNHARMED, DueItem, ItemResult, ItemState, WorkKind
from hes_collectors.dlms.outcomes import DONE, Verdict
from hes_collectors.dlms.retries import conclude
from hes_collectors.dlms.session import SessionResult
from hes_collectors.dlms.settings import Backoff
from hes_collectors.dlms.work import SERVED, Step, StepKind, StepOutcome
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.support import METER_ID, START, meter

BACKOFF = Backoff()
ENDED = START + timedelta(minutes=1)
TRANSPORT = Verdict(SessionOutcome.TRANSPORT, "deadline-exceeded")
SECURITY = Verdict(SessionOutcome.SECURITY, "tag-mismatch")
STORAGE = Verdict(SessionOutcome.STORAGE, "storage-unavailable")
REFUSED = Verdict(SessionOutcome.APPLICATION, "exception-other-reason")


def item(item_id: int, attempts: int = 0) -> DueItem:
    return DueItem(item_id, WorkKind.PLAN, START, START, START, START, attempts=attempts)


def step(*item_ids: int, of: int = 1) -> Step:
    source = Obis(bytes((1, 0, 99, of, 0, 255)))
    return Step(StepKind.PROFILE, source, frozenset(item_ids), START)


def result(
    judged: Verdict = DONE,
    served: tuple[tuple[Step, StepOutcome], ...] = (),
    broke: Step | None = None,
    *,
    planned: tuple[Step, ...] | None = (),
    stored: int = 0,
) -> SessionResult:
    """A session that was to do `planned` beside what it did."""
    report = SessionReport(
        UUID(int=9), METER_ID, False, START, ENDED, SessionPhase.DONE, judged.outcome,
        judged.cause, 0, 0,
    )  # fmt: skip
    if planned is not None:
        done = (*(one for one, _ in served), *(() if broke is None else (broke,)))
        planned = (*done, *planned)
    return SessionResult(
        report,
        judged,
        read=judged is DONE,
        backlog=False,
        stored=stored,
        planned=planned,
        served=served,
        broke=broke,
    )


def lease(*items: DueItem, failures: int = 0, why: str | None = None) -> Lease:
    return Lease(meter(), 1, START, 180, items=items, failures=failures, rests_why=why)


def told(
    held: Lease, ended: SessionResult, seed: int = 7
) -> dict[int, tuple[ItemState | None, str | None, bool]]:
    """Of each item that is spoken of: state, cause, whether it counts."""
    finished = conclude(held, ended, ENDED, BACKOFF, Random(seed))
    return {one.item_id: (one.state, one.cause, one.counted) for one in finished.results}


GONE = StepOutcome(refused="data-access-object-undefined")
BUSY = StepOutcome(refused="data-access-temporary-failure")
MORE = StepOutcome(complete=False)
LACKS = StepOutcome(note="not-in-buffer")


@pytest.mark.parametrize(
    ("attempts", "ended", "expected"),
    [
        (0, result(DONE, ((step(1), SERVED),)), (ItemState.DONE, None, False)),
        (0, result(DONE, ((step(1), LACKS),)), (ItemState.DONE, "not-in-buffer", False)),
        (0, result(DONE), (ItemState.DONE, None, False)),  # the meter has nothing of the kind
        (0, result(DONE, ((step(1), MORE),), stored=9), (None, "backlog", False)),
        (0, result(REFUSED, ((step(1), GONE),)), (ItemState.FAILED, GONE.refused, False)),
        (0, result(REFUSED, ((step(1), BUSY),)), (None, BUSY.refused, True)),
        (1, result(REFUSED, ((step(1), BUSY),)), (None, BUSY.refused, True)),
        (2, result(REFUSED, ((step(1), BUSY),)), (ItemState.FAILED, BUSY.refused, True)),
        (0, result(REFUSED, broke=step(1)), (None, REFUSED.cause, True)),
        (2, result(REFUSED, broke=step(1)), (ItemState.FAILED, REFUSED.cause, True)),
        (0, result(REFUSED, planned=None), (None, REFUSED.cause, True)),
        (2, result(REFUSED, planned=None), (ItemState.FAILED, REFUSED.cause, True)),
        (0, result(TRANSPORT, broke=step(1)), (None, TRANSPORT.cause, False)),
        (9, result(TRANSPORT, broke=step(1)), (None, TRANSPORT.cause, False)),
        (0, result(TRANSPORT, ((step(1), SERVED),)), (ItemState.DONE, None, False)),
        (0, result(TRANSPORT, planned=None), None),
        (0, result(SECURITY, planned=None), None),
        (0, result(STORAGE, broke=step(1)), None),
        (
            0,
            result(Verdict(SessionOutcome.APPLICATION, "mechanism-unsupported"), planned=None),
            (ItemState.FAILED, "mechanism-unsupported", False),
        ),
    ],
)
def test_what_becomes_of_an_item(
    attempts: int, ended: SessionResult, expected: tuple[object, ...] | None
) -> None:
    assert told(lease(item(1, attempts)), ended).get(1) == expected


def test_an_item_of_several_steps_is_done_when_all_are() -> None:
    both = lease(item(1), item(2))
    one, two = step(1, 2, of=1), step(2, of=2)
    ended = result(TRANSPORT, ((one, SERVED),), broke=two)
    assert told(both, ended) == {
        1: (ItemState.DONE, None, False),
        2: (None, "deadline-exceeded", False),
    }
    ended = result(DONE, ((one, SERVED), (two, SERVED)))
    assert {state for state, _, _ in told(both, ended).values()} == {ItemState.DONE}


def test_what_hangs_comes_after_the_rest() -> None:
    """A meter that falls silent at one question is asked the others first the next time."""
    held = lease(item(1), item(2))
    ended = result(TRANSPORT, broke=step(1), planned=(step(2, of=2),))
    for seed in range(50):
        finished = conclude(held, ended, ENDED, BACKOFF, Random(seed))
        [hanging] = finished.results
        assert finished.after.rests_until is not None
        assert hanging.retry_at is not None
        assert hanging.retry_at > finished.after.rests_until


@pytest.mark.parametrize(
    ("why", "quarantine"),
    [(None, None), ("transport: no-answer", None), ("security: bad-key", "tag-mismatch")],
)
def test_the_second_security_failure_in_a_row_quarantines(
    why: str | None, quarantine: str | None
) -> None:
    held = lease(item(1), failures=1 if why else 0, why=why)
    after = conclude(held, result(SECURITY, planned=None), ENDED, BACKOFF, Random(1)).after
    assert (after.quarantine, after.rests_why) == (quarantine, "security: tag-mismatch")
    assert after.failures == held.failures + 1


def test_storage_is_not_the_meters_fault() -> None:
    held = lease(item(1), failures=3, why="transport: no-answer")
    after = conclude(held, result(STORAGE, broke=step(1)), ENDED, BACKOFF, Random(1)).after
    assert (after.failures, after.rests_why) == (3, "transport: no-answer")
    assert after.rests_until is not None
    assert after.rests_until - ENDED <= timedelta(seconds=BACKOFF.storage_s)


def test_a_farewell_that_fails_harms_nobody() -> None:
    ended = attrs.evolve(result(TRANSPORT, ((step(1), SERVED),)), read=True)
    finished = conclude(lease(item(1), failures=2), ended, ENDED, BACKOFF, Random(1))
    assert finished.after == UNHARMED


def test_delays_are_drawn_evenly_below_a_bound_that_doubles() -> None:
    for failures, bound_s in ((0, 15), (1, 30), (5, 480), (6, 900), (40, 900)):
        held = lease(item(1), failures=failures)
        rests = []
        for seed in range(400):
            ended = result(TRANSPORT, planned=None)
            after = conclude(held, ended, ENDED, BACKOFF, Random(seed)).after
            assert after.rests_until is not None
            assert after.failures == failures + 1
            rests.append((after.rests_until - ENDED).total_seconds())
        assert 0 <= min(rests) < bound_s / 20
        assert bound_s * 0.95 < max(rests) <= bound_s


def test_who_comes_further_begins_anew_with_small_delays() -> None:
    ended = result(TRANSPORT, broke=step(1), stored=96)
    after = conclude(lease(item(1), failures=9), ended, ENDED, BACKOFF, Random(1)).after
    assert after.failures == 1


VERDICTS = st.sampled_from([DONE, TRANSPORT, SECURITY, STORAGE, REFUSED]) | st.builds(
    Verdict, st.sampled_from(SessionOutcome), st.text(max_size=9)
)
OUTCOMES = st.sampled_from([SERVED, GONE, BUSY, MORE, LACKS])


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Lease, SessionResult]:
    """Any items, any steps of them, as far as a session may come."""
    items = [item(n, draw(st.integers(0, 4))) for n in range(1, draw(st.integers(1, 5)))]
    ids = [one.item_id for one in items]
    steps = [
        step(*draw(st.sets(st.sampled_from(ids), min_size=1)), of=n)
        for n in range(draw(st.integers(0, 5)) if ids else 0)
    ]
    came = draw(st.integers(0, len(steps)))
    served = tuple((one, draw(OUTCOMES)) for one in steps[:came])
    judged = draw(VERDICTS)
    broke = steps[came] if came < len(steps) and judged is not DONE else None
    planned = None if not served and draw(st.booleans()) else tuple(steps[came + 1 :])
    ended = result(
        judged, served, None if planned is None else broke, planned=planned,
        stored=draw(st.integers(0, 9)),
    )  # fmt: skip
    why = draw(st.none() | st.sampled_from(["security: x", "transport: x"]))
    return lease(*items, failures=draw(st.integers(0, 50)), why=why), ended


@given(sessions(), st.integers(0, 2**32))
def test_whatever_happens(drawn: tuple[Lease, SessionResult], seed: int) -> None:
    held, ended = drawn
    finished = conclude(held, ended, ENDED, BACKOFF, Random(seed))
    ids = [one.item_id for one in finished.results]
    assert len(ids) == len(set(ids))
    assert set(ids) <= {one.item_id for one in held.items}
    by_id = {one.item_id: one for one in held.items}
    for one in finished.results:
        _is_sound(one, by_id[one.item_id], ended)
    after = finished.after
    if after.rests_until is not None:
        assert ENDED <= after.rests_until <= ENDED + timedelta(days=1.1)
    security = ended.verdict.outcome is SessionOutcome.SECURITY
    assert security == any(
        one.code == (ended.verdict.cause or "security") for one in finished.findings
    )
    if after.quarantine is not None:
        assert security
        assert (held.rests_why or "").startswith("security")


def _is_sound(told: ItemResult, of: DueItem, ended: SessionResult) -> None:
    """Done only if all its steps were answered whole; tried again only later, and not for ever."""
    outcomes = [outcome for one, outcome in ended.served if of.item_id in one.item_ids]
    wanted = [one for one in ended.planned or () if of.item_id in one.item_ids]
    if told.state is ItemState.DONE:
        assert ended.planned is not None
        assert len(outcomes) == len(wanted)
        assert all(one.complete and one.refused is None for one in outcomes)
    if told.state is None:
        assert told.retry_at is not None
        assert told.retry_at >= _now()
        assert not told.counted or of.attempts + 1 < BACKOFF.item_tries
    if told.state is ItemState.FAILED:
        assert told.cause is not None


def _now() -> datetime:
    return ENDED
