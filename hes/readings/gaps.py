"""
Gaps on a channel's grid: the instants at which a profile should have a value and nothing is held.

The grid is that of completeness and of roll-ups: multiples of the capture period since midnight
UTC, for periods that divide the day. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs
import numpy as np

from hes.domain.readings import BoolArray, Int64Array, microseconds
from hes.storage.queries.columns import CurrentColumns

_DAY_S: Final = 86_400


@attrs.frozen(eq=False)
class FilledColumns:
    """
    The rows of `columns`, to which an empty one was added where `gap` says so.

    A gap is null, with quality 0 and without scaler and unit; a null that is no gap is what the
    meter itself has said.
    """

    columns: CurrentColumns
    gap: BoolArray


def fill_gaps(
    columns: CurrentColumns,
    channel_id: int,
    capture_period_s: int,
    from_: datetime,
    to: datetime,
) -> FilledColumns:
    """
    Add a row for every instant of the grid in [from_, to) that a channel's rows lack.

    Args:
        columns: rows of the channel within the range; those off the grid stay.
        capture_period_s: 0, or a period that does not divide the day: there is no grid.
    """
    if not capture_period_s or _DAY_S % capture_period_s:
        return FilledColumns(columns, np.zeros(len(columns), np.bool_))
    step = capture_period_s * 1_000_000
    first = -(-microseconds(from_) // step) * step
    grid: Int64Array = np.arange(first, microseconds(to), step, dtype=np.int64)
    lacking = grid[np.isin(grid, columns.captured_at, assume_unique=True, invert=True)]
    count = len(lacking)
    empty = np.empty(count, columns.value.dtype)
    empty.fill("" if columns.value.dtype == object else 0)
    nothing = np.zeros(count, np.int32)
    both = CurrentColumns(
        store=columns.store,
        channel_id=np.concatenate([columns.channel_id, np.full(count, channel_id, np.int32)]),
        captured_at=np.concatenate([columns.captured_at, lacking]),
        value=np.concatenate([columns.value, empty]),
        null=np.concatenate([columns.null, np.ones(count, np.bool_)]),
        quality=np.concatenate([columns.quality, nothing]),
        scaler=np.concatenate([columns.scaler, nothing]),
        unit=np.concatenate([columns.unit, nothing]),
        revised=np.concatenate([columns.revised, np.zeros(count, np.bool_)]),
    )
    order = np.argsort(both.captured_at, kind="stable")
    gap = np.concatenate([np.zeros(len(columns), np.bool_), np.ones(count, np.bool_)])
    return FilledColumns(both.select(order), gap[order])
