"""Own invocation counters: durable before use, never twice, never kept for later."""

from __future__ import annotations

import pytest

from hes.domain.errors import KeyUnavailableError, PermanentError, StorageUnavailableError
from hes.domain.meters import Secrets
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.outcomes import CounterExhaustedError
from hes_protocol.errors import LocalProtocolError
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.support import AK, EK, METER_ID, context, meter, wall_clock


async def test_blocks_are_reserved_before_use_and_end_discarded() -> None:
    storage = FakeStorage(wall_clock)
    counters = OwnCounters(context(storage, counter_block_size=5), meter(), needed=True)
    used: list[int] = []
    for _ in range(7):
        await counters.ensure()
        assert storage.own_counters[METER_ID] >= (used[-1] if used else 0)
        used.append(counters.take())
    # Of 1..5 the last one is not enough for an APDU that needs two, so it is discarded.
    assert used == [1, 2, 3, 4, 6, 7, 8]
    assert storage.calls["reserve"] == 2


async def test_the_next_session_begins_above_what_this_one_reserved() -> None:
    storage = FakeStorage(wall_clock)
    surroundings = context(storage, counter_block_size=5)
    for first in (1, 6, 11):
        counters = OwnCounters(surroundings, meter(), needed=True)
        await counters.ensure()
        assert counters.take() == first


async def test_taking_without_reserving_is_our_bug() -> None:
    counters = OwnCounters(context(FakeStorage(wall_clock)), meter(), needed=True)
    with pytest.raises(LocalProtocolError):
        counters.take()


async def test_a_plain_association_reserves_nothing() -> None:
    storage = FakeStorage(wall_clock)
    counters = OwnCounters(context(storage), meter(), needed=False)
    await counters.ensure()
    assert counters.ready
    assert storage.calls["reserve"] == 0


async def test_storage_that_is_away_and_a_used_up_counter_are_told_apart() -> None:
    storage = FakeStorage(wall_clock)
    counters = OwnCounters(context(storage), meter(), needed=True)
    storage.away = True
    with pytest.raises(StorageUnavailableError):
        await counters.ensure()
    storage.away = False
    storage.trouble["reserve"] = [PermanentError("used up")]
    with pytest.raises(CounterExhaustedError):
        await counters.ensure()
    storage.own_counters[METER_ID] = 2**32 - 10
    with pytest.raises(CounterExhaustedError):
        await counters.ensure()


async def test_counters_of_a_key_that_the_session_does_not_hold_are_not_taken() -> None:
    storage = FakeStorage(wall_clock)
    storage.add_meter(meter(), Secrets(ek=EK, ak=AK, key_fingerprint=b"new"))
    counters = OwnCounters(context(storage), meter(), needed=True, key_fingerprint=b"old")
    with pytest.raises(KeyUnavailableError):
        await counters.ensure()
    assert storage.own_counters == {}


async def test_counters_above_a_hint_begin_a_block_and_stand_when_they_are_kept() -> None:
    storage = FakeStorage(wall_clock)
    counters = OwnCounters(context(storage, counter_block_size=5), meter(), needed=True)
    assert counters.highest == -1
    await counters.ensure()
    assert counters.take() == counters.highest == 1
    await counters.keep()
    assert storage.calls["keep"] == 0
    counters.leap(1000)
    assert not counters.ready
    with pytest.raises(LocalProtocolError):
        counters.take()
    await counters.ensure()
    assert counters.take() == counters.highest == 1001
    assert storage.own_counters[METER_ID] == 5
    await counters.keep()
    assert storage.own_counters[METER_ID] == 1005
    await counters.keep()
    assert storage.calls["keep"] == 1
