"""
What a meter's channels hold, and the current values of one channel, exact and in their unit.

Which value is current: `hes.storage.queries.current`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import attrs

from hes.domain.errors import PermanentError
from hes.domain.readings import ChannelKey, Reading, ValueKind, moment, scaled
from hes.readings.gaps import FilledColumns, fill_gaps
from hes.storage.database import Database
from hes.storage.queries import ranges, rolled, selection
from hes.storage.queries.columns import CurrentColumns
from hes.storage.queries.rolled import Bucket, Interval
from hes_protocol.cosem.units import Unit

_STATEMENT_TIMEOUT_S = 10.0


class UnknownChannelError(PermanentError):
    """There is no such channel."""


@attrs.frozen
class ChannelRow:
    """
    A channel of a meter; `scaler` and `unit` are those of its latest series.

    `unit` is the symbol (`Wh`), None for a count. The instants are None if it holds no rows.
    """

    channel_id: int
    key: ChannelKey
    scaler: int
    unit: str | None
    first_captured_at: datetime | None
    last_captured_at: datetime | None


@attrs.frozen
class ReadingRow:
    """A reading with the unit that its value is in, since a channel may change it."""

    reading: Reading
    unit: str | None


@attrs.frozen
class ReadingPage:
    """
    Readings, oldest first.

    `has_more`: there are later ones in the range; ask again with `after` = the last instant here.
    """

    items: tuple[ReadingRow, ...]
    has_more: bool


@attrs.frozen
class BucketRow:
    """
    An hour, a local day or a month of a channel, exact.

    `value`: what the bucket comes to: what a cumulative register rose by, the sum of deltas, the
    mean of others to 28 digits; None: no value, or none before it to rise from.
    """

    bucket: Bucket
    value: Decimal | None
    unit: str | None


@attrs.frozen
class BucketPage:
    """Buckets, oldest first; empty ones are left out. `has_more` as in `ReadingPage`."""

    items: tuple[BucketRow, ...]
    has_more: bool


class ReadingQueries:
    """Reads the tables of readings. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def channels(self, meter_id: UUID) -> Sequence[ChannelRow]:
        """
        The channels of a meter that hold anything, in the order in which they were first seen.

        Raises:
            StorageUnavailableError: the database is away or took too long.
        """
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            extents = selection.extents(connection, meter_id)
        return [
            ChannelRow(
                channel_id=extent.channel_id,
                key=extent.key,
                scaler=extent.scaler,
                unit=Unit.of(extent.unit).symbol,
                first_captured_at=extent.first_captured_at,
                last_captured_at=extent.last_captured_at,
            )
            for extent in extents
        ]

    def page(
        self,
        channel_id: int,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> ReadingPage:
        """
        The current values of a channel in the half-open range [from_, to).

        Args:
            from_: aware; None: from the beginning.
            to: aware, exclusive; None: to the end.
            after: only instants later than this one, which was the last of the page before.
            limit: how many at most, above 0.

        Returns:
            No rows if there is no such channel.

        Raises:
            StorageUnavailableError: the database is away or took too long.
        """
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            found = selection.of_ids(connection, [channel_id])
            if not found:
                return ReadingPage((), has_more=False)
            columns = ranges.page(
                connection, found[0], from_=from_, to=to, after=after, limit=limit + 1
            )
        return ReadingPage(
            items=tuple(reading_rows(columns.select(slice(limit)))), has_more=len(columns) > limit
        )

    def rolled(
        self,
        channel_id: int,
        interval: Interval,
        zone: str | None,
        from_: datetime | None,
        to: datetime | None,
        after: datetime | None,
        limit: int,
    ) -> BucketPage:
        """
        What a channel comes to per hour, day or month that begins in [from_, to).

        Args:
            zone: whose days and months; None: those of where the meter is.
            from_, to, after, limit: as for `page`, of the buckets' beginnings.

        Returns:
            No rows if there is no such channel.

        Raises:
            UnalignedZoneError: of another zone, whose days are not made of whole hours of the
                meter's.
            StorageUnavailableError: the database is away or took too long.
        """
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            found = selection.of_ids(connection, [channel_id])
            if not found:
                return BucketPage((), has_more=False)
            buckets = rolled.buckets(
                connection,
                found[0],
                interval,
                zone=zone,
                from_=from_,
                to=to,
                after=after,
                limit=limit + 1,
            )
        starts = list(dict.fromkeys(bucket.start for bucket in buckets))
        kept = [bucket for bucket in buckets if bucket.start in starts[:limit]]
        kind = found[0].key.kind
        return BucketPage(
            items=tuple(
                BucketRow(bucket, _amount(bucket, kind), Unit.of(bucket.unit).symbol)
                for bucket in kept
            ),
            has_more=len(starts) > limit,
        )

    def filled(self, channel_id: int, from_: datetime, to: datetime) -> FilledColumns:
        """
        The current values of a channel in [from_, to) as columns, gaps on its grid filled.

        Raises:
            UnknownChannelError: there is no such channel, or it holds nothing.
            StorageUnavailableError: the database is away or took too long.
        """
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            found = selection.of_ids(connection, [channel_id])
            if not found:
                raise UnknownChannelError(f"no channel {channel_id}")
            columns = ranges.values(connection, found, from_, to)
        return fill_gaps(columns, channel_id, found[0].key.capture_period_s, from_, to)


def _amount(bucket: Bucket, kind: ValueKind) -> Decimal | None:
    if kind in (ValueKind.CUMULATIVE, ValueKind.DELTA) or bucket.sum is None or not bucket.samples:
        return bucket.sum
    return bucket.sum / bucket.samples


def reading_rows(columns: CurrentColumns) -> Iterator[ReadingRow]:
    """An object per value, for who shows them one by one."""
    for at, value, null, quality, scaler, unit, revised in zip(
        columns.captured_at.tolist(),
        columns.value.tolist(),
        columns.null.tolist(),
        columns.quality.tolist(),
        columns.scaler.tolist(),
        columns.unit.tolist(),
        columns.revised.tolist(),
        strict=True,
    ):
        exact = None if null else scaled(value, scaler) if isinstance(value, int) else value
        yield ReadingRow(Reading(moment(at), exact, quality, revised), Unit.of(unit).symbol)
