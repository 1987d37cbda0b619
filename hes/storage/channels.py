"""Channels and their series: found first, inserted only when missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
from psycopg import sql

from hes.domain.readings import (
    ChannelKey,
    SeriesKey,
    StampedAt,
    ValueKind,
    ValueStore,
    microseconds,
)
from hes.storage.database import Connection
from hes_protocol.cosem import Obis

ALWAYS: Final = -(2**63)
"""`StoredSeries.valid_from` of a channel's first series: -infinity."""

READING_TABLES: Final = {
    ValueStore.INTEGER: sql.Identifier("reading"),
    ValueStore.FLOAT: sql.Identifier("reading_float"),
    ValueStore.TEXT: sql.Identifier("reading_text"),
}

_COLUMNS = """
channel_id, meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index,
kind, stamped_at, store, series_id, scaler, unit,
CASE WHEN isfinite(valid_from) THEN valid_from END
"""

_SELECT = f"""
SELECT {_COLUMNS} FROM channel LEFT JOIN series USING (channel_id)
WHERE meter_id = ANY (%s)
ORDER BY channel_id, valid_from, series_id
"""  # noqa: S608 - constants only

_SELECT_BY_ID = f"""
SELECT {_COLUMNS} FROM channel LEFT JOIN series USING (channel_id)
WHERE channel_id = ANY (%s)
ORDER BY channel_id, valid_from, series_id
"""  # noqa: S608 - constants only

_KEYS = """
unnest(%s::uuid[], %s::bytea[], %s::int4[], %s::bytea[], %s::int4[], %s::int2[],
       %s::int4[], %s::text[], %s::text[], %s::text[])
    AS new (meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index, kind,
            stamped_at, store)
"""

# In two halves, since no index serves IS NOT DISTINCT FROM.
_FIND = f"""
WITH wanted AS MATERIALIZED (SELECT * FROM {_KEYS})
SELECT {_COLUMNS} FROM (
    SELECT channel.* FROM wanted JOIN channel USING (
        meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index, kind,
        stamped_at, store)
    UNION ALL
    SELECT channel.* FROM wanted JOIN channel USING (
        meter_id, capture_period_s, obis, class_id, attribute_index, data_index, kind, stamped_at,
        store)
    WHERE wanted.source IS NULL AND channel.source IS NULL
) AS channel LEFT JOIN series USING (channel_id)
ORDER BY channel_id, valid_from, series_id
"""  # noqa: S608 - constants only

_COUNT = """
SELECT meter_id, count(*) FROM channel LEFT JOIN series USING (channel_id)
WHERE meter_id = ANY (%s) GROUP BY meter_id
"""

# ON CONFLICT burns an id per conflict, so this is only for what a SELECT did not find; whoever
# inserts the same at the same time is waited for, and the next SELECT finds it.
_INSERT_CHANNELS = f"""
INSERT INTO channel (meter_id, source, capture_period_s, obis, class_id, attribute_index,
                     data_index, kind, stamped_at, store)
SELECT * FROM {_KEYS}
ORDER BY meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index, kind,
         stamped_at, store
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only

_INSERT_SERIES = """
INSERT INTO series (channel_id, scaler, unit, valid_from)
SELECT channel_id, scaler, unit, coalesce(valid_from, '-infinity')
FROM unnest(%s::int4[], %s::int2[], %s::int2[], %s::timestamptz[])
    AS new (channel_id, scaler, unit, valid_from)
