"""The storage gate and the lease's end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from hes.domain.errors import LeaseLostError, OverloadedError, StorageUnavailableError
from hes_collectors.dlms.gate import LeaseGuard, StorageGate


async def test_the_gate_tells_of_each_pause_once() -> None:
    told: list[str] = []
    gate = StorageGate(lambda: told.append("away"), lambda: told.append("back"))
    gate.check()
    await gate.wait_open()
    gate.shut()
    gate.shut()
    assert not gate.is_open
    with pytest.raises(StorageUnavailableError):
        gate.check()
    gate.open()
    gate.open()
    gate.shut()
    assert told == ["away", "back", "away"]


async def test_a_batch_without_room_stops_nobody_else() -> None:
    gate = StorageGate()
    gate.report(OverloadedError("no room"))
    gate.check()
    gate.report(StorageUnavailableError("away"))
    assert not gate.is_open


async def test_all_who_wait_go_on_when_it_opens(autojump_clock: MockClock) -> None:
    gate = StorageGate()
    gate.shut()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(gate.wait_open)
        await trio.sleep(5)
        gate.open()
    assert trio.current_time() == 5


async def test_the_lease_ends_on_the_monotonic_clock(mock_clock: MockClock) -> None:
    guard = LeaseGuard(10.0, StorageGate())
    mock_clock.jump(9.999)
    guard.check()
    mock_clock.jump(0.001)
    with pytest.raises(LeaseLostError):
        guard.check()
    with pytest.raises(LeaseLostError):
        guard.check_lease()


async def test_storage_that_is_away_does_not_stop_a_release() -> None:
    gate = StorageGate()
    gate.shut()
    guard = LeaseGuard(trio.current_time() + 10, gate)
    guard.check_lease()
    with pytest.raises(StorageUnavailableError):
        guard.check()
