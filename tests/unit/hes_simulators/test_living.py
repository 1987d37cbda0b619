"""The living meter: whatever befalls it, everything that it shows agrees to the last Wh."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import NULL, Data, DataTag, decode_all, structure
from hes_protocol.cosem import Attribute, CosemDateTime, Obis, ObjectListEntry
from hes_protocol.server import GetRequested
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.captures import held
from hes_simulators.clock import microseconds
from hes_simulators.energy.ledger import Ledger
from hes_simulators.known_models import models
from hes_simulators.meter import Meter
from hes_simulators.persistence import plain, state_of
from hes_simulators.profile_status import profile_status
from hes_simulators.push_body import data_notification
from hes_simulators.state import Cut
from tests.unit.hes_simulators.living import CLOCK, IMPORT, PROFILE, START, Hands, hands

SIMULATED = sorted(name for name, model in models().items() if model.simulated)
RELAY = (70, "0.0.96.3.10.255")
LIMITER = (71, "0.0.17.0.0.255")
MONITOR = (21, "0.0.16.1.0.255")
REPLY_TO_HLS = (15, 1)
DENIED = DataAccessResult.READ_WRITE_DENIED
BILLING = (7, "0.0.98.1.0.255")
NOTHING = Data(DataTag.INTEGER, 0)
MINUTE = timedelta(minutes=1)
ADJUSTED, POWER_DOWN, SUMMER = 0x20, 0x80, 0x08


def energy_rows(one: Hands) -> list[tuple[datetime, int, int]]:
    """Time, status and import register of each row of the load profile."""
    columns = [
        str(c.obis) for c in one.meter.kind.model.profiles[Obis.parse(PROFILE[1])].capture_objects
    ]
    at, status, energy = (
        columns.index(o) for o in ("0.0.1.0.0.255", "0.0.96.10.1.255", "1.0.1.8.0.255")
    )
    return [(row[at], row[status], row[energy]) for row in one.rows()]


def total(one: Hands, at: datetime, quantity: str = "import_wh") -> int:
    return one.meter.measuring.total(quantity, microseconds(at))


def time_data(at: datetime) -> Data:
    return Data(DataTag.OCTET_STRING, CosemDateTime.from_datetime(at).to_octets())


# --- every model ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIMULATED)
def test_what_a_client_may_do_it_can(name: str) -> None:
    """No right is shown that is not granted: each attribute takes what it holds."""
    one = hands(name)
    for (class_id, obis), found in one.meter.kind.model.objects.items():
        for index, attribute in found.attributes.items():
            held_now = one.get((class_id, str(obis)), index)
            if one.sap in attribute.write and isinstance(held_now, Data):
                result = one.set((class_id, str(obis)), index, held_now)
                assert result is DataAccessResult.SUCCESS, (class_id, obis, index)
        for method, saps in found.methods.items():
            if one.sap in saps and (class_id, method) != REPLY_TO_HLS:
                answer = one.act((class_id, str(obis)), method, NOTHING)
                assert answer is not ActionResultCode.OBJECT_UNDEFINED, (class_id, obis, method)
                assert answer is not ActionResultCode.READ_WRITE_DENIED, (class_id, obis, method)


@pytest.mark.parametrize("name", SIMULATED)
def test_the_object_list_is_what_can_be_read(name: str) -> None:
    """Every attribute that the list calls readable is readable, and no other."""
    one = hands(name)
    kind = one.meter.kind
    for sap in one.meter.clients:
        listed = _read(one, (15, "0.0.40.0.0.255"), 2, sap)
        if isinstance(listed, DataAccessResult):
            continue
        for entry in listed.value:
            known = ObjectListEntry.from_data(entry)
            for item in entry.value[3].value[0].value:
                index, mode = item.value[0].value, item.value[1].value
                answer = _read(one, (known.class_id, str(known.obis)), index, sap)
                if mode & 1:
                    assert isinstance(answer, Data), (sap, known, index, answer)
                else:
                    assert answer is DataAccessResult.READ_WRITE_DENIED
        assert len(listed.value) == len(list(kind.served.visible(sap)))


def _read(one: Hands, what: tuple[int, str], index: int, sap: int) -> Data | DataAccessResult:
    attribute = Attribute(what[0], Obis.parse(what[1]), index)
    answer = one.meter.get(GetRequested(1, attribute, None, sap))
    return decode_all(answer.octets) if answer.octets else answer.result


# --- energy -----------------------------------------------------------------------------------


def test_what_is_cut_off_is_not_counted() -> None:
    one = hands()
    before = one.value(IMPORT)
    one.meter.cut(Cut.DISCONNECT, START)
    one.after(hours=5)
    assert one.value(IMPORT) == before
    assert one.meter.momentary("import_w", one.now) == 0
    assert one.meter.momentary("voltage_l1_dv", one.now) > 2000
    one.meter.restore(Cut.DISCONNECT, one.now)
    lost = one.meter.source.total("import_wh", microseconds(one.now)) - before
    assert lost > 0
    one.after(days=2)
    assert one.value(IMPORT) == one.meter.source.total("import_wh", microseconds(one.now)) - lost


def test_two_reasons_to_cut_are_two_to_restore() -> None:
    one = hands()
    one.meter.cut(Cut.DISCONNECT, START)
    one.meter.cut(Cut.CREDIT, START + MINUTE)
    one.meter.restore(Cut.DISCONNECT, START + 2 * MINUTE)
    assert one.after(hours=1).meter.momentary("import_w", one.now) == 0
    one.meter.restore(Cut.CREDIT, one.now)
    assert one.after(minutes=20).meter.momentary("import_w", one.now) > 0


def test_an_outage_leaves_no_rows_and_a_mark() -> None:
    one = hands()
    one.meter.cut(Cut.OUTAGE, START + 5 * MINUTE)
    assert one.meter.is_dark(START + 6 * MINUTE)
    assert one.meter.momentary("voltage_l1_dv", START + 6 * MINUTE) == 0
    one.meter.restore(Cut.OUTAGE, START + 50 * MINUTE)
    assert not one.meter.is_dark(START + 50 * MINUTE)
    one.at(START + timedelta(hours=2))
    rows = [row for row in energy_rows(one) if row[0] >= START]
    assert [row[0] for row in rows] == [
        START,
        *(START + k * MINUTE for k in (60, 75, 90, 105, 120)),
    ]
    assert [bool(row[1] & POWER_DOWN) for row in rows] == [False, True, False, False, False, False]
    assert total(one, START + 5 * MINUTE) == total(one, START + 50 * MINUTE)
    notes = [note.facts["on"] for note in one.journal.of("outage")]
    assert notes == [True, False]


moments = st.integers(0, 3 * 86_400).map(lambda s: START + timedelta(seconds=s))
deeds = st.lists(
    st.tuples(
        moments,
        st.sampled_from(["cut", "restore", "outage", "power", "set", "shift", "off", "on", "bill"]),
        st.integers(-7200, 7200),
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda deed: deed[0]))


def do(one: Hands, deed: tuple[datetime, str, int]) -> None:
    at, what, number = deed
    one.at(at)
    meter = one.meter
    match what:
        case "cut":
            meter.cut(Cut.CREDIT, at)
        case "restore":
            meter.restore(Cut.CREDIT, at)
        case "outage":
            meter.cut(Cut.OUTAGE, at)
        case "power":
            meter.restore(Cut.OUTAGE, at)
        case "set":
            one.set(CLOCK, 2, time_data(at + timedelta(seconds=number)))
        case "shift":
            one.act(CLOCK, 6, Data(DataTag.LONG, number // 8))
        case "off":
            one.act(RELAY, 1, NOTHING)
        case "on":
            one.act(RELAY, 2, NOTHING)
        case "bill":
            one.act((9, "0.0.10.0.1.255"), 1, Data(DataTag.LONG_UNSIGNED, 1))


@settings(max_examples=15, deadline=None)
@given(deeds, st.lists(moments, max_size=10))
def test_nothing_depends_on_who_looks_when(
    deeds: list[tuple[datetime, str, int]], looks: list[datetime]
) -> None:
    """Two meters to which the same is done; one is read in between, at any times."""
    quiet, watched = hands(), hands()
    for one in (quiet, watched):
        assert (
            one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 900)) is DataAccessResult.SUCCESS
        )
    steps = sorted(
        [*((at, None) for at in looks), *((deed[0], deed) for deed in deeds)], key=lambda s: s[0]
    )
    for at, deed in steps:
        if deed is None:
            watched.at(at).value(IMPORT)
            watched.rows()
        else:
            do(watched, deed)
            do(quiet, deed)
    end = START + timedelta(days=3, minutes=7)
    for one in (quiet, watched):
        one.at(end)
    assert quiet.rows() == watched.rows()
    assert quiet.rows(BILLING) == watched.rows(BILLING)
    assert plain(quiet.meter.state) == plain(watched.meter.state)


@settings(max_examples=15, deadline=None)
@given(deeds)
def test_everything_that_it_shows_agrees(deeds: list[tuple[datetime, str, int]]) -> None:
    one = hands(index=4)
    for deed in deeds:
        do(one, deed)
    one.at(START + timedelta(days=3, minutes=7))
    end_us = microseconds(one.now)
    measuring = one.meter.measuring
    times = np.sort(np.array([end_us, *(microseconds(at) for at, _, _ in deeds)]))
    grid = np.arange(microseconds(START), end_us, 300_000_000)
    times = np.sort(np.concatenate([times, grid]))
    shown = measuring.totals("import_wh", times)
    assert (np.diff(shown) >= 0).all()
    rates = measuring.totals("import_wh_r1", times) + measuring.totals("import_wh_r2", times)
    assert (rates == shown).all()
    inside = one.meter.state.cuts.get("electricity")
    if inside:
        for begin, end in inside.closed:
            assert measuring.total("import_wh", begin) == measuring.total("import_wh", end)
    assert one.value(IMPORT) == shown[-1]
    profile = one.meter.kind.model.profiles[Obis.parse(PROFILE[1])]
    rows = held(one.meter, profile)
    registers = [row[2] for row in energy_rows(one)]
    assert registers == measuring.totals("import_wh", rows.at_us).tolist()
    closed_us = one.meter.closings(end_us)[0]
    billed = [row[_billing_columns(one).index("1.0.1.8.0.255")] for row in one.rows(BILLING)]
    assert billed == measuring.totals("import_wh", closed_us).tolist()[-len(billed) :]


def _billing_columns(one: Hands) -> list[str]:
    return [
        str(c.obis) if c.attribute_index == 2 else f"{c.obis}/{c.attribute_index}"
        for c in one.meter.kind.model.profiles[Obis.parse(BILLING[1])].capture_objects
    ]


# --- the clock --------------------------------------------------------------------------------


def test_a_clock_set_forward_misses_rows_and_says_so() -> None:
    one = hands().after(minutes=5)
    assert one.set(CLOCK, 2, time_data(one.now + timedelta(minutes=40))) is DataAccessResult.SUCCESS
    assert one.meter.clock(one.now) == one.now + timedelta(minutes=40)
    one.after(minutes=30)  # shows 11:15
    rows = [row for row in energy_rows(one) if row[0] >= START]
    assert [row[0] for row in rows] == [START, START + 60 * MINUTE, START + 75 * MINUTE]
    assert [bool(row[1] & ADJUSTED) for row in rows] == [False, True, False]
    assert rows[1][2] == total(one, START + 20 * MINUTE)


def test_a_clock_set_back_captures_twice() -> None:
    one = hands().after(minutes=35)
    one.set(CLOCK, 2, time_data(START + 5 * MINUTE))
    one.after(minutes=30)
    rows = [row for row in energy_rows(one) if row[0] >= START]
    assert [row[0] for row in rows] == [START + k * MINUTE for k in (0, 15, 30, 15, 30)]
    energies = [row[2] for row in rows]
    assert energies == sorted(energies)


def test_what_a_row_says_does_not_depend_on_which_rows_are_asked_for() -> None:
    """A range from a buffer with two passes holds neighbours that did not follow each other."""
    one = hands().after(minutes=35)
    one.set(CLOCK, 2, time_data(START + 5 * MINUTE))
    one.after(minutes=30)
    one.meter.cut(Cut.OUTAGE, one.now)
    one.after(minutes=60)
    one.meter.restore(Cut.OUTAGE, one.now)
    one.after(minutes=30).meter.advance(one.now)
    profile = one.meter.kind.model.profiles[Obis.parse(PROFILE[1])]
    rows = held(one.meter, profile)
    whole = profile_status(one.meter, rows)
    place = len(rows) - 6  # two of the first pass, two of the second, and two after the outage
    assert [bool(status & ADJUSTED) for status in whole[place:]] == [False] * 2 + [True] + [
        False
    ] * 3
    assert [bool(status & POWER_DOWN) for status in whole[place:]] == [False] * 4 + [True, False]
    for kept in combinations(range(place, len(rows)), 2):
        some = np.array(kept)
        assert profile_status(one.meter, rows[some]).tolist() == whole[some].tolist()


def test_a_step_leaves_two_events_with_the_times_before_and_after() -> None:
    one = hands()
    one.set(CLOCK, 2, time_data(START + timedelta(hours=1)))
    log = one.rows((7, "0.0.99.98.0.255"))
    found = [(row[0], row[1]) for row in log if row[1] in (4, 5)]
    assert found == [(START, 4), (START + timedelta(hours=1), 5)]


@pytest.mark.parametrize(
    ("method", "data", "shown"),
    [
        (1, NOTHING, datetime(2026, 11, 17, 10, 0, tzinfo=UTC)),
        (2, NOTHING, datetime(2026, 11, 17, 10, 0, tzinfo=UTC)),
        (3, NOTHING, datetime(2026, 11, 17, 10, 5, tzinfo=UTC)),
        (6, Data(DataTag.LONG, -60), datetime(2026, 11, 17, 10, 3, 40, tzinfo=UTC)),
    ],
)
def test_ways_to_adjust(method: int, data: Data, shown: datetime) -> None:
    one = hands().after(minutes=4, seconds=40)
    assert one.act(CLOCK, method, data) is ActionResultCode.SUCCESS
    assert one.meter.clock(one.now) == shown


def test_preset_time() -> None:
    one = hands()
    assert one.act(CLOCK, 4, NOTHING) is ActionResultCode.OTHER_REASON
    later = [time_data(START + timedelta(minutes=minute)) for minute in (30, 5, 10)]
    assert one.act(CLOCK, 5, structure(*later)) is ActionResultCode.SUCCESS
    assert one.act(CLOCK, 4, NOTHING) is ActionResultCode.OTHER_REASON
    one.after(minutes=7)
    assert one.act(CLOCK, 4, NOTHING) is ActionResultCode.SUCCESS
    assert one.meter.clock(one.now) == START + 30 * MINUTE


@pytest.mark.parametrize(
    ("index", "data", "result"),
    [
        (2, Data(DataTag.OCTET_STRING, b"short"), DataAccessResult.TYPE_UNMATCHED),
        (2, Data(DataTag.UNSIGNED, 1), DataAccessResult.TYPE_UNMATCHED),
        (
            2,
            Data(DataTag.OCTET_STRING, bytes.fromhex("ffffffffffffffffff8000ff")),
            DataAccessResult.OTHER_REASON,
        ),
        (
            2,
            Data(DataTag.OCTET_STRING, bytes.fromhex("07e6020ff0ffffffffffffff")),
            DataAccessResult.OTHER_REASON,
        ),
        (3, Data(DataTag.LONG, 2000), DataAccessResult.OTHER_REASON),
        (8, Data(DataTag.UNSIGNED, 1), DataAccessResult.TYPE_UNMATCHED),
        (9, Data(DataTag.ENUM, 1), DataAccessResult.READ_WRITE_DENIED),
    ],
)
def test_what_is_no_time_changes_nothing(index: int, data: Data, result: DataAccessResult) -> None:
    one = hands()
    assert one.set(CLOCK, index, data) is result
    assert one.meter.state.is_fresh


def test_drift_goes_on_and_a_set_clock_begins_anew() -> None:
    one = hands(drift_ppm=200)
    ppb = one.meter.time.drift_ppb
    assert ppb != 0
    run_s = (START - one.meter.source.installed_at).total_seconds()
    error_s = (one.meter.clock(START) - START).total_seconds()
    assert error_s == pytest.approx(run_s * ppb / 1e9, abs=0.01)
    one.set(CLOCK, 2, time_data(START))
    assert one.meter.clock(START) == START
    found = one.after(hours=10).rows()
    assert found[-1][0].minute % 15 == 0


def test_daylight_saving_can_be_switched_off() -> None:
    one = hands(at=datetime(2026, 7, 1, 10, tzinfo=UTC))
    assert CosemDateTime.from_octets(one.value(CLOCK)).hour == 12
    one.set(CLOCK, 8, Data(DataTag.BOOLEAN, False))
    shown = CosemDateTime.from_octets(one.value(CLOCK))
    assert (shown.hour, shown.deviation_min, shown.daylight_saving) == (11, -60, False)


def test_a_clock_has_the_summer_time_of_its_own_zone_only() -> None:
    moved, off = Data(DataTag.LONG, 0), Data(DataTag.BOOLEAN, False)
    on = Data(DataTag.BOOLEAN, True)
    one = hands(at=datetime(2026, 7, 1, 10, tzinfo=UTC))
    assert one.value(CLOCK, 5).hex() == "ffff03fe0702000000800000"  # the last Sunday of March
    assert one.set(CLOCK, 3, moved) is DataAccessResult.OTHER_REASON
    assert one.set(CLOCK, 8, off) is DataAccessResult.SUCCESS
    assert one.set(CLOCK, 3, moved) is DataAccessResult.SUCCESS
    assert CosemDateTime.from_octets(one.value(CLOCK)).hour == 10
    assert one.set(CLOCK, 8, on) is DataAccessResult.OTHER_REASON
    assert one.set(CLOCK, 5, Data(DataTag.OCTET_STRING, one.value(CLOCK, 5))) is DENIED
    india = hands("is-15959-single-phase")
    assert (india.value(CLOCK, 7), india.value(CLOCK, 8)) == (0, False)


# --- relay and limiter ------------------------------------------------------------------------


def test_a_client_switches_the_load() -> None:
    one = hands()
    assert one.value(RELAY) is True
    assert one.act(RELAY, 1, NOTHING) is ActionResultCode.SUCCESS
    assert (one.value(RELAY), one.value(RELAY, 3)) == (False, 0)
    before = one.value(IMPORT)
    assert one.after(hours=3).value(IMPORT) == before
    assert one.act(RELAY, 2, NOTHING) is ActionResultCode.SUCCESS
    assert one.after(hours=3).value(IMPORT) > before
    assert [note.facts["result"] for note in one.journal.of("executed")] == [
        ActionResultCode.SUCCESS
    ] * 2
    codes = [row[1] for row in one.rows((7, "0.0.99.98.2.255"))]
    assert codes == [62, 63]


def test_the_relay_of_a_mode_zero_stays() -> None:
    one = hands()
    assert one.set(RELAY, 4, Data(DataTag.ENUM, 0)) is DataAccessResult.SUCCESS
    assert one.act(RELAY, 1, NOTHING) is ActionResultCode.OTHER_REASON
    assert one.value(RELAY) is True
    assert one.set(RELAY, 4, Data(DataTag.ENUM, 7)) is DataAccessResult.OTHER_REASON
    assert one.set(RELAY, 4, Data(DataTag.UNSIGNED, 1)) is DataAccessResult.TYPE_UNMATCHED


def test_a_relay_that_the_limiter_opened_is_closed_from_afar_where_the_mode_says_so() -> None:
    one = hands()
    one.set(LIMITER, 6, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1))
    one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1))
    actions = [action.value[1].value for action in one.value(LIMITER, 11)]
    assert actions == [1, 2]  # of the disconnect script table
    assert one.after(minutes=1).value(RELAY, 3) == 2  # ready for reconnection
    assert one.set(RELAY, 4, Data(DataTag.ENUM, 0)) is DataAccessResult.OTHER_REASON
    one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 0))
    assert one.act(RELAY, 2, NOTHING) is ActionResultCode.SUCCESS
    assert one.value(RELAY) is True


@pytest.mark.parametrize(("what", "index"), [(LIMITER, 11), (MONITOR, 3)])
def test_what_a_meter_does_not_go_by_is_not_to_be_written(what: Any, index: int) -> None:
    one = hands()
    answer = one.get(what, index)
    assert isinstance(answer, Data)
    assert one.set(what, index, answer) is DENIED


def test_the_limiter_trips_at_the_first_moment_that_is_too_much() -> None:
    one = hands()
    one.set(RELAY, 4, Data(DataTag.ENUM, 5))  # closes by itself
    one.set(LIMITER, 6, Data(DataTag.DOUBLE_LONG_UNSIGNED, 120))
    one.set(LIMITER, 7, Data(DataTag.DOUBLE_LONG_UNSIGNED, 600))
    assert one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1)) is DataAccessResult.SUCCESS
    one.after(minutes=3)
    assert one.value(RELAY) is False
    [cut] = [note.at for note in one.journal.of("outage")]
    assert cut == START + 2 * MINUTE
    assert one.meter.momentary("import_w", one.now) == 0
    assert one.after(minutes=10).value(RELAY) is True
    codes = [row[1] for row in one.rows((7, "0.0.99.98.2.255"))]
    assert [code for code in codes if code != 67] == [65, 64, 66, 69]


def test_the_emergency_threshold_counts_only_in_its_time() -> None:
    one = hands()
    begins = START + timedelta(hours=1)
    u32, u16 = DataTag.DOUBLE_LONG_UNSIGNED, DataTag.LONG_UNSIGNED
    one.set(LIMITER, 5, Data(u32, 1))
    one.set(LIMITER, 6, Data(u32, 60))
    one.set(LIMITER, 9, Data(DataTag.ARRAY, (Data(u16, 7),)))
    profile = structure(Data(u16, 7), time_data(begins), Data(u32, 3600))
    assert one.set(LIMITER, 8, profile) is DataAccessResult.SUCCESS
    assert one.at(begins - MINUTE).value(RELAY) is True
    assert one.value(LIMITER, 10) is False
    one.at(begins + 2 * MINUTE)
    assert one.value(LIMITER, 10) is True
    assert one.value(LIMITER, 3) == 1
    assert one.value(RELAY) is False
    assert one.journal.of("outage")[0].at == begins + MINUTE


def test_a_limiter_without_delay_trips_at_once() -> None:
    one = hands()
    one.set(LIMITER, 6, Data(DataTag.DOUBLE_LONG_UNSIGNED, 0))
    one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1))
    assert one.after(minutes=1).value(RELAY) is False
    [cut] = [note.at for note in one.journal.of("outage")]
    assert cut == START + MINUTE / 60


def test_the_limiter_counts_anew_when_power_is_back() -> None:
    one = hands()
    one.set(LIMITER, 6, Data(DataTag.DOUBLE_LONG_UNSIGNED, 120))
    one.set(LIMITER, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1))
    one.meter.cut(Cut.OUTAGE, START + MINUTE)
    one.meter.restore(Cut.OUTAGE, START + 5 * MINUTE)
    one.at(START + 7 * MINUTE)
    assert one.value(RELAY) is False
    trips = [note.at for note in one.journal.of("outage") if note.facts["why"] == "limiter"]
    assert trips == [START + 7 * MINUTE]


def test_a_meter_that_is_made_to_chatter_holds_nobody_up() -> None:
    """It trips every minute or so: after hours it is behind, and comes up as it is read."""
    one = hands()
    one.set(RELAY, 4, Data(DataTag.ENUM, 5))
    for index in (6, 7, 4):
        one.set(LIMITER, index, Data(DataTag.DOUBLE_LONG_UNSIGNED, 1))
    one.after(hours=12)
    before = len(one.journal.of("outage"))
    one.value(RELAY)
    assert len(one.journal.of("outage")) - before == 500
    assert one.meter.now_us < microseconds(one.now)
    for _ in range(4):
        one.value(RELAY)
    assert one.meter.now_us == microseconds(one.now)


@pytest.mark.parametrize("name", SIMULATED)
def test_a_last_gasp_asks_for_no_energy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has looked at it for hours; then its power fails, and is back."""
    meter = hands(name).meter
    failed = START + timedelta(hours=7)
    opened: list[object] = []
    monkeypatch.setattr(Ledger, "days", lambda *_: opened.append(0) or [])
    meter.cut(Cut.OUTAGE, failed)
    for due in meter.pushes_due:
        data_notification(meter, due.setup, failed, 1)
    meter.restore(Cut.OUTAGE, failed + MINUTE)
    meter.advance(failed + MINUTE + timedelta(seconds=30))
    assert opened == []


