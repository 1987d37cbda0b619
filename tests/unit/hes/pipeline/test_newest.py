"""What a transaction says of each channel's latest instant."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hes.pipeline.committed import Committed
from hes.pipeline.newest import newest
from hes.storage.cache import NewValue

ONE, TWO = UUID(int=1), UUID(int=2)
METER_OF = {1: ONE, 2: ONE, 3: TWO}

Row = tuple[int, int, int | float | str | None]


def committed(integers: Sequence[Row], others: Sequence[Row] = ()) -> Committed:
    """Rows of (channel, instant, value); series is the channel's id plus 100."""
    rows = [*integers, *others]
    return Committed(
        receipts=(),
        channel_id=np.array([row[0] for row in rows], np.int32),
        series_id=np.array([row[0] + 100 for row in rows], np.int32),
        captured_at=np.array([row[1] for row in rows], np.int64),
        quality=np.full(len(rows), 4, np.int32),
        value=np.array([row[2] or 0 for row in integers], np.int64),
        null=np.array([row[2] is None for row in integers], np.bool_),
        others=tuple(row[2] for row in others),
        scaler=np.full(len(rows), -1, np.int32),
        unit=np.full(len(rows), 30, np.int32),
    )


def test_the_latest_row_of_each_channel() -> None:
    rows = [(1, 5, 50), (3, 9, 2**62), (1, 7, 70), (1, 6, 60), (2, 1, None)]
    assert newest(committed(rows), METER_OF) == {
        ONE: [NewValue(1, 7, "101:-1:30:4:i70"), NewValue(2, 1, "102:-1:30:4:n")],
        TWO: [NewValue(3, 9, "103:-1:30:4:i4611686018427387904")],
    }


def test_floats_and_texts_stand_behind_the_integers() -> None:
    found = newest(committed([(1, 5, 50)], [(3, 9, "a:b"), (2, 9, 0.1), (3, 10, None)]), METER_OF)
    assert found == {
        ONE: [NewValue(1, 5, "101:-1:30:4:i50"), NewValue(2, 9, "102:-1:30:4:f0.1")],
        TWO: [NewValue(3, 10, "103:-1:30:4:n")],
    }


def test_nothing_accepted() -> None:
    assert newest(committed([]), METER_OF) == {}


def test_two_values_of_a_latest_instant_are_doubtful() -> None:
    rows = [(1, 5, 50), (1, 5, 51), (3, 5, 1), (3, 5, 1)]
    found = newest(committed(rows), METER_OF)
    assert found == {ONE: None, TWO: [NewValue(3, 5, "103:-1:30:4:i1")]}
    # Not of an earlier one, and however many say the same.
    assert newest(committed([*rows, (1, 6, 60)]), METER_OF)[ONE] == [
        NewValue(1, 6, "101:-1:30:4:i60")
    ]
    assert newest(committed([(1, 5, 50), (1, 5, 51), (1, 5, 51)]), METER_OF)[ONE] is None


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 4), st.sampled_from([7, 8, None])),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_as_a_plain_model_says(rows: list[Row], cut: int) -> None:
    found = newest(committed(rows[:cut], rows[cut:]), METER_OF)
    for meter_id in (ONE, TWO):
        expected, doubtful = [], False
        for channel in sorted({row[0] for row in rows if METER_OF[row[0]] == meter_id}):
            last = max(row[1] for row in rows if row[0] == channel)
            said = {row[2] for row in rows if row[:2] == (channel, last)}
            doubtful = doubtful or len(said) > 1
            expected.append((channel, last))
        if doubtful:
            assert found[meter_id] is None
        else:
            new = found.get(meter_id, [])
            assert new is not None
            assert [(one.channel_id, one.captured_at) for one in new] == expected
