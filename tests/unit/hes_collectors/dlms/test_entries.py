"""By entry: where the mark is, pieces that overlap, and a buffer that moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hes_collectors.dlms.entries import EntryPieces, EntrySearch, RowTime, entry_selection
from hes_collectors.dlms.unread import Unread
from hes_protocol.cosem import EntrySelection

PERIOD_S = 900
QUARTER = timedelta(seconds=PERIOD_S)
NOW = datetime(2026, 11, 21, 10, 7, tzinfo=UTC)
NEWEST = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
Span = tuple[datetime, datetime]


def grid(count: int, newest: datetime = NEWEST) -> list[RowTime]:
    """So many rows, the oldest first."""
    return [RowTime(newest - QUARTER * n, certain=True) for n in reversed(range(count))]


def searched(
    rows: list[RowTime], mark: datetime, *, near: int = 96, again: Span | None = None
) -> tuple[EntrySearch, list[int]]:
    search = EntrySearch(len(rows), Unread(mark, again), NOW, PERIOD_S, near=near)
    probes = []
    while (place := search.probe()) is not None:
        probes.append(place)
        assert len(probes) < 60
        search.found(place, rows[place - 1])
    return search, probes


def read(
    rows: list[RowTime],
    mark: datetime,
    *,
    size: int = 96,
    moves: Callable[[list[RowTime], int], list[RowTime]] = lambda rows, _: rows,
) -> tuple[list[RowTime], int]:
    """What is committed of a buffer, and how many pieces were asked for."""
    search, _ = searched(rows, mark, near=size)
    count = len(rows)
    pieces = EntryPieces(search.start, search.known, count, rows=size, period_s=PERIOD_S)
    committed: list[RowTime] = []
    asked = 0
    while (piece := pieces.current()) is not None:
        asked += 1
        assert asked < 40_000
        rows = moves(rows, asked)
        first, last = piece
        answer = rows[first - 1 : last]
        if answer and pieces.moved(answer[0]):
            continue
        committed += answer
        pieces.advance(answer)
    return committed, asked


def after(rows: list[RowTime], mark: datetime) -> set[RowTime]:
    return {row for row in rows if row.at is not None and row.at > mark}


def test_right_after_the_mark_one_look_is_enough() -> None:
    rows = grid(700)
    for missing in (0, 1, 2, 50):
        mark = NEWEST - QUARTER * missing
        search, probes = searched(rows, mark)
        assert len(probes) == 1
        assert search.known == rows[search.start - 1].at
        assert search.known <= mark
        assert 700 - search.start <= missing + 4


@pytest.mark.parametrize("count", [0, 1, 2, 3, 95, 96, 97, 700, 35_040])
@pytest.mark.parametrize("missing", [0, 1, 95, 96, 500, 100_000])
@pytest.mark.parametrize("size", [1, 7, 96])
def test_every_row_after_the_mark_is_read_and_few_before(
    count: int, missing: int, size: int
) -> None:
    rows = grid(count)
    mark = NEWEST - QUARTER * missing
    committed, _ = read(rows, mark, size=size)
    assert after(rows, mark) <= set(committed)
    assert len(set(committed) - after(rows, mark)) <= size + 4


def test_an_outage_is_no_reason_to_read_the_whole_buffer_again() -> None:
    """60 days dark: by the period the mark would be far outside; rows tell where it is."""
    old = grid(3000, NEWEST - timedelta(days=60))
    new = grid(10)
    mark = old[-1].at
    assert mark is not None
    search, probes = searched(old + new, mark)
    assert search.start >= 3000 - 96
    assert len(probes) < 20
    committed, _ = read(old + new, mark)
    assert set(new) <= set(committed)


def test_captures_off_the_grid_hide_nothing() -> None:
    """Power cuts and set clocks capture more rows than the period says."""
    rows = sorted(
        grid(100)
        + [RowTime(row.at + timedelta(minutes=3), True) for row in grid(100) if row.at is not None],
        key=lambda row: row.at or NOW,
    )
    mark = NEWEST - QUARTER * 60
    committed, _ = read(rows, mark, size=10)
    assert after(rows, mark) <= set(committed)


def test_the_repeated_hour_is_begun_from_before_it() -> None:
    """Rows that may be of either pass are no beginning, also where one is where the search ends."""
    rows = grid(400)
    for at in range(200, 208):  # four of each pass, all read as the first
        rows[at] = RowTime(rows[min(at, 203) if at < 204 else at - 4].at, certain=False)
    mark = rows[203].at
    assert mark is not None
    search, _ = searched(rows, mark, near=4)
    assert search.start <= 200
    pieces = EntryPieces(195, rows[194].at, 400, rows=10, period_s=PERIOD_S)
    pieces.advance(rows[194:205])
    assert pieces.current() == (200, 210)  # not within the hour
    # A piece that holds nothing else goes on all the same.
    pieces = EntryPieces(202, None, 400, rows=3, period_s=PERIOD_S)
    pieces.advance(rows[201:205])
    assert pieces.current() == (205, 208)


@pytest.mark.parametrize("drops", [{1}, {2, 3}, {1, 2, 3, 4}])
def test_a_full_buffer_that_moves_skips_no_row(drops: set[int]) -> None:
    begun = grid(700)
    mark = NEWEST - QUARTER * 300

    def capture(rows: list[RowTime], asked: int) -> list[RowTime]:
        if asked not in drops:
            return rows
        assert rows[-1].at is not None
        return [*rows[1:], RowTime(rows[-1].at + QUARTER, certain=True)]

    committed, _ = read(begun, mark, size=50, moves=capture)
    assert after(begun, mark) <= set(committed)


def test_a_buffer_that_never_stands_still_is_given_up() -> None:
    pieces = EntryPieces(500, NEWEST, 700, rows=10, period_s=PERIOD_S)
    later = RowTime(NEWEST + QUARTER, certain=True)
    assert [pieces.moved(later) for _ in range(9)] == [True] * 8 + [False]
    pieces = EntryPieces(1, NEWEST, 700, rows=10, period_s=PERIOD_S)
    assert not pieces.moved(later)  # what was older is gone


def test_rows_without_a_time_are_read_and_never_taken_for_old() -> None:
    rows = [RowTime(None, certain=False)] * 40
    committed, _ = read(rows, NOW, size=10)
    assert len(committed) >= 40


def test_rows_that_a_piece_is_recognised_by_are_not_fresh() -> None:
    rows = grid(10)
    pieces = EntryPieces(3, rows[2].at, 10, rows=4, period_s=PERIOD_S)
    early, mark = rows[0].at, rows[4].at
    assert early is not None
    assert pieces.fresh(rows[2:7], Unread(early)) == (False, True, True, True, True)
    assert pieces.fresh(rows[2:7], Unread(mark)) == (False, False, False, True, True)
    # A clock that was set back is no reason to lose rows.
    back = [*rows[2:6], rows[1]]
    assert pieces.fresh(back, Unread(early)) == (False, True, True, True, True)
    assert EntryPieces(1, None, 10, rows=4, period_s=PERIOD_S).fresh([], Unread(early)) == ()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 96])
@pytest.mark.parametrize("between", [0, 2])
def test_rows_that_a_clock_captured_anew_are_fresh_wherever_pieces_end(
    size: int, between: int
) -> None:
    """It was set back by an hour and 40 minutes, `between` rows after the last session."""
    read_at = NEWEST - QUARTER * between
    first_pass = grid(300)
    shown = read_at + QUARTER * between - QUARTER * 6  # what it shows next
    second_pass = [RowTime(shown + QUARTER * n, certain=True) for n in range(4)]
    rows = first_pass + second_pass
    again = (read_at - timedelta(minutes=100), shown + QUARTER * 3)
    new = Unread(read_at, again)
    search, probes = searched(rows, read_at, near=size, again=again)
    pieces = EntryPieces(search.start, search.known, len(rows), rows=size, period_s=PERIOD_S)
    fresh: list[int] = []
    while (piece := pieces.current()) is not None:
        answer = rows[piece[0] - 1 : piece[1]]
        assert not pieces.moved(answer[0])
        fresh += [
            piece[0] - 1 + place for place, one in enumerate(pieces.fresh(answer, new)) if one
        ]
        pieces.advance(answer)
    assert set(range(300 - between, 304)) <= set(fresh)
    assert len(fresh) == len(set(fresh)) < 24
    assert len(probes) < 12


def test_an_answer_of_fewer_rows_goes_on_behind_them() -> None:
    pieces = EntryPieces(1, None, 700, rows=96, period_s=PERIOD_S)
    rows = grid(700)
    pieces.advance(rows[:30])
    assert pieces.current() == (30, 126)
    pieces.advance(rows[29:30])  # only what was known: there is no progress
    assert pieces.current() is None


def test_entries_of_a_buffer_whose_first_is_the_newest() -> None:
    assert entry_selection(3, 5, 700, newest_first=False) == EntrySelection(3, 5)
    assert entry_selection(3, 5, 700, newest_first=True) == EntrySelection(696, 698)
    assert entry_selection(1, 700, 700, newest_first=True) == EntrySelection(1, 700)
