"""A push becomes rows: exact values, honest times, no identities among the readings."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from hes.domain.meters import Association, Meter, Transport
from hes.domain.quality import Quality
from hes.domain.readings import (
    Provenance,
    ReadingBatch,
    SourceKind,
    ValueKind,
    ValueStore,
    microseconds,
)
from hes.ingest.channels import value_kind
from hes.ingest.push import push_batch, unnamed
from hes_protocol.axdr.data import BitString, Data, DataTag, structure
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.push import read_push

RECEIVED = datetime(2026, 7, 1, 10, 0, 3, tzinfo=UTC)
METER = Meter(
    meter_id=UUID(int=1),
    serial="HES1",
    timezone="Europe/Berlin",
    transport=Transport.HDLC,
    association=Association(),
    commissioned_at=datetime(2026, 1, 1, tzinfo=UTC),
)
ENERGY = Obis.parse("1.0.1.8.0.255")
SERIAL = Obis.parse("0.0.96.1.0.255")


def name(obis: Obis) -> Data:
    return Data(DataTag.OCTET_STRING, obis.octets)


def batch_of(
    *elements: Data,
    date_time: CosemDateTime | None = None,
    quality: int = 0,
    standard_time: bool = False,
) -> ReadingBatch:
    return push_batch(
        read_push(structure(*elements), date_time),
        METER,
        Provenance(SourceKind.PUSH, RECEIVED),
        UUID(int=2),
        quality,
        standard_time=standard_time,
    )


def test_a_number_keeps_its_raw_value_scaler_and_unit() -> None:
    scaler_unit = structure(Data(DataTag.INTEGER, 1), Data(DataTag.ENUM, 30))
    batch = batch_of(name(ENERGY), Data(DataTag.DOUBLE_LONG_UNSIGNED, 1637), scaler_unit)
    (series,) = batch.series
    assert (series.scaler, series.unit) == (1, 30)
    assert series.channel.obis == ENERGY
    assert series.channel.source is None
    assert series.channel.kind is ValueKind.CUMULATIVE
    assert batch.integers.value.tolist() == [1637]


def test_without_any_clock_the_time_is_that_of_receipt_and_says_so() -> None:
    batch = batch_of(
        name(ENERGY), Data(DataTag.DOUBLE_LONG_UNSIGNED, 1), quality=int(Quality.UNAUTHENTICATED)
    )
    assert batch.integers.captured_at.tolist() == [microseconds(RECEIVED)]
    assert batch.integers.quality.tolist() == [Quality.TIME_OF_RECEIPT | Quality.UNAUTHENTICATED]


def test_a_clock_without_deviation_is_read_in_the_meters_zone() -> None:
    noon = CosemDateTime(2026, 7, 1, 3, 12, 0, 0)
    batch = batch_of(name(ENERGY), Data(DataTag.DOUBLE_LONG_UNSIGNED, 1), date_time=noon)
    at = datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert batch.integers.captured_at.tolist() == [microseconds(at)]
    assert batch.integers.quality.tolist() == [0]


def test_clocks_and_identities_are_no_readings() -> None:
    clock = Data(DataTag.OCTET_STRING, CosemDateTime(2026, 7, 1, 3, 12, 0, 0).to_octets())
    batch = batch_of(
        name(Obis.parse("0.0.1.0.0.255")), clock,
        name(SERIAL), Data(DataTag.OCTET_STRING, b"1KFM0000000001"),
        name(ENERGY), Data(DataTag.DOUBLE_LONG_UNSIGNED, 1),
    )  # fmt: skip
    assert [series.channel.obis for series in batch.series] == [ENERGY]


@pytest.mark.parametrize(
    ("data", "store", "value"),
    [
        (Data(DataTag.LONG64_UNSIGNED, 2**63 - 1), ValueStore.INTEGER, 2**63 - 1),
        (Data(DataTag.LONG64_UNSIGNED, 2**63), ValueStore.TEXT, str(2**63)),
        (Data(DataTag.LONG64, -(2**63)), ValueStore.INTEGER, -(2**63)),
        (Data(DataTag.FLOAT32, 1.5), ValueStore.FLOAT, 1.5),
        (Data(DataTag.VISIBLE_STRING, b"T2"), ValueStore.TEXT, "T2"),
        (Data(DataTag.OCTET_STRING, b"\x01\xff"), ValueStore.TEXT, "01ff"),
        (Data(DataTag.BIT_STRING, BitString(3, b"\xa0")), ValueStore.TEXT, "101"),
        (Data(DataTag.BOOLEAN, True), ValueStore.INTEGER, 1),
    ],
)
def test_each_type_goes_where_it_fits_exactly(
    data: Data, store: ValueStore, value: float | str
) -> None:
    batch = batch_of(name(Obis.parse("0.0.96.14.0.255")), data)
    assert batch.series[0].channel.store is store
    stored = batch.integers.value.tolist() or [row.value for row in batch.others]
    assert stored == [value]


def test_numbers_without_a_name_are_counted_not_stored() -> None:
    push = read_push(structure(Data(DataTag.DOUBLE_LONG_UNSIGNED, 5502)))
    assert unnamed(push) == 1
    batch = push_batch(push, METER, Provenance(SourceKind.PUSH, RECEIVED), UUID(int=2))
    assert len(batch) == 0


@pytest.mark.parametrize(
    ("obis", "class_id", "kind"),
    [
        ("1.0.1.8.0.255", 3, ValueKind.CUMULATIVE),
        ("1.0.1.7.0.255", 3, ValueKind.INSTANTANEOUS),
        ("1.0.1.29.0.255", 3, ValueKind.DELTA),
        ("1.0.1.5.0.255", 3, ValueKind.AVERAGE),
        ("0.0.96.10.1.255", 1, ValueKind.STATUS),
        ("0.0.96.3.10.255", 70, ValueKind.STATUS),
    ],
)
def test_the_code_tells_what_values_mean(obis: str, class_id: int, kind: ValueKind) -> None:
    assert value_kind(Obis.parse(obis), class_id) is kind


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize(("standard_time", "hour_utc"), [(False, 10), (True, 11)])
def test_a_summer_noon_of_a_clock_on_standard_time(standard_time: bool, hour_utc: int) -> None:
    noon = CosemDateTime.from_datetime(datetime(2026, 7, 1, 12), clock_status=0)
    batch = batch_of(
        name(ENERGY),
        Data(DataTag.DOUBLE_LONG_UNSIGNED, 1),
        date_time=noon,
        standard_time=standard_time,
    )
    expected = microseconds(datetime(2026, 7, 1, hour_utc, tzinfo=UTC))
    assert batch.integers.captured_at.tolist() == [expected]
