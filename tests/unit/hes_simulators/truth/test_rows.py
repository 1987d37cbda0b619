"""The truth log: what was captured, when it was captured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
import trio.testing

from hes_simulators import Fleet, FleetSettings, TruthLog, rows
from hes_simulators.scenario import MockedPace
from hes_simulators.truth import FileJournal

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
