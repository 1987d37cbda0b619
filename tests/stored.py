"""
Databases with many readings in them, for tests of plans and for benchmarks; made once and kept.

A fleet whose load profiles were read once a day: every meter counts what it takes,
every second one also what it gives. The rows lie in the tables as such a fleet leaves them: day
after day, and of each day meter after meter. They are kept below `.hes/bench` and made anew when
the schema has changed in a way that they cannot follow.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import attrs
import numpy as np
import psycopg
from psycopg import sql

from hes.domain.readings import microseconds
from hes.services import Service, database_service
from hes.storage import features, pgcopy
from hes.storage.database import Database
from hes.storage.migrations import MigrationError, migrate
from hes_protocol.cosem import Obis
from tests.batches import LOAD_PROFILE, meter_id

INTERVALS: Final = 96
QUARTER_US: Final = 900_000_000
END: Final = datetime(2026, 11, 20, tzinfo=UTC)
IMPORT: Final = Obis.parse("1.0.1.8.0.255")
EXPORT: Final = Obis.parse("1.0.2.8.0.255")


@attrs.frozen
class Fleet:
    """
    So many meters, series and rows, of so many days.

    Series of meter m: `3 * (m // 2) + 1` what it takes if m is even, then what it gives; 3 * (m //
    2) + 3 if it is odd.
    """

    meters: int
    days: int = 365

    @property
    def name(self) -> str:
        """What its database is called."""
        return f"fleet_{self.meters}_{self.days}"

    @property
    def start(self) -> datetime:
        """The first instant of its readings."""
        return END - timedelta(days=self.days)

    @property
    def series(self) -> int:
        """One per meter, and another per even meter."""
        return self.meters + (self.meters + 1) // 2

    @property
    def rows(self) -> int:
        """A value per quarter of an hour and series."""
        return self.series * self.days * INTERVALS

    def import_series(self, meter: int) -> int:
        """The series, and channel, of what a meter takes."""
        return 3 * (meter // 2) + (1 if meter % 2 == 0 else 3)


ONE_MILLION: Final = Fleet(1_903, days=4)
TEN_MILLION: Final = Fleet(191)
HUNDRED_MILLION: Final = Fleet(1_903)


@attrs.frozen
class Stored:
    """A database that holds a fleet's readings; its server runs while the context lasts."""

    url: str
    admin_url: str
    fleet: Fleet


@contextlib.contextmanager
def stored(data: Path, *fleets: Fleet, durable: bool) -> Iterator[Sequence[Stored]]:
    """
    Start the server of the kept databases and see that these fleets' are there.

    Waits for others who use the server.

    Args:
        data: the data folder (`.hes`).
        durable: False gives up fsync.
    """
    folder = data / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _server(data, folder, durable=False) as server:
            for fleet in fleets:
                if not _is_there(server, fleet.name):
                    _make(server, fleet)
        with _server(data, folder, durable=durable) as server:
            yield [
                Stored(_of(server.url, fleet.name), _of(_admin_url(server), fleet.name), fleet)
                for fleet in fleets
            ]


def _server(data: Path, folder: Path, *, durable: bool) -> Service:
    return database_service(folder, servers=data / "servers", durable=durable, report=print)


def _admin_url(server: Service) -> str:
    url: str = getattr(server, "admin_url", server.url)
    return url


