"""Buffers of event logs become lines: codes, times, what else they say; hostile ones as well."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from hes.domain.meters import CaptureColumn, ProfileKnowledge
from hes.domain.quality import Quality
from hes.domain.readings import LogEntry
from hes.ingest.events import NO_CODE, log_entries
from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis
from hes_protocol.profile import NullMeaning, decode_profile
from tests.unit.hes_collectors import support

LOG = Obis.parse("0.0.99.98.1.255")
CLOCK = CaptureColumn(8, Obis.parse("0.0.1.0.0.255"), 2, 0)
CODE = CaptureColumn(1, Obis.parse("0.0.96.11.1.255"), 2, 0)
VOLTAGE = CaptureColumn(3, Obis.parse("1.0.12.7.0.255"), 2, 0, -1, 35)
LASTED = CaptureColumn(3, Obis.parse("0.0.96.7.19.255"), 2, 0)
TEXT = CaptureColumn(1, Obis.parse("0.0.96.1.0.255"), 2, 0)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NULL = Data(DataTag.NULL_DATA)


def clock(year: int = 2026, hour: int = 12) -> Data:
    moment = CosemDateTime.from_datetime(datetime(2026, 11, 20, hour, tzinfo=UTC))
    return Data(DataTag.OCTET_STRING, attrs.evolve(moment, year=year).to_octets())


def code(number: int) -> Data:
    return Data(DataTag.LONG_UNSIGNED, number)


def lines(
    columns: tuple[CaptureColumn, ...], *rows: tuple[Data, ...], newest_first: bool = False
) -> tuple[LogEntry, ...]:
    captured = [CaptureObject(c.class_id, c.obis, c.attribute_index, c.data_index) for c in columns]
    decoded = decode_profile(
        encode(array(*(structure(*row) for row in rows))),
        captured,
        capture_period_s=0,
        null_means=NullMeaning.MISSING,
    )
    log = ProfileKnowledge(LOG, 0, columns, newest_first=newest_first)
    return log_entries(decoded, log, support.meter())


def test_codes_and_times_in_the_order_in_which_they_were_noted() -> None:
    columns = (CLOCK, CODE)
    rows = [(clock(hour=hour), code(number)) for hour, number in ((12, 40), (12, 41), (13, 40))]
    found = lines(columns, *rows)
    assert [(line.occurred_at, line.code) for line in found] == [
        (NOON, 40),
        (NOON, 41),
        (NOON.replace(hour=13), 40),
    ]
    assert {(line.source, line.detail) for line in found} == {(LOG, None)}
    assert lines(columns, *rows[::-1], newest_first=True) == found
    assert lines(columns) == ()


def test_what_else_a_line_says() -> None:
    """Exact physical values where the register has told its scaler and unit, else as they are."""
    [line] = lines(
        (CLOCK, CODE, VOLTAGE, TEXT),
        (clock(), code(7), code(2301), Data(DataTag.VISIBLE_STRING, b"cover\0")),
    )
    assert isinstance(line.detail, dict)
    assert line.detail["1.0.12.7.0.255"] == {"value": "230.1", "unit": 35}
    assert "\0" not in line.detail["0.0.96.1.0.255"]
    json.dumps(line.detail)


def test_a_log_of_one_kind_of_event_has_no_codes() -> None:
    [line] = lines((CLOCK, LASTED), (clock(), code(312)))
    assert (line.code, line.detail) == (NO_CODE, {"0.0.96.7.19.255": 312})


@pytest.mark.parametrize("year", [0xFFFE, 9999, 1])
def test_a_year_of_no_calendar_is_no_crash(year: int) -> None:
    """Such lines lie outside every meter's window, and go to the quarantine."""
    [line] = lines((CLOCK, CODE), (clock(year), code(1)))
    assert not 2000 < line.occurred_at.year < 2100


def test_a_line_without_a_time_or_code_is_kept_as_one_without() -> None:
    [line] = lines((CLOCK, CODE, VOLTAGE), (NULL, NULL, NULL))
    assert (line.occurred_at.year, line.code) == (1970, NO_CODE)
    assert isinstance(line.detail, dict)
    assert line.detail["1.0.12.7.0.255"] is None


def test_flags_of_the_time_stand_with_the_line() -> None:
    moment: Any = CosemDateTime.from_datetime(NOON)
    doubtful = attrs.evolve(moment, clock_status=0x02)
    [line] = lines((CLOCK, CODE), (Data(DataTag.OCTET_STRING, doubtful.to_octets()), code(1)))
    assert isinstance(line.detail, dict)
    assert line.detail["quality"] & Quality.CLOCK_DOUBTFUL


def test_numbers_that_json_has_not_are_text() -> None:
    [line] = lines((CLOCK, CODE, TEXT), (clock(), code(1), Data(DataTag.FLOAT64, math.nan)))
    assert line.detail == {"0.0.96.1.0.255": "nan"}