# --- events -----------------------------------------------------------------------------------


def test_an_event_goes_into_its_log_the_alarm_and_the_pushes() -> None:
    heard = []
    one = hands(speaks_up=heard.append)
    one.meter.raise_event("cover_opened", START)
    assert [row[1] for row in one.rows((7, "0.0.99.98.1.255"))] == [40]
    assert one.value((1, "0.0.96.11.1.255")) == 40
    alarm = (1, "0.0.97.98.0.255")
    assert one.value(alarm) == 1 << 13
    [note] = one.journal.of("event")
    assert note.facts["logs"] == {"fraud": 40}
    one.meter.raise_event("battery_low", START)
    assert one.value(alarm) == 1 << 13 | 1 << 1
    assert one.set(alarm, 2, Data(DataTag.DOUBLE_LONG_UNSIGNED, 2)) is DataAccessResult.SUCCESS
    assert one.value(alarm) == 2
    assert (heard != []) is any("cover_opened" in push.on for push in one.meter.kind.model.pushes)


def test_a_filter_keeps_alarms_away() -> None:
    one = hands()
    filtered = (1, "0.0.97.98.10.255")
    assert one.set(filtered, 2, Data(DataTag.DOUBLE_LONG_UNSIGNED, 0)) is DataAccessResult.SUCCESS
    one.meter.raise_event("cover_opened", START)
    assert one.value((1, "0.0.97.98.0.255")) == 0


