"""A gap is read again: its intervals and no others, by whatever way the meter takes."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs
import pytest
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.work import Gap
from hes_collectors.dlms.settings import Deadlines
from hes_protocol.cosem import Obis
from hes_protocol.quirks import STANDARD, Deviation, Quirks, SelectionBy
from hes_simulators.truth.rows import LOAD_PROFILE
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.reads import served, storage_with
from tests.unit.hes_collectors.simulated import PROFILE_DAYS, SimulatedMeter
from tests.unit.hes_collectors.support import START

QUARTER = timedelta(minutes=15)
SINCE = START.replace(minute=0) - timedelta(days=3)


def gap(start: datetime, intervals: int, source: Obis = LOAD_PROFILE) -> Gap:
    return Gap(source, start, start + intervals * QUARTER)


def stored(storage: FakeStorage) -> dict[tuple[datetime, str], object]:
    return {
        (at, str(key.obis)): value.value
        for (key, at), value in storage.values.items()
        if key.source == LOAD_PROFILE
    }


def true(meter: SimulatedMeter, wanted: Gap) -> dict[tuple[datetime, str], object]:
    return {
        (row.captured_at, obis): value
        for row in sim.rows(meter.meter, wanted.start, wanted.end)
        for obis, value in row.values.items()
    }


@pytest.mark.parametrize(
    "quirks",
    [STANDARD, Quirks(deviation=Deviation.REFUSED), Quirks(selection=SelectionBy.ENTRY)],
    ids=["range", "without deviation", "entry"],
)
@pytest.mark.parametrize("intervals", [1, 120])
async def test_its_intervals_and_no_others_are_stored(
    quirks: Quirks, intervals: int, autojump_clock: MockClock
) -> None:
    """More of them than one request has rows (96) as well."""
    meter = SimulatedMeter.of(quirks=quirks)
    storage = storage_with(meter)
    wanted = gap(SINCE, intervals)
    [(_, outcome)] = (await served(storage, meter, gap=wanted)).served
    assert (outcome.refused, outcome.complete) == (None, True)
    assert stored(storage) == true(meter, wanted)
    assert len({at for at, _ in stored(storage)}) == intervals
    # What lies between mark and gap was not asked for.
    assert (meter.meter_id, LOAD_PROFILE) not in storage.marks
    # Once more: nothing new, nothing else.
    before = dict(storage.values)
    await served(storage, meter, gap=wanted)
    assert storage.values == before
    assert storage.revisions == []


async def test_what_the_meter_has_no_longer_is_answered_whole_too(
    autojump_clock: MockClock,
) -> None:
    """So whoever asked knows that it is lost: a gap half of which the buffer holds."""
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    begin = START.replace(minute=0) - timedelta(days=PROFILE_DAYS)
    wanted = gap(begin - 8 * QUARTER, 16)
    [(_, outcome)] = (await served(storage, meter, gap=wanted)).served
    assert (outcome.refused, outcome.complete) == (None, True)
    held = {at for at, _ in stored(storage)}
    assert held < {begin + number * QUARTER for number in range(-8, 8)}
    assert wanted.start + 15 * QUARTER in held


async def test_a_gap_that_the_session_has_no_time_for_is_not_answered(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await served(storage, meter, gap=gap(SINCE, 1))
    meter.fault.slice_octets, meter.fault.pause_s = 100, 0.4
    wanted = gap(SINCE, 200)
    result = await served(
        storage,
        meter,
        gap=wanted,
        rows_per_request=10,
        deadlines=attrs.evolve(Deadlines(), session_s=16.0, request_s=9.0),
    )
    [(_, outcome)] = result.served
    assert (outcome.refused, outcome.complete) == (None, False)
    assert 0 < len(stored(storage)) < len(true(meter, wanted))


async def test_a_gap_of_an_unknown_profile_is_refused(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    wanted = gap(SINCE, 1, Obis.parse("1.0.99.7.0.255"))
    [(_, outcome)] = (await served(storage_with(meter), meter, gap=wanted)).served
    assert outcome.refused == "profile-unknown"


async def test_a_meter_whose_clock_is_behind_a_gap_is_not_said_to_lack_it(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    wanted = gap(START.replace(minute=0), 1)  # seven minutes ago
    meter.meter.advance(START)
    now_us = meter.meter.now_us
    meter.meter.time.set(now_us, meter.meter.time.shown_us(now_us) - 600_000_000)
    [(_, outcome)] = (await served(storage, meter, gap=wanted)).served
    assert outcome.refused == "clock-behind"
