"""Operations on readings: a meter's channels, the values of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

import attrs
from msgspec import Meta

from hes.api import examples, schemas
from hes.api.cursors import seal, unseal
from hes.api.meters import MeterPath
from hes.api.problems import InvalidField, ProblemError
from hes.api.routes import Call, Nothing, Routes
from hes.api.services import Services
from hes.domain.quality import Quality
from hes.domain.readings import ValueKind
from hes.readings import (
    BucketPage,
    BucketRow,
    ChannelRow,
    Interval,
    LatestRow,
    ReadingRow,
    UnalignedZoneError,
)

routes = Routes("readings")

# What people look at first: energy imported, then exported, then whatever is there.
_PREFERRED = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.1.7.0.255")


@attrs.frozen
class ReadingsQuery:
    channel: Annotated[
        schemas.ChannelId | None, Meta(description="A channel's id; else the first that fits.")
    ] = None
    obis: Annotated[
        schemas.ObisText | None, Meta(description="Only channels of this OBIS code.")
    ] = None
    source: Annotated[
        schemas.ObisText | None, Meta(description="Only channels of this profile.")
    ] = None
    from_: Annotated[
        schemas.Time | None, Meta(description="From this time on, included; else all.")
    ] = None
    to: Annotated[schemas.Time | None, Meta(description="Up to this time, excluded; else all.")] = (
        None
    )
    interval: Annotated[
        schemas.IntervalName | None, Meta(description="Rolled up so; else as the meter gave them.")
    ] = None
    timezone: Annotated[
        schemas.Zone | None,
        Meta(description="Whose days and months; else those of the meter's site."),
    ] = None
    cursor: schemas.Cursor | None = None
    limit: schemas.Limit = 500


@routes.route(
    "GET",
    "/v1/meters/{meter_id}/channels",
    path_types=MeterPath,
    returns={200: schemas.ChannelList},
    problems=["meter_not_found", "storage_unavailable", "overloaded"],
    scope="readings:read",
    example=examples.CHANNELS,
)
def list_channels(call: Call[Nothing, MeterPath]) -> schemas.ChannelList:
    """
    List a meter's channels.

    All in one page, load profiles before spot values, imported energy first.
    """
    rows = _channels(call.services, call.path.meter_id)
    return schemas.ChannelList(
        items=[_channel(row) for row in rows],
        next_cursor=None,
        has_more=False,
        total_estimate=len(rows),
    )


@routes.route(
    "GET",
    "/v1/meters/{meter_id}/readings",
    query=ReadingsQuery,
    path_types=MeterPath,
    returns={200: schemas.ReadingList},
    problems=[
        "meter_not_found",
        "channel_not_found",
        "range_invalid",
        "timezone_invalid",
        "cursor_invalid",
        "storage_unavailable",
        "overloaded",
    ],
    scope="readings:read",
    example=examples.READINGS,
)
def list_readings(call: Call[ReadingsQuery, MeterPath]) -> schemas.ReadingList:
    """
    List the readings of one channel.

    The range is half-open, [from, to), by `captured_at`. Without `channel`, the first of the
    meter's channels that fits `obis` and `source` is taken, in the order of the channel list; the
    answer says which. With `interval` the items are hours, local days or months that begin in the
    range; those without any value are left out.
    """
    query = call.query
    from_, to = _range(query)
    after = unseal("readings", query.cursor, tuple[int, datetime])
    row = _chosen(
        _channels(call.services, call.path.meter_id), query, None if after is None else after[0]
    )
    since = None if after is None else after[1]
    items: Sequence[schemas.Reading]
    if query.interval is None:
        page = call.services.readings.page(row.channel_id, from_, to, since, query.limit)
        items, has_more = [_reading(each) for each in page.items], page.has_more
    else:
        buckets = _rolled(call.services, row.channel_id, query.interval, query, (from_, to), since)
        items, has_more = [_bucket(each) for each in buckets.items], buckets.has_more
    last = items[-1].captured_at if items else None
    more = has_more and last is not None
    return schemas.ReadingList(
        channel=_channel(row),
        items=items,
        next_cursor=seal("readings", (row.channel_id, last)) if more else None,
        has_more=more,
        total_estimate=None,
    )


@routes.route(
    "GET",
    "/v1/meters/{meter_id}/latest",
    path_types=MeterPath,
    returns={200: schemas.LatestList},
    problems=["meter_not_found", "storage_unavailable", "overloaded"],
    scope="readings:read",
    example=examples.LATEST,
)
def list_latest(call: Call[Nothing, MeterPath]) -> schemas.LatestList:
    """
    List the latest reading of each of a meter's channels.

    In the order in which the channels were first seen; what was committed within the last ten
    seconds may not be there yet.
    """
    meter_id = call.path.meter_id
    latest = call.services.latest.read([meter_id])
    if not latest.rows[meter_id]:
        call.services.inventory.get(meter_id)  # says if there is no such meter
    return schemas.LatestList(
        items=[_latest(row) for row in latest.rows[meter_id]], read_from=latest.source.value
    )


@cache
def _zones() -> frozenset[str]:
    # Looked up among the files of all zones, which takes longer than the answer.
    return frozenset(available_timezones())


def _rolled(
    services: Services,
    channel_id: int,
    interval: schemas.IntervalName,
    query: ReadingsQuery,
    span: tuple[datetime | None, datetime | None],
    after: datetime | None,
) -> BucketPage:
    if query.timezone is not None and query.timezone not in _zones():
        raise ProblemError(
            "timezone_invalid", "", [InvalidField("/query/timezone", "no such zone")]
        )
    try:
        return services.readings.rolled(
            channel_id, Interval(interval), query.timezone, *span, after, query.limit
        )
    except UnalignedZoneError as exc:
        detail = "its days begin within hours of the meter's zone"
        raise ProblemError(
            "timezone_invalid", "", [InvalidField("/query/timezone", detail)]
        ) from exc


def _range(query: ReadingsQuery) -> tuple[datetime | None, datetime | None]:
    from_, to = _bound("from", query.from_), _bound("to", query.to)
    if from_ is not None and to is not None and from_ >= to:
        raise ProblemError(
            "range_invalid",
            "",
            [InvalidField("/query/from", "not before to")],
        )
    return from_, to


def _bound(name: str, moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as exc:  # an offset that leads out of the years 1 to 9999
        raise ProblemError(
            "range_invalid", "", [InvalidField(f"/query/{name}", "outside the years 1 to 9999")]
        ) from exc


def _channels(services: Services, meter_id: UUID) -> Sequence[ChannelRow]:
    """The meter's channels in the order in which one is chosen."""
    rows = services.readings.channels(meter_id)
    if not rows:
        services.inventory.get(meter_id)  # says if there is no such meter
    return sorted(rows, key=_preference)