ORDER BY channel_id, scaler, unit
ON CONFLICT DO NOTHING
"""

_LAST_CAPTURED = sql.SQL(
    """
    SELECT max(latest.captured_at)
    FROM unnest(%s::int4[]) AS wanted (series_id)
    CROSS JOIN LATERAL (
        SELECT captured_at FROM {table} AS row WHERE row.series_id = wanted.series_id
        ORDER BY captured_at DESC LIMIT 1
    ) AS latest
    """
)


@attrs.frozen
class StoredSeries:
    """One version of a channel; `valid_from` in microseconds since 1970 UTC, or `ALWAYS`."""

    series_id: int
    scaler: int
    unit: int
    valid_from: int


@attrs.frozen
class StoredChannel:
    """A channel with its versions, oldest first."""

    channel_id: int
    series: tuple[StoredSeries, ...]

    def find(self, scaler: int, unit: int) -> StoredSeries | None:
        """The version with this scaler and unit, None if there is none."""
        for series in self.series:
            if series.scaler == scaler and series.unit == unit:
                return series
        return None


@attrs.frozen
class NewSeries:
    """A version to be inserted; `valid_from` None is -infinity."""

    channel_id: int
    scaler: int
    unit: int
    valid_from: datetime | None


def commissioned(connection: Connection, meter_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """When these meters were commissioned; those that nobody knows are missing."""
    rows = connection.execute(
        "SELECT meter_id, commissioned_at FROM meter WHERE meter_id = ANY (%s)", (list(meter_ids),)
    )
    return dict(rows.fetchall())


def select(connection: Connection, meter_ids: Collection[UUID]) -> dict[ChannelKey, StoredChannel]:
    """All channels of these meters."""
    return _channels(connection.execute(_SELECT, (list(meter_ids),)).fetchall())


def select_by_id(
    connection: Connection, channel_ids: Collection[int]
) -> dict[ChannelKey, StoredChannel]:
    """Those of these channels that there are."""
    return _channels(connection.execute(_SELECT_BY_ID, (list(channel_ids),)).fetchall())


def find(connection: Connection, keys: Collection[ChannelKey]) -> dict[ChannelKey, StoredChannel]:
    """Those of these channels that there are."""
    return _channels(connection.execute(_FIND, _arrays(keys)))


def meters_of(connection: Connection, channel_ids: Sequence[int]) -> dict[int, UUID]:
    """Whose these channels are."""
    rows = connection.execute(
        "SELECT channel_id, meter_id FROM channel WHERE channel_id = ANY (%s)", (list(channel_ids),)
    )
    return dict(rows.fetchall())


def keys_of(connection: Connection, channel_ids: Sequence[int]) -> dict[int, ChannelKey]:
    """What these channels are, by id; those that are not there are missing."""
    rows = connection.execute(
        "SELECT channel_id, meter_id, source, capture_period_s, obis, class_id, attribute_index,"
        " data_index, kind, stamped_at, store FROM channel WHERE channel_id = ANY (%s)",
        (list(channel_ids),),
    )
    return {row[0]: channel_key(row[1:]) for row in rows}


def count_series(connection: Connection, meter_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many series these meters have, a channel without any for one; none: missing."""
    return dict(connection.execute(_COUNT, (list(meter_ids),)).fetchall())


def _channels(rows: Iterable[Sequence[Any]]) -> dict[ChannelKey, StoredChannel]:
    found: dict[int, tuple[ChannelKey, list[StoredSeries]]] = {}
    for row in rows:
        channel = found.get(row[0])
        if channel is None:
            channel = found[row[0]] = (channel_key(row[1:11]), [])
        series_id, scaler, unit, valid_from = row[11:]
        if series_id is not None:
            since = ALWAYS if valid_from is None else microseconds(valid_from)
            channel[1].append(StoredSeries(series_id, scaler, unit, since))
    return {
        key: StoredChannel(channel_id, tuple(series)) for channel_id, (key, series) in found.items()
    }


def channel_key(row: Sequence[Any]) -> ChannelKey:
    """Read (meter_id, source, capture_period_s, obis, …, store), the columns of the table's key."""
    meter_id, source, period_s, obis, class_id, attribute, data, kind, stamped_at, store = row
    return ChannelKey(
        meter_id=meter_id,
        source=None if source is None else Obis(source),
        capture_period_s=period_s,
        obis=Obis(obis),
        class_id=class_id,
        attribute_index=attribute,
        data_index=data,
        kind=ValueKind(kind),
        stamped_at=StampedAt(stamped_at),
        store=ValueStore(store),
    )


def insert(connection: Connection, keys: Iterable[ChannelKey]) -> None:
    """
    Insert channels that `find` did not find, unless somebody else just has.

    Raises:
        psycopg.errors.ForeignKeyViolation: a meter is gone.
    """
    connection.execute(_INSERT_CHANNELS, _arrays(list(keys)))


def _arrays(keys: Collection[ChannelKey]) -> Sequence[Sequence[object]]:
    return (
        [key.meter_id for key in keys],
        [None if key.source is None else key.source.octets for key in keys],
        [key.capture_period_s for key in keys],
        [key.obis.octets for key in keys],
        [key.class_id for key in keys],
        [key.attribute_index for key in keys],
        [key.data_index for key in keys],
        [key.kind.value for key in keys],
        [key.stamped_at.value for key in keys],
        [key.store.value for key in keys],
    )


def insert_series(connection: Connection, series: Sequence[NewSeries]) -> None:
    """Insert series that `find` did not find, unless somebody else just has."""
    connection.execute(
        _INSERT_SERIES,
        (
            [one.channel_id for one in series],
            [one.scaler for one in series],
            [one.unit for one in series],
            [one.valid_from for one in series],
        ),
    )


def last_captured(
    connection: Connection, store: ValueStore, series_ids: Sequence[int]
) -> datetime | None:
    """The latest instant that any of these series holds, None if they are empty."""
    query = _LAST_CAPTURED.format(table=READING_TABLES[store])
    row = connection.execute(query, (list(series_ids),)).fetchone()
    assert row is not None
    latest: datetime | None = row[0]
    return latest


def valid(series: SeriesKey) -> bool:
    """Whether the tables can hold this series at all; the wire may claim anything."""
    channel = series.channel
    return (
        -128 <= series.scaler <= 127
        and 0 <= series.unit <= 255
        and 0 <= channel.capture_period_s < 2**31
        and 0 <= channel.class_id <= 65535
        and -128 <= channel.attribute_index <= 127
        and 0 <= channel.data_index <= 65535
    )
