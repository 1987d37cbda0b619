"""
Faults at every place of a session, one after the other: rows 1, 3, 4, 12 and 16 of the catalogue.

A session is cut at each octet of both directions, left alone at each answer, answered too late at
each answer; whatever arrives in whatever pieces means the same.
"""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest
import trio

from hes.domain.ports import SessionOutcome
from hes_simulators.faults.kinds import Hang, LateAnswer
from tests.simulation.one_session import LEASE_S, PATIENT, ROWS, Scene, learnt, run
from tests.simulation.process import Process
from tests.simulation.talking import repeated_counters
from tests.simulation.wire import Weather

VALUES = 5 * ROWS
"""A row has five columns beside its time."""
FORMS = pytest.mark.parametrize("hdlc", [False, True], ids=["wrapper", "hdlc"])


def test_a_reset_at_each_octet_is_told_and_stores_nothing_by_halves() -> None:
    async def act() -> None:
        known, stored = await learnt(), set()
        whole = Scene(known)
        result = await whole.session()
        assert result.report.outcome is SessionOutcome.OK
        assert whole.stored() == whole.truth()
        assert len(whole.lines) == 1
        for octet in range(whole.lines[0].carried):
            scene = Scene(known)
            result = await scene.session(Weather(cut_after=octet))
            report = result.report
            assert (report.outcome, report.cause) == (SessionOutcome.TRANSPORT, "connection-lost")
            assert len(scene.stored()) in (0, VALUES), octet
            stored.add(len(scene.stored()))
            if octet % 50 == 0:
                again = await scene.session()
                assert again.report.outcome is SessionOutcome.OK
                assert scene.stored() == scene.truth()
                assert scene.storage.revisions == []
        assert stored == {0, VALUES}

    run(act)


@FORMS
def test_a_meter_that_hangs_at_any_answer_is_left_and_read_from_its_last_row(hdlc: bool) -> None:
    async def act(answer: int) -> bool:
        scene = Scene(None, hdlc=hdlc, pdu_octets=128)
        scene.let(Hang(answer=answer))
        result = await scene.session()
        hung = result.report.outcome is not SessionOutcome.OK
        if hung:
            assert result.report.outcome is SessionOutcome.TRANSPORT
            assert trio.current_time() < 60
            scene.meter.behave()
            again = await scene.session()
            assert again.report.outcome is SessionOutcome.OK
        assert scene.stored() == scene.truth()
        assert scene.storage.revisions == []
        return hung

    answers = next(answer for answer in count() if not run(partial(act, answer)))
    assert answers > 20


@FORMS
@pytest.mark.parametrize("octets", [1, 2, 7])
def test_octets_in_any_pieces_mean_the_same(octets: int, hdlc: bool) -> None:
    async def act() -> None:
        scenes = Scene(None, hdlc=hdlc), Scene(None, hdlc=hdlc)
        results = [
            await scene.session(weather, deadlines=PATIENT)
            for scene, weather in zip(
                scenes, (Weather(), Weather(slice_octets=octets)), strict=True
            )
        ]
        assert scenes[0].stored() == scenes[1].stored()
        assert scenes[0].storage.knowledge == scenes[1].storage.knowledge
        assert {result.report.outcome for result in results} == {SessionOutcome.OK}

    run(act)


def test_an_answer_that_comes_too_late_is_nobodys() -> None:
    async def act(answer: int) -> str | None:
        scene = Scene(None, pdu_octets=128)
        # It is kept until we have given up, and comes right before the answer to our RLRQ.
        scene.let(LateAnswer(answer=answer, seconds=100.0))
        result = await scene.session()
        assert scene.stored().items() <= scene.truth().items()
        scene.meter.behave()
        again = await scene.session()
        assert again.report.outcome is SessionOutcome.OK
        assert scene.stored() == scene.truth()
        assert scene.storage.revisions == []
        return result.report.cause

    causes = [run(partial(act, answer)) for answer in range(40)]
    late = causes.index(None)
    assert late > 20
    assert set(causes[:late]) == {"deadline-exceeded"}
    assert set(causes[late:]) == {None}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_call_no_counter_is_used_twice(*, after: bool) -> None:
    """Row 16: counters are reserved before they are used; those of a dead process are gone."""

    async def act(call: int) -> bool:
        scene = Scene(None, pdu_octets=128)

        def kill(process: Process) -> None:
            if scene.database.calls == call and process.alive:
                process.kill(power=True)

        if after:
            scene.database.after = kill
        else:
            scene.database.before = kill
        # Few counters at a time, so that one session needs several blocks.
        process = Process("collector", scene.history, 0.0)
        died = await scene.session_of(process, counter_block_size=4) is None
        await trio.sleep(LEASE_S)
        scene.database.calls = -1_000_000
        await scene.session(counter_block_size=4)
        await scene.session(counter_block_size=4)
        assert list(repeated_counters(scene.history)) == []
        assert scene.stored() == scene.truth()
        return died

    calls = next(call for call in count(1) if not run(partial(act, call)))
    assert calls > 10
