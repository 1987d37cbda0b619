"""Interface classes as the standard has them: what they take, what they do by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.models import ModelAttribute, ModelObject
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.classes.disconnect import Cause, ControlState, control_state, move, relay
from hes_simulators.clock import microseconds
from hes_simulators.known_models import models
from hes_simulators.persistence import plain, state_of
from hes_simulators.state import Cut
from tests.unit.hes_simulators.living import START, Hands, hands

RELAY = (70, "0.0.96.3.10.255")
SCHEDULE = (22, "0.0.15.0.1.255")
CALENDAR = (20, "0.0.13.0.0.255")
MBUS = (72, "0.1.24.1.0.255")
NOTHING = Data(DataTag.INTEGER, 0)
SUCCESS = ActionResultCode.SUCCESS


VALVE = ModelObject(
    class_id=70,
    version=0,
    obis=Obis.parse("0.1.24.4.0.255"),
    clients=frozenset({1}),
    attributes={index: ModelAttribute(index=index, read=frozenset({1})) for index in (2, 3, 4)},
    methods={1: frozenset({1}), 2: frozenset({1})},
    options={"control_mode": 4},
)


def octets(text: str) -> Data:
    return Data(DataTag.OCTET_STRING, bytes.fromhex(text))


PASSED = octets("07ea0101ff00000000800000")


def codes(one: Hands, log: str) -> list[int]:
    return [row[1] for row in one.rows((7, log))]


# --- 9, 22: scripts and their times -----------------------------------------------------------


def test_a_script_says_what_it_does_and_does_it() -> None:
    one = hands()
    scripts = one.value((9, "0.0.10.0.106.255"))
    first = scripts[0].value[1].value[0].value
    assert [first[1].value, first[2].value, first[3].value] == [70, Obis.parse(RELAY[1]).octets, 1]
    number = DataTag.LONG_UNSIGNED
    assert one.act((9, "0.0.10.0.106.255"), 1, Data(number, 1)) is SUCCESS
    assert one.value(RELAY) is False
    assert one.act((9, "0.0.10.0.106.255"), 1, Data(number, 3)) is ActionResultCode.OTHER_REASON
    assert one.act((9, "0.0.10.0.106.255"), 1, NOTHING) is ActionResultCode.TYPE_UNMATCHED


def test_a_schedule_runs_when_its_local_time_has_come_whoever_looks() -> None:
    one = hands()
    at = structure(octets("0d1e0000"), octets("ffffffffff"))  # 13:30, any day; Vienna
    assert one.set(SCHEDULE, 4, array(at)) is DataAccessResult.SUCCESS
    due = datetime(2026, 11, 17, 12, 30, tzinfo=UTC)
    assert one.at(due - timedelta(seconds=1)).value(RELAY) is True
    one.at(due + timedelta(hours=9))
    assert one.value(RELAY) is False
    assert one.journal.of("outage")[0].at == due


def test_a_schedule_on_the_last_of_a_month() -> None:
    one = hands()
    at = structure(octets("00000000"), octets("fffffffeff"))
    one.set(SCHEDULE, 4, array(at))
    one.at(datetime(2026, 12, 2, tzinfo=UTC)).value(RELAY)
    assert one.journal.of("outage")[0].at == datetime(2026, 11, 29, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        Data(DataTag.UNSIGNED, 1),
        array(structure(octets("00000000"))),
        array(structure(octets("0000"), octets("ffffffffff"))),
        array(Data(DataTag.UNSIGNED, 1)),
    ],
)
def test_what_is_no_structure_of_times_is_refused(wrong: Data) -> None:
    one = hands()
    assert one.set(SCHEDULE, 4, wrong) is DataAccessResult.TYPE_UNMATCHED
    assert one.meter.state.is_fresh


@pytest.mark.parametrize("time", ["18000000", "003c0000", "00ff0000", "00003cff"])
def test_what_is_no_time_is_refused(time: str) -> None:
    one = hands()
    at = structure(octets(time), octets("ffffffffff"))
    assert one.set(SCHEDULE, 4, array(at)) is DataAccessResult.OTHER_REASON
    assert one.meter.state.is_fresh


# --- 8: what time brings ----------------------------------------------------------------------


def test_summer_time_is_an_event_and_changes_the_status_of_rows() -> None:
    one = hands(at=datetime(2027, 3, 27, tzinfo=UTC))
    one.at(datetime(2027, 3, 29, tzinfo=UTC)).value((8, "0.0.1.0.0.255"))
    [note] = [n for n in one.journal.of("event") if n.facts["name"] == "daylight_saving"]
    assert note.at == datetime(2027, 3, 28, 1, tzinfo=UTC)
    assert codes(one, "0.0.99.98.0.255") == [3]


def test_the_end_of_a_billing_period_is_an_event_where_the_model_has_one() -> None:
    one = hands("is-15959-single-phase", at=datetime(2026, 11, 29, tzinfo=UTC))
    one.at(datetime(2027, 1, 2, tzinfo=UTC)).value((8, "0.0.1.0.0.255"))
    found = [n.at for n in one.journal.of("event") if n.facts["name"] == "billing_reset"]
    zone = one.meter.kind.zone
    assert found == [datetime(2026, 12, 1, tzinfo=zone), datetime(2027, 1, 1, tzinfo=zone)]


# --- 70: relays, valves -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", range(7))
def test_what_a_reconnection_needs_in_each_mode(mode: int) -> None:
    """In modes 2 and 4 a client switches on; in the others it lets the customer do so."""
    one = hands()
    one.set(RELAY, 4, Data(DataTag.ENUM, mode))
    off = one.act(RELAY, 1, NOTHING)
    assert (off is SUCCESS) is (mode != 0)
    one.act(RELAY, 2, NOTHING)
    known = relay(one.meter)
    assert known is not None
    on = {0: ControlState.CONNECTED, 2: ControlState.CONNECTED, 4: ControlState.CONNECTED}
    assert control_state(one.meter, known) is on.get(mode, ControlState.READY_FOR_RECONNECTION)
    if mode not in on:
        assert one.value(RELAY) is False
        assert move(one.meter, known, Cause.MANUAL_RECONNECT)
        assert one.value(RELAY) is True
    assert move(one.meter, known, Cause.MANUAL_DISCONNECT) is (mode in (1, 2, 5))


def test_a_valve_stops_the_gas_only() -> None:
    one = hands(more=(VALVE,))
    assert one.act((70, str(VALVE.obis)), 1, NOTHING) is SUCCESS
    end = START + timedelta(days=3)
    one.at(end)
    assert one.value((70, str(VALVE.obis))) is False
    lost = {
        name: one.meter.measuring.total(name, int(end.timestamp() * 1_000_000))
        - one.meter.measuring.total(name, int(START.timestamp() * 1_000_000))
        for name in ("gas_dm3", "import_wh")
    }
    assert lost["gas_dm3"] == 0
    assert lost["import_wh"] > 0


# --- 72: M-Bus --------------------------------------------------------------------------------


def test_a_device_can_be_heard_now_released_and_found_again() -> None:
    one = hands().after(minutes=20)
    assert one.value(MBUS, 9) == 3
    identity = one.value(MBUS, 6)
    assert one.act(MBUS, 3, NOTHING) is SUCCESS
    heard = one.value((4, "0.1.24.2.1.255"))
    now_us = int(one.now.timestamp() * 1_000_000)
    assert heard == one.meter.measuring.total("gas_dm3", now_us)
    assert one.act(MBUS, 2, NOTHING) is SUCCESS
    assert (one.value(MBUS, 6), one.value(MBUS, 9)) == (0, 0)
    assert one.act(MBUS, 2, NOTHING) is ActionResultCode.OTHER_REASON
    assert one.value(MBUS, 5) == 0
    one.after(days=2)
    assert one.value((4, "0.1.24.2.1.255")) == heard
    assert one.rows((7, "0.1.24.3.0.255"))[-1][2] == heard
    assert one.act(MBUS, 1, Data(DataTag.UNSIGNED, 1)) is SUCCESS
    assert one.value(MBUS, 6) == identity
    one.after(hours=2)
    assert one.value((4, "0.1.24.2.1.255")) > heard


def test_how_often_a_device_is_heard_can_be_written() -> None:
    one = hands()
    period = DataTag.DOUBLE_LONG_UNSIGNED
    assert one.set(MBUS, 4, Data(period, 7)) is DataAccessResult.OTHER_REASON
    assert one.set(MBUS, 4, Data(period, 900)) is DataAccessResult.SUCCESS
    one.after(minutes=16)
    at_us = int((START + timedelta(minutes=15)).timestamp() * 1_000_000)
    assert one.value((4, "0.1.24.2.1.255")) == one.meter.measuring.total("gas_dm3", at_us)


# --- 11, 20: days and calendars ---------------------------------------------------------------


def test_a_passive_calendar_becomes_the_active_one() -> None:
    one = hands()
    active = one.value(CALENDAR, 2)
    assert one.set(CALENDAR, 6, Data(DataTag.OCTET_STRING, b"NEW")) is DataAccessResult.SUCCESS
    assert one.set(CALENDAR, 6, Data(DataTag.UNSIGNED, 1)) is DataAccessResult.TYPE_UNMATCHED
    assert one.set(CALENDAR, 2, Data(DataTag.OCTET_STRING, b"NO")) is not DataAccessResult.SUCCESS
    assert one.value(CALENDAR, 2) == active
    assert one.act(CALENDAR, 1, NOTHING) is SUCCESS
    assert one.value(CALENDAR, 2) == b"NEW"
    assert 9 in codes(one, "0.0.99.98.0.255")
    one.set(CALENDAR, 6, Data(DataTag.OCTET_STRING, b"LAST"))
    assert one.set(CALENDAR, 10, PASSED) is DataAccessResult.SUCCESS
    assert one.value(CALENDAR, 2) == b"LAST"  # at once


def test_the_calendar_shows_the_rates_that_count() -> None:
    """The day that the calendar shows begins and switches as the registers of the rates do."""
    one = hands()
    [workday, *_] = one.value(CALENDAR, 5)
    zone = one.meter.kind.zone
    switches = [(a.value[0].value[0], a.value[2].value) for a in workday.value[1].value]
    for hour, rate in switches:
        at = datetime(2026, 11, 18, hour, 1, tzinfo=zone)
        assert one.meter.source.rate(int(at.timestamp() * 1_000_000)) == rate


def day_profile(*switches: tuple[int, int, int]) -> Data:
    script = octets("00000a0064ff")
    actions = (
        structure(octets(f"{hour:02x}{minute:02x}0000"), script, Data(DataTag.LONG_UNSIGNED, rate))
        for hour, minute, rate in switches
    )
    return array(structure(Data(DataTag.UNSIGNED, 1), array(*actions)))


def week_profile() -> Data:
    return array(structure(octets("31"), *(Data(DataTag.UNSIGNED, 1) for _ in range(7))))


@pytest.mark.parametrize("by_time", [False, True])
def test_an_activated_calendar_changes_what_is_counted(by_time: bool) -> None:
    one = hands()
    assert one.set(CALENDAR, 8, week_profile()) is DataAccessResult.SUCCESS
    assert one.set(CALENDAR, 9, day_profile((0, 0, 2))) is DataAccessResult.SUCCESS
    at = START + timedelta(hours=1)
    if by_time:
        time = CosemDateTime.from_datetime(at).to_octets()
        assert one.set(CALENDAR, 10, Data(DataTag.OCTET_STRING, time)) is DataAccessResult.SUCCESS
    else:
        assert one.at(at).act(CALENDAR, 1, NOTHING) is SUCCESS
    one.at(at + timedelta(days=2)).value(CALENDAR, 5)
    first, second, whole = (
        one.meter.totals(f"import_wh{rate}", np.array([microseconds(at), microseconds(one.now)]))
        for rate in ("_r1", "_r2", "")
    )
    assert first[0] == first[1]
    assert second[1] - second[0] == whole[1] - whole[0] > 0
    assert (first + second == whole).all()
    assert one.meter.measuring.rate(microseconds(one.now)) == 2
    assert one.meter.measuring.rate(microseconds(START)) == 1
    one.meter.cut(Cut.DISCONNECT, one.now)
    one.after(days=1)
    assert one.value((3, "1.0.1.8.2.255")) == second[1]


def test_days_that_are_none_are_refused_whatever_was_there_before() -> None:
    """After an empty table the shape of its elements is no longer known by what there is."""
    one = hands()
    for days in (array(), array(structure()), array(NOTHING)):
        assert one.set(CALENDAR, 9, array()) is DataAccessResult.SUCCESS
        assert one.set(CALENDAR, 9, days) is DataAccessResult.SUCCESS
        assert one.act(CALENDAR, 1, NOTHING) is not SUCCESS
    assert one.meter.state.tariffs == []


def season(name: str, start: str, week: str) -> Data:
    return structure(octets(name), octets(start), octets(week))


WINTER, SUMMER = "ffff0b14ff000000ff8000ff", "ffff0401ff000000ff8000ff"


def test_each_season_has_its_week() -> None:
    """From the twentieth of November on all is counted in the second rate, till April."""
    one = hands()
    other = structure(Data(DataTag.UNSIGNED, 2), day_profile((0, 0, 2)).value[0].value[1])
    days = (*day_profile((0, 0, 1)).value, other)
    names = (("31", 1), ("32", 2))
    weeks = [structure(octets(name), *[Data(DataTag.UNSIGNED, day)] * 7) for name, day in names]
    seasons = array(season("53", SUMMER, "31"), season("57", WINTER, "32"))
    for index, data in ((7, seasons), (8, array(*weeks)), (9, array(*days))):
        assert one.set(CALENDAR, index, data) is DataAccessResult.SUCCESS
    assert one.act(CALENDAR, 1, NOTHING) is SUCCESS
    assert one.get(CALENDAR, 3) == seasons
    zone = one.meter.kind.zone
    for day, rate in (("2026-11-19", 1), ("2026-11-20", 2), ("2027-03-31", 2), ("2027-04-01", 1)):
        for hour in (0, 23):
            at = datetime.fromisoformat(f"{day}T{hour:02}:30").replace(tzinfo=zone)
            assert one.meter.measuring.rate(microseconds(at)) == rate, at
    again = hands(state=state_of(plain(one.meter.state)), at=one.now)
    end = np.array([microseconds(START + timedelta(days=9))])
    assert again.meter.totals("import_wh_r2", end) == one.meter.totals("import_wh_r2", end)


@pytest.mark.parametrize(
    "seasons",
    [
        array(),
        array(season("53", SUMMER, "39")),
        array(season("53", "ffff0dff" + "ff000000ff8000ff", "31")),
        array(season("53", "ffff0401ff060000ff8000ff", "31")),
        array(season("53", "07cf0401ff000000ff8000ff", "31")),
        array(*[season("53", SUMMER, "31")] * 13),
    ],
)
def test_seasons_that_the_meter_cannot_follow_stay_passive(seasons: Data) -> None:
    one = hands()
    active = one.get(CALENDAR, 3)
    assert one.set(CALENDAR, 7, seasons) is DataAccessResult.SUCCESS
    assert one.act(CALENDAR, 1, NOTHING) is ActionResultCode.OTHER_REASON
    assert one.get(CALENDAR, 3) == active
    assert one.meter.state.tariffs == []


@pytest.mark.parametrize(
    "day",
    [
        day_profile((1, 0, 1)),
        day_profile((0, 0, 1), (6, 10, 2)),
        day_profile((0, 0, 1), (6, 0, 3)),
        day_profile((0, 0, 1), (24, 0, 2)),
        day_profile(),
    ],
)
def test_a_calendar_that_the_meter_cannot_follow_stays_passive(day: Data) -> None:
    one = hands()
    active = one.value(CALENDAR, 5)
    one.set(CALENDAR, 8, week_profile())
    assert one.set(CALENDAR, 9, day) is DataAccessResult.SUCCESS
    assert one.act(CALENDAR, 1, NOTHING) is ActionResultCode.OTHER_REASON
    assert one.set(CALENDAR, 10, PASSED) is DataAccessResult.OTHER_REASON
    assert one.value(CALENDAR, 5) == active
    assert one.meter.state.tariffs == []


# --- 15: versions of the association ----------------------------------------------------------


def test_access_rights_are_numbers_or_bits_by_the_version() -> None:
    for name, model in models().items():
        if not model.simulated:
            continue
        one = hands(name)
        served, client = one.meter.kind.served, one.meter.kind.main_client
        clock = one.meter.kind.model.objects[8, Obis.parse("0.0.1.0.0.255")]
        by_number = served.access_rights(clock, client, 1).value[0].value
        by_bits = served.access_rights(clock, client, 3).value[0].value
        for numbered, bits in zip(by_number, by_bits, strict=True):
            assert numbered.value[1].value in (0, 1, 2, 3)
            assert bits.value[1].value & 3 == numbered.value[1].value
            if client.protection.encrypted and bits.value[1].value:
                assert bits.value[1].value & 0x48 == 0x48
