"""The judge itself: every planted fault turns it red."""

from pathlib import Path

import attrs
import pytest

from tests.history import History, Journal, Row, Verdict, judge


def rows_of(batch: int) -> list[Row]:
    return [("S0", b"obis", instant, batch) for instant in range(3)]


DONE = History(invoked=frozenset({1, 2, 3}), acked=frozenset({1, 2}))
THERE = [*rows_of(1), *rows_of(2)]
CLEAN = Verdict(lost=0, doubled=0, torn=0, unexpected=0, recovered=0)


def test_a_clean_run() -> None:
    verdict = judge(DONE, rows_of, THERE)
    assert verdict == CLEAN
    assert verdict.clean


def test_a_batch_committed_without_an_ack_is_no_fault() -> None:
    verdict = judge(DONE, rows_of, [*THERE, *rows_of(3)])
    assert verdict == attrs.evolve(CLEAN, recovered=1)
    assert verdict.clean


@pytest.mark.parametrize(
    ("history", "found", "fault"),
    [
        (DONE, THERE[1:], {"lost": 1}),
        (DONE, [], {"lost": 6}),
        (attrs.evolve(DONE, acked=DONE.invoked), THERE, {"lost": 3}),
        (DONE, [*THERE, THERE[0]], {"doubled": 1}),
        (DONE, [*THERE, *THERE], {"doubled": 6}),
        (DONE, [*THERE, rows_of(3)[0]], {"torn": 1}),
        (DONE, [*THERE, rows_of(4)[0]], {"unexpected": 1}),
        (DONE, [*THERE[1:], ("S0", b"obis", 0, None)], {"lost": 1, "unexpected": 1}),
    ],
)
def test_planted_faults(history: History, found: list[Row], fault: dict[str, int]) -> None:
    verdict = judge(history, rows_of, found)
    assert verdict == attrs.evolve(CLEAN, **fault)
    assert not verdict.clean


def test_a_journal_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.invoked(1)
    journal.acked(1)
    journal.invoked(2)
    journal.close()
    history = History.read(tmp_path / "journal", tmp_path / "none")
    assert history == History(frozenset({1, 2}), frozenset({1}))
