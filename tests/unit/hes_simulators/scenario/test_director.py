"""The director: what a timeline says happens to the meters of a fleet, when it says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing

from hes_protocol.axdr import Data, DataTag
from hes_simulators import Fleet, FleetSettings
from hes_simulators.classes import Answer, disconnect
from hes_simulators.classes.disconnect import ControlState
from hes_simulators.clock import microseconds
from hes_simulators.known_models import models
from hes_simulators.meter import Meter
from hes_simulators.scenario import MockedPace, local
from hes_simulators.scenario.director import Director
from hes_simulators.scenario.file import parse_scenario
from hes_simulators.truth import ListJournal

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
HEAD = """
[[population]]
name = "flats"
model = "idis-single-phase"
count = 4

[[population]]
name = "plain"
model = "hes-household"
count = 2

[[population]]
name = "paid"
model = "prepayment"
count = 2
"""


async def play(timeline: str, seconds: float) -> tuple[Fleet, ListJournal]:
    """A fleet after so many seconds of a timeline."""
    scenario = parse_scenario(HEAD + timeline, "test.toml", models=models())
    pace, journal = MockedPace(START), ListJournal()
    pace.now()
    settings = FleetSettings(population=scenario.population, seed=scenario.seed)
    fleet = Fleet(settings, start_number=1, pace=pace, journal=journal)
    director = Director(fleet, scenario.timeline, pace, faults=fleet.faults, journal=journal)
    with trio.move_on_after(seconds):
        await director.run()
    return fleet, journal


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def prices(meter: Meter) -> list[int]:
    """What a unit of energy costs, by rate: unit_charge_active of the charges that ask for it."""
    found = []
    for one in meter.kind.model.objects.values():
        if one.class_id == 113 and answered(meter.value(one, 3, 0)) == 0:
            _, _, table = answered(meter.value(one, 5, 0))
            found += [row.value[1].value for row in table.value]
    return found


def answered(answer: Answer) -> Any:
    assert isinstance(answer, Data)
    return answer.value


async def test_an_outage_and_its_return(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "outage"\nat = "+60s"\nfor = "90s"\nmeters = "1-2"\n'
    fleet, journal = await play(line, 200)
    first, other = fleet.meter(0), fleet.meter(2)
    assert [first.is_dark(at(second)) for second in (59, 60, 149, 150)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not other.is_dark(at(100))
    outages = [(note.at, note.serial, note.facts["on"]) for note in journal.of("outage")]
    assert outages == [
        (at(60), first.identity.serial, True),
        (at(60), fleet.meter(1).identity.serial, True),
        (at(150), first.identity.serial, False),
        (at(150), fleet.meter(1).identity.serial, False),
    ]
    assert [note.facts["name"] for note in journal.of("event")] == [
        "power_down", "power_down", "power_up", "power_up",
    ]  # fmt: skip
    [begun] = journal.of("scenario")
    assert begun.facts == {"name": "outage", "do": "outage", "cause": 1, "meters": 2}


async def test_overlapping_outages_end_with_the_last(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lines = (
        '[[timeline]]\nname = "a"\ndo = "outage"\nat = "+10s"\nfor = "60s"\nmeters = "1"\n'
        '[[timeline]]\nname = "b"\ndo = "outage"\nat = "+30s"\nfor = "60s"\nmeters = "1"\n'
    )
    fleet, journal = await play(lines, 200)
    meter = fleet.meter(0)
    assert [meter.is_dark(at(second)) for second in (9, 10, 71, 89, 90)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert [note.facts["on"] for note in journal.of("outage")] == [True, False]


async def test_energy_stands_still_while_it_is_dark(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = '[[timeline]]\ndo = "outage"\nat = "+1h"\nfor = "6h"\nmeters = "1"\n'
    fleet, _ = await play(line, 8 * 3600)
    meter = fleet.meter(0)
    moments = np.array([microseconds(at(hour * 3600)) for hour in (0, 1, 7, 8)], np.int64)
    before, begin, end, after = meter.totals("import_wh", moments).tolist()
    assert before < begin == end < after


async def test_tampers_are_events(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "tamper"\nwhat = "magnet"\nat = "+5s"\nfor = "20s"\nmeters = "1"\n'
    _, journal = await play(line, 60)
    events = [(note.at, note.facts["name"]) for note in journal.of("event")]
    assert events == [(at(5), "strong_magnet"), (at(25), "magnet_gone")]
    assert all(note.facts["logs"] for note in journal.of("event"))  # IDIS has codes for both


async def test_a_load_is_switched_off_and_on(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "disconnect"\nat = "+10s"\nfor = "1h"\nmeters = "1,5"\n'
    fleet, _ = await play(line, 100)
    assert not fleet.meter(0).is_connected
    assert not fleet.meter(0).is_dark(at(100))
    assert fleet.meter(4).is_connected  # a plain meter has no switch
    fleet, _ = await play(line, 3700)
    assert fleet.meter(0).is_connected


@pytest.mark.parametrize("mode", [1, 4])
def test_who_must_reconnect_himself_does(mode: int) -> None:
    """In control_mode 1 remote_reconnect only lets the customer switch on, in 4 it does so."""
    meter = Fleet(FleetSettings(meters=1, model="idis-single-phase"), start_number=1).meter(0)
    relay = disconnect.relay(meter)
    assert relay is not None
    meter.keep(relay, 4, Data(DataTag.ENUM, mode))
    local.switch(meter, at(0), on=False)
    assert disconnect.control_state(meter, relay) is ControlState.DISCONNECTED
    local.switch(meter, at(10), on=True)
    assert disconnect.control_state(meter, relay) is ControlState.CONNECTED
    assert meter.is_connected


async def test_a_limit_is_what_it_was_afterwards(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "limit"\nwatts = 500\nat = "+10s"\nfor = "10min"\nmeters = "1,5"\n'
    before, _ = await play(line, 5)
    during, _ = await play(line, 100)
    after, _ = await play(line, 700)
    normal = local.threshold(before.meter(0), at(5))
    assert normal not in (None, 500)
    assert local.threshold(during.meter(0), at(100)) == 500
    assert local.threshold(after.meter(0), at(700)) == normal
    assert local.threshold(after.meter(4), at(700)) is None


async def test_a_load_is_drawn_and_counted(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "load"\nwatts = 3600\nat = "+10s"\nfor = "5min"\nmeters = "1"\n'
    usual, _ = await play("", 700)
    fleet, journal = await play(line, 700)
    moments = np.array([microseconds(at(second)) for second in (10, 310, 700)])
    more = fleet.meter(0).totals("import_wh", moments) - usual.meter(0).totals("import_wh", moments)
    assert more.tolist() == [0, 300, 300]
    assert [note.facts["what"] for note in journal.of("executed")] == ["load"]


async def test_over_limit_trips_a_limiter_that_nobody_else_looks_at(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = '[[timeline]]\ndo = "event"\nevent = "over_limit"\nat = "+10s"\nmeters = "1,5"\n'
    fleet, journal = await play(line, 120)
    told = [
        (note.serial, note.at) for note in journal.of("event") if note.facts["name"] == "over_limit"
    ]
    limited, plain = (fleet.meter(index).identity.serial for index in (0, 4))
    assert told == [(plain, at(10)), (limited, at(70))]
    [drawn] = journal.of("executed")
    assert (drawn.serial, drawn.facts["what"]) == (limited, "load")
    assert [(cut.facts["on"], cut.facts["why"]) for cut in journal.of("outage")] == [
        (True, "limiter")
    ]


async def test_another_tariff_counts_from_its_moment_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line = '[[timeline]]\ndo = "tariff"\nworkday = "00:00 2"\nat = "+10s"\nmeters = "1-8"\n'
    fleet, journal = await play(line, 60)
    told = journal.of("executed")
    rates = {fleet.meter(index).rates for index in range(8)}
    assert len(told) == sum(fleet.meter(index).rates > 1 for index in range(8)) > 0
    assert 1 in rates
    meter = next(fleet.meter(index) for index in range(8) if fleet.meter(index).rates == 2)
    noon = [microseconds(at(-86_400)), microseconds(at(2 * 86_400))]  # a Friday, a Monday
    assert [meter.measuring.rate(moment) for moment in noon] == [1, 2]


async def test_clocks_jump(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "clock-jump"\nby = "-15min"\nat = "+10s"\nmeters = "1"\n'
    fleet, _ = await play(line, 60)
    assert fleet.meter(0).clock(at(9)) == at(9)
    assert fleet.meter(0).clock(at(30)) == at(30) - timedelta(minutes=15)


async def test_restarts_and_firmware(autojump_clock: trio.testing.MockClock) -> None:
    lines = (
        '[[timeline]]\ndo = "reboot"\nat = "+10s"\nfor = "20s"\nmeters = "1"\n'
        '[[timeline]]\ndo = "firmware"\nversion = "9.9"\nat = "+10s"\nmeters = "2"\n'
    )
    fleet, journal = await play(lines, 100)
    assert [fleet.meter(0).is_dark(at(second)) for second in (9, 11, 29, 30)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert journal.of("outage") == []  # the power did not fail
    assert fleet.meter(1).firmware == "9.9"
    assert fleet.meter(1).is_dark(at(11))


async def test_prices_of_prepaid_energy(autojump_clock: trio.testing.MockClock) -> None:
    line = '[[timeline]]\ndo = "price"\nprice = 77\nat = "+10s"\nmeters = "1-8"\n'
    fleet, journal = await play(line, 60)
    assert prices(fleet.meter(6)) == [77]
    told = [note.facts for note in journal.of("executed")]
    assert told == [{"what": "price", "sap": local.LOCAL_SAP, "price": 77}] * 2
    assert prices(fleet.meter(0)) == []


async def test_faults_begin_and_end(autojump_clock: trio.testing.MockClock) -> None:
    line = (
        '[[timeline]]\ndo = "fault"\nfault = "drip"\nat = "+10s"\nevery = "1min"\nfor = "20s"\n'
        'meters = "1-2"\n'
    )
    fleet, _ = await play(line, 15)
    assert [fault.name for fault in fleet.faults.of(0, at(15))] == ["drip"]
    assert fleet.faults.of(0, at(31)) == ()
    assert fleet.faults.of(2, at(15)) == ()
    fleet, _ = await play(line, 3600)
    assert len(fleet.faults) <= 2  # those that are over are forgotten


async def test_a_dark_meter_does_not_push(autojump_clock: trio.testing.MockClock) -> None:
    lines = (
        '[[timeline]]\ndo = "outage"\nat = "+5s"\nfor = "1h"\nmeters = "1"\n'
        '[[timeline]]\ndo = "push"\nat = "+10s"\nmeters = "1-2"\n'
    )
    pushed: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fleet, "push", lambda _, index, push, event="": pushed.append(index))
        fleet, _ = await play(lines, 60)
    assert pushed == [1] * len(fleet.meter(1).kind.model.pushes)


async def test_one_meters_trouble_is_its_own(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step_clock(meter: object, at: datetime, by_us: int) -> None:
        raise LookupError("broken")

    monkeypatch.setattr(local, "step_clock", step_clock)
    lines = (
        '[[timeline]]\ndo = "clock-jump"\nby = "+1h"\nat = "+5s"\nmeters = "1"\n'
        '[[timeline]]\ndo = "outage"\nat = "+10s"\nmeters = "1"\n'
    )
    fleet, _ = await play(lines, 60)
    assert fleet.meter(0).is_dark(at(11))
