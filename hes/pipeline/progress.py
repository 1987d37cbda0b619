"""
What a group of accepted rows says of each profile: how far it is read, which intervals we hold.

Pure. Rows without a profile (spot reads, pushes) say nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from hes.domain.quality import Quality
from hes.domain.readings import Int64Array, microseconds, moment
from hes.pipeline.group import Group
from hes.storage.marks import DayOfIntervals, Mark
from hes_protocol.cosem import Obis

_DAY_S: Final = 86_400
_DAY_US: Final = _DAY_S * 1_000_000
_EPOCH_DAY: Final = date(1970, 1, 1)


def marks(group: Group, now: datetime) -> Sequence[Mark]:
    """
    Per profile the latest instant, but none ahead of our own clock or of what was asked for.

    A meter whose clock is some minutes ahead and is then set back would otherwise have rows behind
    its mark that are never asked for; so would one that answers with later rows than it was asked.
    """
    latest = np.full(len(group.series), np.iinfo(np.int64).min)
    np.maximum.at(latest, group.series_index, group.captured_at)
    found: dict[tuple[UUID, Obis], int] = {}
    limit = microseconds(now)
    for index in np.flatnonzero(np.bincount(group.series_index)).tolist():
        channel = group.series[index].channel
        provenance = group.batches[group.batch_of_series[index]].provenance
        if channel.source is not None and not provenance.beside_mark:
            profile = (channel.meter_id, channel.source)
            asked_until = provenance.asked_until
            instant = min(int(latest[index]), limit)
            if asked_until is not None:
                instant = min(instant, microseconds(asked_until))
            found[profile] = max(instant, found.get(profile, instant))
    return [
        Mark(meter_id, source, moment(instant)) for (meter_id, source), instant in found.items()
    ]


def spans(group: Group) -> Sequence[tuple[datetime, datetime] | None]:
    """Per batch its first and last instant; None for a batch without rows."""
    first = np.full(len(group.batches), np.iinfo(np.int64).max)
    last = np.full(len(group.batches), np.iinfo(np.int64).min)
    np.minimum.at(first, group.batch_index, group.captured_at)
    np.maximum.at(last, group.batch_index, group.captured_at)
    return [
        (moment(begin), moment(end)) if begin <= end else None
        for begin, end in zip(first.tolist(), last.tolist(), strict=True)
    ]


def intervals(group: Group) -> Sequence[DayOfIntervals]:
    """
    Per profile and UTC day the intervals that the rows stand for.

    An interval that the meter reports as missing counts: there is nothing more to be had. A row
    that is off the grid (a short interval) does not. Profiles whose period does not divide the day
    have no grid here.
    """
    grids: dict[tuple[UUID, Obis, int], int] = {}
    grid_of_series = np.full(len(group.series), -1, np.int32)
    for index, series in enumerate(group.series):
        channel = series.channel
        period_s = channel.capture_period_s
        if channel.source is not None and 0 < period_s <= _DAY_S and _DAY_S % period_s == 0:
            grid = (channel.meter_id, channel.source, period_s)
            grid_of_series[index] = grids.setdefault(grid, len(grids))
    if not grids:
        return []
    grid_of_row = grid_of_series[group.series_index]
    rows = (grid_of_row >= 0) & (group.quality & int(Quality.OFF_GRID) == 0)
    periods_s = np.array([period_s for _, _, period_s in grids], np.int64)
    profiles = list(grids)
    return [
        DayOfIntervals(*profiles[grid], _EPOCH_DAY + timedelta(days=day), _bits(slots, period_s))
        for grid, day, slots in _slots(grid_of_row[rows], group.captured_at[rows], periods_s)
        for period_s in (profiles[grid][2],)
    ]


def _slots(
    grid: npt.NDArray[np.int32], captured_at: Int64Array, periods_s: Int64Array
) -> Iterator[tuple[int, int, Int64Array]]:
    """Yield per grid and UTC day (counted from 1970) the numbers of its intervals."""
    if not len(grid):
        return
    day = captured_at // _DAY_US
    slot = captured_at % _DAY_US // (periods_s[grid] * 1_000_000)
    first_day = int(day.min())
    days = int(day.max()) - first_day + 1
    # One number per interval: sorting plain integers is much faster than sorting triples.
    code = np.unique((grid * np.int64(days) + (day - first_day)) * _DAY_S + slot)
    grid_and_day = code // _DAY_S
    starts = np.flatnonzero(np.diff(grid_and_day, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(code)]):
        which, offset = divmod(int(grid_and_day[start]), days)
        yield which, first_day + offset, code[start:end] % _DAY_S


def _bits(slots: Int64Array, period_s: int) -> str:
    bits = np.full(_DAY_S // period_s, ord("0"), np.uint8)
    bits[slots] = ord("1")
    return bits.tobytes().decode("ascii")
