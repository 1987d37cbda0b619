"""A meter whose clock is set back captures times twice: both rows are read, each of them once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes_protocol.models.objects import Sort
from hes_protocol.quirks import STANDARD, Quirks, SelectionBy
from hes_simulators.clock import microseconds
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.unit.hes_collectors.dlms.test_quirks import known, selections
from tests.unit.hes_collectors.dlms.test_quirks import session as one_session
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter
from tests.unit.hes_collectors.support import wall_clock

ENTRY_ONLY = Quirks(selection=SelectionBy.ENTRY)
HOUR_S = 3600
SAME = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)  # where the first session begins to read


async def session(storage: FakeStorage, meter: SimulatedMeter, quirks: Quirks, rows: int) -> None:
    """One that ends well; the lease is given back as `outbound` does."""
    result = await one_session(storage, meter, quirks, rows_per_request=rows)
    assert result.read, result.report
    assert result.read_at is not None
    storage.work[meter.meter_id].read_at = result.read_at


def step(meter: SimulatedMeter, minutes: float) -> None:
    time, now_us = meter.meter.time, microseconds(wall_clock())
    time.set(now_us, time.shown_us(now_us) + round(minutes * 60e6))


def said(storage: FakeStorage) -> dict[tuple[datetime, str], list[Any]]:
    """
    What is stored of the load profile since `SAME`, in the order in which it was told.

    Neighbours that are equal say one thing; that their intervals differ stands in their flags.
    """
    return {
        (at, str(key.obis)): [
            value for value, _ in groupby(one.value for one in storage.said(key, at))
        ]
        for key, at in storage.values
        if key.source == LOAD_PROFILE and at >= SAME
    }


def captured(meter: SimulatedMeter) -> dict[tuple[datetime, str], list[int]]:
    """What the meter really captured; neighbours that are equal say one thing."""
    found: dict[tuple[datetime, str], list[int]] = {}
    for row in sim.rows(meter.meter, SAME, wall_clock() + timedelta(seconds=1)):
        for obis, value in row.values.items():
            found.setdefault((row.captured_at, obis), []).append(value)
    return {key: [one for one, _ in groupby(values)] for key, values in found.items()}


def turned(meter: SimulatedMeter) -> SimulatedMeter:
    """The same, with a buffer that begins with its newest row."""
    kind = meter.meter.kind
    profile = attrs.evolve(kind.model.profiles[LOAD_PROFILE], sort=Sort.LIFO)
    objects = {**kind.model.objects, profile.key: profile}
    kind = attrs.evolve(kind, model=attrs.evolve(kind.model, objects=objects))
    assert kind.model.profiles[LOAD_PROFILE].sort is Sort.LIFO
    return SimulatedMeter(sim.Meter.of(kind, 0))


@pytest.mark.parametrize("lifo", [False, True])
@pytest.mark.parametrize(
    ("quirks", "rows"), [(STANDARD, 96), (STANDARD, 2), (ENTRY_ONLY, 96), (ENTRY_ONLY, 3)]
)
async def test_both_rows_of_a_time_are_stored_in_their_order(
    quirks: Quirks, rows: int, lifo: bool, autojump_clock: MockClock
) -> None:
    meter = SimulatedMeter.of(quirks=quirks)
    if lifo:
        meter = turned(meter)
    storage = known(meter)
    await session(storage, meter, quirks, rows)
    await trio.sleep(0.4 * HOUR_S)  # some rows before the step are unread, too
    step(meter, -100)
    for asleep_h in (0.5, 0.5, 1.0, 0.3, 3.0):
        await trio.sleep(asleep_h * HOUR_S)
        await session(storage, meter, quirks, rows)
        assert said(storage) == captured(meter)
    assert any(len(values) > 1 for values in said(storage).values())


async def test_a_clock_that_stays_behind_is_asked_for_nothing_twice(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = known(meter)
    step(meter, -100)
    await trio.sleep(3 * HOUR_S)
    await session(storage, meter, STANDARD, 96)
    storage.revisions.clear()
    for _ in range(3):
        await trio.sleep(HOUR_S)
        stored = len(storage.values)
        await session(storage, meter, STANDARD, 96)
        assert len(storage.values) == stored + 4 * 5
        assert len(selections(meter)) == 1
    assert storage.revisions == []


async def test_a_step_of_a_year_costs_one_small_question_more(autojump_clock: MockClock) -> None:
    """Not the whole buffer at each session until the clock has come back after a year."""
    meter = SimulatedMeter.of()
    storage = known(meter)
    await session(storage, meter, STANDARD, 96)
    step(meter, -365 * 24 * 60)
    for _ in range(3):
        await trio.sleep(HOUR_S)
        stored = len(storage.values)
        await session(storage, meter, STANDARD, 96)
        assert len(storage.values) == stored + 4 * 5
        assert len(selections(meter)) == 2


async def test_what_a_session_could_not_end_is_asked_for_by_the_next(
    autojump_clock: MockClock,
) -> None:
    """The mark has not moved, and neither has the time up to which all is read."""
    meter = SimulatedMeter.of()
    storage = known(meter)
    await session(storage, meter, STANDARD, 2)
    step(meter, -100)
    await trio.sleep(1.2 * HOUR_S)
    meter.fault.resets_after = 700
    broken = await one_session(storage, meter, STANDARD, rows_per_request=2)
    assert not broken.read
    assert storage.revisions  # some of it was stored
    assert broken.read_at is None
    meter.fault.resets_after = None
    await session(storage, meter, STANDARD, 2)
    assert said(storage) == captured(meter)
