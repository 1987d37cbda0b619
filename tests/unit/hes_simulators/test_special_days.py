"""Special days: what the table takes, and that every rate follows it to the last Wh."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.clock import microseconds
from hes_simulators.persistence import plain, state_of
from tests.unit.hes_simulators.living import START, Hands, hands

HOLIDAYS = (11, "0.0.11.0.0.255")
CALENDAR = (20, "0.0.13.0.0.255")
BILLING = (7, "0.0.98.1.0.255")
VIENNA = ZoneInfo("Europe/Vienna")
WORKDAY, SUNDAY = 1, 3
SUCCESS, WRITTEN = ActionResultCode.SUCCESS, DataAccessResult.SUCCESS
# START is a Tuesday noon; the day after next is a Thursday.
THURSDAY = date(2026, 11, 19)


def holiday(index: int, day: date, day_id: int = SUNDAY) -> Data:
    octets = day.year.to_bytes(2) + bytes((day.month, day.day, 0xFF))
    return structure(
        Data(DataTag.LONG_UNSIGNED, index),
        Data(DataTag.OCTET_STRING, octets),
        Data(DataTag.UNSIGNED, day_id),
    )


def grown(one: Hands, day: date) -> tuple[int, int, int]:
    """What registers of the first and second rate, and of both, grew by in a local day."""
    edges = [datetime(of.year, of.month, of.day, tzinfo=VIENNA) for of in (day, _next(day))]
    found = [
        np.diff(one.meter.totals(f"import_wh{rate}", np.array([*map(microseconds, edges)])))
        for rate in ("_r1", "_r2", "")
    ]
    first, second, whole = (int(growth[0]) for growth in found)
    return first, second, whole


def _next(day: date) -> date:
    return day + timedelta(days=1)


def test_a_holiday_is_counted_as_a_sunday() -> None:
    one, plain_one = hands(), hands()
    assert one.value(HOLIDAYS) == ()
    assert one.act(HOLIDAYS, 1, holiday(1, THURSDAY)) is SUCCESS
    end = START + timedelta(days=5)
    first, second, whole = grown(one.at(end), THURSDAY)
    assert first == 0
    assert second == whole > 0
    assert grown(plain_one.at(end), THURSDAY)[0] > 0
    for day in (date(2026, 11, 18), date(2026, 11, 20)):
        assert grown(one, day)[0] > 0
    # A UTC day holds the same energy, however it is counted.
    days = np.array([microseconds(datetime(2026, 11, day, tzinfo=UTC)) for day in range(17, 23)])
    wholes = [who.meter.totals("import_wh", days).tolist() for who in (one, plain_one)]
    assert wholes[0] == wholes[1]
    noon = microseconds(datetime(2026, 11, 19, 12, tzinfo=VIENNA))
    assert one.meter.measuring.rate(noon) == 2


def test_insert_replaces_what_has_the_same_index_or_the_same_date() -> None:
    one = hands()
    days = [THURSDAY + timedelta(days=number) for number in range(3)]
    for index, day in enumerate(days, 1):
        assert one.act(HOLIDAYS, 1, holiday(index, day)) is SUCCESS
    assert one.act(HOLIDAYS, 1, holiday(1, days[2], WORKDAY)) is SUCCESS
    assert [entry.value[0].value for entry in one.value(HOLIDAYS)] == [2, 1]
    assert one.act(HOLIDAYS, 2, Data(DataTag.LONG_UNSIGNED, 2)) is SUCCESS
    assert one.act(HOLIDAYS, 2, Data(DataTag.LONG_UNSIGNED, 2)) is ActionResultCode.OTHER_REASON
    assert list(one.value(HOLIDAYS)) == [holiday(1, days[2], WORKDAY)]
    one.after(days=9)
    assert all(grown(one, day)[0] > 0 for day in days)  # the Saturday as a workday


@pytest.mark.parametrize(
    ("entry", "result"),
    [
        (Data(DataTag.UNSIGNED, 1), DataAccessResult.TYPE_UNMATCHED),
        (structure(), DataAccessResult.TYPE_UNMATCHED),
        (
            structure(
                Data(DataTag.LONG_UNSIGNED, 1),
                Data(DataTag.OCTET_STRING, bytes.fromhex("07ea0d01ff")),
                Data(DataTag.UNSIGNED, 1),
            ),
            DataAccessResult.OTHER_REASON,
        ),
        (
            structure(
                Data(DataTag.LONG_UNSIGNED, 1),
                Data(DataTag.OCTET_STRING, bytes(12)),
                Data(DataTag.UNSIGNED, 1),
            ),
            DataAccessResult.OTHER_REASON,
        ),
    ],
)
def test_what_is_no_special_day_is_refused(entry: Data, result: DataAccessResult) -> None:
    one = hands()
    assert one.set(HOLIDAYS, 2, array(entry)) is result
    assert one.act(HOLIDAYS, 1, entry) is ActionResultCode(result)
    assert one.value(HOLIDAYS) == ()
    assert one.meter.state.is_fresh


def test_no_two_of_one_index_or_date_and_no_more_than_fit() -> None:
    one = hands()
    many = [holiday(number, THURSDAY + timedelta(days=number)) for number in range(51)]
    assert one.set(HOLIDAYS, 2, array(many[0], many[0])) is DataAccessResult.OTHER_REASON
    assert one.set(HOLIDAYS, 2, array(*many)) is DataAccessResult.OTHER_REASON
    assert one.set(HOLIDAYS, 2, array(*many[:50])) is WRITTEN
    assert one.act(HOLIDAYS, 1, many[50]) is ActionResultCode.OTHER_REASON
    assert len(one.value(HOLIDAYS)) == 50


def test_holidays_put_in_one_by_one_are_one_change() -> None:
    """What made no difference before the next came is forgotten; today's is not."""
    one = hands()
    for number in range(40):
        assert (
            one.after(hours=1).act(HOLIDAYS, 1, holiday(number, date(2027, 1, 1 + number % 28)))
            is SUCCESS
        )
    assert len(one.meter.state.tariffs) == 1
    assert one.set(HOLIDAYS, 2, array()) is WRITTEN
    assert one.meter.state.tariffs == []


