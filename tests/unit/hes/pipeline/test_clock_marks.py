"""Intervals in which a clock was moved are told apart; their neighbours are not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hes.domain.quality import Quality
from hes.pipeline.clock_marks import mark
from hes.pipeline.group import group
from tests.batches import DAY, batch, channel, later, meter_id, series

COUNT = series(channel(meter_id(0)))
SPOT = series(channel(meter_id(0), source=None))
OTHER = series(channel(meter_id(1)))


def flagged(before_s: float, after_s: float) -> list[int]:
    """Which of the captures 0, 1, 2 … quarters after midnight are marked."""
    rows = group([batch([(COUNT, later(DAY, place), 1) for place in range(8)])])
    change = (meter_id(0), DAY + timedelta(seconds=before_s), DAY + timedelta(seconds=after_s))
    marked = mark(rows, [change])
    assert rows.quality.tolist() == [0] * 8
    return [
        place
        for place, flags in enumerate(marked.quality.tolist())
        if flags == Quality.CLOCK_ADJUSTED
    ]


@pytest.mark.parametrize(
    ("before_s", "after_s", "places"),
    [
        (1000, 1060, [2]),  # the interval that ends at 00:30
        (1060, 1000, [2]),
        (900, 960, [1, 2]),  # set as the clock struck: both
        (1000, 2500, [2, 3]),  # forward over boundaries
        (2500, 1000, [2, 3]),  # back over boundaries: 00:30 comes twice
    ],
)
def test_what_a_change_touches(before_s: float, after_s: float, places: list[int]) -> None:
    assert flagged(before_s, after_s) == places


def test_only_profiles_of_this_meter_are_marked() -> None:
    rows = group([batch([(SPOT, later(DAY, 1), 1), (OTHER, later(DAY, 1), 1)])])
    assert mark(rows, [(meter_id(0), DAY, later(DAY, 2))]).quality.tolist() == [0, 0]
    assert mark(rows, []) is rows
