"""What a truth log gives a test: keys, values, differences; the comparison itself can fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hes_simulators.truth import FileJournal
from hes_simulators.truth.compare import EventKey, LineKey, ReadingKey, difference, read

AT = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)
PROFILE, ENERGY, LOG = "1.0.99.1.0.255", "1.0.1.8.0.255", "standard"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "truth.jsonl"
    with FileJournal(path) as journal:
        for number, value in enumerate((100, 103, 109)):
            at = AT + timedelta(minutes=15 * number)
            journal.note("captured", at, "HES1", profile=PROFILE, values={ENERGY: value})
        journal.note("event", AT, "HES1", name="cover_opened", logs={LOG: 40})
        journal.note("event", AT, "HES1", name="over_current", logs={})
        journal.note("executed", AT, "HES1", what="disconnect")
    return path


def test_what_a_head_end_ought_to_have(log: Path) -> None:
    truth = read(log)
    assert truth.readings[ReadingKey("HES1", PROFILE, ENERGY, AT)] == 100
    assert len(truth.readings) == 3
    assert truth.events == {EventKey("HES1", LOG, 40, AT): "cover_opened"}
    assert [line["name"] for line in truth.of("event")] == ["cover_opened", "over_current"]
    assert [line["what"] for line in truth.of("executed")] == ["disconnect"]
    assert truth.of("sent") == []
    assert read(log, lambda line: line["kind"] == "executed").readings == {}


def test_lines_of_logs_are_known_by_what_the_clock_showed(tmp_path: Path) -> None:
    """Two of one time are told apart by their order; some events go into no log."""
    path, standard, fraud = tmp_path / "truth.jsonl", "0.0.99.98.0.255", "0.0.99.98.1.255"
    shown = AT + timedelta(minutes=7)
    with FileJournal(path) as journal:
        for part in (1, 9):
            at = AT + timedelta(milliseconds=part)
            journal.note("event", at, "HES1", name="cover_opened", logs={}, lines={fraud: 40})
        journal.note("event", AT, "HES1", name="x", logs={}, lines={standard: 3}, shown=shown)
        journal.note("event", AT, "HES1", name="y", logs={})
    first = LineKey("HES1", fraud, 40, AT)
    truth = read(path)
    assert list(truth.log_lines) == [
        first,
        first._replace(nth=1),
        LineKey("HES1", standard, 3, shown),
    ]
    stored = dict.fromkeys([first, first._replace(at=AT + timedelta(seconds=1))])
    found = difference(dict.fromkeys(truth.log_lines), stored)
    assert (len(found.missing), len(found.unexpected)) == (2, 1)


def test_a_time_that_was_captured_twice_has_two_values(tmp_path: Path) -> None:
    """Energy went on, the status is as it was; and the history stands there once more."""
    path, status = tmp_path / "truth.jsonl", "0.0.96.10.1.255"
    later = AT + timedelta(minutes=40)
    with FileJournal(path) as journal:
        for _ in range(2):
            for true_at, energy in ((AT, 100), (later, 130), (later + timedelta(hours=1), 130)):
                values = {ENERGY: energy, status: 0}
                facts = {} if true_at == AT else {"true_at": true_at}
                journal.note("captured", AT, "HES1", profile=PROFILE, values=values, **facts)
    truth = read(path)
    first = ReadingKey("HES1", PROFILE, ENERGY, AT)
    second = first._replace(nth=1)
    assert truth.readings == {first: 100, second: 130, first._replace(obis=status): 0}
    assert (truth.captured_at(first), truth.captured_at(second)) == (AT, later)
    one_lost = {first: 100, first._replace(obis=status): 0}
    assert set(difference(truth.readings, one_lost).missing) == {second}
    swapped = {first: 130, second: 100, first._replace(obis=status): 0}
    assert set(difference(truth.readings, swapped).wrong) == {first, second}


def test_every_difference_is_found(log: Path) -> None:
    true = read(log).readings
    first, second, third = sorted(true)
    assert not difference(true, dict(true))
    stored = {first: 100, second: 104, third._replace(serial="HES2"): 109}
    found = difference(true, stored)
    assert found.wrong == {second: (103, 104)}
    assert set(found.missing) == {third}
    assert set(found.unexpected) == {third._replace(serial="HES2")}
    assert found
    assert str(found).startswith("1 missing: (ReadingKey(serial='HES1'")
    left = difference(true, stored, ignored=[third, third._replace(serial="HES2")])
    assert not left.missing
    assert not left.unexpected
    assert left.wrong


def test_a_last_line_that_is_not_whole_is_left_out(log: Path) -> None:
    with log.open("a") as file:
        file.write('{"kind":"executed","at":"2026')
    assert len(read(log).of("executed")) == 1


@pytest.mark.parametrize("line", ["nothing", "[]", '{"serial": "HES1"}'])
def test_another_file_is_no_truth_log(tmp_path: Path, line: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=r"other\.jsonl, line 1: no line"):
        read(path)
