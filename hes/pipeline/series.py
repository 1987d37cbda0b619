"""
Which series a row goes to.

A raw value means something only with its scaler and unit, so the rule asks where these come from:

- Spot reads and pushes bring scaler and unit together with the value, or from what the device
  always means: the row goes to the channel's series with that scaler and unit, which is made if
  there is none.
- Rows of a profile bring none. What the batch states is what the register says *today*, while the
  buffer holds raw values as they were captured. A row goes to the stated series if that was valid
  by then; a late row, from before, goes to the series that was valid at its `captured_at`.
- A scaler and unit that a profile's channel has not had make a new series, valid from the earliest
  row that is later than all rows stored. If there is no such row (an old stretch read again),
  nothing is made, and the rows are late ones.

A channel has one series per scaler and unit, however often a meter goes to and fro: a device that
changes its scaler with every push makes two series, not thousands. After a profile's channel went
from A to B and back to A, rows of the time in B that are read only then count as A; no meter is
known to do this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain.readings import (
    ChannelKey,
    Int32Array,
    Int64Array,
    SeriesKey,
    SourceKind,
    microseconds,
    moment,
)
from hes.pipeline.group import Group
from hes.storage import channels
from hes.storage.channels import ALWAYS, NewSeries, StoredChannel, StoredSeries
from hes.storage.database import Connection

_NEVER: Final = 2**63 - 1
_CACHED_CHANNELS: Final = 200_000

Channels = dict[ChannelKey, StoredChannel]


@attrs.frozen(eq=False)
class Resolved:
    """
    Where each row goes to: channel, series, and that series' scaler and unit.

    `channels` is what the cache may keep once the transaction is committed.
    """

    channel_id: Int32Array
    series_id: Int32Array
    scaler: Int32Array
    unit: Int32Array
    channels: Channels


class SeriesCache:
    """
    What is committed about channels, kept between transactions. One thread at a time.

    Rows of `channel` and `series` are never changed or removed, so what is here is never wrong,
    only incomplete; `clear` it when the database may be another one (restored, failed over).
    """

    def __init__(self) -> None:
        self._channels: Channels = {}

    def find(self, keys: Iterable[ChannelKey]) -> Channels:
        """Those of `keys` that are known."""
        # Under the asker's own objects, so that it finds them again by identity.
        found = ((key, self._channels.get(key)) for key in dict.fromkeys(keys))
        return {key: channel for key, channel in found if channel is not None}

    def keep(self, channels: Mapping[ChannelKey, StoredChannel]) -> None:
        """Remember what a transaction has found or made, once it is committed."""
        if len(self._channels) + len(channels) > _CACHED_CHANNELS:
            self._channels.clear()
        self._channels.update(channels)

    def clear(self) -> None:
        """Forget everything."""
        self._channels.clear()


def find(connection: Connection, group: Group, cache: SeriesCache) -> Channels:
    """Those channels of a group's rows that there are; the table is asked for new ones only."""
    wanted = [group.series[index] for index in _used(group)]
    known = cache.find(series.channel for series in wanted)
    unknown = [series for series in wanted if not _holds(known, series)]
    if unknown:
        known.update(_find(connection, unknown))
    return known


def surplus(connection: Connection, group: Group, known: Channels, limit: int) -> Sequence[int]:
    """
    Which of a group's series must not be made, because their meters would have too many.

    What a push names is made, and nobody else bounds it: one frame holds thousands of names.

    Args:
        known: what `find` found.
        limit: how many series a meter may have, over all its channels.

    Returns:
        Their indexes.
    """
    lacking = [index for index in _used(group) if not _holds(known, group.series[index])]
    if not lacking:
        return []
    meters = _meters(group.series[index].channel for index in lacking)
    counts = channels.count_series(connection, meters)
    room = {meter_id: limit - counts.get(meter_id, 0) for meter_id in meters}
    planned: set[SeriesKey] = set()
    refused = []
    for index in lacking:
        series = group.series[index]
        if series in planned:
            continue
        if room[series.channel.meter_id] > 0:
            room[series.channel.meter_id] -= 1
            planned.add(series)
        else:
            refused.append(index)
    return refused


