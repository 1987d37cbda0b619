"""One heap for what is due: order, waking, bursts."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from hes_simulators.agenda import Agenda, by_the_meters, by_the_network
from hes_simulators.meter import microseconds
from hes_simulators.scenario.pace import AcceleratedPace


@pytest.fixture
def agenda() -> Agenda:
    return by_the_network()


async def test_calls_are_made_when_they_are_due(agenda: Agenda, autojump_clock: MockClock) -> None:
    made: list[tuple[str, float]] = []

    def note(name: str) -> None:
        made.append((name, round(trio.current_time(), 6)))

    began = trio.current_time()
    for seconds, name in ((5.0, "c"), (1.0, "a"), (5.0, "d"), (2.5, "b"), (-3.0, "late")):
        agenda.add_in(seconds, partial(note, name))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert [name for name, _ in made] == ["late", "a", "b", "c", "d"]
    assert [at - round(began, 6) for _, at in made] == pytest.approx([0, 1, 2.5, 5, 5], abs=1e-4)


async def test_what_is_due_sooner_wakes_it(agenda: Agenda, autojump_clock: MockClock) -> None:
    made: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await trio.sleep(1)  # it sleeps for ever now
        agenda.add_in(100, lambda: made.append(trio.current_time()))
        await trio.sleep(1)
        agenda.add_in(1, lambda: made.append(trio.current_time()))
        began = trio.current_time()
        await trio.sleep(5)
        assert [at - began for at in made] == pytest.approx([1], abs=1e-4)
        nursery.cancel_scope.cancel()
    assert len(agenda) == 1


async def test_a_burst_lets_others_run(agenda: Agenda) -> None:
    made: list[int] = []
    seen: list[int] = []

    async def other() -> None:
        while len(made) < 1000:
            seen.append(len(made))
            await trio.lowlevel.checkpoint()

    for number in range(1000):
        agenda.add_in(0, partial(made.append, number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await other()
        nursery.cancel_scope.cancel()
    assert made == list(range(1000))
    assert len(set(seen)) > 5  # not all at once


async def test_calls_may_add_calls(agenda: Agenda, autojump_clock: MockClock) -> None:
    made: list[float] = []

    def again() -> None:
        made.append(trio.current_time())
        if len(made) < 4:
            agenda.add_in(1, again)

    agenda.add_in(1, again)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert len(made) == 4
    assert made[-1] - made[0] == pytest.approx(3, abs=1e-3)


async def test_the_meters_time_may_be_faster(autojump_clock: MockClock) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    pace = AcceleratedPace(start, 60.0, ahead=True)
    agenda = by_the_meters(pace.now, pace.sleep_until)
    assert agenda.now_us() == microseconds(start)
    made: list[float] = []
    began = trio.current_time()
    agenda.add_in(3600, lambda: made.append(trio.current_time() - began))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert made == pytest.approx([60], abs=0.01)


async def test_a_call_that_fails_is_told_and_the_others_are_made(
    autojump_clock: MockClock,
) -> None:
    told: list[int] = []
    made: list[str] = []

    def fail() -> None:
        raise KeyError("what nobody thought of")

    agenda = by_the_network(told.append)
    agenda.add_in(1, partial(made.append, "before"), 1)
    agenda.add_in(1, fail, 2)
    agenda.add_in(1, partial(made.append, "after"), 3)
    agenda.add_in(2, partial(made.append, "later"), 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agenda.run)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert told == [2]
    assert made == ["before", "after", "later"]
