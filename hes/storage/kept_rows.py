"""
Refused rows as octets, whole: what `quarantine.rows` holds, and back.

msgpack of the series' keys and of the columns (little-endian), compressed. Texts are octets in it,
since what was refused may be none that msgpack takes. Other versions of the code read it, so
whoever changes the form gives it another number.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import attrs
import msgspec
import numpy as np

from hes.domain.readings import (
    ChannelKey,
    IntegerRows,
    OtherRow,
    SeriesKey,
    SourceKind,
    StampedAt,
    ValueKind,
    ValueStore,
)
from hes_protocol.cosem import Obis

MAX_ROWS: Final = 10_000
"""How many rows an entry holds; more of them make more entries."""

_FORM: Final = 1
_LEVEL: Final = 3  # columns of times and counts: more effort gains little


@attrs.frozen(eq=False)
class KeptRows:
    """Rows as they were in their batch: of which kind it was, and what `ReadingBatch` holds."""

    kind: SourceKind
    series: tuple[SeriesKey, ...]
    integers: IntegerRows
    others: Sequence[OtherRow]

    def __len__(self) -> int:
        return len(self.integers) + len(self.others)


class _Form(msgspec.Struct, array_like=True):
    form: int
    kind: str
    series: list[tuple[Any, ...]]
    series_index: bytes
    captured_at: bytes
    value: bytes
    null: bytes
    quality: bytes
    others: list[tuple[int, int, float | bytes | None, int]]


def encode(rows: KeptRows) -> bytes:
    """Rows to octets."""
    integers = rows.integers
    form = _Form(
        _FORM,
        rows.kind.value,
        [_series_out(series) for series in rows.series],
        integers.series_index.astype("<i4").tobytes(),
        integers.captured_at.astype("<i8").tobytes(),
        integers.value.astype("<i8").tobytes(),
        integers.null.astype("u1").tobytes(),
        integers.quality.astype("<i4").tobytes(),
        [(row.series_index, row.captured_at, _out(row.value), row.quality) for row in rows.others],
    )
    return zlib.compress(msgspec.msgpack.encode(form), _LEVEL)


def decode(octets: bytes) -> KeptRows:
    """
    Octets to rows.

    Raises:
        ValueError: of another form, or spoilt.
    """
    try:
        form = msgspec.msgpack.decode(zlib.decompress(octets), type=_Form)
    except (zlib.error, msgspec.DecodeError) as exc:
        raise ValueError(f"kept rows: {exc}") from exc
    if form.form != _FORM:
        raise ValueError(f"kept rows of form {form.form}")
    return KeptRows(
        SourceKind(form.kind),
        tuple(_series_in(*series) for series in form.series),
        IntegerRows(
            np.frombuffer(form.series_index, "<i4").astype(np.int32),
            np.frombuffer(form.captured_at, "<i8").astype(np.int64),
            np.frombuffer(form.value, "<i8").astype(np.int64),
            np.frombuffer(form.null, "u1").astype(np.bool_),
            np.frombuffer(form.quality, "<i4").astype(np.int32),
        ),
        [OtherRow(index, at, _in(value), quality) for index, at, value, quality in form.others],
    )


def _series_out(series: SeriesKey) -> tuple[Any, ...]:
    key = series.channel
    return (
        key.meter_id.bytes,
        None if key.source is None else key.source.octets,
        key.capture_period_s,
        key.obis.octets,
        key.class_id,
        key.attribute_index,
        key.data_index,
        key.kind.value,
        key.stamped_at.value,
        key.store.value,
        series.scaler,
        series.unit,
    )


def _series_in(
    meter_id: bytes,
    source: bytes | None,
    capture_period_s: int,
    obis: bytes,
    class_id: int,
    attribute_index: int,
    data_index: int,
    kind: str,
    stamped_at: str,
    store: str,
    scaler: int,
    unit: int,
) -> SeriesKey:
    return SeriesKey(
        ChannelKey(
            UUID(bytes=meter_id),
            None if source is None else Obis(source),
            capture_period_s,
            Obis(obis),
            class_id,
            attribute_index,
            data_index,
            ValueKind(kind),
            StampedAt(stamped_at),
            ValueStore(store),
        ),
        scaler,
        unit,
    )


def _out(value: float | str | None) -> float | bytes | None:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _in(value: float | bytes | None) -> float | str | None:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
