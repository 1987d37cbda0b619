"""Journals: every note once, in order, in a form that JSON knows."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest
import trio
import trio.testing

from hes_protocol.cosem import Obis
from hes_simulators.truth import FileJournal, ListJournal, NullJournal
from hes_simulators.truth.journal import FLUSH_S, MOST_PENDING, files

AT = datetime(2026, 11, 21, 9, 20, 0, 250_000, tzinfo=UTC)


class Colour(Enum):
    RED = 1


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for file in files(path) for line in file.read_text().splitlines()]


def test_every_form(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path) as journal:
        journal.note(
            "event", AT, "HES1", event="cover_opened", obis=Obis.parse("0.0.99.98.0.255"),
            octets=b"\x01\xff", since=AT, colour=Colour.RED, saps={2, 1}, none=None,
        )  # fmt: skip
    assert lines(path) == [
        {
            "kind": "event", "at": "2026-11-21T09:20:00.250000Z", "serial": "HES1",
            "event": "cover_opened", "obis": "0.0.99.98.0.255", "octets": "01ff",
            "since": "2026-11-21T09:20:00.250000Z", "colour": "red", "saps": [1, 2], "none": None,
        }
    ]  # fmt: skip


def test_an_unknown_kind_is_an_error(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "truth.jsonl") as journal:
        for one in (journal, ListJournal()):
            with pytest.raises(ValueError, match="'evnt' is none of"):
                one.note("evnt", AT, "HES1")
    NullJournal().note("event", AT, "HES1")


def test_what_was_executed_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path) as journal:
        journal.note("event", AT, "HES1", event="first")
        assert lines(path) == []
        journal.note("executed", AT, "HES1", what="disconnect")
        assert [line["kind"] for line in lines(path)] == ["event", "executed"]


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path) as journal:
        for number in range(MOST_PENDING + 1):
            journal.note("event", AT, "HES1", number=number)
        assert len(lines(path)) == MOST_PENDING
    assert [line["number"] for line in lines(path)] == list(range(MOST_PENDING + 1))


async def test_the_rest_is_flushed_soon(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path) as journal:
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            journal.note("event", AT, "HES1")
            await trio.sleep(2 * FLUSH_S)
            assert len(lines(path)) == 1
            nursery.cancel_scope.cancel()


def test_rotation_keeps_everything_in_order(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    (tmp_path / "truth.jsonl.7").write_text("of an earlier run\n")
    with FileJournal(path, max_octets=1000) as journal:
        for number in range(200):
            journal.note("executed", AT, "HES1", number=number)
    found = files(path)
    assert len(found) > 10
    assert all(file.stat().st_size < 1200 for file in found)
    assert [line["number"] for line in lines(path)] == list(range(200))


def test_a_note_is_cheap(tmp_path: Path) -> None:
    """On the hot path of pushes: well below a tenth of what a push costs."""
    with FileJournal(tmp_path / "truth.jsonl") as journal:
        began = time.process_time()
        for _ in range(20_000):
            journal.note("sent", AT, "HES1", push="0.0.25.9.0.255", octets=200, outcome="sent")
        each_s = (time.process_time() - began) / 20_000
    assert each_s < 100e-6


def test_going_on_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path, max_octets=300) as journal:
        for number in range(10):
            journal.note("executed", AT, "HES1", number=number)
    aside = len(files(path))
    with path.open("a") as file:
        file.write('{"kind":"event","at":"2026')  # killed here
    with FileJournal(path, max_octets=300, append=True) as journal:
        for number in range(10, 20):
            journal.note("executed", AT, "HES1", number=number)
    assert [line["number"] for line in lines(path)] == list(range(20))
    assert len(files(path)) > aside
    with FileJournal(path) as journal:
        journal.note("executed", AT, "HES1", number=0)
    assert len(lines(path)) == 1


def fill_disk(journal: FileJournal) -> None:
    """From now on there is no room."""
    journal._file.close()
    journal._file = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115


async def test_a_full_disk_ends_the_fleet_and_not_what_a_meter_does(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "truth.jsonl"
    journal = FileJournal(path)
    journal.note("executed", AT, "HES1", what="set")
    fill_disk(journal)
    journal.note("executed", AT, "HES1", what="action")  # written through, without raising
    journal.note("executed", AT, "HES2", what="action")
    with pytest.raises(OSError, match="No space left") as failed, trio.fail_after(2 * FLUSH_S):
        await journal.run()
    assert failed.value.filename == str(path)
    journal.close()  # it was told
    assert len(lines(path)) == 1


def test_what_does_not_fit_at_the_end_is_told(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "truth.jsonl")
    fill_disk(journal)
    journal.note("event", AT, "HES1", event="cover_opened")
    with pytest.raises(OSError, match="No space left"):
        journal.close()
