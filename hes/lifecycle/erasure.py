"""
Erasure of a person's data (GDPR, article 17): of one occupancy that has ended.

Goes: who lived there; all readings of the meters at that usage point within the occupancy, what was
said of them later, their roll-ups, meters' log entries of that time, refused rows and octets in
quarantine, latest values in Redis. Stays, in `billing_evidence` and without the person: what bills
rest on (article 17, 3 b and e): cumulative registers at local month ends and at both ends of the
occupancy, and all of billing profiles, each with its provenance. Of months whose readings have
gone by age the roll-up's last value stays instead.

First the evidence, then the deleting, in steps that may be done twice: whoever is interrupted runs
it again, which keeps no further evidence. At the instants `since` and `until` themselves a
register's value belongs to both neighbours and stays; an interval stamped at its end belongs to the
time before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain import calendar
from hes.domain.errors import PermanentError
from hes.domain.readings import (
    Int64Array,
    StampedAt,
    ValueKind,
    ValueStore,
    microseconds,
    moment,
    scaled,
)
from hes.storage import erasures
from hes.storage import retention as store
from hes.storage.cache import Cache, LatestCache
from hes.storage.database import Connection, Database
from hes.storage.erasures import Evidence, MeterStay, Stay
from hes.storage.features import aggregate
from hes.storage.queries import ranges, selection
from hes.storage.queries.columns import CurrentColumns
from hes.storage.queries.selection import FoundChannel
from hes.storage.retention import Kind
from hes_protocol.cosem import Obis

_HOUR_US: Final = 3_600_000_000
_TICK: Final = timedelta(microseconds=1)
_OCTETS_GRACE: Final = timedelta(days=1)
# Source: IEC 62056-6-1, data profiles of billing periods: C = 98, D = 1 or 2.
_BILLING: Final = re.compile(r"\d+\.\d+\.98\.[12]\.\d+\.\d+")
_INTERVALS: Final = (ValueKind.DELTA, ValueKind.AVERAGE)


class StillLivesThereError(PermanentError):
    """The occupancy has not ended."""


@attrs.frozen
class Erased:
    """What went and what stays; `erasure_id` None: nothing was done."""

    occupancy_id: int
    erasure_id: int | None
    meters: int
    evidence: int
    readings: int
    rollups: int
    events: int
    quarantined: int


class Erasure:
    """
    Erases.

    Args:
        cache: Redis, None: there is none.
        clock: our clock, aware.
    """

    def __init__(
        self, database: Database, cache: Cache | None, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._cache = cache
        self._clock = clock

    def of_contract(self, contract: str) -> Sequence[Stay]:
        """The occupancies of a contract. Raises: StorageUnavailableError."""
        with self._database.connection() as connection:
            return erasures.stays(connection, contract)

    def erase(self, occupancy_id: int, *, reason: str, by: str, dry_run: bool = False) -> Erased:
        """
        Erase, or go on where somebody was interrupted.

        Args: dry_run: only count evidence and readings.

        Raises:
            OccupancyUnknownError, StillLivesThereError.
            StorageUnavailableError, CacheUnavailableError: not done yet; run it again.
        """
        with self._database.connection() as connection:
            stay = erasures.stay(connection, occupancy_id)
            if stay.until is None or stay.until > self._clock():
                raise StillLivesThereError(
                    f"occupancy {occupancy_id} at {stay.usage_point} has not ended"
                )
            meters = erasures.meters(connection, stay, stay.until)
            channels = {one: selection.of_meters(connection, [one.meter_id]) for one in meters}
            evidence: dict[UUID, list[Evidence]] = {}
            # Of what is half erased nothing more may be kept.
            erasure_id = None if dry_run else stay.erasure_id
            for one, found in channels.items() if stay.erasure_id is None else ():
                kept = evidence.setdefault(one.meter_id, [])
                zone = stay.timezone or one.timezone
                for channel in found:
                    kept += _evidence(connection, channel, one, zone)
            if not dry_run and erasure_id is None:
                erasure_id = erasures.begin(connection, stay, reason, by, evidence)
        readings = rollups = events = quarantined = 0
        for one, found in channels.items():
            readings += self._readings(one, found, dry_run=dry_run)
            if dry_run:
                continue
            aggregate.forget(self._database, one.since, one.until)
            series_ids = [series.series_id for channel in found for series in channel.series]
            with self._database.connection() as connection:
                if series_ids:
                    starts = _first_buckets(stay.timezone or one.timezone, one.since)
                    rollups += erasures.forget_rollups(
                        connection, series_ids, one.since, one.until, starts
                    )
                events += erasures.forget_events(connection, one.meter_id, one.since, one.until)
                quarantined += erasures.forget_quarantine(
                    connection,
                    one.meter_id,
                    one.since,
                    one.until,
                    octets_until=one.until + _OCTETS_GRACE,
                )
        if erasure_id is not None:
            if self._cache is not None:
                LatestCache(self._cache).forget([one.meter_id for one in meters])
            counts = {"readings": readings, "rollups": rollups, "events": events,
                      "quarantine": quarantined}  # fmt: skip
            with self._database.connection() as connection:
                erasures.finish(connection, erasure_id, counts)
        return Erased(
            occupancy_id=occupancy_id,
            erasure_id=erasure_id,
            meters=len(meters),
            evidence=sum(map(len, evidence.values())),
            readings=readings,
            rollups=rollups,
            events=events,
            quarantined=quarantined,
        )

    def _readings(self, of: MeterStay, channels: Sequence[FoundChannel], *, dry_run: bool) -> int:
        """Delete, or count, what was captured meanwhile, by the meaning of its stamp."""
        change = store.count_of_series if dry_run else store.delete_of_series
        count = 0
        by_bounds: dict[tuple[datetime, datetime], list[int]] = {}
        for channel in channels:
            ids = by_bounds.setdefault(_bounds(channel, of), [])
            ids += [series.series_id for series in channel.series]
        for (since, before), ids in by_bounds.items():
            for table, column in store.OF_SERIES[Kind.READINGS].items():
                count += change(self._database, table, column, ids, since=since, before=before)
        return count


def _bounds(channel: FoundChannel, of: MeterStay) -> tuple[datetime, datetime]:
    """[from, before) of what is this person's alone."""
    if channel.key.kind in _INTERVALS and channel.key.stamped_at is StampedAt.START:
        return of.since, of.until
    if channel.key.kind in _INTERVALS:
        return of.since + _TICK, of.until + _TICK
    if channel.key.kind is ValueKind.CUMULATIVE:
        return of.since + _TICK, of.until
    return of.since, of.until


