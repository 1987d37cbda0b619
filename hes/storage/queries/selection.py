"""Which channels a question is about: one, those of a meter, those of a group; what they hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import attrs
from psycopg import sql

from hes.domain.readings import ChannelKey
from hes.storage import channels
from hes.storage.channels import READING_TABLES, StoredChannel, StoredSeries
from hes.storage.database import Connection

_CHANNELS_OF_GROUP: Final = """
SELECT channel_id
FROM meter_group_member JOIN channel USING (meter_id)
WHERE group_id = %(group_id)s AND channel_id > %(after)s
  AND EXISTS (SELECT FROM series WHERE series.channel_id = channel.channel_id)
ORDER BY channel_id LIMIT %(limit)s
"""

EXTENTS: Final = sql.SQL(
    """
    SELECT wanted.series_id, first.captured_at, last.captured_at
    FROM unnest(%(series_ids)s::int4[]) AS wanted (series_id)
    CROSS JOIN LATERAL (
        SELECT captured_at FROM {table} AS row WHERE row.series_id = wanted.series_id
        ORDER BY captured_at LIMIT 1
    ) AS first
    CROSS JOIN LATERAL (
        SELECT captured_at FROM {table} AS row WHERE row.series_id = wanted.series_id
        ORDER BY captured_at DESC LIMIT 1
    ) AS last
    """
)


@attrs.frozen
class FoundChannel:
    """A channel with its series, oldest first, at least one."""

    channel_id: int
    key: ChannelKey
    series: tuple[StoredSeries, ...]


@attrs.frozen
class ChannelExtent:
    """A channel with scaler and unit of its latest series, and from when to when it holds rows."""

    channel_id: int
    key: ChannelKey
    scaler: int
    unit: int
    first_captured_at: datetime | None
    last_captured_at: datetime | None


def of_ids(connection: Connection, channel_ids: Collection[int]) -> Sequence[FoundChannel]:
    """These channels in the order of their ids, without those that there are not."""
    return _found(channels.select_by_id(connection, channel_ids))


def of_meters(connection: Connection, meter_ids: Collection[UUID]) -> Sequence[FoundChannel]:
    """All channels of these meters in the order of their ids."""
    return _found(channels.select(connection, meter_ids))


def of_group(
    connection: Connection, group_id: int, *, after: int = 0, limit: int = 1000
) -> Sequence[FoundChannel]:
    """
    A page of the channels of a group's meters, in the order of their ids.

    Args:
        after: only ids above this one: the last of the page before.
        limit: how many at most.
    """
    bounds = {"group_id": group_id, "after": after, "limit": limit}
    ids = [channel_id for (channel_id,) in connection.execute(_CHANNELS_OF_GROUP, bounds)]
    return of_ids(connection, ids)


def extents(connection: Connection, meter_id: UUID) -> Sequence[ChannelExtent]:
    """What a meter's channels hold, in the order in which they were first seen."""
    found = of_meters(connection, [meter_id])
    held: dict[int, tuple[datetime, datetime]] = {}
    for store, table in READING_TABLES.items():
        series_ids = [
            series.series_id
            for channel in found
            if channel.key.store is store
            for series in channel.series
        ]
        if series_ids:
            rows = connection.execute(EXTENTS.format(table=table), {"series_ids": series_ids})
            held.update({series_id: (first, last) for series_id, first, last in rows})
    return [_extent(channel, held) for channel in found]


def _extent(channel: FoundChannel, held: dict[int, tuple[datetime, datetime]]) -> ChannelExtent:
    spans = [held[one.series_id] for one in channel.series if one.series_id in held]
    return ChannelExtent(
        channel_id=channel.channel_id,
        key=channel.key,
        scaler=channel.series[-1].scaler,
        unit=channel.series[-1].unit,
        first_captured_at=min((first for first, _ in spans), default=None),
        last_captured_at=max((last for _, last in spans), default=None),
    )


def _found(stored: dict[ChannelKey, StoredChannel]) -> Sequence[FoundChannel]:
    found = [
        FoundChannel(channel.channel_id, key, channel.series)
        for key, channel in stored.items()
        if channel.series
    ]
    return sorted(found, key=lambda channel: channel.channel_id)
