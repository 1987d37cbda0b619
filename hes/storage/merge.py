"""
Staged rows -> readings and revisions: COPY, then one statement for what is new, then, only if not
everything was new, one for what differs.

Two statements, because one would miss a row that another writer commits in between: it would be
neither stored nor a revision. Every writer merges in the same total order (chunk, series,
instant), so that no two of them wait for each other, be it for a key or for a chunk that both
need to create.

What an instant's rows say is a list of statements: the first is the reading, and each later one
that differs from the one before it is a revision. So a row equal to the newest statement is a
duplicate, however often it is read again, and a value that comes back is recorded again. What one
batch says more than once of an instant is `repeats`' to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import attrs
import numpy as np
from psycopg import sql

from hes.domain.readings import BoolArray, Int32Array, Int64Array, ValueStore, moment
from hes.storage import pgcopy, repeats
from hes.storage.database import Connection
from hes.storage.features import CHUNK_US
from hes.storage.repeats import RepeatStatements


@attrs.frozen(eq=False)
class IntegersToMerge:
    """Rows for `reading`: parallel arrays, `captured_at` in microseconds since 1970 UTC."""

    batch_id: Int64Array
    series_id: Int32Array
    captured_at: Int64Array
    quality: Int32Array
    value: Int64Array
    null: BoolArray


@attrs.frozen
class OtherToMerge:
    """A row for `reading_float` or `reading_text`."""

    batch_id: int
    series_id: int
    captured_at: int
    quality: int
    value: float | str | None


@attrs.frozen
class Merged:
    """What became of the rows, by batch id; what is in neither count was there already."""

    stored: Mapping[int, int]
    revised: Mapping[int, int]


@attrs.frozen
class _Statements:
    create: bytes
    copy_binary: bytes
    copy_text: bytes
    insert: bytes
    revise: bytes
    repeats: RepeatStatements


def _statements(table: str, value_type: str, revision_column: str) -> _Statements:
    names = {
        "table": sql.Identifier(table),
        "staged": sql.Identifier("pg_temp", f"staged_{table}"),
        "staged_name": sql.Identifier(f"staged_{table}"),
        "value_type": sql.SQL(value_type),
        "revision_column": sql.Identifier(revision_column),
    }

    def text(template: sql.SQL) -> bytes:
        return template.format(**names).as_bytes(None)

    return _Statements(
        repeats=repeats.statements(names),
        create=text(
            sql.SQL(
                """
                CREATE TEMPORARY TABLE IF NOT EXISTS {staged_name} (
                    position int4, batch_id int8, series_id int4, captured_at timestamptz,
                    quality int4, value {value_type}
                ) ON COMMIT DELETE ROWS
                """
            )
        ),
        copy_binary=text(sql.SQL("COPY {staged} FROM STDIN (FORMAT binary)")),
        copy_text=text(sql.SQL("COPY {staged} FROM STDIN")),
        insert=text(
            sql.SQL(
                """
                INSERT INTO {table} (captured_at, value, batch_id, series_id, quality)
                SELECT captured_at, value, batch_id, series_id, quality
                FROM {staged} ORDER BY position
                ON CONFLICT (series_id, captured_at) DO NOTHING
                """
            )
        ),
        # The bounds on captured_at are implied by the join; given as constants they spare the
        # server the chunks that they exclude.
        revise=text(
            sql.SQL(
                """
                WITH said AS (
                    SELECT *, count(*) OVER (PARTITION BY series_id, captured_at) > 1 AS repeated
                    FROM {staged}
                ),
                judged AS (
                    SELECT said.*,
                      -- Batches are stored once: what bears the id of one of ours, we have put.
                      NOT repeated AND there.batch_id = said.batch_id AS is_new,
                      CASE
                        WHEN repeated OR there.batch_id = said.batch_id THEN false
                        WHEN newest.quality IS NOT NULL THEN
                            (said.value, said.quality)
                            IS DISTINCT FROM (newest.value, newest.quality)
                        ELSE
                            (said.value, said.quality)
                            IS DISTINCT FROM (there.value, there.quality)
                      END AS differs
                    FROM said
                    JOIN {table} AS there USING (series_id, captured_at)
                    LEFT JOIN LATERAL (
                        SELECT {revision_column} AS value, quality
                        FROM reading_revision AS revision
                        WHERE revision.series_id = said.series_id
                          AND revision.captured_at = said.captured_at
                        ORDER BY revision_id DESC LIMIT 1
                    ) AS newest ON true
                    WHERE there.captured_at BETWEEN %(first)s AND %(last)s
                ),
                put AS (
                    INSERT INTO reading_revision
                        (series_id, captured_at, batch_id, {revision_column}, quality)
                    SELECT series_id, captured_at, batch_id, value, quality
                    FROM judged WHERE differs ORDER BY position
                )
                SELECT batch_id, count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE differs),
                       bool_or(repeated)
                FROM judged GROUP BY batch_id
                """
            )
        ),
    )


_BY_STORE = {
    ValueStore.INTEGER: _statements("reading", "int8", "value"),
    ValueStore.FLOAT: _statements("reading_float", "float8", "value_float"),
    ValueStore.TEXT: _statements("reading_text", "text", "value_text"),
}


def merge_integers(connection: Connection, rows: IntegersToMerge) -> Merged:
    """
    Merge rows into `reading`.

    Rows of equal key count in the order given: the first is the reading if nothing was there.
    """
    count = len(rows.captured_at)
    if count == 0:
        return Merged({}, {})
    statements = _BY_STORE[ValueStore.INTEGER]
    order = np.lexsort((rows.captured_at, rows.series_id, rows.captured_at // CHUNK_US))
    stream = pgcopy.encode(
        [
            np.arange(count, dtype=np.int32),
            rows.batch_id[order],
            rows.series_id[order],
            pgcopy.timestamps(rows.captured_at[order]),
            rows.quality[order],
            rows.value[order],
        ],
        rows.null[order],
    )
    connection.execute(statements.create)
    with connection.cursor() as cursor, cursor.copy(statements.copy_binary) as copy:
        copy.write(stream)
    first, last = moment(int(rows.captured_at.min())), moment(int(rows.captured_at.max()))
    return _merge(connection, statements, rows.batch_id, first, last)


def merge_others(connection: Connection, store: ValueStore, rows: Sequence[OtherToMerge]) -> Merged:
    """
    Merge rows into `reading_float` or `reading_text`.

    Rows of equal key count in the order given: the first is the reading if nothing was there.
    """
    if not rows:
        return Merged({}, {})
    statements = _BY_STORE[store]
    connection.execute(statements.create)
    with connection.cursor() as cursor, cursor.copy(statements.copy_text) as copy:
        for position, row in enumerate(_ordered(rows)):
            copy.write_row(
                (
                    position,
                    row.batch_id,
                    row.series_id,
                    moment(row.captured_at),
                    row.quality,
                    row.value,
                )
            )
    first = moment(min(row.captured_at for row in rows))
    last = moment(max(row.captured_at for row in rows))
    batch_id = np.array([row.batch_id for row in rows], np.int64)
    return _merge(connection, statements, batch_id, first, last)


def _ordered(rows: Iterable[OtherToMerge]) -> Sequence[OtherToMerge]:
    return sorted(
        rows, key=lambda row: (row.captured_at // CHUNK_US, row.series_id, row.captured_at)
    )


def _merge(
    connection: Connection,
    statements: _Statements,
    batch_id: Int64Array,
    first: datetime,
    last: datetime,
) -> Merged:
    # Asking for the rows back costs a third as much again; mostly all of them are new.
    if connection.execute(statements.insert).rowcount == len(batch_id):
        ids, counts = np.unique(batch_id, return_counts=True)
        return Merged(dict(zip(ids.tolist(), counts.tolist(), strict=True)), {})
    bounds = {"first": first, "last": last}
    found = connection.execute(statements.revise, bounds).fetchall()
    stored = {batch: new for batch, new, _, _ in found}
    revised = {batch: other for batch, _, other, _ in found}
    if any(repeated for *_, repeated in found):
        settled = repeats.settle(connection, statements.repeats, bounds)
        for batch, (new, other) in settled.items():
            stored[batch] += new
            revised[batch] += other
    return Merged(stored, revised)
