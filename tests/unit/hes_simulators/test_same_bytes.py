"""
With both sides seeded, the same seed gives the same octets, both ways, at the same moments.

Challenges come from a seeded generator, time from trio's mocked clock, keys and counters from the
fleet's seed and start number. Whatever took a number from the machine would differ here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import attrs
import pytest
import trio
import trio.testing
from trio._core import _run as trio_run

from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis, RangeSelection
from hes_simulators import Fleet, FleetSettings, Security, SessionSummary, serve_stream
from hes_simulators.faults.kinds import ClockDrift, ClockJump, Distribution, Drip, Latency
from hes_simulators.faults.script import Rule
from hes_simulators.known_models import models
from hes_simulators.meter import Meter
from hes_simulators.reach import Target
from hes_simulators.scenario import MockedPace
from hes_simulators.scenario.director import Director
from hes_simulators.scenario.file import parse_scenario
from hes_simulators.truth import ListJournal
from tests.unit.hes_simulators.reader import Reader

START = datetime(2026, 10, 24, 22, 10, 7, tzinfo=UTC)
CLOCK, ENERGY, PROFILE = "0.0.1.0.0.255", "1.0.1.8.0.255", "1.0.99.1.0.255"

CLOCK_CAPTURE = CaptureObject(8, Obis.parse(CLOCK), 2, 0)

Wire = list[tuple[datetime, str, bytes]]


@attrs.define(eq=False)
class Tapped(trio.abc.Stream):
    """A stream that notes what goes through it, and when."""

    stream: trio.abc.Stream
    pace: MockedPace
    wire: Wire
    name: str = "meter"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.wire.append((self.pace.now(), self.name, bytes(data)))
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.stream.receive_some(max_bytes)
        self.wire.append((self.pace.now(), "head-end", bytes(data)))
        return data

    async def aclose(self) -> None:
        await self.stream.aclose()


async def converse(
    seed: int,
    security: Security,
    start_number: int = 1,
    *,
    hdlc: bool = False,
    faults: Sequence[Rule] = (),
) -> Wire:
    """Whole sessions with three meters, some time apart; what went over the wire."""
    trio_run.__dict__["_r"].seed(seed)
    pace, wire = MockedPace(START), Wire()
    pace.now()
    challenges = Random(seed)
    settings = FleetSettings(meters=3, seed=seed, security=security, profile_days=1, hdlc=hdlc)
    fleet = Fleet(
        settings,
        start_number=start_number,
        pace=pace,
        next_challenge=lambda: challenges.randbytes(16),
    )
    for rule in faults:
        fleet.faults.add(rule)
    for number, record in enumerate(fleet.meter_file()):
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, Tapped(theirs, pace, wire), fleet.meter(number))
            reader = Reader(record, ours, counter=100, hdlc=hdlc)
            if hdlc:
                await reader.connect()
            await reader.associate()
            await reader.get(8, CLOCK, 2)
            await reader.get(3, ENERGY, 2)
            await trio.sleep(1234.5)
            from_ = CosemDateTime.from_datetime(START - timedelta(hours=3))
            to = CosemDateTime.from_datetime(pace.now())
            await reader.get(7, PROFILE, 2, RangeSelection.between(CLOCK_CAPTURE, from_, to))
            await reader.get(7, PROFILE, 2)
            await reader.release()
            await ours.aclose()
    return wire


async def serve(stream: Tapped, meter: Meter) -> None:
    """A session of the meter, as its faults would have it."""
    with meter.kind.faults.session(meter.identity) as misdeeds, suppress(trio.BrokenResourceError):
        await serve_stream(stream, meter, SessionSummary(), misdeeds=misdeeds)


@pytest.mark.parametrize("security", [Security.LLS, Security.GMAC, Security.SHA256])
async def test_the_same_seed_gives_the_same_sessions(
    autojump_clock: trio.testing.MockClock, security: Security
) -> None:
    once = await converse(7, security)
    again = await converse(7, security)
    assert len(once) > 40
    assert once == again
    assert await converse(8, security) != once
    if security is Security.GMAC:
        # Another start has counters of its own: no octet of a tag comes twice.
        assert await converse(7, security, start_number=2) != once


FAULTS = (
    Rule(name="slow", fault=Latency(distribution=Distribution.LOGNORMAL, seconds=0.3, spread=0.8)),
    Rule(name="drips", fault=Drip(every_s=0.25, octets=200), probability=0.5),
    Rule(name="runs", fault=ClockDrift(seconds_per_day=900.0)),
    Rule(name="jumps", fault=ClockJump(seconds=-700.0), since=START + timedelta(minutes=5)),
)


@pytest.mark.parametrize(("hdlc", "faults"), [(True, ()), (False, FAULTS), (True, FAULTS)])
async def test_the_same_seed_gives_the_same_sessions_over_hdlc_and_with_faults(
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    hdlc: bool,
    faults: Sequence[Rule],
) -> None:
    monkeypatch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    once = await converse(7, Security.GMAC, hdlc=hdlc, faults=faults)
    again = await converse(7, Security.GMAC, hdlc=hdlc, faults=faults)
    assert len(once) > 40
    assert once == again
    assert once != await converse(7, Security.GMAC, hdlc=hdlc, faults=() if faults else FAULTS)


SPEAKING = """
[[population]]
model = "austria-mbus-push"
count = 2

[[population]]
model = "nordic-han"
count = 1

[[population]]
model = "idis-single-phase"
count = 3

[[timeline]]
do = "tamper"
what = "magnet"
at = "+7s"
over = "20s"
for = "5s..10s"
population = "idis-single-phase"

[[timeline]]
do = "outage"
at = "+30s"
for = "10s"
share = 0.5
"""


class Tapping(Fleet):
    """A fleet whose connections to the head-end end in this test."""

    wire: Wire

    async def connect(self, index: int, target: Target, *, tls: bool) -> trio.abc.Stream:
        ours, _ = trio.testing.memory_stream_pair()
        assert isinstance(self.pace, MockedPace)
        return Tapped(ours, self.pace, self.wire, f"{target.host} from {index}, {tls}")


async def speak(seed: int, seconds: float) -> tuple[Wire, ListJournal]:
    """
    What meters push by themselves and because of a timeline, and what was told of it.

    Which of two tasks that are due at one moment runs first, trio draws: from this seed.
    """
    trio_run.__dict__["_r"].seed(seed)
    scenario = parse_scenario(SPEAKING, "speaking.toml", models=models(), seed=seed)
    pace, journal = MockedPace(START), ListJournal()
    pace.now()
    fleet = Tapping(
        FleetSettings(population=scenario.population, seed=seed, port=0),
        start_number=1,
        pace=pace,
        journal=journal,
    )
    fleet.wire = []
    director = Director(fleet, scenario.timeline, pace, faults=fleet.faults, journal=journal)
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            await nursery.start(fleet.serve)
            nursery.start_soon(director.run)
    return fleet.wire, journal


async def test_the_same_seed_gives_the_same_pushes(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    once, told = await speak(7, 60)
    again, told_again = await speak(7, 60)
    assert once == again
    assert told.notes == told_again.notes
    pushes = [note for note in told.of("sent") if note.facts["outcome"] == "sent"]
    assert len(pushes) > 2 * 60 / 5
    assert {note.facts["name"] for note in told.of("event")} >= {"strong_magnet", "power_down"}
    other, _ = await speak(8, 60)
    assert other != once