def resolve(connection: Connection, group: Group, known: Channels) -> Resolved:
    """
    Find the series of each row; channels and series that are missing are made.

    Args:
        group: accepted rows only: every meter is known.
        known: what `find` found.

    Raises:
        psycopg.errors.ForeignKeyViolation: a meter was removed meanwhile.
    """
    used = _used(group)
    unknown = [group.series[index] for index in used if not _holds(known, group.series[index])]
    if unknown:
        absent = {series.channel for series in unknown} - known.keys()
        if absent:
            channels.insert(connection, absent)
            known.update(_find(connection, unknown))
        new = _new_series(connection, group, used, known)
        if new:
            channels.insert_series(connection, new)
            known.update(_find(connection, unknown))
    return _assign(connection, group, used, known)


def _used(group: Group) -> list[int]:
    used: list[int] = np.flatnonzero(np.bincount(group.series_index)).tolist()
    return used


def _holds(known: Channels, series: SeriesKey) -> bool:
    channel = known.get(series.channel)
    return channel is not None and channel.find(series.scaler, series.unit) is not None


def _find(connection: Connection, wanted: Iterable[SeriesKey]) -> Channels:
    return channels.find(connection, list({series.channel for series in wanted}))


def _meters(keys: Iterable[ChannelKey]) -> set[UUID]:
    return {key.meter_id for key in keys}


def _new_series(
    connection: Connection, group: Group, used: list[int], known: Channels
) -> list[NewSeries]:
    """Plan the series that rows state and channels lack, the earliest rows first."""
    earliest = np.full(len(group.series), _NEVER, np.int64)
    np.minimum.at(earliest, group.series_index, group.captured_at)
    lacking = [index for index in used if not _holds(known, group.series[index])]
    lacking.sort(key=lambda index: int(earliest[index]))
    planned: dict[tuple[int, int, int], NewSeries] = {}
    begun = {channel.channel_id for channel in known.values() if channel.series}
    for index in lacking:
        stated = group.series[index]
        channel = known[stated.channel]
        version = (channel.channel_id, stated.scaler, stated.unit)
        if version in planned:
            continue
        if channel.channel_id not in begun:
            begun.add(channel.channel_id)
            planned[version] = NewSeries(*version, valid_from=None)
            continue
        begins = int(earliest[index])
        if _kind(group, index) is SourceKind.PROFILE:
            captured_at = group.captured_at[group.series_index == index]
            later = captured_at[captured_at > _last_stored(connection, stated, channel)]
            begins = int(later.min(initial=_NEVER))
        if begins != _NEVER:
            planned[version] = NewSeries(*version, valid_from=moment(begins))
    return list(planned.values())


def _kind(group: Group, index: int) -> SourceKind:
    return group.batches[int(group.batch_of_series[index])].provenance.kind


def _last_stored(connection: Connection, stated: SeriesKey, channel: StoredChannel) -> int:
    ids = [series.series_id for series in channel.series]
    last = channels.last_captured(connection, stated.channel.store, ids)
    return ALWAYS if last is None else microseconds(last)


def _assign(connection: Connection, group: Group, used: list[int], known: Channels) -> Resolved:
    # Per series of the group: channel, series, scaler, unit; and when it begins.
    target = np.zeros((len(group.series), 4), np.int32)
    begins = np.full(len(group.series), ALWAYS, np.int64)
    for index in used:
        stated = group.series[index]
        channel = known[stated.channel]
        series = channel.find(stated.scaler, stated.unit)
        if series is None:
            begins[index] = _NEVER
        else:
            target[index] = _columns(channel, series)
            if _kind(group, index) is SourceKind.PROFILE:
                begins[index] = series.valid_from
    assigned = target[group.series_index]
    late = group.captured_at < begins[group.series_index]
    if late.any():
        late_series = np.unique(group.series_index[late]).tolist()
        # Another process may have made a series that was valid then: ask, do not rely on a cache.
        known.update(_find(connection, [group.series[index] for index in late_series]))
        for index in late_series:
            rows = late & (group.series_index == index)
            channel = known[group.series[index].channel]
            assigned[rows] = _valid_at(channel, group.captured_at[rows])
    channel_id, series_id, scaler, unit = (np.ascontiguousarray(one) for one in assigned.T)
    return Resolved(channel_id, series_id, scaler, unit, known)


def _columns(channel: StoredChannel, series: StoredSeries) -> tuple[int, int, int, int]:
    return channel.channel_id, series.series_id, series.scaler, series.unit


def _valid_at(channel: StoredChannel, captured_at: Int64Array) -> Int32Array:
    """Per instant the columns of the series that was valid: the last that begins by then."""
    begins = np.array([series.valid_from for series in channel.series], np.int64)
    columns = np.array([_columns(channel, series) for series in channel.series], np.int32)
    position = np.searchsorted(begins, captured_at, side="right") - 1
    return columns[np.maximum(position, 0)]