def test_a_log_wraps_and_can_be_emptied() -> None:
    one = hands()
    for minute in range(40):
        one.meter.raise_event("cover_opened", START + minute * MINUTE)
    rows = one.rows((7, "0.0.99.98.1.255"))
    assert len(rows) == 30
    assert rows[0][0] == START + 10 * MINUTE
    assert one.act((7, "0.0.99.98.1.255"), 1, NOTHING) is ActionResultCode.SUCCESS
    assert [row[1] for row in one.rows((7, "0.0.99.98.1.255"))] == [255]


def test_power_failures_are_events() -> None:
    one = hands()
    one.meter.cut(Cut.OUTAGE, START)
    one.meter.restore(Cut.OUTAGE, START + MINUTE)
    assert [row[1] for row in one.rows((7, "0.0.99.98.0.255"))] == [1, 2]


def test_a_meter_at_which_nobody_has_looked_starts_anew_when_it_is_told() -> None:
    one = hands()
    one.meter.reboot(START, until=START + MINUTE)
    assert one.meter.is_dark(START)
    assert [note.at for note in one.journal.of("event")] == [START]


def test_a_week_without_power_leaves_the_clock_in_doubt() -> None:
    one = hands()
    one.meter.cut(Cut.OUTAGE, START)
    one.meter.restore(Cut.OUTAGE, one.after(days=8).now)
    assert one.value(CLOCK, 4) & 0x02
    one.set(CLOCK, 2, time_data(one.now))
    assert not one.value(CLOCK, 4) & 0x02


