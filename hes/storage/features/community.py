"""
What TimescaleDB's community licence adds: old chunks compressed, a continuous aggregate.

Chunks are compressed only once meters cannot bring rows for them any more, since storing into
compressed chunks is slow. `steps` decides, from what the catalog says, which statements are
missing; so the second time there are none. What TimescaleDB refuses is told and left out: the
tables answer without it.

Retention is no policy of TimescaleDB's on any path: it would drop without asking for the tenants'
settings and the billing evidence (docs/adr/0009-what-the-server-has.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import psycopg
import structlog

from hes.storage.database import Connection, Database
from hes.storage.features.chunks import CHUNK_DAYS, READINGS

AGGREGATE: Final = "stated_hour"

_log = structlog.get_logger(__name__)

_COMPRESSED: Final = """
SELECT hypertable_name::text FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema AND hypertable_name = ANY (%s) AND compression_enabled
ORDER BY 1
"""
_POLICIES: Final = """
SELECT hypertable_name::text,
       extract(epoch FROM (config ->> 'compress_after')::interval)::float8 / 86400
FROM timescaledb_information.jobs
WHERE hypertable_schema = current_schema AND hypertable_name = ANY (%s)
  AND proc_name IN ('policy_compression', 'policy_columnstore')
"""
_AGGREGATES: Final = """
SELECT view_name::text, EXISTS (
    SELECT FROM timescaledb_information.jobs AS job
    WHERE job.proc_name = 'policy_refresh_continuous_aggregate'
      AND job.hypertable_name = aggregate.materialization_hypertable_name
)
FROM timescaledb_information.continuous_aggregates AS aggregate
WHERE view_schema = current_schema AND view_name = %s
"""

# The names that TimescaleDB 2.15 has, and that later versions keep.
COMPRESS: Final = """
ALTER TABLE {table} SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',
                         timescaledb.compress_orderby = 'captured_at')
"""
FORGET_POLICY: Final = "SELECT remove_compression_policy('{table}', if_exists => true)"
ADD_POLICY: Final = """
SELECT add_compression_policy('{table}', compress_after => interval '{days} days')
"""
QUERY: Final = """
SELECT series_id, time_bucket(interval '1 hour', captured_at) AS bucket_start,
       count(*) AS samples, min(value) AS min, max(value) AS max, sum(value) AS sum,
       bit_or(quality) AS quality
FROM reading
GROUP BY 1, 2
"""
# Real-time: what is not materialised yet is computed on the way. In one transaction with the view
# that it replaces, hence WITH NO DATA.
CREATE_AGGREGATE: Final = f"""
CREATE MATERIALIZED VIEW {AGGREGATE}
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS {QUERY} WITH NO DATA
"""
# As far back as chunks are not compressed; late rows before that are computed on the way, too.
REFRESH: Final = f"""
SELECT add_continuous_aggregate_policy('{AGGREGATE}', start_offset => interval '{{days}} days',
    end_offset => interval '2 hours', schedule_interval => interval '1 hour')
"""


@attrs.frozen
class Catalog:
    """
    What TimescaleDB's catalog says is switched on.

    `policies`: after how many days chunks of a table are compressed. `refreshed`: whether the
    continuous aggregate has a policy; None: there is no aggregate.
    """

    compressed: tuple[str, ...]
    policies: Mapping[str, float]
    refreshed: bool | None


def look(connection: Connection) -> Catalog:
    """Ask the catalog, of either edition."""
    tables = list(READINGS)
    aggregates: dict[str, bool] = dict(connection.execute(_AGGREGATES, (AGGREGATE,)).fetchall())
    return Catalog(
        compressed=tuple(name for (name,) in connection.execute(_COMPRESSED, (tables,))),
        policies=dict(connection.execute(_POLICIES, (tables,)).fetchall()),
        refreshed=aggregates.get(AGGREGATE),
    )


def steps(found: Catalog, *, compress_after_days: int) -> Sequence[Sequence[str]]:
    """The statements that are missing, in groups that belong into one transaction."""
    missing: list[Sequence[str]] = []
    for table in READINGS:
        names = {"table": table, "days": compress_after_days}
        statements = [] if table in found.compressed else [COMPRESS]
        if found.policies.get(table) != compress_after_days:
            statements += [FORGET_POLICY, ADD_POLICY]
        if statements:
            missing.append([text.format(**names) for text in statements])
    if found.refreshed is None:
        missing.append([f"DROP VIEW IF EXISTS {AGGREGATE}", CREATE_AGGREGATE])
    if not found.refreshed:
        missing.append([REFRESH.format(days=compress_after_days)])
    return missing


def switch_on(database: Database, *, buffer_depth_days: int) -> None:
    """
    Do what is missing; what TimescaleDB refuses is logged and left as it was.

    Raises: StorageUnavailableError: the database is away or a table is locked for too long.
    """
    with database.connection() as connection:
        found = look(connection)
    for statements in steps(found, compress_after_days=buffer_depth_days + CHUNK_DAYS):
        try:
            with database.connection() as connection:
                for statement in statements:
                    connection.execute(statement.encode())
        except psycopg.Error as exc:
            _log.warning(
                "community_feature_refused",
                statement=" ".join(statements[-1].split()),
                reason=str(exc).splitlines()[0],
            )
