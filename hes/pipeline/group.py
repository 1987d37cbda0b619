"""
Several batches laid end to end, so that one transaction and one pass over arrays serve them all.

Rows are numbered through: the integers of all batches first, then the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from hes.domain.readings import BoolArray, Int32Array, Int64Array, ReadingBatch, SeriesKey

Value = int | float | str | None


@attrs.frozen(eq=False)
class Group:
    """
    Batches with their rows as parallel arrays.

    `series` are those of all batches one after another, `batch_of_series` tells whose each is, and
    `series_index` per row points into it. `value` and `null` cover the integer rows only, `others`
    the rows after them.
    """

    batches: tuple[ReadingBatch, ...]
    series: tuple[SeriesKey, ...]
    batch_of_series: Int32Array
    series_index: Int32Array
    captured_at: Int64Array
    quality: Int32Array
    value: Int64Array
    null: BoolArray
    others: tuple[Value, ...]

    def __len__(self) -> int:
        return len(self.captured_at)

    @property
    def integer_rows(self) -> int:
        """How many rows, from the first on, hold integers."""
        return len(self.value)

    @property
    def batch_index(self) -> Int32Array:
        """Per row the index of its batch."""
        return self.batch_of_series[self.series_index]

    def value_of(self, row: int) -> Value:
        """The raw value of one row."""
        if row >= self.integer_rows:
            return self.others[row - self.integer_rows]
        return None if self.null[row] else int(self.value[row])

    def select(self, rows: BoolArray) -> Group:
        """The same batches and series with some of the rows."""
        if rows.all():
            return self
        integers = rows[: self.integer_rows]
        others = rows[self.integer_rows :].tolist()
        return attrs.evolve(
            self,
            series_index=self.series_index[rows],
            captured_at=self.captured_at[rows],
            quality=self.quality[rows],
            value=self.value[integers],
            null=self.null[integers],
            others=tuple(v for v, wanted in zip(self.others, others, strict=True) if wanted),
        )


def check(batch: ReadingBatch) -> None:
    """
    See that a batch is well-formed.

    Raises:
        ValueError: arrays of different length, or an index that points to no series: a fault of
            the program that made it, not of a meter.
    """
    rows = batch.integers
    columns = (rows.series_index, rows.captured_at, rows.value, rows.null, rows.quality)
    if len({len(column) for column in columns}) != 1:
        raise ValueError("columns of a batch differ in length")
    indexes = [*(int(i) for i in _extremes(rows.series_index)), *_other_indexes(batch)]
    if any(not 0 <= index < len(batch.series) for index in indexes):
        raise ValueError("a row of a batch points to no series")


def _extremes(array: Int32Array) -> Sequence[int]:
    return (array.min(), array.max()) if len(array) else ()


def _other_indexes(batch: ReadingBatch) -> Sequence[int]:
    return [row.series_index for row in batch.others]


def group(batches: Sequence[ReadingBatch]) -> Group:
    """Lay batches end to end, in their order."""
    sizes = [len(batch.series) for batch in batches]
    offsets = np.cumsum([0, *sizes[:-1]])
    others = [
        (row.series_index + offset, row)
        for batch, offset in zip(batches, offsets.tolist(), strict=True)
        for row in batch.others
    ]
    integers = [batch.integers for batch in batches]
    return Group(
        batches=tuple(batches),
        series=tuple(series for batch in batches for series in batch.series),
        batch_of_series=np.repeat(np.arange(len(batches), dtype=np.int32), sizes),
        series_index=np.concatenate(
            [
                *(
                    rows.series_index + np.int32(offset)
                    for rows, offset in zip(integers, offsets, strict=True)
                ),
                np.array([index for index, _ in others], np.int32),
            ],
            dtype=np.int32,
        ),
        captured_at=np.concatenate(
            [
                *(rows.captured_at for rows in integers),
                np.array([row.captured_at for _, row in others], np.int64),
            ]
        ),
        quality=np.concatenate(
            [
                *(rows.quality for rows in integers),
                np.array([row.quality for _, row in others], np.int32),
            ]
        ),
        value=np.concatenate([rows.value for rows in integers]),
        null=np.concatenate([rows.null for rows in integers]),
        others=tuple(row.value for _, row in others),
    )