# --- billing, demands, profiles ---------------------------------------------------------------


def test_billing_rows_hold_what_the_registers_held_at_local_midnight() -> None:
    one = hands()
    rows = one.rows(BILLING)
    columns = _billing_columns(one)
    assert rows
    for row in rows:
        held = dict(zip(columns, row, strict=True))
        at = held["0.0.1.0.0.255"]
        local = at.astimezone(one.meter.kind.zone)
        assert (local.day, local.hour, local.minute) == (1, 0, 0)
        assert held["1.0.1.8.0.255"] == total(one, at)


def test_the_maximum_demand_is_the_greatest_quarter_hour_of_its_month() -> None:
    one = hands()
    at = one.value((4, "1.0.1.6.0.255"), 5)
    found = one.value((4, "1.0.1.6.0.255"))
    month = datetime(2026, 11, 1, tzinfo=one.meter.kind.zone)
    ends = np.arange(microseconds(month), microseconds(START) + 1, 900_000_000)
    quarters = np.diff(one.meter.measuring.totals("import_wh", ends)) * 4
    assert found == quarters.max()
    when = datetime.fromisoformat(CosemDateTime.from_octets(at).isoformat() or "")
    assert microseconds(when) == ends[1:][quarters.argmax()]


def test_a_closed_period_begins_the_demand_anew() -> None:
    one = hands()
    count = len(one.rows(BILLING))
    run = one.act((9, "0.0.10.0.1.255"), 1, Data(DataTag.LONG_UNSIGNED, 1))
    assert run is ActionResultCode.SUCCESS
    rows = one.rows(BILLING)
    assert len(rows) == count + 1
    assert rows[-1][0] == START
    assert one.after(minutes=1).value((4, "1.0.1.6.0.255")) == 0
    one.after(minutes=14)
    power = (total(one, one.now) - total(one, START)) * 4
    assert one.value((4, "1.0.1.6.0.255")) == power


