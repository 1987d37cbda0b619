"""
The statements of `hes.storage.buckets`: from current values to hours, to days, to months.

Each computes what the buckets come to (`fresh`), writes what differs from what is kept (`put`) and,
where instants may have changed hands between a channel's series, removes buckets that are left
without any (`gone`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, LiteralString

from psycopg import sql

from hes.domain.readings import ValueStore
from hes.storage.channels import READING_TABLES

_TOLD: Final = sql.SQL(
    """
    SELECT told.*, channel.kind, channel.capture_period_s AS period_s,
           CASE channel.stamped_at WHEN 'start' THEN channel.capture_period_s - 1 ELSE 0 END
               AS slack,
           CASE channel.stamped_at WHEN 'end' THEN interval '1 microsecond' ELSE interval '0' END
               AS shift
    FROM unnest(%(channel_id)s::int4[], %(day_start)s::timestamptz[], %(day_end)s::timestamptz[],
                %(from_at)s::timestamptz[], %(to_at)s::timestamptz[], %(after_at)s::timestamptz[])
        WITH ORDINALITY AS told (channel_id, day_start, day_end, from_at, to_at, after_at, n)
    JOIN channel USING (channel_id)
    """
)

# OFFSET 0: the server is to go to the key of each series, and not to join with the whole table. The
# constant bounds spare it the chunks that they exclude.
_ROWS: Final = sql.SQL(
    """
    SELECT work.n, work.channel_id, work.kind, series.series_id, series.scaler, series.unit,
           date_bin('1 hour', row.captured_at - work.shift, work.day_start) AS bucket_start,
           row.captured_at, row.quality, {value} AS value, row.batch_id,
           {revision_id} AS revision_id, {recorded_at} AS recorded_at
    FROM work
    JOIN series USING (channel_id)
    CROSS JOIN LATERAL (
        SELECT * FROM {table} AS row
        WHERE row.series_id = series.series_id
          AND row.captured_at >= work.from_at + work.shift
          AND row.captured_at < work.to_at + work.shift
          AND row.captured_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
        OFFSET 0
    ) AS row
    """
)

# As hes.storage.queries.current says: the best source, of these the latest.
_BEST: Final = sql.SQL(
    """
    SELECT DISTINCT ON (channel_id, captured_at) said.*
    FROM ({first_said} UNION ALL {said_later}) AS said
    LEFT JOIN batch USING (batch_id)
    ORDER BY channel_id, captured_at,
             CASE batch.source_kind WHEN 'profile' THEN 2 WHEN 'spot' THEN 1 ELSE 0 END DESC,
             coalesce(said.recorded_at, batch.stored_at) DESC NULLS LAST, revision_id DESC,
             batch_id DESC, series_id DESC
    """
)

_VALUES: Final = {
    ValueStore.INTEGER: sql.SQL("row.value::numeric"),
    ValueStore.FLOAT: sql.SQL(
        "CASE WHEN row.{column} NOT IN ('NaN', 'Infinity', '-Infinity')"
        " THEN row.{column}::text::numeric END"
    ),
}

_VALUE_BEFORE: Final = {
    ValueStore.INTEGER: sql.SQL(
        "CASE scaler_before WHEN scaler THEN value_before"
        " ELSE value_before * ('1e' || (scaler_before - scaler)::text)::numeric END"
    ),
    ValueStore.FLOAT: sql.SQL("value_before"),
}

# The rows of one series: where instants are told once, its channel has no other.
_OWN: Final = {
    False: sql.SQL("(earlier)"),
    True: sql.SQL("(PARTITION BY series_id, value IS NULL ORDER BY captured_at)"),
}

# Grid points within the bucket, if the profile has a grid; it begins at midnight UTC.
_EXPECTED: Final = sql.SQL(
    "CASE WHEN {period} BETWEEN 1 AND {longest} AND 86400 %% nullif({period}, 0) = 0 THEN"
    " ((extract(epoch FROM {end})::int8 + {slack}) / {period}"
    " - (extract(epoch FROM {start})::int8 + {slack}) / {period})::int4 END"
)

_HOURS: Final = sql.SQL(
    """
    WITH work AS MATERIALIZED ({told}),
    current AS ({current}),
    before AS (
        SELECT work.channel_id, work.kind, latest.*
        FROM work
        CROSS JOIN LATERAL (
            SELECT series.scaler, series.unit, kept.last_at, kept.last
            FROM series
            CROSS JOIN LATERAL (
                SELECT last_at, last FROM rollup_hour
                WHERE rollup_hour.series_id = series.series_id
                  AND bucket_start < work.from_at AND bucket_start >= work.after_at
                  AND last IS NOT NULL
                ORDER BY bucket_start DESC LIMIT 1
            ) AS kept
            WHERE series.channel_id = work.channel_id
            ORDER BY last_at DESC LIMIT 1
        ) AS latest
        WHERE work.kind = 'cumulative'
    ),
    stepped AS (
        SELECT *, lag(value) OVER earlier AS value_before, lag(unit) OVER earlier AS unit_before,
               lag(scaler) OVER earlier AS scaler_before,
               lag(bucket_start) OVER own IS DISTINCT FROM bucket_start AS is_first,
               lead(bucket_start) OVER own IS DISTINCT FROM bucket_start AS is_last
        FROM (
            SELECT n, channel_id, kind, captured_at, value, scaler, unit, series_id, quality,
                   bucket_start
            FROM current
            UNION ALL
            SELECT NULL, channel_id, kind, last_at, last, scaler, unit, NULL, NULL, NULL
            FROM before
        ) AS sequence
        WINDOW earlier AS (PARTITION BY channel_id, value IS NULL ORDER BY captured_at),
               own AS {own}
    ),
    risen AS (
        SELECT *, CASE WHEN kind IN ('delta', 'average', 'instantaneous') THEN value
                       WHEN kind = 'cumulative' AND unit_before = unit THEN value - {value_before}
                  END AS step
        FROM stepped WHERE series_id IS NOT NULL
    ),
    bucket AS (
        SELECT n, series_id, bucket_start, count(*) AS rows,
               min(captured_at) FILTER (WHERE value IS NOT NULL) AS first_at,
               max(captured_at) FILTER (WHERE value IS NOT NULL) AS last_at,
               count(value)::int4 AS samples,
               (count(*) FILTER (WHERE kind = 'cumulative' AND step < 0))::int4 AS falls,
               bit_or(quality) AS quality,
               min(value) FILTER (WHERE is_first) AS first,
               min(value) FILTER (WHERE is_last) AS last,
               min(value) AS min, max(value) AS max, sum(step) AS sum
        FROM risen GROUP BY n, series_id, bucket_start
    ),
    fresh AS MATERIALIZED (
        SELECT bucket.*, {expected} AS expected FROM bucket JOIN work USING (n)
    ),
    less AS MATERIALIZED ({less}),
    gone AS ({gone}),
    put AS ({put})
    SELECT coalesce(sum(rows), 0)::int8 FROM fresh
    """
)

_COARSER: Final = sql.SQL(
    """
    WITH work AS MATERIALIZED (
        SELECT told.*, channel.capture_period_s AS period_s,
               CASE channel.stamped_at WHEN 'start' THEN channel.capture_period_s - 1 ELSE 0 END
                   AS slack
        FROM unnest(%(channel_id)s::int4[], %(from_at)s::timestamptz[], %(to_at)s::timestamptz[])
            AS told (channel_id, from_at, to_at)
        JOIN channel USING (channel_id)
    ),
    fresh AS (
        SELECT series.series_id, work.from_at AS bucket_start, {expected} AS expected, bucket.*
        FROM work
        JOIN series USING (channel_id)
        CROSS JOIN LATERAL (
            SELECT min(first_at) AS first_at, max(last_at) AS last_at,
                   sum(samples)::int4 AS samples, sum(falls)::int4 AS falls,
                   bit_or(quality) AS quality,
                   (array_agg(first ORDER BY bucket_start)
                        FILTER (WHERE first IS NOT NULL))[1] AS first,
                   (array_agg(last ORDER BY bucket_start DESC)
                        FILTER (WHERE last IS NOT NULL))[1] AS last,
                   min(min) AS min, max(max) AS max, sum(sum) AS sum
            FROM {finer} AS part
            WHERE part.series_id = series.series_id
              AND bucket_start >= work.from_at AND bucket_start < work.to_at
            HAVING count(*) > 0
        ) AS bucket
    ),
    gone AS ({gone}),
    put AS ({put})
    SELECT count(*) FROM fresh
    """
)

# Where there is less than before, readings have been dropped by age, and what they came to stays. A
# channel whose instants are told more than once is looked at as a whole: another series may speak
# for an instant now, and a value may have been taken back, but the instant is still told of.
_UNLESS_LESS: Final = sql.SQL(" AND kept.samples <= excluded.samples")
_LESS: Final = sql.SQL(
    """
    SELECT work.n, kept.bucket_start
    FROM work
    JOIN series USING (channel_id)
    JOIN {table} AS kept ON kept.series_id = series.series_id
        AND kept.bucket_start >= work.from_at AND kept.bucket_start < work.to_at
    LEFT JOIN (SELECT n, bucket_start, sum(rows) AS rows FROM fresh GROUP BY n, bucket_start)
        AS told ON told.n = work.n AND told.bucket_start = kept.bucket_start
    GROUP BY work.n, kept.bucket_start
    HAVING sum(kept.samples) > coalesce(max(told.rows), 0)
    """
)
_NOTHING_LESS: Final = sql.SQL("SELECT")
_NOT_LESS: Final = sql.SQL(
    "NOT EXISTS (SELECT FROM less WHERE less.n = {n} AND less.bucket_start = {bucket_start})"
)
_NOTHING_GONE: Final = sql.SQL("SELECT")
_GONE: Final = sql.SQL(
    """
    DELETE FROM {table} AS kept
    USING work JOIN series USING (channel_id)
    WHERE kept.series_id = series.series_id
      AND kept.bucket_start >= work.from_at AND kept.bucket_start < work.to_at
      AND NOT EXISTS (
          SELECT FROM fresh
          WHERE fresh.series_id = kept.series_id AND fresh.bucket_start = kept.bucket_start
      )
      AND {gone_if}
    """
)

_COLUMNS: Final[Sequence[LiteralString]] = (
    "first_at", "last_at", "samples", "expected", "falls", "quality", "first", "last", "min",
    "max", "sum",
)  # fmt: skip

_PUT: Final = sql.SQL(
    """
    INSERT INTO {table} AS kept (series_id, bucket_start, {columns})
    SELECT series_id, bucket_start, {columns} FROM fresh WHERE {put_if}
    ORDER BY series_id, bucket_start
    ON CONFLICT (series_id, bucket_start) DO UPDATE SET ({columns}) = ROW ({excluded})
    WHERE ({kept}) IS DISTINCT FROM ({excluded}){unless_less}
    """
)


@cache
def hours(store: ValueStore, *, contested: bool) -> bytes:
    """
    Hours of one store's channels.

    Args:
        contested: an instant may have been told more than once.
    """
    nothing = {"revision_id": sql.SQL("0::int8"), "recorded_at": sql.SQL("NULL::timestamptz")}
    current: sql.Composable = _ROWS.format(
        table=READING_TABLES[store], value=_value(store, "value"), **nothing
    )
    if contested:
        column = "value" if store is ValueStore.INTEGER else "value_float"
        current = _BEST.format(
            first_said=current,
            said_later=_ROWS.format(
                table=sql.Identifier("reading_revision"),
                value=_value(store, column),
                revision_id=sql.SQL("row.revision_id"),
                recorded_at=sql.SQL("row.recorded_at"),
            ),
        )
    return _HOURS.format(
        own=_OWN[contested],
        told=_TOLD,
        current=current,
        value_before=_VALUE_BEFORE[store],
        expected=_expected(
            longest=3600,
            start=sql.SQL("bucket_start"),
            end=sql.SQL("least(bucket_start + interval '1 hour', day_end)"),
        ),
        less=_LESS.format(table=sql.Identifier("rollup_hour")) if contested else _NOTHING_LESS,
        **_written("rollup_hour", contested=contested, guarded=contested),
    ).as_bytes(None)


@cache
def coarser(table: str, finer: str, *, contested: bool) -> bytes:
    """Days from hours, or months from days."""
    return _COARSER.format(
        finer=sql.Identifier(finer),
        expected=_expected(longest=86400, start=sql.SQL("work.from_at"), end=sql.SQL("work.to_at")),
        **_written(table, contested=contested),
    ).as_bytes(None)


def _value(store: ValueStore, column: str) -> sql.Composed:
    return _VALUES[store].format(column=sql.Identifier(column))


def _expected(*, longest: int, start: sql.Composable, end: sql.Composable) -> sql.Composed:
    return _EXPECTED.format(
        longest=sql.Literal(longest),
        start=start,
        end=end,
        period=sql.SQL("period_s"),
        slack=sql.SQL("slack"),
    )


def _written(table: str, *, contested: bool, guarded: bool = False) -> dict[str, Any]:
    name = sql.Identifier(table)

    def columns(of: LiteralString) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL(of + column) for column in _COLUMNS)

    def unless_less(*place: LiteralString) -> sql.Composable:
        if not guarded:
            return sql.SQL("true")
        n, bucket_start = map(sql.SQL, place)
        return _NOT_LESS.format(n=n, bucket_start=bucket_start)

    gone_if = unless_less("work.n", "kept.bucket_start")
    return {
        "gone": _GONE.format(table=name, gone_if=gone_if) if contested else _NOTHING_GONE,
        "put": _PUT.format(
            table=name,
            put_if=unless_less("fresh.n", "fresh.bucket_start"),
            columns=columns(""),
            kept=columns("kept."),
            excluded=columns("excluded."),
            unless_less=sql.SQL("") if contested else _UNLESS_LESS,
        ),
    }
