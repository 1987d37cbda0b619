"""The truth log: what was captured, when it was captured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
import trio.testing

from hes_protocol.cosem import Obis
from hes_simulators import Fleet, FleetSettings, TruthLog, rows
from hes_simulators.clock import microseconds
from hes_simulators.scenario import MockedPace
from hes_simulators.scenario.local import step_clock
from hes_simulators.truth import FileJournal
from hes_simulators.truth.rows import History

START = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_log_holds_the_buffers_and_then_each_row(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pace, file = MockedPace(START), tmp_path / "truth.jsonl"
    pace.now()
    fleet = Fleet(FleetSettings(meters=3, profile_days=1), start_number=1, pace=pace)
    with FileJournal(file) as journal:
        async with trio.open_nursery() as nursery:
            await nursery.start(TruthLog(fleet.all_meters, journal, pace).run)
            assert len(lines(file)) == 3 * 96
            await trio.sleep(11 * 60)  # 09:31: one more row each
            written = lines(file)
            assert len(written) == 3 * 97
            assert {line["at"] for line in written[-3:]} == {"2026-11-21T09:30:00Z"}
            await trio.sleep(3600)
            nursery.cancel_scope.cancel()
    written = lines(file)
    assert len(written) == 3 * 101
    keys = [(line["serial"], line["at"]) for line in written]
    assert len(set(keys)) == len(keys)
    for meter in fleet.all_meters():
        mine = [line["values"] for line in written if line["serial"] == meter.identity.serial]
        begin = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
        assert mine == [row.values for row in rows(meter, begin, begin + timedelta(days=2))][:101]


def test_rows_are_half_open() -> None:
    meter = Fleet(FleetSettings(meters=1), start_number=1).meter(0)
    found = list(rows(meter, START.replace(minute=15), START.replace(minute=45)))
    assert [row.captured_at.minute for row in found] == [15, 30]
    assert json.loads(found[0].to_json()) == {
        "kind": "captured",
        "at": "2026-11-21T09:15:00Z",
        "serial": "HES00000001",
        "profile": "1.0.99.1.0.255",
        "values": found[0].values,
    }


async def test_lines_say_what_rows_say(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """The fast way of writing lines, for all profiles, is that of `TruthRow.to_json`."""
    pace, file = MockedPace(START), tmp_path / "truth.jsonl"
    pace.now()
    fleet = Fleet(FleetSettings(meters=1, model="idis-single-phase"), start_number=1, pace=pace)
    meter = fleet.meter(0)
    meter.time.set(microseconds(START), microseconds(START) + 7_500_000)
    with FileJournal(file) as journal, trio.move_on_after(2 * 3600):
        await TruthLog(fleet.all_meters, journal, pace, history=History.NONE).run()
    profiles = {line["profile"] for line in lines(file)}
    assert len(profiles) >= 2
    for profile in profiles:
        found = rows(meter, START, START + timedelta(hours=3), Obis.parse(str(profile)))
        written = [line for line in lines(file) if line["profile"] == profile]
        expected = [json.loads(row.to_json()) for row in found][: len(written)]
        assert written == expected
        assert all("true_at" in line for line in written)


async def test_a_history_beside_keeps_nobody_waiting_and_is_whole(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pace, file = MockedPace(START), tmp_path / "truth.jsonl"
    pace.now()
    fleet = Fleet(FleetSettings(meters=3, profile_days=1), start_number=1, pace=pace)
    with FileJournal(file) as journal:
        async with trio.open_nursery() as nursery:
            log = TruthLog(fleet.all_meters, journal, pace, history=History.BESIDE)
            await nursery.start(log.run)
            assert len(file.read_text().splitlines()) < 3 * 96
            await trio.sleep(1)
            assert len(lines(file)) == 3 * 96
            nursery.cancel_scope.cancel()


async def test_what_somebody_may_have_read_is_there_at_the_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A clock that was set captures between the quarters at which rows are written."""
    pace, file = MockedPace(START), tmp_path / "truth.jsonl"
    pace.now()
    fleet = Fleet(FleetSettings(meters=3, profile_days=1), start_number=1, pace=pace)
    odd, unread = fleet.meter(0), fleet.meter(1)
    for meter in (odd, unread):
        step_clock(meter, pace.now(), -40 * 60_000_000)
    with FileJournal(file) as journal:
        async with trio.open_nursery() as nursery:
            log = TruthLog(fleet.all_meters, journal, pace, history=History.NONE)
            await nursery.start(log.run)
            await trio.sleep(22 * 60)  # 09:42; written at 09:30, captured at 09:40
            odd.advance(pace.now())
            written = lines(file)
            assert len(written) == 3
            nursery.cancel_scope.cancel()
    [last] = lines(file)[len(written) :]
    assert (last["serial"], last["at"], last["true_at"]) == (
        odd.identity.serial, "2026-11-21T09:00:00Z", "2026-11-21T09:40:00Z",
    )  # fmt: skip


async def test_a_meter_whose_rows_cannot_be_made_keeps_nobody_elses_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pace, file = MockedPace(START), tmp_path / "truth.jsonl"
    pace.now()
    fleet = Fleet(FleetSettings(meters=3, profile_days=1), start_number=1, pace=pace)
    broken = fleet.meter(1)
    broken.state.clock_steps.append("no step")  # type: ignore[arg-type]
    with FileJournal(file) as journal:
        async with trio.open_nursery() as nursery:
            await nursery.start(TruthLog(fleet.all_meters, journal, pace).run)
            await trio.sleep(11 * 60)
            nursery.cancel_scope.cancel()
    serials = [line["serial"] for line in lines(file)]
    assert len(serials) == 2 * 97
    assert broken.identity.serial not in serials