def test_another_period_empties_the_buffer() -> None:
    one = hands()
    bad = Data(DataTag.DOUBLE_LONG_UNSIGNED, 7)
    assert one.set(PROFILE, 4, bad) is DataAccessResult.OTHER_REASON
    assert len(one.rows()) > 100
    assert one.set(PROFILE, 4, Data(DataTag.DOUBLE_LONG_UNSIGNED, 300)) is DataAccessResult.SUCCESS
    one.after(minutes=16)
    assert [row[0] for row in one.rows()] == [START + k * MINUTE for k in (5, 10, 15)]
    assert one.value(PROFILE, 4) == 300


def test_capture_adds_a_row_now() -> None:
    one = hands().after(minutes=4)
    assert one.act(PROFILE, 2, NOTHING) is ActionResultCode.SUCCESS
    one.after(minutes=15)
    assert [row[0] for row in one.rows()[-3:]] == [START, START + 4 * MINUTE, START + 15 * MINUTE]


def test_a_gas_meter_is_heard_every_hour() -> None:
    one = hands().after(minutes=37)
    gas = (4, "0.1.24.2.1.255")
    assert one.value(gas) == total(one, START, "gas_dm3")
    heard = CosemDateTime.from_octets(one.value(gas, 5)).isoformat()
    assert datetime.fromisoformat(heard or "") == START


