from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from hes.domain.readings import IntegerRows, OtherRow, ReadingBatch, ValueStore
from hes.pipeline.group import check, group
from tests.batches import DAY, IMPORT, batch, channel, later, meter_id, series

COUNT = series(channel(meter_id(0)))
TEXT = series(channel(meter_id(0), store=ValueStore.TEXT))


def test_rows_of_all_batches_integers_first() -> None:
    first = batch([(COUNT, DAY, 1), (TEXT, DAY, "a"), (COUNT, later(DAY, 1), None)])
    second = batch([(TEXT, DAY, "b"), (COUNT, DAY, 3)])
    together = group([first, second])
    assert len(together) == 5
    assert together.integer_rows == 3
    assert [together.value_of(row) for row in range(5)] == [1, None, 3, "a", "b"]
    assert together.batch_index.tolist() == [0, 0, 1, 0, 1]
    stated = [together.series[index] for index in together.series_index]
    assert stated == [COUNT, COUNT, COUNT, TEXT, TEXT]


def test_selected_rows_keep_their_order() -> None:
    together = group([batch([(COUNT, DAY, 1), (TEXT, DAY, "a"), (COUNT, later(DAY, 1), 2)])])
    some = together.select(np.array([False, True, True]))
    assert [some.value_of(row) for row in range(len(some))] == [2, "a"]
    assert together.select(np.ones(3, np.bool_)) is together


def test_a_batch_without_rows() -> None:
    empty = ReadingBatch(
        batch_key=meter_id(9),
        series=(),
        integers=IntegerRows.empty(),
        others=(),
        provenance=batch([(COUNT, DAY, 1)]).provenance,
    )
    check(empty)
    assert len(group([empty, batch([(COUNT, DAY, 1)])])) == 1


def shorten(rows: IntegerRows) -> IntegerRows:
    return attrs.evolve(rows, value=rows.value[:-1])


def point_at(index: int) -> Callable[[IntegerRows], IntegerRows]:
    return lambda rows: attrs.evolve(rows, series_index=np.full(len(rows), index, np.int32))


@pytest.mark.parametrize("spoil", [shorten, point_at(1), point_at(-1)])
def test_a_batch_that_its_maker_got_wrong(spoil: Callable[[IntegerRows], Any]) -> None:
    good = batch([(COUNT, DAY, 1)])
    with pytest.raises(ValueError, match="batch"):
        check(attrs.evolve(good, integers=spoil(good.integers)))


def test_another_row_that_points_nowhere() -> None:
    good = batch([(series(channel(meter_id(0), IMPORT, store=ValueStore.TEXT)), DAY, "a")])
    with pytest.raises(ValueError, match="points to no series"):
        check(attrs.evolve(good, others=[OtherRow(1, 0, "a", 0)]))
