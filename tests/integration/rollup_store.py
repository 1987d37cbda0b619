"""Writes statements for tests of the roll-ups, and reads the roll-ups back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import attrs
import numpy as np

from hes.domain.readings import StampedAt, ValueKind, ValueStore, microseconds
from hes.pipeline.rollup import Roller
from hes.storage import channels, rollups
from hes.storage.database import Database
from tests.batches import channel
from tests.rollup_model import Bucket, Model, Said

WIDTHS = ("hour", "day", "month")
BERLIN = "Europe/Berlin"
TABLES = {ValueStore.INTEGER: "reading", ValueStore.FLOAT: "reading_float"}
COLUMNS = "first, last, min, max, sum, samples, expected, falls, quality"


REGISTER = Model(BERLIN, ValueKind.CUMULATIVE, StampedAt.END, 900)


class Store:
    """Writes statements as the writer does, without its rules, which have tests of their own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.roller = Roller(database)

    def meter(self, zone: str) -> UUID:
        """A new meter."""
        meter = uuid4()
        with self.database.connection() as connection:
            connection.execute(
                "INSERT INTO meter (meter_id, serial, timezone, transport, commissioned_at)"
                " VALUES (%s, %s, %s, 'wrapper', '2026-01-01Z')",
                (meter, str(meter), zone),
            )
        return meter

    def channel(self, model: Model, store: ValueStore = ValueStore.INTEGER) -> int:
        """A new channel of a new meter."""
        meter = self.meter(model.zone)
        key = attrs.evolve(
            channel(meter, store=store, period_s=model.period_s),
            kind=model.kind,
            stamped_at=model.stamped_at,
        )
        with self.database.connection() as connection:
            channels.insert(connection, [key])
            return channels.find(connection, [key])[key].channel_id

    def series(self, channel_id: int, scaler: int = 0, unit: int = 30) -> int:
        """A series of a channel, made at its first use."""
        with self.database.connection() as connection:
            connection.execute(
                "INSERT INTO series (channel_id, scaler, unit, valid_from)"
                " VALUES (%s, %s, %s, '-infinity') ON CONFLICT DO NOTHING",
                (channel_id, scaler, unit),
            )
            return connection.execute(
                "SELECT series_id FROM series WHERE (channel_id, scaler, unit) = (%s, %s, %s)",
                (channel_id, scaler, unit),
            ).fetchone()[0]

    def say(
        self, channel_id: int, said: list[Said], store: ValueStore = ValueStore.INTEGER
    ) -> None:
        """Each statement in turn, one batch each; all of them in one transaction."""
        series = {one.series: self.series(channel_id, *one.series) for one in said}
        table, column = TABLES[store], "value" if store is ValueStore.INTEGER else "value_float"
        with self.database.connection() as connection:
            for one in said:
                batch_id = connection.execute(
                    "INSERT INTO batch (batch_key, source_kind, received_at, stored, duplicates,"
                    " revised, quarantined) VALUES (gen_random_uuid(), %s, now(), 1, 0, 0, 0)"
                    " RETURNING batch_id",
                    (one.source,),
                ).fetchone()[0]
                row = (series[one.series], one.at, batch_id, one.value, one.quality)
                fresh = connection.execute(
                    f"INSERT INTO {table} (series_id, captured_at, batch_id, value, quality)"
                    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
                    row,
                ).fetchone()
                if fresh is None:
                    connection.execute(
                        "INSERT INTO reading_revision (series_id, captured_at, batch_id,"
                        f" {column}, quality) VALUES (%s, %s, %s, %s, %s)",
                        row,
                    )
            rollups.mark_dirty(
                connection,
                np.array([series[one.series] for one in said], np.int32),
                np.array([microseconds(one.at) for one in said], np.int64),
            )

    def roll(self) -> None:
        """Run until nothing is left."""
        while self.roller.run_once().places:
            pass

    def held(self, channel_id: int, width: str) -> dict[tuple[tuple[int, int], datetime], Bucket]:
        """What a table holds of a channel."""
        with self.database.connection() as connection:
            rows = connection.execute(
                f"SELECT scaler, unit, bucket_start, {COLUMNS} FROM rollup_{width}"
                " JOIN series USING (series_id) WHERE channel_id = %s",
                (channel_id,),
            ).fetchall()
        return {
            ((scaler, unit), start.astimezone(UTC)): Bucket(*rest)
            for scaler, unit, start, *rest in rows
        }


def value(at: datetime, raw: int | None, **fields: object) -> Said:
    return attrs.evolve(Said((0, 30), at, raw, 0, "profile"), **fields)


def quarters(start: str, count: int, first: int = 0, step: int = 10) -> list[Said]:
    begin = datetime.fromisoformat(start)
    return [
        value((begin + timedelta(minutes=15 * n)).astimezone(UTC), first + n * step)
        for n in range(count)
    ]