def test_a_sag_is_measured_as_long_as_it_lasts() -> None:
    one, voltage = hands(), (3, "1.0.32.7.0.255")
    usual = one.value(voltage)
    one.meter.raise_event("voltage_sag_l1", START)
    assert one.value(voltage) < usual * 0.8
    kept = hands(at=START, state=state_of(json.loads(json.dumps(plain(one.meter.state)))))
    assert kept.value(voltage) == one.value(voltage)
    one.after(seconds=2)
    one.meter.raise_event("voltage_normal_l1", one.now)
    assert one.value(voltage) > usual * 0.95
    # Nobody says that it is over: it is no sag for longer than a minute.
    one.meter.raise_event("voltage_swell_l1", one.now)
    assert one.value(voltage) > usual * 1.2
    assert one.after(minutes=2).value(voltage) < usual * 1.05


# --- what lasts -------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(deeds)
def test_a_state_survives_being_written(deeds: list[tuple[datetime, str, int]]) -> None:
    one = hands()
    for deed in deeds:
        do(one, deed)
    one.meter.raise_event("cover_opened", one.now)
    one.meter.raise_event("voltage_sag_l1", one.now)
    one.meter.server()
    one.meter._draw_counter()
    kept = json.loads(json.dumps(plain(one.meter.state)))
    other = hands(at=one.now, state=state_of(kept))
    end = START + timedelta(days=4)
    for each in (one, other):
        each.at(end)
    assert other.rows() == one.rows()
    assert other.rows((7, "0.0.99.98.0.255")) == one.rows((7, "0.0.99.98.0.255"))
    assert plain(other.meter.state) == plain(one.meter.state)
    assert other.meter.next_counter == one.meter.next_counter