def _is_there(server: Service, name: str) -> bool:
    """Whether the database is complete and follows the schema; one that does not is dropped."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        there = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            [name],
        ).fetchone()
    if there == ("complete",):
        with contextlib.suppress(MigrationError), Database(_of(server.url, name)) as database:
            migrate(database)
            features.reconcile(database)
            return True
    with psycopg.connect(server.url, autocommit=True) as connection:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier(name)))
    return False


def _make(server: Service, fleet: Fleet) -> None:
    identifier = sql.Identifier(fleet.name)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    with Database(_of(server.url, fleet.name), statement_timeout_s=600) as database:
        migrate(database)
        features.reconcile(database)
        _add_inventory(database, fleet)
        for day in range(fleet.days):
            _add_day(database, fleet, day)
    with psycopg.connect(_of(_admin_url(server), fleet.name), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'complete'").format(identifier))


def _add_inventory(database: Database, fleet: Fleet) -> None:
    with database.connection() as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY meter (meter_id, serial, timezone, transport, commissioned_at) FROM STDIN"
            ) as copy,
        ):
            for meter in range(fleet.meters):
                copy.write_row(
                    (meter_id(meter), f"S{meter:06}", "Europe/Berlin", "wrapper", fleet.start)
                )
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY channel (channel_id, meter_id, source, capture_period_s, obis, class_id,"
                " attribute_index, data_index, kind, stamped_at, store) FROM STDIN"
            ) as copy,
        ):
            for channel, meter, obis in _channels(fleet):
                copy.write_row(
                    (channel, meter, LOAD_PROFILE.octets, 900, obis.octets, 3, 2, 0,
                     "cumulative", "end", "integer")
                )  # fmt: skip
        connection.execute(
            "INSERT INTO series (series_id, channel_id, scaler, unit, valid_from)"
            " OVERRIDING SYSTEM VALUE"
            " SELECT channel_id, channel_id, -1, 30, '-infinity' FROM channel"
        )
        for table, column, last in (
            ("channel", "channel_id", fleet.series),
            ("series", "series_id", fleet.series),
            ("batch", "batch_id", fleet.meters * fleet.days),
        ):
            connection.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s)", (table, column, last)
            )


def _channels(fleet: Fleet) -> Iterator[tuple[int, UUID, Obis]]:
    number = 0
    for meter in range(fleet.meters):
        for obis in (IMPORT, EXPORT)[: 2 - meter % 2]:
            number += 1
            yield number, meter_id(meter), obis


def _add_day(database: Database, fleet: Fleet, day: int) -> None:
    """What the fleet's meters have counted on a day, read after its end: a batch per meter."""
    first = microseconds(fleet.start) + day * INTERVALS * QUARTER_US
    instants = first + np.arange(INTERVALS, dtype=np.int64) * QUARTER_US
    random = np.random.default_rng(day)
    curve = 80 + 60 * np.sin(np.arange(INTERVALS) / INTERVALS * 2 * np.pi - 2)
    steps = random.poisson(curve, (fleet.series, INTERVALS))
    level = np.arange(fleet.series, dtype=np.int64)[:, None] * 1_000_000 + day * 10_000
    values = level + np.cumsum(steps, axis=1)
    meters = np.repeat(np.arange(fleet.meters), 2 - np.arange(fleet.meters) % 2)
    batches = (day * fleet.meters + 1 + meters).astype(np.int64)
    count = fleet.series * INTERVALS
    stream = pgcopy.encode(
        [
            pgcopy.timestamps(np.tile(instants, fleet.series)),
            np.repeat(batches, INTERVALS),
            np.repeat(np.arange(1, fleet.series + 1, dtype=np.int32), INTERVALS),
            np.zeros(count, np.int32),
            values.reshape(-1),
        ],
        np.zeros(count, np.bool_),
    )
    read_at = fleet.start + timedelta(days=day + 1, minutes=5)
    with database.connection() as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY reading (captured_at, batch_id, series_id, quality, value)"
                " FROM STDIN (FORMAT binary)"
            ) as copy,
        ):
            copy.write(stream)
        connection.execute(
            "INSERT INTO batch (batch_id, batch_key, source_kind, received_at, stored_at, stored,"
            " duplicates, revised, quarantined, meter_ids, captured_from, captured_to)"
            " OVERRIDING SYSTEM VALUE"
            " SELECT %s + number, gen_random_uuid(), 'profile', %s, %s, 96 * (1 + number %% 2), 0,"
            " 0, 0, ARRAY[meter_id], %s, %s FROM unnest(%s::uuid[]) WITH ORDINALITY"
            " AS meter (meter_id, number)",
            (
                day * fleet.meters,
                read_at,
                read_at,
                read_at - timedelta(days=1, minutes=5),
                read_at - timedelta(minutes=20),
                [meter_id(meter) for meter in range(fleet.meters)],
            ),
        )


def _of(url: str, database: str) -> str:
    return f"{url.rpartition('/')[0]}/{database}"
