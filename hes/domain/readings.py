"""
Readings on their way: channels, series and the columnar batch.

A *channel* (as in IEC 61968-9) is what people address and what never changes; a *series* is a
channel's version: scaler, unit, valid from. A `ReadingBatch` is columnar and knows channels, not
database ids of series; only the writer resolves them (architecture.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.cosem import Obis

Int64Array = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ValueKind(StrEnum):
    """What a channel's values mean."""

    INSTANTANEOUS = "instantaneous"
    CUMULATIVE = "cumulative"
    AVERAGE = "average"
    DELTA = "delta"
    STATUS = "status"


class StampedAt(StrEnum):
    """Which end of its period a value's `captured_at` names."""

    END = "end"
    START = "start"


class ValueStore(StrEnum):
    """Which table a channel's values live in, chosen by the type that the meter sends."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"


@attrs.frozen(cache_hash=True)
class ChannelKey:
    """
    What identifies a channel within the whole system.

    `source` is the profile's logical_name, None for spot reads and pushes; `capture_period_s` is
    0 where there is no period.
    """

    meter_id: UUID
    source: Obis | None
    capture_period_s: int
    obis: Obis
    class_id: int
    attribute_index: int
    data_index: int = 0
    kind: ValueKind = ValueKind.INSTANTANEOUS
    stamped_at: StampedAt = StampedAt.END
    store: ValueStore = ValueStore.INTEGER


@attrs.frozen
class SeriesKey:
    """A channel in one version: physical value = raw * 10^`scaler` in DLMS unit code `unit`."""

    channel: ChannelKey
    scaler: int = 0
    unit: int = 255


class SourceKind(StrEnum):
    """How a batch came to us; its rank decides which of two values for one key is current."""

    PROFILE = "profile"
    SPOT = "spot"
    PUSH = "push"


@attrs.frozen
class VerifiedCounter:
    """The meter's invocation counter of a verified frame, and by which key (its fingerprint)."""

    client_sap: int
    counter: int
    key_fingerprint: bytes | None = None


@attrs.frozen
class Provenance:
    """
    Where a batch comes from.

    `evidence` is what arrived, as it arrived (ciphered, framed); it is kept only with rows that
    go to quarantine. `lease_token` is None for pushes. `asked_until` is the end of the range that
    was asked for, where one was: later rows are stored, but do not move the mark past what lies
    between and was not asked for yet. `beside_mark`: out of the quarantine, or a gap that was asked
    for again; how far the meter is read does not show in it. `counter`: the meter's, of the answer;
    it is kept with the rows that it vouches for, or not at all.
    """

    kind: SourceKind
    received_at: datetime
    session_id: UUID | None = None
    lease_token: int | None = None
    evidence: bytes = b""
    asked_until: datetime | None = None
    beside_mark: bool = False
    counter: VerifiedCounter | None = None


@attrs.frozen(eq=False)
class IntegerRows:
    """
    Rows for `reading`: parallel arrays of one length.

    `series_index` int32 points into `ReadingBatch.series`; `captured_at` int64 is microseconds
    since 1970 UTC; `value` int64 is raw, unscaled; `null` marks rows without a value (an interval
    that the meter reports as missing); `quality` int32 holds `Quality` flags.
    """

    series_index: Int32Array
    captured_at: Int64Array
    value: Int64Array
    null: BoolArray
    quality: Int32Array

    def __len__(self) -> int:
        return len(self.captured_at)

    @classmethod
    def empty(cls) -> IntegerRows:
        """No rows."""
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.bool_),
            np.empty(0, np.int32),
        )


@attrs.frozen
class OtherRow:
    """A row for `reading_float` (value float) or `reading_text` (value str); None is missing."""

    series_index: int
    captured_at: int
    value: float | str | None
    quality: int


@attrs.frozen
class LogEntry:
    """A line of a meter's event log; `detail` is what else its columns say."""

    meter_id: UUID
    source: Obis
    occurred_at: datetime
    code: int
    detail: object = None


@attrs.frozen
class LogGap:
    """
    Lines of a meter's event log that nobody will ever see: they were gone before they were read.

    After `since`, which we hold, and before `until`, the oldest that the meter still has (None: it
    has none). `reason`: `overwritten` by newer ones, or `cleared`.
    """

    meter_id: UUID
    source: Obis
    since: datetime
    until: datetime | None
    reason: str


@attrs.frozen(eq=False)
class ReadingBatch:
    """
    What one session or push yielded, ready for the writer.

    `batch_key` is made by the sender: by it a COMMIT whose outcome is unknown is settled, and a
    batch that is published twice is stored once. `events` are lines of logs, each log's whole
    instants in its own order; those that are there already add nothing.
    """

    batch_key: UUID
    series: tuple[SeriesKey, ...]
    integers: IntegerRows
    others: Sequence[OtherRow]
    provenance: Provenance
    events: tuple[LogEntry, ...] = ()
    log_gaps: tuple[LogGap, ...] = ()

    def __len__(self) -> int:
        return len(self.integers) + len(self.others) + len(self.events)

    @property
    def meter_ids(self) -> frozenset[UUID]:
        """Whose rows these are."""
        return frozenset(
            (
                *(series.channel.meter_id for series in self.series),
                *(entry.meter_id for entry in self.events),
                *(gap.meter_id for gap in self.log_gaps),
            )
        )


@attrs.frozen
class Receipt:
    """
    What happened to a batch, given only once it is committed.

    `stored` rows are new, `duplicates` were there with equal value and quality, `revised` were
    there with another value or quality and are kept as revisions, `quarantined` were refused.
    """

    batch_id: int
    stored: int
    duplicates: int
    revised: int
    quarantined: int


@attrs.frozen
class Reading:
    """One stored reading as readers of the system see it; `value` is exact, in `unit`."""

    captured_at: datetime
    value: Decimal | float | str | None
    quality: int
    revised: bool = False


def scaled(raw: int, scaler: int) -> Decimal:
    """
    The exact physical value `raw * 10^scaler`.

    Source: IEC 62056-6-2, class_id 3, attribute 3 (scaler_unit).
    """
    return Decimal(raw).scaleb(scaler)


def microseconds(moment: datetime) -> int:
    """
    Microseconds since 1970 UTC of an aware datetime, exactly.

    Raises: ValueError: naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError("naive datetime")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment(microseconds_since_1970: int) -> datetime:
    """
    The aware UTC datetime of microseconds since 1970, exactly.

    Raises: OverflowError: outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=microseconds_since_1970)