@pytest.mark.parametrize("name", SIMULATED)
def test_an_idle_meter_costs_little(name: str) -> None:
    shared = hands(name)
    [Meter.of(shared.meter.kind, index) for index in range(5)]
    tracemalloc.start()
    meters = [Meter.of(shared.meter.kind, index) for index in range(50)]
    each = tracemalloc.get_traced_memory()[0] / 50
    tracemalloc.stop()
    assert len(meters) == 50
    assert each < 4096


def anything() -> st.SearchStrategy[Data]:
    leaves: st.SearchStrategy[Any] = st.one_of(
        st.just(NULL),
        st.integers(0, 255).map(lambda v: Data(DataTag.UNSIGNED, v)),
        st.integers(0, 255).map(lambda v: Data(DataTag.ENUM, v)),
        st.integers(0, 2**32 - 1).map(lambda v: Data(DataTag.DOUBLE_LONG_UNSIGNED, v)),
        st.integers(-(2**15), 2**15 - 1).map(lambda v: Data(DataTag.LONG, v)),
        st.integers(0, 2**16 - 1).map(lambda v: Data(DataTag.LONG_UNSIGNED, v)),
        st.booleans().map(lambda v: Data(DataTag.BOOLEAN, v)),
        st.binary(max_size=14).map(lambda v: Data(DataTag.OCTET_STRING, v)),
        st.binary(min_size=12, max_size=12).map(lambda v: Data(DataTag.DATE_TIME, v)),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4).flatmap(
            lambda found: st.sampled_from([DataTag.ARRAY, DataTag.STRUCTURE]).map(
                lambda tag: Data(tag, tuple(found))
            )
        ),
        max_leaves=6,
    )


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_is_written_or_invoked_it_goes_on_answering(data: st.DataObject) -> None:
    """No SET and no ACTION, of whatever type, makes a meter fail, now or when it is read later."""
    one = hands(
        data.draw(st.sampled_from(["idis-single-phase", "dsmr-smr5", "is-15959-single-phase"]))
    )
    kind, sap = one.meter.kind, one.sap
    objects = list(kind.served.visible(sap))
    for _ in range(data.draw(st.integers(1, 5))):
        each = data.draw(st.sampled_from(objects))
        index = data.draw(st.integers(1, 12))
        what = (each.class_id, str(each.obis))
        given_data = data.draw(anything())
        if data.draw(st.booleans()):
            one.set(what, index, given_data)
        else:
            one.act(what, index, given_data)
        one.after(minutes=data.draw(st.integers(0, 600)))
    for each in objects:
        for index in (2, 3, 4):
            if index in each.attributes:
                one.get((each.class_id, str(each.obis)), index)
