"""What companion specifications say of their meters beyond the classes of the standard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hes_protocol.axdr import BitString, Data, DataTag
from hes_protocol.cosem import CosemDateTime
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.state import Cut
from tests.unit.hes_simulators.living import START, Hands, hands

# --- SMR 5 ------------------------------------------------------------------------------------

GAS, WATER = (72, "0.1.24.1.0.255"), (72, "0.2.24.1.0.255")


def test_the_key_of_a_device_is_in_use_when_meter_and_device_have_it() -> None:
    """class_id 72 version 1, attributes 13 and 14."""
    one, key = hands("dsmr-smr5"), Data(DataTag.OCTET_STRING, bytes(16))
    assert (one.value(GAS, 14), one.value(GAS, 13)) == (0, 0)
    assert one.act(GAS, 7, key) is ActionResultCode.SUCCESS
    assert one.value(GAS, 14) == 1
    assert one.act(GAS, 8, key) is ActionResultCode.SUCCESS
    assert one.value(GAS, 14) == 3
    one.after(hours=2)
    assert (one.value(GAS, 14), one.value(GAS, 13) >> 8) == (4, 5)
    assert one.value(WATER, 14) == 0
    one.act(GAS, 2, Data(DataTag.INTEGER, 0))
    assert one.value(GAS, 14) == 0


def test_a_row_says_when_its_value_was_heard() -> None:
    one = hands("dsmr-smr5").after(minutes=20)
    for row in one.rows((7, "0.1.24.3.0.255")):
        assert row[3] == row[0]
    one.act(GAS, 3, Data(DataTag.INTEGER, 0))
    assert _moment(one, (4, "0.1.24.2.2.255"), 5) == one.now
    one.act((7, "0.1.24.3.0.255"), 2, Data(DataTag.INTEGER, 0))
    assert one.after(minutes=1).rows((7, "0.1.24.3.0.255"))[-1][3] == START + timedelta(minutes=20)


def _moment(one: Hands, what: tuple[int, str], index: int) -> datetime:
    text = CosemDateTime.from_octets(one.value(what, index)).isoformat()
    assert text is not None
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("channel", [1, 2])
def test_monthly_values_of_a_device_are_those_of_its_daily_ones(channel: int) -> None:
    one = hands("dsmr-smr5", at=datetime(2026, 11, 20, tzinfo=UTC))
    daily = one.rows((7, f"0.{channel}.24.3.1.255"))
    monthly = one.rows((7, f"0.{channel}.24.3.2.255"))
    assert len(daily) == 40
    assert [row for row in daily if row[0] == monthly[-1][0]] == [monthly[-1]]
    assert monthly[-1][3] == monthly[-1][0]  # heard on the hour


# --- IS 15959 (Part 2) ------------------------------------------------------------------------

STATUS_WORD = (1, "0.0.94.91.18.255")
STATUS_FILTER = (1, "0.0.94.91.26.255")
BILLING = (7, "1.0.98.1.0.255")
SAG, MAGNET, LAST_GASP, FIRST_BREATH = 4, 81, 85, 86


def status(one: Hands) -> set[int]:
    word = one.value(STATUS_WORD)
    assert word.length == 128
    return {bit for bit in range(128) if word[bit]}


def test_the_event_status_word_tells_what_lasts() -> None:
    one = hands("is-15959-single-phase")
    assert status(one) == set()
    one.meter.raise_event("voltage_sag_l1", one.now)
    one.meter.raise_event("strong_magnet", one.now)
    assert status(one) == {SAG, MAGNET}
    one.meter.raise_event("voltage_normal_l1", one.now)
    one.meter.cut(Cut.OUTAGE, one.now)
    assert status(one) == {MAGNET, LAST_GASP}
    one.meter.restore(Cut.OUTAGE, one.after(minutes=5).now)
    assert status(one) == {MAGNET, FIRST_BREATH}
    nothing = Data(DataTag.BIT_STRING, BitString(128, bytes(16)))
    assert one.set(STATUS_WORD, 2, nothing) is DataAccessResult.READ_WRITE_DENIED


def test_the_filter_of_the_event_status_word_is_a_bit_string_as_well() -> None:
    one = hands("is-15959-single-phase")
    assert one.value(STATUS_FILTER).number == (1 << 128) - 1
    only_magnets = Data(DataTag.BIT_STRING, BitString.of(1 << MAGNET, 128))
    assert one.set(STATUS_FILTER, 2, only_magnets) is DataAccessResult.SUCCESS
    one.meter.raise_event("voltage_sag_l1", one.now)
    one.meter.raise_event("strong_magnet", one.now)
    assert status(one) == {MAGNET}


def test_a_billing_row_has_the_power_factor_and_the_minutes_of_its_own_period() -> None:
    one = hands("is-15959-single-phase", at=datetime(2026, 10, 20, tzinfo=UTC))
    one.meter.cut(Cut.OUTAGE, one.now)
    one.meter.restore(Cut.OUTAGE, one.now + timedelta(hours=2))
    one.at(START)
    september, october = one.rows(BILLING)[-2:]
    assert october[0] == datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    active, apparent = (october[column] - september[column] for column in (2, 7))
    assert october[1] == active * 1000 // apparent
    assert october[-3] == (31 * 24 - 2) * 60


def test_the_capture_period_is_told_twice_and_is_one() -> None:
    one, period = hands("is-15959-single-phase"), DataTag.DOUBLE_LONG_UNSIGNED
    assert one.value((1, "1.0.0.8.4.255")) == 1800
    assert one.set((7, "1.0.99.1.0.255"), 4, Data(period, 900)) is DataAccessResult.SUCCESS
    assert one.value((1, "1.0.0.8.4.255")) == one.value((7, "1.0.99.1.0.255"), 4) == 900
