"""Makes meters and batches for tests of storage and pipeline; load profiles of plain numbers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from uuid import UUID, uuid4, uuid5

import numpy as np

from hes.domain.readings import (
    ChannelKey,
    IntegerRows,
    OtherRow,
    Provenance,
    ReadingBatch,
    SeriesKey,
    SourceKind,
    ValueKind,
    ValueStore,
    microseconds,
)
from hes.pipeline import DirectBus
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.migrations import migrate
from hes_protocol.cosem import Obis

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = datetime(2026, 11, 20, tzinfo=UTC)
COMMISSIONED = datetime(2026, 1, 1, tzinfo=UTC)
QUARTER_S = 900
LOAD_PROFILE = Obis.parse("1.0.99.1.0.255")
IMPORT = Obis.parse("1.0.1.8.0.255")
OBJECTS = tuple(Obis.parse(f"1.0.{group}.8.0.255") for group in (1, 2, 3, 4))
EVIDENCE = b"\x01\x02 as it arrived \xff"

_NAMESPACE = UUID("5f0e8f0a-4c3f-4c39-9a6c-1f3d0c3f6f11")


def meter_id(number: int) -> UUID:
    """The same id for the same number, in every process."""
    return uuid5(_NAMESPACE, str(number))


def add_meters(
    database: Database, count: int, *, commissioned_at: datetime = COMMISSIONED
) -> list[UUID]:
    """Put meters 0 to count - 1 into the inventory."""
    meters = [meter_id(number) for number in range(count)]
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO meter (meter_id, serial, timezone, transport, commissioned_at)"
            " VALUES (%s, %s, 'Europe/Berlin', 'wrapper', %s)",
            [(one, f"S{number:06}", commissioned_at) for number, one in enumerate(meters)],
        )
    return meters


def channel(
    meter: UUID,
    obis: Obis = IMPORT,
    *,
    source: Obis | None = LOAD_PROFILE,
    period_s: int = QUARTER_S,
    store: ValueStore = ValueStore.INTEGER,
) -> ChannelKey:
    """A profile's channel of a cumulative register."""
    return ChannelKey(
        meter_id=meter,
        source=source,
        capture_period_s=period_s if source else 0,
        obis=obis,
        class_id=3,
        attribute_index=2,
        kind=ValueKind.CUMULATIVE,
        store=store,
    )


def series(key: ChannelKey, scaler: int = -1, unit: int = 30) -> SeriesKey:
    """A channel in tenths of Wh, unless said otherwise."""
    return SeriesKey(key, scaler, unit)


def batch(
    rows: Sequence[tuple[SeriesKey, datetime, int | float | str | None]],
    *,
    kind: SourceKind = SourceKind.PROFILE,
    batch_key: UUID | None = None,
    quality: int = 0,
    lease_token: int | None = None,
) -> ReadingBatch:
    """A batch of single rows, each with its series, instant and raw value."""
    keys = {key: index for index, key in enumerate(dict.fromkeys(key for key, _, _ in rows))}
    integers = [row for row in rows if row[0].channel.store is ValueStore.INTEGER]
    others = [row for row in rows if row[0].channel.store is not ValueStore.INTEGER]
    return ReadingBatch(
        batch_key=batch_key or uuid4(),
        series=tuple(keys),
        integers=IntegerRows(
            series_index=np.array([keys[key] for key, _, _ in integers], np.int32),
            captured_at=np.array([microseconds(at) for _, at, _ in integers], np.int64),
            value=np.array([value or 0 for _, _, value in integers], np.int64),
            null=np.array([value is None for _, _, value in integers], np.bool_),
            quality=np.full(len(integers), quality, np.int32),
        ),
        others=[OtherRow(keys[key], microseconds(at), value, quality) for key, at, value in others],
        provenance=provenance(kind, lease_token),
    )


def provenance(kind: SourceKind = SourceKind.PROFILE, lease_token: int | None = None) -> Provenance:
    """Where a batch comes from."""
    return Provenance(
        kind=kind, received_at=NOW, session_id=uuid4(), lease_token=lease_token, evidence=EVIDENCE
    )


def profile(
    meters: Sequence[UUID],
    *,
    start: datetime = DAY,
    intervals: int = 96,
    objects: Sequence[Obis] = OBJECTS,
    offset: int = 0,
    batch_key: UUID | None = None,
) -> ReadingBatch:
    """
    A stretch of load profile of several meters.

    The value of object o of the m-th meter in interval i is `offset` + 1,000,000 m + 100,000 o + i.
    """
    keys = [series(channel(meter, obis)) for meter in meters for obis in objects]
    count = len(keys)
    index = np.arange(count, dtype=np.int32)
    base = offset + 1_000_000 * (index // len(objects)) + 100_000 * (index % len(objects))
    steps = microseconds(start) + np.arange(intervals, dtype=np.int64) * QUARTER_S * 1_000_000
    return ReadingBatch(
        batch_key=batch_key or uuid4(),
        series=tuple(keys),
        integers=IntegerRows(
            series_index=np.repeat(index, intervals),
            captured_at=np.tile(steps, count),
            value=np.repeat(base.astype(np.int64), intervals)
            + np.tile(np.arange(intervals, dtype=np.int64), count),
            null=np.zeros(count * intervals, np.bool_),
            quality=np.zeros(count * intervals, np.int32),
        ),
        others=(),
        provenance=provenance(),
    )


def later(start: datetime, intervals: int) -> datetime:
    """The instant so many quarter hours after `start`."""
    return start + timedelta(seconds=QUARTER_S * intervals)


@contextmanager
def plain() -> Iterator[None]:
    """As if the server had no TimescaleDB."""
    with patch("hes.storage.features.server._SERVER", b"SELECT NULL, false, NULL"):
        yield


@contextmanager
def open_database(url: str, *, hypertables: bool) -> Iterator[Database]:
    """An empty database at the current schema, with hypertables if wanted and possible."""
    with Database(url) as database:
        migrate(database)
        with nullcontext() if hypertables else plain():
            reconcile(database)
        yield database


def open_bus(database: Database) -> DirectBus:
    """A bus whose clock stands at `NOW`."""
    return DirectBus(database, clock=lambda: NOW)
