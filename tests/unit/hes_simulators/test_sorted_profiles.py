"""Profiles sorted by a column: which rows a buffer holds, and in which order they are read."""

from __future__ import annotations

from datetime import timedelta

import attrs
import numpy as np
import pytest

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CaptureObject, EntrySelection, Obis
from hes_protocol.models.objects import ModelProfile, Sort
from hes_simulators.known_models import simulated_model
from tests.unit.hes_simulators.living import PROFILE, START, Hands, hands

POWER = CaptureObject(3, Obis.parse("1.0.1.7.0.255"), 2)
CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
NOTHING = Data(DataTag.INTEGER, 0)


def sorting(sort: Sort, by: CaptureObject | None, entries: int = 10) -> Hands:
    """A meter whose load profile has clock and power, in that order."""
    found = simulated_model("idis-single-phase").profiles[Obis.parse(PROFILE[1])]
    assert isinstance(found, ModelProfile)
    columns = (CLOCK, POWER)
    one = attrs.evolve(found, sort=sort, sort_object=by, entries=entries, capture_objects=columns)
    meter = hands(more=(one,))
    assert meter.act(PROFILE, 1, NOTHING) == 0
    return meter.after(days=2)


@pytest.mark.parametrize("sort", [one for one in Sort if one.by_value])
def test_the_buffer_holds_the_most_interesting_rows(sort: Sort) -> None:
    one, usual = sorting(sort, POWER), sorting(Sort.FIFO, None, entries=400)
    far = sort in (Sort.LARGEST, Sort.FARTHEST_FROM_ZERO)
    everything = usual.rows()
    assert len(everything) == 192
    wanted = sorted(everything, key=lambda row: -row[1] if far else row[1])  # the older first
    assert one.rows() == wanted[:10]
    assert one.value(PROFILE, 5) == sort.code
    assert one.get(PROFILE, 6) == POWER.to_data()
    assert one.value(PROFILE, 7) == 10
    part = one.value(PROFILE, selection=EntrySelection(3, 5, 2, 2))
    assert [row.value[0].value for row in part] == [row[1] for row in wanted[2:5]]


def test_sorted_by_the_clock_the_newest_are_held_first() -> None:
    one, usual = sorting(Sort.LARGEST, CLOCK), sorting(Sort.LIFO, None)
    assert one.rows() == usual.rows()
    assert usual.rows()[0][0] > usual.rows()[1][0]


def test_a_row_that_a_client_captures_finds_its_place() -> None:
    one = sorting(Sort.LARGEST, POWER).after(minutes=7)
    before = one.rows()
    one.meter.draw(20_000, one.now, until=one.now + timedelta(minutes=1))
    one.after(seconds=30)
    assert one.act(PROFILE, 2, NOTHING) == 0
    rows = one.rows()
    assert rows[0][1] > 20_000
    assert rows[1:] == before[:9]
    assert np.diff([row[1] for row in rows]).max() <= 0
    assert min(row[0] for row in rows) > START
