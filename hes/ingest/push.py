"""A push, taken apart by `hes_protocol.push` -> ReadingBatch."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import numpy as np

from hes.domain.meters import Meter
from hes.domain.quality import Quality
from hes.domain.readings import (
    ChannelKey,
    IntegerRows,
    OtherRow,
    Provenance,
    ReadingBatch,
    SeriesKey,
    ValueStore,
    microseconds,
)
from hes.ingest.channels import value_kind
from hes.ingest.time import to_utc
from hes_protocol.axdr.data import INTEGER_TAGS, STRING_TAGS, DataTag
from hes_protocol.cosem import CosemDateTime
from hes_protocol.push import Push, PushValue, instant, plain_text

_INT64_MAX: Final = 2**63 - 1
_CLASS_CLOCK: Final = 8


def push_batch(
    push: Push,
    meter: Meter,
    provenance: Provenance,
    batch_key: UUID,
    quality: int = 0,
    *,
    standard_time: bool = False,
) -> ReadingBatch:
    """
    Turn a push into a batch.

    The meter's clocks and identities are no readings and stay out; so do values that nothing
    names, of which `unnamed` tells. A push without any clock is stamped with the time of receipt.

    Args:
        push: the values.
        meter: who sent it; its zone turns local time into UTC.
        provenance: where it comes from.
        batch_key: made by the sender, see `ReadingBatch`.
        quality: flags that hold for every value, e.g. unauthenticated.
        standard_time: the meter's clock stays on standard time, see `to_utc`.
    """
    named = set(push.identities)
    series: list[SeriesKey] = []
    integers: list[tuple[int, int, int, bool, int]] = []
    others: list[OtherRow] = []
    for value in push.values:
        text = plain_text(value.data)
        if value.obis is None or value.class_id == _CLASS_CLOCK or (value.obis, text) in named:
            continue
        store, content = _content(value)
        if store is None:
            continue
        at, flags = _instant(
            value.captured_at or push.captured_at, meter, provenance, standard_time=standard_time
        )
        flags |= quality
        index = len(series)
        series.append(
            SeriesKey(
                ChannelKey(
                    meter_id=meter.meter_id,
                    source=None,
                    capture_period_s=0,
                    obis=value.obis,
                    class_id=value.class_id,
                    attribute_index=value.attribute_index,
                    kind=value_kind(value.obis, value.class_id),
                    store=store,
                ),
                scaler=value.scaler,
                unit=value.unit,
            )
        )
        if isinstance(content, int):
            integers.append((index, at, content, False, flags))
        else:
            others.append(OtherRow(index, at, content, flags))
    return ReadingBatch(
        batch_key=batch_key,
        series=tuple(series),
        integers=_rows(integers),
        others=tuple(others),
        provenance=provenance,
    )


def unnamed(push: Push) -> int:
    """How many numbers of a push no object and no layout names: nobody can address them."""
    return sum(
        value.obis is None and _content(value)[0] in (ValueStore.INTEGER, ValueStore.FLOAT)
        for value in push.values
    )


def _content(value: PushValue) -> tuple[ValueStore | None, int | float | str]:
    """Where a value belongs and what it holds; None for what is no single value."""
    data = value.data
    if data.tag in INTEGER_TAGS or data.tag is DataTag.BOOLEAN:
        number = int(data.value)
        if number <= _INT64_MAX:
            return ValueStore.INTEGER, number
        return ValueStore.TEXT, str(number)
    if data.tag in (DataTag.FLOAT32, DataTag.FLOAT64):
        return ValueStore.FLOAT, float(data.value)
    if data.tag in STRING_TAGS or data.tag is DataTag.DATE_TIME:
        moment = instant(data)
        if moment is not None:
            return ValueStore.TEXT, moment.isoformat() or ""
        return ValueStore.TEXT, plain_text(data) or data.value.hex()
    if data.tag is DataTag.BIT_STRING:
        bits = data.value
        return ValueStore.TEXT, "".join("01"[bits[i]] for i in range(bits.length))
    return None, ""


def _instant(
    moment: CosemDateTime | None, meter: Meter, provenance: Provenance, *, standard_time: bool
) -> tuple[int, int]:
    local = None if moment is None else moment.local()
    if moment is None or local is None:
        return microseconds(provenance.received_at), int(Quality.TIME_OF_RECEIPT)
    local_us = np.datetime64(local, "us").astype(np.int64)
    at, flags = to_utc(
        np.array([local_us], np.int64),
        np.array([moment.deviation_min], np.int32),
        np.array([moment.clock_status], np.int32),
        meter.timezone,
        standard_time=standard_time,
    )
    return int(at[0]), int(flags[0])


def _rows(rows: list[tuple[int, int, int, bool, int]]) -> IntegerRows:
    if not rows:
        return IntegerRows.empty()
    index, at, value, null, quality = zip(*rows, strict=True)
    return IntegerRows(
        np.array(index, np.int32),
        np.array(at, np.int64),
        np.array(value, np.int64),
        np.array(null, np.bool_),
        np.array(quality, np.int32),
    )
