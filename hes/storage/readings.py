"""
Reading back: what channels hold, and the current value of each instant.

An instant of a channel may have been told more than once: by a revision, or in another of the
channel's series. Current is what came from the best source (a profile before a spot read before a
push), of these the latest. Nothing is overwritten, so the others stay to be seen.

Queries use the primary key (series_id, captured_at) alone and bound `captured_at`, so that a
server with chunks opens only those it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import attrs
from psycopg import sql

from hes.domain.readings import ChannelKey, SourceKind, ValueStore
from hes.storage.channels import READING_TABLES, channel_key, select
from hes.storage.database import Connection

_RANK: Final = {
    SourceKind.PROFILE.value: 2,
    SourceKind.SPOT.value: 1,
    SourceKind.PUSH.value: 0,
}

_REVISION_COLUMNS: Final = {
    ValueStore.INTEGER: sql.Identifier("value"),
    ValueStore.FLOAT: sql.Identifier("value_float"),
    ValueStore.TEXT: sql.Identifier("value_text"),
}

_EXTENTS: Final = sql.SQL(
    """
    SELECT wanted.series_id, first.captured_at, last.captured_at
    FROM unnest(%s::int4[]) AS wanted (series_id)
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

_CHANNEL: Final = """
SELECT meter_id, source, capture_period_s, obis, class_id, attribute_index, data_index, kind,
       stamped_at, store
FROM channel WHERE channel_id = %s
"""

_SERIES: Final = "SELECT series_id, scaler, unit FROM series WHERE channel_id = %s"

# Per series and not `series_id = ANY`, which could not use the order of the index.
_ROWS: Final = sql.SQL(
    """
    SELECT row.*
    FROM unnest(%(series_ids)s::int4[]) AS wanted (series_id)
    CROSS JOIN LATERAL (
        SELECT series_id, captured_at, batch_id, value, quality
        FROM {table} AS row
        WHERE row.series_id = wanted.series_id
          AND captured_at >= %(from)s::timestamptz
          AND captured_at < %(to)s::timestamptz
          AND captured_at > %(after)s::timestamptz
        ORDER BY captured_at LIMIT %(limit)s
    ) AS row
    ORDER BY captured_at
    """
)

_REVISIONS: Final = sql.SQL(
    """
    SELECT series_id, captured_at, batch_id, {column}, quality, revision_id, recorded_at
    FROM reading_revision
    WHERE series_id = ANY (%(series_ids)s) AND captured_at BETWEEN %(first)s AND %(last)s
    """
)

_BATCHES: Final = "SELECT batch_id, source_kind, stored_at FROM batch WHERE batch_id = ANY (%s)"


@attrs.frozen
class ChannelExtent:
    """A channel with scaler and unit of its latest series, and from when to when it holds rows."""

    channel_id: int
    key: ChannelKey
    scaler: int
    unit: int
    first_captured_at: datetime | None
    last_captured_at: datetime | None


@attrs.frozen
class CurrentReading:
    """
    The current value of one instant, raw; physical value = `value` * 10^`scaler` in `unit`.

    `revised`: something else has been said of this instant, too.
    """

    captured_at: datetime
    value: int | float | str | None
    scaler: int
    unit: int
    quality: int
    revised: bool


@attrs.frozen
class _Statement:
    """Something said of an instant; `revision_id` and `recorded_at` only for revisions."""

    series_id: int
    captured_at: datetime
    batch_id: int
    value: int | float | str | None
    quality: int
    revision_id: int = 0
    recorded_at: datetime | None = None