def _first_buckets(zone: str, since: datetime) -> Mapping[str, datetime]:
    """Where the first bucket begins that reaches beyond an instant; whole ones before it stay."""
    instant = microseconds(since)
    day = calendar.day(zone, instant).start
    return {
        "rollup_hour": moment(instant - (instant - day) % _HOUR_US),
        "rollup_day": moment(day),
        "rollup_month": moment(calendar.month(zone, instant).start),
    }


def _evidence(
    connection: Connection, channel: FoundChannel, of: MeterStay, zone: str
) -> Iterator[Evidence]:
    """What of a channel bills rest on."""
    key = channel.key
    billing = key.source is not None and _is_billing(key.source)
    if not billing and (key.kind is not ValueKind.CUMULATIVE or key.store is ValueStore.TEXT):
        return
    columns = ranges.values(connection, [channel], of.since, of.until + _TICK)
    held = columns.select(~columns.null)
    kept_as = "billing_profile" if billing else "month_end"
    yield from _rolled_up(connection, channel, of, held, kept_as)
    if billing:
        for row in range(len(held)):
            yield _kept(channel, held, row, kept_as)
        return
    ends = {0, len(held) - 1} if len(held) else set()
    for row in sorted(ends | set(_month_ends(held.captured_at, of, zone))):
        yield _kept(channel, held, row, "occupancy_end" if row in ends else "month_end")


def _rolled_up(
    connection: Connection,
    channel: FoundChannel,
    of: MeterStay,
    held: CurrentColumns,
    kept_as: str,
) -> Iterator[Evidence]:
    """Of months whose readings have gone by age, what their roll-ups say."""
    if channel.key.kind is not ValueKind.CUMULATIVE:
        return
    before = moment(int(held.captured_at[0])) if len(held) else of.until + _TICK
    series = {one.series_id: one for one in channel.series}
    for series_id, at, last, quality in erasures.months(
        connection, list(series), of.since, of.until, before
    ):
        yield Evidence(
            channel=channel,
            kept_as=kept_as,
            captured_at=at,
            raw=None,
            value=last.scaleb(series[series_id].scaler),
            text=None,
            unit=series[series_id].unit,
            quality=quality,
        )


def _month_ends(captured_at: Int64Array, of: MeterStay, zone: str) -> Iterator[int]:
    """The rows that hold at the ends of local months: the last at or before each."""
    instant, end = microseconds(of.since), microseconds(of.until)
    while instant <= end:
        instant = calendar.month(zone, instant).end
        row = int(np.searchsorted(captured_at, instant, side="right")) - 1
        if row >= 0 and instant <= end:
            yield row


def _kept(channel: FoundChannel, held: CurrentColumns, row: int, kept_as: str) -> Evidence:
    raw: int | float | str = (
        held.value[row].item() if held.value.dtype != object else held.value[row]
    )
    if isinstance(raw, str):
        value, text = None, raw
    elif isinstance(raw, int):
        value, text = scaled(raw, int(held.scaler[row])), None
    else:
        value, text = Decimal(repr(raw)), None
    return Evidence(
        channel=channel,
        kept_as=kept_as,
        captured_at=moment(int(held.captured_at[row])),
        raw=raw,
        value=value,
        text=text,
        unit=int(held.unit[row]),
        quality=int(held.quality[row]),
    )


def _is_billing(source: Obis) -> bool:
    return _BILLING.fullmatch(str(source)) is not None