def _preference(row: ChannelRow) -> tuple[object, ...]:
    key = row.key
    obis = str(key.obis)
    return (
        key.kind is ValueKind.STATUS,
        key.capture_period_s == 0,
        _PREFERRED.index(obis) if obis in _PREFERRED else len(_PREFERRED),
        key.capture_period_s,
        key.obis,
        row.channel_id,
    )


def _chosen(rows: Sequence[ChannelRow], query: ReadingsQuery, of_cursor: int | None) -> ChannelRow:
    for row in rows:
        if of_cursor is not None and row.channel_id != of_cursor:
            continue
        if query.channel is not None and row.channel_id != query.channel:
            continue
        if query.obis is not None and str(row.key.obis) != query.obis:
            continue
        if query.source is not None and str(row.key.source) != query.source:
            continue
        return row
    if of_cursor is not None:
        raise ProblemError("cursor_invalid", "This cursor belongs to another channel.")
    if not rows:
        raise ProblemError("channel_not_found", "This meter has no channels yet.")
    raise ProblemError("channel_not_found")


def _channel(row: ChannelRow) -> schemas.Channel:
    key = row.key
    return schemas.Channel(
        id=row.channel_id,
        obis=str(key.obis),
        class_id=key.class_id,
        attribute_index=key.attribute_index,
        data_index=key.data_index,
        source=None if key.source is None else str(key.source),
        capture_period_s=key.capture_period_s,
        kind=key.kind.value,
        stamped_at=key.stamped_at.value,
        store=key.store.value,
        unit=row.unit,
        scaler=row.scaler,
        first_captured_at=_utc(row.first_captured_at),
        last_captured_at=_utc(row.last_captured_at),
    )


def _latest(row: LatestRow) -> schemas.LatestReading:
    key = row.key
    return schemas.LatestReading(
        channel=row.channel_id,
        obis=str(key.obis),
        source=None if key.source is None else str(key.source),
        capture_period_s=key.capture_period_s,
        reading=_reading(ReadingRow(row.reading, row.unit)),
    )


def _reading(row: ReadingRow) -> schemas.Reading:
    reading = row.reading
    return schemas.Reading(
        captured_at=reading.captured_at.astimezone(UTC),
        value=_text(reading.value),
        unit=row.unit,
        quality=_flags(reading.quality),
        revised=reading.revised,
    )


def _bucket(row: BucketRow) -> schemas.Reading:
    bucket = row.bucket
    return schemas.Reading(
        captured_at=bucket.start.astimezone(UTC),
        value=_text(row.value),
        unit=row.unit,
        quality=_flags(bucket.quality),
        revised=False,
        rolled_up=schemas.RolledUp(
            until=bucket.end.astimezone(UTC),
            first=_text(bucket.first),
            last=_text(bucket.last),
            min=_text(bucket.min),
            max=_text(bucket.max),
            sum=_text(bucket.sum),
            samples=bucket.samples,
            expected=bucket.expected,
            falls=bucket.falls,
        ),
    )


def _flags(quality: int) -> Sequence[schemas.QualityFlag]:
    return [schemas.QUALITY_FLAGS[flag] for flag in Quality if quality & flag]


def _text(value: Decimal | float | str | None) -> str | None:
    """Decimals without exponent, floats in their shortest exact form, text as it is."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return None if value is None else str(value)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
