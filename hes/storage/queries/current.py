"""
Which value of an instant is current: the one rule, and the columns it is applied to.

An instant of a channel may have been told more than once: by a revision, or in another of the
channel's series. Current is what came from the best source (a profile before a spot read before a
push), of these the latest. Nothing is overwritten, so the others stay to be seen. Roll-ups apply
the same rule in SQL (`hes.storage.bucket_statements`); a test holds the two together.

Nearly all instants were told once. They are read as columns; only the others become objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import numpy as np
from psycopg import sql

from hes.domain.readings import Int64Array, SourceKind, ValueStore, microseconds, moment
from hes.storage.channels import READING_TABLES
from hes.storage.database import Connection
from hes.storage.pgcopy import EPOCH_SHIFT_US
from hes.storage.queries.columns import CurrentColumns, ValueArray, numbers, texts
from hes.storage.queries.selection import FoundChannel

_RANK: Final = {
    SourceKind.PROFILE.value: 2,
    SourceKind.SPOT.value: 1,
    SourceKind.PUSH.value: 0,
}
# Of a batch whose row is gone nothing is known: it counts as an old push.
_FORGOTTEN: Final = (0, datetime.min.replace(tzinfo=UTC))

REVISION_COLUMNS: Final = {
    ValueStore.INTEGER: sql.Identifier("value"),
    ValueStore.FLOAT: sql.Identifier("value_float"),
    ValueStore.TEXT: sql.Identifier("value_text"),
}
_NOTHING: Final = {
    ValueStore.INTEGER: sql.SQL("0::int8"),
    ValueStore.FLOAT: sql.SQL("0::float8"),
    ValueStore.TEXT: sql.SQL("''"),
}

# Per series and not `series_id = ANY`, which could not use the order of the index.
ROWS: Final = sql.SQL(
    """
    SELECT wanted.series_id, columns.*
    FROM unnest(%(series_ids)s::int4[]) AS wanted (series_id)
    CROSS JOIN LATERAL (
        SELECT array_agg(captured_at), array_agg(coalesce(value, {nothing})),
               array_agg(value IS NULL), array_agg(quality)
        FROM (
            SELECT captured_at, value, quality
            FROM {table} AS row
            WHERE row.series_id = wanted.series_id
              AND captured_at >= %(from)s::timestamptz AND captured_at < %(to)s::timestamptz
              AND captured_at > %(after)s::timestamptz
            ORDER BY captured_at LIMIT %(limit)s
        ) AS row
    ) AS columns
    """
)

REVISIONS: Final = sql.SQL(
    """
    SELECT series_id, captured_at, batch_id, {column}, quality, revision_id, recorded_at
    FROM reading_revision
    WHERE series_id = ANY (%(series_ids)s) AND captured_at BETWEEN %(first)s AND %(last)s
    """
)

# The bounds are implied by the join; as constants they spare the chunks that they exclude.
_BATCH_IDS: Final = sql.SQL(
    """
    SELECT row.series_id, row.captured_at, row.batch_id
    FROM unnest(%(series_ids)s::int4[], %(instants)s::timestamptz[]) AS wanted (series_id, at)
    JOIN {table} AS row ON row.series_id = wanted.series_id AND row.captured_at = wanted.at
    WHERE row.captured_at BETWEEN %(first)s AND %(last)s
    """
)

_BATCHES: Final = "SELECT batch_id, source_kind, stored_at FROM batch WHERE batch_id = ANY (%s)"


@attrs.frozen
class Statement:
    """Something said of an instant; `revision_id` and `recorded_at` only for revisions."""

    series_id: int
    captured_at: datetime
    batch_id: int
    value: int | float | str | None
    quality: int
    revision_id: int = 0
    recorded_at: datetime | None = None


@attrs.frozen(eq=False)
class _Rows:
    """First statements as columns; `series` points into the list of series asked for."""

    series: Int64Array
    captured_at: Int64Array
    value: ValueArray
    null: ValueArray
    quality: ValueArray


def columns(
    connection: Connection,
    store: ValueStore,
    channels: Sequence[FoundChannel],
    *,
    from_: datetime | None,
    to: datetime | None,
    after: datetime | None = None,
    limit: int | None = None,
) -> CurrentColumns:
    """
    The current values of channels of one store in [from_, to), in the order of channel and instant.

    Args:
        after: only instants later than this one.
        limit: only the first so many instants of each channel.
    """
    channels = sorted(channels, key=lambda channel: channel.channel_id)
    series = [one for channel in channels for one in channel.series]
    owner = np.repeat(
        np.array([channel.channel_id for channel in channels], np.int32),
        [len(channel.series) for channel in channels],
    )
    ids = [one.series_id for one in series]
    bounds = {
        "series_ids": ids,
        "from": from_ or "-infinity",
        "to": to or "infinity",
        "after": after or "-infinity",
        "limit": limit,
    }
    rows = _first_statements(connection, store, ids, bounds)
    found = CurrentColumns(
        store=store,
        channel_id=owner[rows.series],
        captured_at=rows.captured_at,
        value=rows.value,
        null=rows.null,
        quality=rows.quality,
        scaler=np.array([one.scaler for one in series], np.int32)[rows.series],
        unit=np.array([one.unit for one in series], np.int32)[rows.series],
        revised=np.zeros(len(rows.series), np.bool_),
    )
    kept = np.arange(len(found))
    if any(len(channel.series) > 1 for channel in channels):
        kept = np.lexsort((found.captured_at, found.channel_id))
        if limit is not None:
            kept = _first_instants(found, kept, limit)
    current = found.select(kept)
    return _settle(connection, current, np.array(ids, np.int64)[rows.series[kept]])


def _first_statements(
    connection: Connection, store: ValueStore, ids: Sequence[int], bounds: Mapping[str, object]
) -> _Rows:
    query = ROWS.format(table=READING_TABLES[store], nothing=_NOTHING[store])
    parts: list[_Rows] = []
    position = {series_id: index for index, series_id in enumerate(ids)}
    with connection.cursor(binary=True) as cursor:
        cursor.execute(query, bounds)
        result = cursor.pgresult
        assert result is not None
        for row in range(result.ntuples):
            series_id, at, value, null, quality = (result.get_value(row, i) for i in range(5))
            assert series_id is not None
            captured_at = numbers(at, ">i8") + EPOCH_SHIFT_US
            parts.append(
                _Rows(
                    np.full(len(captured_at), position[int.from_bytes(series_id, "big")]),
                    captured_at,
                    _values(store, value),
                    numbers(null, "?"),
                    numbers(quality, ">i4"),
                )
            )
    parts.sort(key=lambda part: int(part.series[0]) if len(part.series) else 0)
    parts = parts or [_Rows(*(np.empty(0, kind) for kind in (int, int, _KINDS[store], bool, "i4")))]
    return _Rows(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in attrs.fields(_Rows)
        )
    )


_EMPTY: Final = {ValueStore.INTEGER: 0, ValueStore.FLOAT: 0.0, ValueStore.TEXT: ""}
_KINDS: Final[Mapping[ValueStore, Any]] = {
    ValueStore.INTEGER: np.int64,
    ValueStore.FLOAT: np.float64,
    ValueStore.TEXT: object,
}


def _values(store: ValueStore, binary: bytes | None) -> ValueArray:
    if store is ValueStore.TEXT:
        return texts(binary)
    return numbers(binary, ">i8" if store is ValueStore.INTEGER else ">f8")


def _first_instants(found: CurrentColumns, order: Int64Array, limit: int) -> Int64Array:
    """Of rows in the order of channel and instant, those of each channel's first instants."""
    channel, instant = found.channel_id[order], found.captured_at[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = channel[1:] != channel[:-1]
    new = begins.copy()
    new[1:] |= instant[1:] != instant[:-1]
    count = np.cumsum(new)
    before = np.maximum.accumulate(np.where(begins, count - 1, 0))
    kept: Int64Array = order[count - before <= limit]
    return kept


def _settle(
    connection: Connection, rows: CurrentColumns, series_of_row: Int64Array
) -> CurrentColumns:
    """Let the rule decide where an instant was told more than once; each is given once."""
    if not len(rows):
        return rows
    ids = np.unique(series_of_row).tolist()
    bounds = {
        "series_ids": ids,
        "first": moment(int(rows.captured_at.min())),
        "last": moment(int(rows.captured_at.max())),
    }
    revisions = _revisions(connection, rows.store, bounds)
    same = np.zeros(len(rows), np.bool_)
    same[1:] = (rows.channel_id[1:] == rows.channel_id[:-1]) & (
        rows.captured_at[1:] == rows.captured_at[:-1]
    )
    first_of = np.maximum.accumulate(np.where(same, 0, np.arange(len(rows))))
    contested = same.copy()
    contested[first_of[same]] = True
    revised = _positions(rows.captured_at, series_of_row, revisions)
    contested[np.isin(first_of, first_of[revised])] = True
    if not contested.any():
        return rows
    positions = np.flatnonzero(contested)
    statements = _statements(connection, rows, series_of_row, positions)
    by_first: dict[int, list[Statement]] = {}
    scale: dict[int, tuple[int, int]] = {}
    for position, statement in zip(positions.tolist(), statements, strict=True):
        said = by_first.setdefault(int(first_of[position]), [])
        said.append(statement)
        said += revisions.get((statement.series_id, statement.captured_at), [])
        scale[statement.series_id] = (int(rows.scaler[position]), int(rows.unit[position]))
    ranks = batches(connection, (one for said in by_first.values() for one in said))
    for position, said in by_first.items():
        best = choose(said, ranks)
        rows.null[position] = best.value is None
        rows.value[position] = _EMPTY[rows.store] if best.value is None else best.value
        rows.quality[position] = best.quality
        rows.scaler[position], rows.unit[position] = scale[best.series_id]
        rows.revised[position] = len(said) > 1
    return rows.select(~same)


def _revisions(
    connection: Connection, store: ValueStore, bounds: Mapping[str, object]
) -> dict[tuple[int, datetime], list[Statement]]:
    query = REVISIONS.format(column=REVISION_COLUMNS[store])
    found: dict[tuple[int, datetime], list[Statement]] = {}
    for row in connection.execute(query, bounds):
        statement = Statement(*row)
        found.setdefault((statement.series_id, statement.captured_at), []).append(statement)
    return found


def _positions(
    captured_at: Int64Array,
    series_of_row: Int64Array,
    revisions: Collection[tuple[int, datetime]],
) -> Int64Array:
    """Where these instants of series are; one that came in since the rows were read is nowhere."""
    wanted = {(series_id, microseconds(at)) for series_id, at in revisions}
    candidates = np.flatnonzero(np.isin(captured_at, np.array([at for _, at in wanted], np.int64)))
    keys = zip(series_of_row[candidates].tolist(), captured_at[candidates].tolist(), strict=True)
    return candidates[np.fromiter((key in wanted for key in keys), np.bool_, len(candidates))]


def _statements(
    connection: Connection,
    rows: CurrentColumns,
    series_of_row: Int64Array,
    positions: Int64Array,
) -> list[Statement]:
    """The first statements at these positions, with the batches that they came in."""
    instants = [moment(at) for at in rows.captured_at[positions].tolist()]
    series = series_of_row[positions].tolist()
    query = _BATCH_IDS.format(table=READING_TABLES[rows.store])
    bounds = {
        "series_ids": series,
        "instants": instants,
        "first": min(instants),
        "last": max(instants),
    }
    batch_ids = {row[:2]: row[2] for row in connection.execute(query, bounds)}
    return [
        Statement(
            series_id, at, batch_ids.get((series_id, at), 0), None if null else value, quality
        )
        for series_id, at, value, null, quality in zip(
            series,
            instants,
            rows.value[positions].tolist(),
            rows.null[positions].tolist(),
            rows.quality[positions].tolist(),
            strict=True,
        )
    ]


def batches(
    connection: Connection, statements: Iterable[Statement]
) -> Mapping[int, tuple[int, datetime]]:
    """Rank and time of the batches that these statements came in."""
    batch_ids = {statement.batch_id for statement in statements}
    if not batch_ids:
        return {}
    rows: Iterable[tuple[Any, ...]] = connection.execute(_BATCHES, (list(batch_ids),))
    return {batch_id: (_RANK[kind], stored_at) for batch_id, kind, stored_at in rows}


def choose(statements: Sequence[Statement], ranks: Mapping[int, tuple[int, datetime]]) -> Statement:
    """The current one of all that was said of an instant; `ranks` are those of `batches`."""

    def precedence(one: Statement) -> tuple[int, datetime, int, int, int]:
        rank, stored_at = ranks.get(one.batch_id, _FORGOTTEN)
        # What was stored at once in two series is as late as its batch, then as its series.
        return rank, one.recorded_at or stored_at, one.revision_id, one.batch_id, one.series_id

    return max(statements, key=precedence)
