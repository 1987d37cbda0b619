"""Event logs of simulated meters: every line once, two in one second, and what is gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.meters import CaptureColumn, ProfileKnowledge
from hes.domain.ports import Lease, SessionOutcome
from hes.domain.work import Read, ReadKind
from hes.models import models
from hes_collectors.dlms.reading import AnswerStore, Arrived
from hes_collectors.dlms.session import SessionResult
from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.cosem import Obis
from hes_protocol.errors import LimitError
from hes_protocol.quirks import SelectionBy
from hes_simulators import captures as sim_captures
from hes_simulators.truth import FileJournal
from hes_simulators.truth.compare import LineKey, difference, read
from tests.unit.hes_collectors import support
from tests.unit.hes_collectors.dlms.test_clock_set_back import step
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.reads import served, storage_with
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind
from tests.unit.hes_collectors.support import START, wall_clock

EVENTS = Read(ReadKind.EVENTS)
STANDARD, FRAUD = Obis.parse("0.0.99.98.0.255"), Obis.parse("0.0.99.98.1.255")
CODE = CaptureColumn(1, Obis.parse("0.0.96.11.1.255"), 2, 0)
OPENED, CLOSED, FIRMWARE, NEUTRAL = 40, 41, 17, 89


@attrs.define
class Logged:
    """A meter of the IDIS model and the head-end that reads it."""

    asked: SimulatedMeter
    storage: FakeStorage

    async def read(self, *reads: Read, **changes: object) -> SessionResult:
        result = await served(self.storage, self.asked, reads or [EVENTS], **changes)
        assert result.report.outcome is SessionOutcome.OK
        return result

    def happens(self, *names: str) -> None:
        for name in names:
            self.asked.meter.advance(self.asked.meter.kind.now())
            self.asked.meter.event(name)

    def codes(self, log: Obis) -> list[int]:
        """What is stored of a log, by time and order."""
        kept = sorted(
            (at, nth, code) for source, at, code, nth in self.storage.lines if source == log
        )
        return [code for _, _, code in kept]


def logged(*, by: SelectionBy | None = None, model: str = "idis-single-phase") -> Logged:
    [found] = [one for one in models() if one.name == model]
    quirks = attrs.evolve(found.quirks, selection=by)
    kind = attrs.evolve(meter_kind(sim.Security.GMAC), model=found, quirks=quirks)
    asked = SimulatedMeter(sim.Meter.of(kind, 0))
    return Logged(asked, storage_with(asked, found))


@pytest.mark.parametrize("by", [None, SelectionBy.ENTRY])
async def test_every_line_comes_once(by: SelectionBy | None, autojump_clock: MockClock) -> None:
    meter = logged(by=by)
    meter.happens("cover_opened", "firmware_ready")
    await trio.sleep(60)
    meter.happens("cover_closed")
    await meter.read()
    assert meter.codes(FRAUD) == [OPENED, CLOSED]
    assert meter.codes(STANDARD)[-1] == FIRMWARE
    before = dict(meter.storage.lines)
    await meter.read()
    assert meter.storage.lines == before
    await trio.sleep(60)
    meter.happens("neutral_disturbed")
    await meter.read()
    [(_, new)] = [one for one in meter.storage.lines.items() if one[0] not in before]
    assert (new.source, new.code) == (STANDARD, NEUTRAL)
    assert abs(new.occurred_at - START) < timedelta(minutes=5)
    assert meter.storage.log_gaps == []


async def test_lines_of_one_second_are_all_there_also_those_that_came_after_a_reading(
    autojump_clock: MockClock,
) -> None:
    meter = logged()
    meter.happens("cover_opened", "cover_opened")
    await meter.read()
    assert meter.codes(FRAUD) == [OPENED] * 2
    meter.asked.meter.event("cover_opened")  # the meter's time has not moved
    meter.asked.meter.event("cover_closed")
    await meter.read()
    assert sorted(meter.codes(FRAUD)) == [OPENED] * 3 + [CLOSED]


async def test_a_log_without_news_costs_one_request_and_no_batch(autojump_clock: MockClock) -> None:
    meter = logged()
    meter.happens("cover_opened")
    await meter.read()
    batches = len(meter.storage.receipts)
    await trio.sleep(3600)
    await meter.read(attrs.evolve(EVENTS, source=FRAUD))
    assert len([one for one in meter.asked.gets(7) if one.attribute.obis == FRAUD]) == 1
    assert len(meter.storage.receipts) == batches


async def test_the_news_of_all_logs_come_by_one_request(autojump_clock: MockClock) -> None:
    meter = logged()
    await meter.read()
    meter.happens("cover_opened", "firmware_ready", "over_limit")
    await meter.read()
    asked = [one for one in meter.asked.gets(7) if one.attribute.index == 2]
    assert len({one.attribute.obis for one in asked}) == 6
    assert len({one.invoke_id for one in asked}) == 1
    assert meter.codes(FRAUD) == [OPENED]
    assert meter.codes(STANDARD) == [FIRMWARE]


async def test_logs_that_may_hold_much_are_asked_for_one_by_one(
    autojump_clock: MockClock,
) -> None:
    meter = logged()
    await meter.read()
    known = meter.storage.knowledge[meter.asked.meter_id]
    large = tuple(attrs.evolve(one, entries=5000) for one in known.profiles)
    meter.storage.knowledge[meter.asked.meter_id] = attrs.evolve(known, profiles=large)
    meter.happens("cover_opened")
    await meter.read()
    asked = [one for one in meter.asked.gets(7) if one.attribute.index == 2]
    assert len(asked) == len({one.invoke_id for one in asked}) == 6
    assert meter.codes(FRAUD) == [OPENED]


@pytest.mark.parametrize("by", [None, SelectionBy.ENTRY])
async def test_a_buffer_that_wrapped_is_noticed(
    by: SelectionBy | None, autojump_clock: MockClock
) -> None:
    """The log of frauds holds 30 lines; the last that was read is gone, and some behind it."""
    meter = logged(by=by)
    meter.happens("cover_opened")
    await meter.read()
    [mark] = [at for (_, source), at in meter.storage.marks.items() if source == FRAUD]
    for _ in range(50):
        await trio.sleep(10)
        meter.happens("cover_closed")
    await meter.read()
    [gap] = meter.storage.log_gaps
    assert (gap.source, gap.since, gap.reason) == (FRAUD, mark, "overwritten")
    assert gap.until == min(
        at for source, at, code, _ in meter.storage.lines if source == FRAUD and code == CLOSED
    )
    assert meter.codes(FRAUD) == [OPENED] + [CLOSED] * 30
    await meter.read()
    assert len(meter.storage.log_gaps) == 1


async def test_a_log_that_somebody_has_cleared_is_noticed(autojump_clock: MockClock) -> None:
    meter = logged()
    meter.happens("cover_opened")
    await meter.read()
    await trio.sleep(10)
    model = meter.asked.meter.kind.model
    profile = model.profiles[FRAUD]
    sim_captures.clear(meter.asked.meter, profile, meter.asked.meter.now_us)
    await trio.sleep(10)
    meter.happens("case_opened")
    await meter.read()
    [gap] = meter.storage.log_gaps
    assert (gap.source, gap.reason) == (FRAUD, "cleared")
    assert meter.codes(FRAUD)[0] == OPENED


async def test_a_meter_without_logs_has_nothing_to_tell(autojump_clock: MockClock) -> None:
    asked = SimulatedMeter.of()
    result = await served(storage_with(asked), asked, [EVENTS, Read(ReadKind.BILLING)])
    assert result.report.outcome is SessionOutcome.OK
    assert result.served == ()
    named = attrs.evolve(EVENTS, source=FRAUD)
    [(_, outcome)] = (await served(storage_with(asked), asked, [named])).served
    assert outcome.refused == "profile-unknown"


def test_more_lines_than_any_log_has_are_refused_by_their_number() -> None:
    """Of four octets each, they would take a gigabyte as lines."""
    columns = (CaptureColumn(8, Obis.parse("0.0.1.0.0.255"), 2, 0), CODE)
    row = structure(Data(DataTag.NULL_DATA), Data(DataTag.NULL_DATA))
    octets = encode(array(*[row] * 20_000))
    store = AnswerStore(
        FakeStorage(wall_clock).ports(),
        Lease(support.meter(), 1, START, 180, 0),
        UUID(int=7),
        authenticated=True,
    )
    with pytest.raises(LimitError):
        store.lines(ProfileKnowledge(FRAUD, 0, columns), Arrived(octets, b"", START, START, None))


async def test_what_a_line_says_besides_is_kept(autojump_clock: MockClock) -> None:
    """IS 15959 captures currents and voltages with each event."""
    meter = logged(model="is-15959-single-phase")
    meter.happens("voltage_swell_l1")
    await meter.read()
    [line] = [one for one in meter.storage.lines.values() if one.code == 7]
    assert isinstance(line.detail, dict)
    voltage = line.detail["1.0.12.7.0.255"]
    assert voltage["unit"] == 35
    assert 150 < float(voltage["value"]) < 400


async def test_lines_of_a_clock_that_was_set_back_are_read(autojump_clock: MockClock) -> None:
    """They stand behind the last line that is held, and bear times before it."""
    meter = logged()
    meter.happens("cover_opened")
    await meter.read()
    await trio.sleep(600)
    # Profiles alone are read in between: that says nothing of the logs.
    await meter.read(Read(ReadKind.PROFILE))
    step(meter.asked, -180)
    meter.happens("cover_closed")
    await trio.sleep(600)
    await meter.read()
    assert sorted(meter.codes(FRAUD)) == [OPENED, CLOSED]
    assert meter.storage.log_gaps == []


async def test_what_is_stored_is_what_the_truth_log_says(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Over a day, with a clock that somebody sets, several in a second, and all logs at once."""
    random = Random(5)
    path = tmp_path / "truth.jsonl"
    names = ["cover_opened", "cover_closed", "firmware_ready", "parameters_changed", "over_limit"]
    with FileJournal(path) as journal:
        meter = logged()
        kind = attrs.evolve(meter.asked.meter.kind, journal=journal)
        asked = SimulatedMeter(sim.Meter.of(kind, 0))
        meter = Logged(asked, meter.storage)
        for number in range(12):
            await trio.sleep(random.uniform(100, 7000))
            meter.happens(*random.choices(names, k=random.randint(0, 4)))
            if number in (4, 9):
                step(asked, -33)
            if number % 3 == 2:
                await meter.read()
        await meter.read()
        journal.flush()
    serial = asked.meter.identity.serial
    stored = {
        LineKey(serial, str(source), code, at, nth): None
        for source, at, code, nth in meter.storage.lines
    }
    true = dict.fromkeys(read(path).log_lines)
    found = difference(true, stored)
    assert len(true) > 15
    assert not found, str(found)
    assert meter.storage.log_gaps == []