def channels(connection: Connection, meter_id: UUID) -> Sequence[ChannelExtent]:
    """What a meter's channels hold, in the order in which they were first seen."""
    stored = select(connection, [meter_id])
    extents: dict[int, tuple[datetime, datetime]] = {}
    for store, table in READING_TABLES.items():
        series_ids = [
            series.series_id
            for key, channel in stored.items()
            if key.store is store
            for series in channel.series
        ]
        if series_ids:
            rows = connection.execute(_EXTENTS.format(table=table), (series_ids,))
            extents.update({series_id: (first, last) for series_id, first, last in rows})
    found = []
    for key, channel in stored.items():
        held = [extents[one.series_id] for one in channel.series if one.series_id in extents]
        if not channel.series:
            continue
        found.append(
            ChannelExtent(
                channel_id=channel.channel_id,
                key=key,
                scaler=channel.series[-1].scaler,
                unit=channel.series[-1].unit,
                first_captured_at=min((first for first, _ in held), default=None),
                last_captured_at=max((last for _, last in held), default=None),
            )
        )
    return found


def page(
    connection: Connection,
    channel_id: int,
    *,
    from_: datetime | None,
    to: datetime | None,
    after: datetime | None,
    limit: int,
) -> Sequence[CurrentReading]:
    """
    The current values of a channel in [from_, to), oldest first.

    Args:
        after: only instants later than this one: the last of the page before.
        limit: how many at most.

    Returns:
        Nothing, if there is no such channel.
    """
    row = connection.execute(_CHANNEL, (channel_id,)).fetchone()
    if row is None:
        return []
    store = channel_key(row).store
    series = {one[0]: (one[1], one[2]) for one in connection.execute(_SERIES, (channel_id,))}
    bounds = {
        "series_ids": list(series),
        "from": from_ or "-infinity",
        "to": to or "infinity",
        "after": after or "-infinity",
        "limit": limit,
    }
    rows = connection.execute(_ROWS.format(table=READING_TABLES[store]), bounds)
    instants = _by_instant((_Statement(*one) for one in rows), limit)
    if not instants:
        return []
    contested = _add_revisions(connection, store, series, instants)
    kinds = _batches(connection, contested)
    current = []
    for captured_at, statements in instants.items():
        best = statements[0]
        if len(statements) > 1:
            best = max(statements, key=lambda one: _precedence(one, kinds))
        scaler, unit = series[best.series_id]
        current.append(
            CurrentReading(captured_at, best.value, scaler, unit, best.quality, len(statements) > 1)
        )
    return current


def _by_instant(statements: Iterable[_Statement], limit: int) -> dict[datetime, list[_Statement]]:
    """Group statements, which come in order, and keep the first `limit` instants."""
    instants: dict[datetime, list[_Statement]] = {}
    for statement in statements:
        if statement.captured_at not in instants:
            if len(instants) == limit:
                break
            instants[statement.captured_at] = []
        instants[statement.captured_at].append(statement)
    return instants


def _add_revisions(
    connection: Connection,
    store: ValueStore,
    series: Mapping[int, tuple[int, int]],
    instants: dict[datetime, list[_Statement]],
) -> list[_Statement]:
    """Add what was said later; return all statements of those instants that have several."""
    bounds = {"series_ids": list(series), "first": min(instants), "last": max(instants)}
    query = _REVISIONS.format(column=_REVISION_COLUMNS[store])
    for row in connection.execute(query, bounds):
        revision = _Statement(*row)
        # A reading may have come in since the first query; its revisions wait for the next one.
        if revision.captured_at in instants:
            instants[revision.captured_at].append(revision)
    return [one for several in instants.values() if len(several) > 1 for one in several]


def _batches(
    connection: Connection, statements: Iterable[_Statement]
) -> dict[int, tuple[int, datetime]]:
    """Rank and time of the batches that these statements came in."""
    batch_ids = {statement.batch_id for statement in statements}
    if not batch_ids:
        return {}
    rows: Iterable[tuple[Any, ...]] = connection.execute(_BATCHES, (list(batch_ids),))
    return {batch_id: (_RANK[kind], stored_at) for batch_id, kind, stored_at in rows}


def _precedence(
    statement: _Statement, batches: Mapping[int, tuple[int, datetime]]
) -> tuple[int, datetime, int]:
    rank, stored_at = batches[statement.batch_id]
    return rank, statement.recorded_at or stored_at, statement.revision_id
