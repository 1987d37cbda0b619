"""A decoded profile-generic buffer -> ReadingBatch."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import numpy as np

from hes.domain.meters import Meter, ProfileKnowledge
from hes.domain.quality import Quality
from hes.domain.readings import (
    ChannelKey,
    Int32Array,
    Int64Array,
    IntegerRows,
    OtherRow,
    Provenance,
    ReadingBatch,
    SeriesKey,
    ValueStore,
)
from hes.ingest.channels import value_kind
from hes.ingest.time import to_utc
from hes_protocol.profile import Clock, Column, ProfileColumns

# Rows without any clock keep this instant; it lies outside every meter's window, so that the
# writer puts them into quarantine with the evidence instead of guessing an interval.
NO_INSTANT_US: Final = 0
_HOUR_S: Final = 3600
_STATUS_BITS: Final = (
    (0x02, Quality.CLOCK_INVALID),
    (0x20, Quality.CLOCK_ADJUSTED),
    (0x80, Quality.POWER_FAILED),
)


def profile_batch(
    columns: ProfileColumns,
    profile: ProfileKnowledge,
    meter: Meter,
    provenance: Provenance,
    batch_key: UUID,
    quality: int = 0,
    *,
    standard_time: bool = False,
) -> ReadingBatch:
    """
    Turn decoded columns into a batch.

    Args:
        columns: one `Column` per capture object but the clock, in capture order.
        profile: what is known of the profile; its columns match those of `columns` by class_id,
            logical_name, attribute_index and data_index and give scaler and unit.
        meter: whose profile it is; its zone turns local time into UTC.
        provenance: where the buffer comes from.
        batch_key: made by the sender, see `ReadingBatch`.
        quality: flags that hold for every row, e.g. unauthenticated.
        standard_time: the meter's clock stays on standard time, see `to_utc`.
    Returns: a batch of rows x value columns readings, each column's in the order of capture: two
        rows may bear the same time, where a clock was set back, and the first is the first.
    """
    captured_at, row_quality = instants(
        columns.clock, columns.rows, profile, meter, standard_time=standard_time
    )
    row_quality = row_quality | np.int32(quality) | _befallen(columns)
    order = slice(None, None, -1 if profile.newest_first else 1)
    scalers = {
        (c.class_id, c.obis, c.attribute_index, c.data_index): (c.scaler, c.unit)
        for c in profile.columns
    }
    series: list[SeriesKey] = []
    parts: list[IntegerRows] = []
    others: list[OtherRow] = []
    for column in columns.columns:
        captured = column.capture_object
        scaler, unit = scalers.get(
            (captured.class_id, captured.obis, captured.attribute_index, captured.data_index),
            (0, 255),
        )
        store = ValueStore(column.store)
        index = len(series)
        series.append(
            SeriesKey(
                ChannelKey(
                    meter_id=meter.meter_id,
                    source=profile.obis,
                    capture_period_s=profile.capture_period_s,
                    obis=captured.obis,
                    class_id=captured.class_id,
                    attribute_index=captured.attribute_index,
                    data_index=captured.data_index,
                    kind=value_kind(captured.obis, captured.class_id),
                    store=store,
                ),
                scaler=scaler,
                unit=unit,
            )
        )
        if store is ValueStore.INTEGER:
            parts.append(_integers(column, index, captured_at, row_quality, order))
        else:
            others.extend(_others(column, index, captured_at, row_quality)[order])
    return ReadingBatch(
        batch_key=batch_key,
        series=tuple(series),
        integers=_joined(parts),
        others=tuple(others),
        provenance=provenance,
    )


def instants(
    clock: Clock | None,
    rows: int,
    profile: ProfileKnowledge,
    meter: Meter,
    *,
    standard_time: bool,
) -> tuple[Int64Array, Int32Array]:
    """When rows were captured, µs since 1970 UTC (`NO_INSTANT_US`: nobody knows), and flags."""
    if clock is None:
        return np.full(rows, NO_INSTANT_US, np.int64), np.zeros(rows, np.int32)
    captured_at, quality = to_utc(
        clock.local_us,
        clock.deviation_min,
        clock.status.astype(np.int32),
        meter.timezone,
        in_order=True,
        standard_time=standard_time,
    )
    _follow_elapsed_time(captured_at, clock)
    period_s = profile.capture_period_s
    # The grid is that of the meter's own clock: where it is half an hour off UTC, hours are, too.
    # Daily and longer periods follow its calendar.
    if 0 < period_s <= _HOUR_S and _HOUR_S % period_s == 0:
        quality[clock.local_us % (period_s * 1_000_000) != 0] |= Quality.OFF_GRID
    quality[clock.inferred] |= Quality.CLOCK_INFERRED
    captured_at[~clock.known] = NO_INSTANT_US
    return captured_at, quality


def _befallen(columns: ProfileColumns) -> Int32Array:
    """
    What the meter's status octet says of its intervals: clock set, clock invalid, power gone.

    Source: IDIS companion standard, package 2, and DSMR P3, "AMR profile status". Statuses of more
    than an octet have other bits.
    """
    quality = np.zeros(columns.rows, np.int32)
    for column in columns.columns:
        captured = column.capture_object
        a, _, c, d, _, _ = captured.obis.octets
        if (captured.class_id, a, c, d) != (1, 0, 96, 10) or column.integers is None:
            continue
        said = ~column.null & (column.integers >= 0) & (column.integers <= 0xFF)
        for bit, flag in _STATUS_BITS:
            quality[said & (column.integers & bit != 0)] |= flag
    return quality


def _follow_elapsed_time(captured_at: Int64Array, clock: Clock) -> None:
    """
    Put rows whose clock was filled in as far behind the last given clock as they are long after.

    Their local times were counted on from it and know nothing of summer time; elapsed time does.
    """
    inferred = np.flatnonzero(clock.inferred)
    if not len(inferred):
        return
    given = np.flatnonzero(clock.known & ~clock.inferred)
    anchor = given[np.searchsorted(given, inferred) - 1]
    captured_at[inferred] = captured_at[anchor] + clock.local_us[inferred] - clock.local_us[anchor]


def _integers(
    column: Column, index: int, captured_at: Int64Array, quality: Int32Array, order: slice
) -> IntegerRows:
    assert column.integers is not None  # store says so
    return IntegerRows(
        series_index=np.full(len(captured_at), index, np.int32),
        captured_at=captured_at[order],
        value=column.integers[order],
        null=column.null[order],
        quality=np.where(column.null, quality | np.int32(Quality.MISSING), quality)[order],
    )


def _others(
    column: Column, index: int, captured_at: Int64Array, quality: Int32Array
) -> list[OtherRow]:
    assert column.others is not None  # store says so
    return [
        OtherRow(
            index,
            int(at),
            value,
            int(flags) | (int(Quality.MISSING) if value is None else 0),
        )
        for at, value, flags in zip(captured_at, column.others, quality, strict=True)
    ]


def _joined(parts: list[IntegerRows]) -> IntegerRows:
    if not parts:
        return IntegerRows.empty()
    return IntegerRows(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("series_index", "captured_at", "value", "null", "quality")
        )
    )
