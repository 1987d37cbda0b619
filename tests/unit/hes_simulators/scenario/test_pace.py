"""Paces: real, faster until caught up, and as trio's mocked clock goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing

from hes_simulators.scenario import AcceleratedPace, MockedPace, PaceError, RealPace, pace

START = datetime(2026, 3, 28, 12, tzinfo=UTC)


def machine_from(start: datetime) -> MockedPace:
    """A machine's clock that goes as trio's does."""
    return MockedPace(start)


async def test_mocked_pace_follows_trios_clock(autojump_clock: trio.testing.MockClock) -> None:
    mocked = MockedPace(START)
    assert mocked.now() == START
    await mocked.sleep(86_400)
    assert mocked.now() == START + timedelta(days=1)
    began = trio.current_time()
    await mocked.sleep_until(START)  # long ago: at once
    assert trio.current_time() == began


async def test_a_day_in_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    machine = machine_from(START)
    fast = AcceleratedPace(START - timedelta(days=2), 1440, machine=machine.now)
    assert fast.now() == START - timedelta(days=2)
    await trio.sleep(60)
    assert fast.now() == START - timedelta(days=1)
    began = trio.current_time()
    await fast.sleep_until(START - timedelta(hours=12))
    assert trio.current_time() - began == pytest.approx(30, abs=1e-3)


async def test_it_falls_into_step_and_never_runs_ahead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    machine = machine_from(START)
    fast = AcceleratedPace(START - timedelta(minutes=10), 11, machine=machine.now)
    seen = []
    for _ in range(24):
        seen.append(fast.now())
        assert fast.now() <= machine.now()
        await trio.sleep(5)
    assert seen == sorted(seen)
    # 600 s behind, gaining 10 s in a second: caught up after 60 s, then in real time.
    assert fast.now() == machine.now() == START + timedelta(seconds=120)
    began = trio.current_time()
    await fast.sleep(30)
    assert trio.current_time() - began == pytest.approx(30, abs=1e-3)


async def test_a_sleep_over_the_moment_of_catching_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    machine = machine_from(START)
    fast = AcceleratedPace(START - timedelta(minutes=10), 11, machine=machine.now)
    fast.now()
    await fast.sleep_until(START + timedelta(seconds=90))
    assert machine.now() == START + timedelta(seconds=90)


async def test_ahead_only_when_told(autojump_clock: trio.testing.MockClock) -> None:
    machine = machine_from(START)
    fast = AcceleratedPace(START, 3600, ahead=True, machine=machine.now)
    fast.now()
    await trio.sleep(24)
    assert fast.now() == START + timedelta(days=1)
    with pytest.raises(PaceError, match="in the future"):
        AcceleratedPace(START + timedelta(days=1), 2, machine=machine.now)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_no_pace(factor: float) -> None:
    with pytest.raises(PaceError):
        pace(factor)


def test_what_the_command_line_means() -> None:
    assert isinstance(pace(), RealPace)
    assert isinstance(pace(1440), AcceleratedPace)


def test_before_trio_runs_nothing_has_begun() -> None:
    """Fleets are made before their loop runs, and ask for the time then."""
    fast = AcceleratedPace(START - timedelta(days=2), 1440, machine=lambda: START)
    assert fast.now() == fast.now() == START - timedelta(days=2)

    async def look() -> None:
        assert fast.now() == START - timedelta(days=2)
        await trio.sleep(60)
        assert fast.now() == START - timedelta(days=1)

    trio.run(look, clock=trio.testing.MockClock(autojump_threshold=0))
