"""
What becomes too old: the rules (table `retention`), and deleting in bounded transactions.

Which rule counts and what may be dropped whole is decided in `hes.lifecycle.retention`; whole
chunks go by `hes.storage.features.drop_older`. Here rows go, a chunk and a few series at a time, so
that no transaction is long and none searches what it does not need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, LiteralString

import attrs
from psycopg import sql

from hes.storage import quarantine
from hes.storage.database import Connection, Database
from hes.storage.features import Chunk, chunks, list_chunks
from hes_protocol.cosem import Obis

_SERIES_AT_ONCE: Final = 30
_ROWS_AT_ONCE: Final = 20_000
_STATEMENT_TIMEOUT_S: Final = 300.0


class Kind(StrEnum):
    """What a rule is about."""

    READINGS = "readings"
    HOURS = "hours"
    DAYS = "days"
    MONTHS = "months"
    EVENTS = "events"
    SESSIONS = "sessions"
    SECURITY_EVENTS = "security-events"
    QUARANTINE = "quarantine"
    RESULTS = "results"
    BATCHES = "batches"


# Tables by series: readings with what was said of them later, and their roll-ups.
OF_SERIES: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.READINGS: {
        **{table: chunks.TABLES[table] for table in chunks.READINGS},
        "reading_revision": "captured_at",
    },
    Kind.HOURS: {"rollup_hour": "bucket_start"},
    Kind.DAYS: {"rollup_day": "bucket_start"},
    Kind.MONTHS: {"rollup_month": "bucket_start"},
}
OF_METERS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.EVENTS: ("event", "occurred_at"),
    Kind.SESSIONS: ("session", "ended_at"),
    Kind.SECURITY_EVENTS: ("security_event", "last_at"),
    Kind.QUARANTINE: ("quarantine", "received_at"),
    Kind.RESULTS: ("due_result", "finished_at"),
}

_PROFILES: Final = """
SELECT DISTINCT m.tenant_id, c.source FROM channel AS c JOIN meter AS m USING (meter_id)
"""
_SERIES: Final = """
SELECT s.series_id FROM series AS s JOIN channel AS c USING (channel_id)
JOIN meter AS m USING (meter_id)
WHERE m.tenant_id = %s AND c.source IS NOT DISTINCT FROM %s
"""
# Only those of which there is anything: a look at an index per series and chunk.
_HELD: Final = """
SELECT wanted.series_id FROM unnest(%(series_ids)s::int4[]) AS wanted (series_id)
WHERE EXISTS (SELECT FROM {table} AS row WHERE row.series_id = wanted.series_id
              AND {column} >= %(since)s AND {column} < %(until)s)
"""
_DELETE_SERIES: Final = """
DELETE FROM {table} WHERE series_id = ANY (%(series_ids)s)
  AND {column} >= %(since)s AND {column} < %(until)s
"""
# What names no meter belongs to nobody's tenant; the rule for all counts for it.
_DELETE_OF_METERS: Final = """
DELETE FROM {table} AS row USING (
    SELECT {key} FROM {table} AS old
    WHERE {column} < %(before)s AND {owned} LIMIT %(limit)s
) AS old WHERE {same} {returning}
"""
_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "event": ("meter_id", "occurred_at", "source", "code", "ordinal"),
    "session": ("session_id", "ended_at"),
    "security_event": ("event_id",),
    "quarantine": ("quarantine_id",),
    "due_result": ("finished_at", "item_id"),
}
_OWNED: Final[Mapping[bool, LiteralString]] = {
    True: "old.meter_id IN (SELECT meter_id FROM meter WHERE tenant_id = %(tenant_id)s)",
    False: "old.meter_id IS NULL",
}
# Of a batch whose rows are still there its kind must be known: it decides which value is current.
_DELETE_BATCHES: Final = """
DELETE FROM batch WHERE batch_id IN (
    SELECT batch_id FROM batch
    WHERE stored_at < %(before)s
      AND (captured_to < %(rows_before)s OR (captured_to IS NULL AND meter_ids IS NOT NULL))
    ORDER BY batch_id LIMIT %(limit)s)
"""


@attrs.frozen
class Rule:
    """Keep so many days; `tenant_id`, `source` None: of all tenants, of all profiles."""

    kind: Kind
    keep_days: int
    tenant_id: int | None = None
    source: Obis | None = None


@attrs.frozen
class Profile:
    """What rules may tell apart: a tenant's channels of one profile, or without one (None)."""

    tenant_id: int
    source: Obis | None


def rules(connection: Connection) -> Sequence[Rule]:
    """All rules, by kind, tenant and profile."""
    rows = connection.execute(
        "SELECT kind, keep_days, tenant_id, source FROM retention"
        " ORDER BY kind, tenant_id NULLS FIRST, source NULLS FIRST"
    )
    return [
        Rule(Kind(kind), days, tenant_id, None if source is None else Obis(source))
        for kind, days, tenant_id, source in rows
    ]


def put_rule(connection: Connection, rule: Rule) -> None:
    """Set a rule in place of the one that was there."""
    connection.execute(
        "INSERT INTO retention (kind, tenant_id, source, keep_days) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (kind, tenant_id, source)"
        " DO UPDATE SET keep_days = excluded.keep_days, set_at = now()",
        (rule.kind.value, rule.tenant_id, _octets(rule.source), rule.keep_days),
    )