def test_who_changes_today_again_and_again_is_held_up() -> None:
    one = hands()
    today = START.astimezone(VIENNA).date()
    answers = []
    for number in range(40):
        entries = [holiday(1, today)] if number % 2 == 0 else []
        answers.append(one.after(minutes=1).set(HOLIDAYS, 2, array(*entries)))
    assert set(answers) == {WRITTEN, DataAccessResult.TEMPORARY_FAILURE}
    assert len(one.meter.state.tariffs) == 16


def test_a_day_of_no_profile_is_as_its_weekday_until_a_calendar_has_it() -> None:
    one = hands()
    assert one.act(HOLIDAYS, 1, holiday(1, THURSDAY, day_id=9)) is SUCCESS
    assert one.meter.state.tariffs == []
    script = Data(DataTag.OCTET_STRING, bytes((0, 0, 10, 0, 100, 255)))

    def day(number: int, rate: int) -> Data:
        midnight = Data(DataTag.OCTET_STRING, bytes(4))
        action = structure(midnight, script, Data(DataTag.LONG_UNSIGNED, rate))
        return structure(Data(DataTag.UNSIGNED, number), array(action))

    week = array(
        structure(Data(DataTag.OCTET_STRING, b"1"), *[Data(DataTag.UNSIGNED, 1)] * 6, _id(9))
    )
    assert one.set(CALENDAR, 8, week) is WRITTEN
    assert one.set(CALENDAR, 9, array(day(1, 2), day(9, 1))) is WRITTEN
    assert one.act(CALENDAR, 1, Data(DataTag.INTEGER, 0)) is SUCCESS
    one.after(days=9)
    for number in range(1, 8):
        on = date(2026, 11, 17) + timedelta(days=number)
        first, second, whole = grown(one, on)
        # The calendar's seventh day, and the special one, in the first rate.
        assert (first, second) == ((whole, 0) if number in (2, 5) else (0, whole)), on


def _id(day: int) -> Data:
    return Data(DataTag.UNSIGNED, day)


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 90), st.integers(1, 3), st.integers(0, 6)),
        max_size=4,
    )
)
def test_rates_agree_with_the_whole_whatever_is_put_in(
    puts: list[tuple[int, int, int, int]],
) -> None:
    """Registers never fall, add up, are what rows and billing hold, and survive a restart."""
    one = hands()
    for days, minutes, day_id, ahead in puts:
        one.after(days=days, minutes=minutes)
        day = one.now.date() + timedelta(days=ahead)
        assert one.act(HOLIDAYS, 1, holiday(ahead, day, day_id)) is SUCCESS
        one.value((3, "1.0.1.8.1.255"))
    one.at(datetime(2026, 12, 9, 3, 7, tzinfo=UTC))
    times = np.arange(microseconds(START), microseconds(one.now), 1_700_000_000)
    first, second, whole = (
        one.meter.totals(f"import_wh{rate}", times) for rate in ("_r1", "_r2", "")
    )
    assert (first + second == whole).all()
    assert (np.diff(first) >= 0).all()
    assert (np.diff(second) >= 0).all()
    slots = np.arange(microseconds(START), microseconds(one.now), 900_000_000)
    drawn = np.diff(one.meter.totals("import_wh", slots)) * 4
    shown = one.meter.measuring.measured("import_w", slots[1:])
    # A quarter-hour in which a tariff began is of both.
    assert np.count_nonzero(drawn != shown) <= len(one.meter.state.tariffs)
    closed = one.meter.closings(microseconds(one.now))[0]
    [*_, row] = one.rows(BILLING)
    assert int(one.meter.totals("import_wh_r2", closed)[-1]) in row
    again = hands(state=state_of(plain(one.meter.state)), at=one.now)
    assert (again.meter.totals("import_wh_r1", times) == first).all()
