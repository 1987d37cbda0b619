"""Gaps on a channel's grid."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hes.domain.readings import ValueStore, microseconds, moment
from hes.readings.gaps import fill_gaps
from hes.storage.queries.columns import CurrentColumns

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
EMPTY = {ValueStore.INTEGER: 0, ValueStore.FLOAT: 0.0, ValueStore.TEXT: ""}


def columns(instants: list[datetime], store: ValueStore = ValueStore.INTEGER) -> CurrentColumns:
    """Rows of channel 7: values 1, 2, 3 …, the second of which is a null of the meter's."""
    count = len(instants)
    kind = {ValueStore.INTEGER: np.int64, ValueStore.FLOAT: np.float64, ValueStore.TEXT: object}
    value = np.arange(1, count + 1).astype(kind[store])
    if store is ValueStore.TEXT:
        value[:] = [str(each) for each in value]
    return CurrentColumns(
        store,
        np.full(count, 7, np.int32),
        np.array([microseconds(at) for at in instants], np.int64),
        value,
        np.arange(count) == 1,
        np.full(count, 4, np.int32),
        np.full(count, -1, np.int32),
        np.full(count, 30, np.int32),
        np.ones(count, np.bool_),
    )


@pytest.mark.parametrize("store", ValueStore)
def test_what_is_not_held_is_a_gap_and_what_the_meter_lacks_is_not(store: ValueStore) -> None:
    held = columns([BEGIN, BEGIN + 2 * QUARTER], store)
    filled = fill_gaps(held, 7, 900, BEGIN, BEGIN + 4 * QUARTER)
    assert [moment(at) for at in filled.columns.captured_at.tolist()] == [
        BEGIN + number * QUARTER for number in range(4)
    ]
    assert filled.gap.tolist() == [False, True, False, True]
    assert filled.columns.null.tolist() == [False, True, True, True]
    assert filled.columns.value[filled.gap].tolist() == [EMPTY[store]] * 2
    assert filled.columns.value[~filled.gap].tolist() == held.value.tolist()
    assert filled.columns.quality.tolist() == [4, 0, 4, 0]
    assert set(filled.columns.channel_id.tolist()) == {7}
    assert filled.columns.store is store


def test_rows_off_the_grid_stay_and_fill_nothing() -> None:
    held = columns([BEGIN + timedelta(minutes=7)])
    filled = fill_gaps(held, 7, 900, BEGIN, BEGIN + 2 * QUARTER)
    assert filled.gap.tolist() == [True, False, True]


def test_the_range_is_half_open_and_need_not_begin_on_the_grid() -> None:
    filled = fill_gaps(columns([]), 7, 900, BEGIN - timedelta(minutes=1), BEGIN + QUARTER)
    assert [moment(at) for at in filled.columns.captured_at.tolist()] == [BEGIN]


@pytest.mark.parametrize("period_s", [0, 7 * 60 + 1, 2_592_000])
def test_without_a_grid_nothing_is_missing(period_s: int) -> None:
    filled = fill_gaps(columns([BEGIN]), 7, period_s, BEGIN, BEGIN + timedelta(days=40))
    assert filled.gap.tolist() == [False]


@pytest.mark.parametrize(("day", "quarters"), [(29, 92), (28, 96)])
def test_a_local_day_has_as_many_quarters_as_its_clock(day: int, quarters: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin, end = datetime(2026, 3, day, tzinfo=berlin), datetime(2026, 3, day + 1, tzinfo=berlin)
    filled = fill_gaps(columns([]), 7, 900, begin, end)
    assert len(filled.gap) == quarters
    assert filled.gap.all()
