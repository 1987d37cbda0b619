"""Which ranges are asked for, piece by piece and in the meter's own time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from hes.domain.meters import CaptureColumn, ProfileKnowledge
from hes_collectors.dlms.ranges import Pieces, selection
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.objects import RangeSelection

QUARTER_S = 900
CLOCK = CaptureColumn(8, Obis.parse("0.0.1.0.0.255"), 2, 0)
PROFILE = ProfileKnowledge(
    Obis.parse("1.0.99.1.0.255"),
    QUARTER_S,
    (CLOCK, CaptureColumn(3, Obis.parse("1.0.1.8.0.255"), 2, 0, 0, 30)),
)
NOW = datetime(2026, 11, 21, 10, 7, 33, 123456, UTC)
SECOND = timedelta(seconds=1)


def ends(selected: RangeSelection) -> tuple[CosemDateTime, CosemDateTime]:
    return (
        CosemDateTime.from_octets(selected.from_.value),
        CosemDateTime.from_octets(selected.to.value),
    )


def all_pieces(
    mark: datetime | None, now: datetime, *, rows: int, first_days: float = 2
) -> list[tuple[datetime, datetime]]:
    """The pieces of a meter that has rows everywhere."""
    pieces = Pieces(mark, now, QUARTER_S, rows=rows, first_days=first_days)
    cut = []
    while (piece := pieces.current()) is not None:
        cut.append(piece)
        pieces.advance(empty=False)
    return cut


def test_without_a_mark_the_first_piece_begins_on_the_grid() -> None:
    cut = all_pieces(None, NOW, rows=96)
    assert cut[0][0] == datetime(2026, 11, 19, 10, 0, tzinfo=UTC)
    assert cut[-1][1] == NOW.replace(microsecond=0)
    assert len(cut) == 3


def test_a_mark_is_exclusive() -> None:
    mark = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
    assert all_pieces(mark, NOW, rows=96) == [(mark + SECOND, NOW.replace(microsecond=0))]


def test_nothing_is_due_right_after_the_mark() -> None:
    now = NOW.replace(microsecond=0)
    assert all_pieces(now, now, rows=96) == []


@pytest.mark.parametrize("rows", [1, 7, 96, 10_000])
@pytest.mark.parametrize("mark", [None, datetime(2026, 11, 17, 3, 45, tzinfo=UTC)])
def test_pieces_hold_every_row_once_and_no_more_than_they_may(
    rows: int, mark: datetime | None
) -> None:
    grid = {
        datetime(2026, 11, 10, tzinfo=UTC) + timedelta(seconds=QUARTER_S * n) for n in range(2000)
    }
    cut = all_pieces(mark, NOW, rows=rows, first_days=4)
    found = [sorted(at for at in grid if start <= at <= end) for start, end in cut]
    assert all(len(piece) <= rows for piece in found)
    together = [at for piece in found for at in piece]
    first = mark if mark is not None else NOW - timedelta(days=4, seconds=QUARTER_S)
    assert together == sorted(at for at in grid if first < at <= NOW)
    assert all(after[0] == before[1] + SECOND for before, after in pairwise(cut))


DAY_ROWS = 96
MOST_ROWS_AT_ONCE = 400


@pytest.mark.parametrize("full_days", [0, 1, 3, 4, 30, 1000])
@pytest.mark.parametrize("empty_days", [0, 0.5, 1, 2, 5, 14, 60, 365, 3650])
def test_an_empty_stretch_of_any_length_is_crossed_in_few_steps(
    empty_days: float, full_days: int
) -> None:
    mark = NOW - timedelta(days=empty_days + full_days)
    rows_from = NOW - timedelta(days=full_days)
    pieces = Pieces(mark, NOW, QUARTER_S, rows=DAY_ROWS, first_days=14)
    reached, asked, before_rows, found = mark, 0, 0, False
    while (piece := pieces.current()) is not None:
        asked += 1
        assert piece[0] == reached + SECOND if asked > 1 else True
        seconds = (piece[1] - max(piece[0], rows_from)).total_seconds()
        rows = max(0, int(seconds // QUARTER_S))
        if rows > MOST_ROWS_AT_ONCE:
            assert pieces.grown
            pieces.shrink()
            continue
        if not found:
            before_rows, found = asked, rows > 0
        reached = piece[1]
        pieces.advance(empty=rows == 0)
    assert reached >= NOW.replace(microsecond=0)
    assert before_rows <= 20
    assert asked <= 20 + full_days


def test_a_meter_that_is_dark_every_other_day_costs_no_more_than_one_that_is_not() -> None:
    mark = NOW - timedelta(days=200)
    pieces = Pieces(mark, NOW, QUARTER_S, rows=DAY_ROWS, first_days=14)
    asked = 0
    while (piece := pieces.current()) is not None:
        asked += 1
        day = (piece[0] - mark).days
        empty = day % 2 == 1 and piece[1] - piece[0] < timedelta(days=1)
        pieces.advance(empty=empty)
    assert asked <= 200


def test_the_selection_is_in_local_time_with_its_deviation() -> None:
    start, end = (
        datetime(2026, 7, 1, 22, 0, 1, tzinfo=UTC),
        datetime(2026, 7, 2, 22, 0, tzinfo=UTC),
    )
    first, last = ends(selection(PROFILE, start, end, "Europe/Berlin"))
    assert first == CosemDateTime(2026, 7, 2, 4, 0, 0, 1, 0, -120, 0x80)
    assert last == CosemDateTime(2026, 7, 3, 5, 0, 0, 0, 0, -120, 0x80)
    assert selection(PROFILE, start, end, "Europe/Berlin").restricting.obis == CLOCK.obis


def test_a_range_over_the_repeated_hour_hides_no_row_from_any_meter() -> None:
    """A meter that compares only the local fields must still see every row."""
    zone = ZoneInfo("Europe/Berlin")
    fall_back = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    for minutes in range(-120, 120, 15):
        start = fall_back + timedelta(minutes=minutes) + SECOND
        for length in (15, 60, 1440):
            end = start + timedelta(minutes=length) - SECOND
            first, last = ends(selection(PROFILE, start, end, "Europe/Berlin"))
            low, high = first.local(), last.local()
            assert low is not None
            assert high is not None
            at = start
            while at <= end:
                assert low <= at.astimezone(zone).replace(tzinfo=None) <= high
                at += timedelta(minutes=5)
            # And one that compares instants too.
            assert low + timedelta(minutes=first.deviation_min) <= start.replace(tzinfo=None)
            assert high + timedelta(minutes=last.deviation_min) >= end.replace(tzinfo=None)


def test_elsewhere_the_range_is_not_widened() -> None:
    start = datetime(2026, 3, 28, 12, 0, 1, tzinfo=UTC)
    end = start + timedelta(days=1)  # over the skipped hour
    first, last = ends(selection(PROFILE, start, end, "Europe/Berlin"))
    assert first.local() == datetime(2026, 3, 28, 13, 0, 1)
    assert last.local() == datetime(2026, 3, 29, 14, 0, 1)


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize("deviation", [True, False])
@pytest.mark.parametrize(
    "start", [datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 29, 0, 30, tzinfo=UTC)]
)
def test_standard_time_is_asked_in_standard_time(start: datetime, deviation: bool) -> None:
    """No hour comes twice: the range is not widened, nor has it summer's hour."""
    end = start + timedelta(hours=2)
    asked = selection(PROFILE, start, end, "Europe/Berlin", deviation=deviation, standard_time=True)
    for bound, moment in zip(ends(asked), (start, end), strict=True):
        assert bound.local() == moment.replace(tzinfo=None) + timedelta(hours=1)
        assert bound.utc_offset_min == (60 if deviation else None)
        assert not bound.daylight_saving
