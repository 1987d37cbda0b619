"""
The latest current value of each channel of a page of meters.

First among the rows of the last weeks, which is where nearly all are found; only for channels that
are silent since then every chunk is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import attrs
from psycopg import sql

from hes.domain.readings import ChannelKey, ValueStore
from hes.storage.channels import READING_TABLES
from hes.storage.database import Connection
from hes.storage.queries import current, selection
from hes.storage.queries.current import Statement
from hes.storage.queries.selection import FoundChannel

_RECENT: Final = timedelta(days=14)

LATEST: Final = sql.SQL(
    """
    SELECT row.series_id, row.captured_at, row.batch_id, row.value, row.quality,
           EXISTS (
               SELECT FROM reading_revision AS revision
               WHERE revision.series_id = row.series_id AND revision.captured_at = row.captured_at
           )
    FROM unnest(%(series_ids)s::int4[]) AS wanted (series_id)
    CROSS JOIN LATERAL (
        SELECT series_id, captured_at, batch_id, value, quality
        FROM {table} AS row
        WHERE row.series_id = wanted.series_id AND captured_at >= %(since)s::timestamptz
        ORDER BY captured_at DESC LIMIT 1
    ) AS row
    """
)

REVISIONS: Final = sql.SQL(
    """
    SELECT row.series_id, row.captured_at, row.batch_id, row.{column}, row.quality,
           row.revision_id, row.recorded_at
    FROM unnest(%(series_ids)s::int4[], %(instants)s::timestamptz[]) AS wanted (series_id, at)
    CROSS JOIN LATERAL (
        SELECT * FROM reading_revision AS row
        WHERE row.series_id = wanted.series_id AND row.captured_at = wanted.at
    ) AS row
    """
)


@attrs.frozen
class LatestValue:
    """
    The current value of the latest instant of a channel, raw.

    Physical value = `value` * 10^`scaler` in the DLMS unit code `unit`. `series_id`: whose value it
    is. `revised`: something else has been said of this instant, too.
    """

    channel_id: int
    series_id: int
    key: ChannelKey
    captured_at: datetime
    value: int | float | str | None
    scaler: int
    unit: int
    quality: int
    revised: bool


def of_meters(
    connection: Connection, meter_ids: Collection[UUID], *, now: datetime
) -> Sequence[LatestValue]:
    """
    The latest values of these meters, in the order of their channels' ids.

    Channels that hold nothing, and meters that have none, are missing.

    Args:
        now: our clock; what is older than some weeks before it takes longer to find.
    """
    return _latest(connection, selection.of_meters(connection, meter_ids), now)


def of_channels(
    connection: Connection, channel_ids: Collection[int], *, now: datetime
) -> Sequence[LatestValue]:
    """The latest values of these channels, in the order of their ids."""
    return _latest(connection, selection.of_ids(connection, channel_ids), now)


def _latest(
    connection: Connection, channels: Sequence[FoundChannel], now: datetime
) -> Sequence[LatestValue]:
    found: list[LatestValue] = []
    for store in ValueStore:
        of_store = [channel for channel in channels if channel.key.store is store]
        if of_store:
            found += _of_store(connection, store, of_store, now)
    return sorted(found, key=lambda one: one.channel_id)


def _of_store(
    connection: Connection, store: ValueStore, channels: Sequence[FoundChannel], now: datetime
) -> Iterable[LatestValue]:
    said, revised = _newest(connection, store, channels, since=now - _RECENT)
    silent = [channel for channel in channels if channel.channel_id not in said]
    if silent:
        older, also_revised = _newest(connection, store, silent, since=None)
        said, revised = said | older, revised | also_revised
    firsts = [one for several in said.values() for one in several if one.series_id in revised]
    if firsts:
        revisions = _revisions(connection, store, firsts)
        for several in said.values():
            for first in tuple(several):
                several += revisions.get(first.series_id, [])
    ranks = current.batches(
        connection, (one for several in said.values() if len(several) > 1 for one in several)
    )
    for channel in channels:
        if channel.channel_id in said:
            several = said[channel.channel_id]
            best = current.choose(several, ranks)
            yield _value(channel, best, revised=len(several) > 1)


def _newest(
    connection: Connection,
    store: ValueStore,
    channels: Sequence[FoundChannel],
    *,
    since: datetime | None,
) -> tuple[dict[int, list[Statement]], set[int]]:
    """
    By channel the first statements about its latest instant, one per series that has it; and the
    series of whose instant more was said later.
    """
    owner = {one.series_id: channel.channel_id for channel in channels for one in channel.series}
    query = LATEST.format(table=READING_TABLES[store])
    bounds = {"series_ids": list(owner), "since": since or "-infinity"}
    found: dict[int, list[Statement]] = {}
    revised: set[int] = set()
    for *said, is_revised in connection.execute(query, bounds).fetchall():
        statement = Statement(*said)
        if is_revised:
            revised.add(statement.series_id)
        several = found.setdefault(owner[statement.series_id], [])
        if several and several[0].captured_at < statement.captured_at:
            several.clear()
        if not several or several[0].captured_at == statement.captured_at:
            several.append(statement)
    return found, revised


def _revisions(
    connection: Connection, store: ValueStore, firsts: Sequence[Statement]
) -> dict[int, list[Statement]]:
    """By series what was said of these instants later."""
    query = REVISIONS.format(column=current.REVISION_COLUMNS[store])
    bounds = {
        "series_ids": [one.series_id for one in firsts],
        "instants": [one.captured_at for one in firsts],
    }
    found: dict[int, list[Statement]] = {}
    for row in connection.execute(query, bounds):
        statement = Statement(*row)
        found.setdefault(statement.series_id, []).append(statement)
    return found


def _value(channel: FoundChannel, best: Statement, *, revised: bool) -> LatestValue:
    series = next(one for one in channel.series if one.series_id == best.series_id)
    return LatestValue(
        channel_id=channel.channel_id,
        series_id=best.series_id,
        key=channel.key,
        captured_at=best.captured_at,
        value=best.value,
        scaler=series.scaler,
        unit=series.unit,
        quality=best.quality,
        revised=revised,
    )
