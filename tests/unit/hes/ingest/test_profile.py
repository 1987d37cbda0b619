"""A profile buffer becomes rows: every cell at its interval, every flag where it belongs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest

from hes.domain.meters import Association, CaptureColumn, Meter, ProfileKnowledge, Transport
from hes.domain.quality import Quality
from hes.domain.readings import (
    Provenance,
    ReadingBatch,
    SourceKind,
    ValueKind,
    ValueStore,
    microseconds,
)
from hes.ingest.profile import NO_INSTANT_US, profile_batch
from hes_protocol.axdr import NULL, Data, DataTag, array, encode, structure
from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis
from hes_protocol.profile import NullMeaning, decode_profile

RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
CLOCK = Obis.parse("0.0.1.0.0.255")
ENERGY = Obis.parse("1.0.1.8.0.255")
STATUS = Obis.parse("0.0.96.10.1.255")
PROFILE = ProfileKnowledge(
    Obis.parse("1.0.99.1.0.255"),
    900,
    (
        CaptureColumn(8, CLOCK, 2, 0),
        CaptureColumn(1, STATUS, 2, 0),
        CaptureColumn(3, ENERGY, 2, 0, scaler=1, unit=30),
    ),
)
METER = Meter(
    meter_id=UUID(int=1),
    serial="HES1",
    timezone="Europe/Berlin",
    transport=Transport.WRAPPER,
    association=Association(),
    commissioned_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def clock(moment: datetime, *, deviation: bool = True) -> Data:
    given = CosemDateTime.from_datetime(moment)
    octets = given.to_octets()
    if not deviation:
        octets = octets[:9] + b"\x80\x00" + octets[11:]
    return Data(DataTag.OCTET_STRING, octets)


def row(first: Data, value: int | None, status: int = 0) -> Data:
    energy = NULL if value is None else Data(DataTag.DOUBLE_LONG_UNSIGNED, value)
    return structure(first, Data(DataTag.UNSIGNED, status), energy)


def batch_of(
    *rows: Data, standard_time: bool = False, profile: ProfileKnowledge = PROFILE
) -> ReadingBatch:
    objects = [
        CaptureObject(column.class_id, column.obis, column.attribute_index, column.data_index)
        for column in PROFILE.columns
    ]
    columns = decode_profile(
        encode(array(*rows)), objects, capture_period_s=900, null_means=NullMeaning.MISSING
    )
    provenance = Provenance(SourceKind.PROFILE, RECEIVED)
    return profile_batch(
        columns, profile, METER, provenance, UUID(int=2), standard_time=standard_time
    )


def test_rows_are_in_the_order_of_capture_whatever_that_of_the_buffer() -> None:
    """Of two rows with one time the first is the first: a clock was set back between them."""
    at = datetime(2026, 11, 20, 10, 0, tzinfo=BERLIN)
    first, missing, second = (
        row(clock(at), 1),
        row(clock(at + timedelta(minutes=15)), None),
        row(clock(at), 3),
    )
    oldest = batch_of(first, missing, second)
    newest = batch_of(second, missing, first, profile=attrs.evolve(PROFILE, newest_first=True))
    for batch in (oldest, newest):
        energy = batch.integers.series_index == 1
        assert batch.integers.value[energy].tolist() == [1, 0, 3]
        assert batch.integers.null[energy].tolist() == [False, True, False]
        flags = batch.integers.quality[energy] & int(Quality.MISSING)
        assert flags.tolist() == [0, int(Quality.MISSING), 0]
    assert oldest.integers.captured_at.tolist() == newest.integers.captured_at.tolist()


def energy_of(batch: ReadingBatch) -> list[tuple[int, int | None, int]]:
    index = [series.channel.obis for series in batch.series].index(ENERGY)
    rows = batch.integers
    return [
        (int(at), None if null else int(value), int(quality))
        for i, at, value, null, quality in zip(
            rows.series_index, rows.captured_at, rows.value, rows.null, rows.quality, strict=True
        )
        if i == index
    ]


def test_cells_keep_their_interval_scaler_and_meaning() -> None:
    start = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    batch = batch_of(*(row(clock(start + timedelta(minutes=15 * n)), 100 + n) for n in range(4)))
    status, energy = batch.series
    assert energy.channel.kind is ValueKind.CUMULATIVE
    assert energy.channel.source == PROFILE.obis
    assert energy.channel.capture_period_s == 900
    assert (energy.scaler, energy.unit) == (1, 30)
    assert status.channel.kind is ValueKind.STATUS
    assert status.channel.store is ValueStore.INTEGER
    first = microseconds(start)
    assert energy_of(batch) == [(first + n * 900_000_000, 100 + n, 0) for n in range(4)]


def test_a_missing_value_is_a_row_without_value() -> None:
    start = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    batch = batch_of(row(clock(start), 1), row(clock(start + timedelta(minutes=15)), None))
    assert energy_of(batch)[1][1:] == (None, Quality.MISSING)


def test_null_clocks_follow_elapsed_time_through_the_change_of_summer_time() -> None:
    """Found by the owner of the decoder: local times counted on know nothing of summer time."""
    start = datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN)  # the first 02:45, still summer time
    batch = batch_of(row(clock(start, deviation=False), 1), *(row(NULL, 2 + n) for n in range(3)))
    first = microseconds(start)
    assert [at for at, _, _ in energy_of(batch)] == [first + n * 900_000_000 for n in range(4)]
    flags = [quality for _, _, quality in energy_of(batch)]
    assert all(quality & Quality.CLOCK_INFERRED for quality in flags[1:])


def test_short_intervals_are_off_the_grid_and_say_so() -> None:
    start = datetime(2026, 7, 1, 12, 7, tzinfo=BERLIN)
    assert energy_of(batch_of(row(clock(start), 1)))[0][2] == Quality.OFF_GRID


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        (0x08, 0),  # summer time
        (0x20, Quality.CLOCK_ADJUSTED),
        (0x80, Quality.POWER_FAILED),
        (0xA2, Quality.CLOCK_ADJUSTED | Quality.POWER_FAILED | Quality.CLOCK_INVALID),
    ],
)
def test_what_befell_the_meter_is_said_of_all_values_of_the_interval(
    status: int, flags: int
) -> None:
    at = datetime(2026, 11, 20, 10, 0, tzinfo=BERLIN)
    batch = batch_of(row(clock(at), 1), row(clock(at + timedelta(minutes=15)), 2, status))
    assert batch.integers.quality.tolist() == [0, flags, 0, flags]


def test_hours_of_a_zone_that_is_half_an_hour_off_are_on_its_grid() -> None:
    hourly = attrs.evolve(PROFILE, capture_period_s=3600)
    kolkata = datetime(2026, 11, 20, 10, 0, tzinfo=ZoneInfo("Asia/Kolkata"))
    for minutes, flags in ((0, 0), (30, Quality.OFF_GRID)):
        at = clock(kolkata + timedelta(minutes=minutes))
        assert energy_of(batch_of(row(at, 1), profile=hourly))[0][2] == flags


def test_a_row_without_any_clock_is_left_to_the_quarantine() -> None:
    assert energy_of(batch_of(row(NULL, 1)))[0][0] == NO_INSTANT_US


@pytest.mark.parametrize("rows", [0, 1, 96])
def test_any_number_of_rows(rows: int) -> None:
    start = datetime(2026, 7, 1, tzinfo=BERLIN)
    batch = batch_of(*(row(clock(start + timedelta(minutes=15 * n)), n) for n in range(rows)))
    assert len(batch) == rows * 2


@pytest.mark.conformance("standard-time", "client")
@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
@pytest.mark.parametrize("null_clocks", [False, True])
def test_days_of_change_of_a_clock_on_standard_time(day: datetime, null_clocks: bool) -> None:
    rows = [
        row(NULL if null_clocks and n % 4 else clock(day + timedelta(minutes=15 * n)), n)
        for n in range(96)
    ]
    stored = energy_of(batch_of(*rows, standard_time=True))
    first = microseconds(day.replace(tzinfo=UTC) - timedelta(hours=1))
    assert [at for at, _, _ in stored] == [first + n * 900_000_000 for n in range(96)]
    assert {quality for _, _, quality in stored} <= {0, Quality.CLOCK_INFERRED}