def remove_rule(
    connection: Connection, kind: Kind, tenant_id: int | None, source: Obis | None
) -> bool:
    """Remove a rule; tells whether there was one."""
    removed = connection.execute(
        "DELETE FROM retention WHERE kind = %s AND tenant_id IS NOT DISTINCT FROM %s"
        " AND source IS NOT DISTINCT FROM %s",
        (kind.value, tenant_id, _octets(source)),
    )
    return removed.rowcount == 1


def profiles(connection: Connection) -> Sequence[Profile]:
    """Every tenant's profiles."""
    return [
        Profile(tenant_id, None if source is None else Obis(source))
        for tenant_id, source in connection.execute(_PROFILES)
    ]


def tenant_ids(connection: Connection) -> Sequence[int]:
    """All tenants."""
    return [tenant_id for (tenant_id,) in connection.execute("SELECT tenant_id FROM tenant")]


def series_of(connection: Connection, profile: Profile) -> Sequence[int]:
    """The series of a tenant's profile."""
    found = connection.execute(_SERIES, (profile.tenant_id, _octets(profile.source)))
    return [series_id for (series_id,) in found]


def delete_of_series(
    database: Database,
    table: str,
    column: str,
    series_ids: Sequence[int],
    *,
    since: datetime | None = None,
    before: datetime,
) -> int:
    """
    Delete the rows of these series in [since, before), in many small transactions.

    Args: table, column: of `OF_SERIES`.

    Returns: how many.

    Raises: StorageUnavailableError: what is done is done; begin again.
    """
    names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    count = 0
    for begin, end in _stretches(database, table, since, before):
        bounds: dict[str, object] = {"since": begin, "until": end}
        with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            held = connection.execute(
                sql.SQL(_HELD).format(**names), {**bounds, "series_ids": list(series_ids)}
            ).fetchall()
        for first in range(0, len(held), _SERIES_AT_ONCE):
            some = [series_id for (series_id,) in held[first : first + _SERIES_AT_ONCE]]
            with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
                count += connection.execute(
                    sql.SQL(_DELETE_SERIES).format(**names), {**bounds, "series_ids": some}
                ).rowcount
    return count


def count_of_series(
    database: Database,
    table: str,
    column: str,
    series_ids: Sequence[int],
    *,
    since: datetime | None = None,
    before: datetime,
) -> int:
    """How many rows `delete_of_series` would delete."""
    with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
        row = connection.execute(
            sql.SQL(
                "SELECT count(*) FROM {table} WHERE series_id = ANY (%s)"
                " AND {column} >= %s AND {column} < %s"
            ).format(table=sql.Identifier(table), column=sql.Identifier(column)),
            (list(series_ids), since or "-infinity", before),
        ).fetchone()
    return 0 if row is None else int(row[0])


def delete_of_meters(
    database: Database, kind: Kind, tenant_id: int | None, before: datetime
) -> int:
    """
    Delete what is older of a tenant's meters, or of nobody's (None), in bounded transactions.

    Entries of the quarantine give their room back.

    Args: kind: of `OF_METERS`.
    """
    table, column = OF_METERS[kind]
    key = _KEYS[table]
    statement = sql.SQL(_DELETE_OF_METERS).format(
        table=sql.Identifier(table),
        column=sql.Identifier(column),
        key=sql.SQL(", ").join(sql.Identifier(name) for name in key),
        owned=sql.SQL(_OWNED[tenant_id is not None]),
        same=sql.SQL(" AND ").join(
            sql.SQL("row.{0} = old.{0}").format(sql.Identifier(name)) for name in key
        ),
        returning=sql.SQL("RETURNING row.sender, row.octets" if table == "quarantine" else ""),
    )
    count = 0
    while True:
        with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            cursor = connection.execute(
                statement, {"tenant_id": tenant_id, "before": before, "limit": _ROWS_AT_ONCE}
            )
            if table == "quarantine":
                quarantine.give_back(connection, cursor.fetchall())
        count += cursor.rowcount
        if cursor.rowcount < _ROWS_AT_ONCE:
            return count


def delete_batches(database: Database, before: datetime, rows_before: datetime) -> int:
    """Delete batches stored before an instant of which no row can be left, which is another."""
    count = 0
    while True:
        with database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            deleted = connection.execute(
                _DELETE_BATCHES,
                {"before": before, "rows_before": rows_before, "limit": _ROWS_AT_ONCE},
            ).rowcount
        count += deleted
        if deleted < _ROWS_AT_ONCE:
            return count


def _stretches(
    database: Database, table: str, since: datetime | None, before: datetime
) -> Iterator[tuple[datetime | str, datetime]]:
    """The part of each chunk that is meant; all at once where there are none."""
    found: Sequence[Chunk] = list_chunks(database, table) if table in chunks.TABLES else ()
    if not found:
        yield since or "-infinity", before
    for chunk in found:
        begin = chunk.since if since is None else max(chunk.since, since)
        end = min(chunk.until, before)
        if begin < end:
            yield begin, end


def _octets(source: Obis | None) -> bytes | None:
    return None if source is None else source.octets
