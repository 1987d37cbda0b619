"""What a meter answers, without any protocol between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hes_protocol.axdr import Data, DataTag, decode_all
from hes_protocol.cosem import (
    Attribute,
    CaptureObject,
    CosemDateTime,
    EntrySelection,
    Method,
    Obis,
    ObjectListEntry,
    RangeSelection,
    ScalerUnit,
)
from hes_protocol.quirks import STANDARD, ByClient, Deviation, Quirks, SelectionBy
from hes_protocol.server import ActionRequested, GetRequested, Selection, SetRequested
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators import Meter, MeterKind, Security, rows
from hes_simulators.clock import microseconds
from hes_simulators.known_models import simulated_model
from hes_simulators.selection import CLOCK_CAPTURE
from hes_simulators.truth.rows import LOAD_PROFILE

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 10, 25, 9, 20, 30, 120_000, tzinfo=UTC)  # a day of 100 quarter-hours
CLOCK = (8, "0.0.1.0.0.255")
PROFILE = (7, "1.0.99.1.0.255")
COLUMNS = simulated_model().profiles[LOAD_PROFILE].capture_objects
ASSOCIATION = (15, "0.0.40.0.0.255")
COUNTER = (1, "0.0.43.1.0.255")
PUBLIC, MANAGEMENT = 16, 1


def meter(
    index: int = 0,
    *,
    at: datetime = NOW,
    profile_days: int = 3,
    quirks: Quirks = STANDARD,
) -> Meter:
    kind = MeterKind(
        seed=1,
        zone=BERLIN,
        security=Security.GMAC,
        max_receive_pdu_size=512,
        profile_days=profile_days,
        now=lambda: at,
        next_challenge=lambda: bytes(16),
        first_counter=1 << 20,
        quirks=quirks,
    )
    return Meter.of(kind, index)


def ask(
    asked: Meter,
    what: tuple[int, str],
    index: int,
    selection: Selection | None = None,
    client_sap: int = MANAGEMENT,
) -> Data | DataAccessResult:
    attribute = Attribute(what[0], Obis.parse(what[1]), index)
    answer = asked.get(GetRequested(1, attribute, selection, client_sap))
    assert answer.invoke_id == 1
    if answer.result is not DataAccessResult.SUCCESS:
        assert answer.octets == b""
        return answer.result
    return decode_all(answer.octets)


def value(*args: object, **named: object) -> object:
    answer = ask(*args, **named)  # type: ignore[arg-type]
    assert isinstance(answer, Data)
    return answer.value


def profile_rows(
    asked: Meter, selection: Selection | None = None
) -> list[tuple[datetime, dict[str, int]]]:
    """The buffer as a reader sees it; rows without a clock are at the epoch."""
    found = []
    for row in value(asked, PROFILE, 2, selection):
        cells = row.value
        time = CosemDateTime.from_octets(cells[0].value)
        captured_at = datetime.fromisoformat(time.isoformat() or "").astimezone(UTC)
        names = [str(column.obis) for column in COLUMNS[1:]]
        found.append((captured_at, dict(zip(names, (c.value for c in cells[1:]), strict=True))))
    return found


def between(first: datetime, last: datetime, *selected: CaptureObject) -> RangeSelection:
    return RangeSelection.between(
        CLOCK_CAPTURE,
        CosemDateTime.from_datetime(first),
        CosemDateTime.from_datetime(last),
        selected,
    )


def test_names() -> None:
    asked = meter(41)
    assert asked.identity.serial == "HES00000042"
    assert asked.identity.system_title == b"HES\0\0\0\0\x2a"
    assert value(asked, (1, "0.0.42.0.0.255"), 2) == b"HES00000042"
    assert value(asked, (1, "0.0.96.1.0.255"), 2) == b"HES00000042"
    [entry] = value(asked, (17, "0.0.41.0.0.255"), 2)
    assert [member.value for member in entry.value] == [1, b"HES00000042"]


def test_keys_follow_from_seed_and_index() -> None:
    from hes_simulators import Identity

    keys = {
        key
        for seed in (1, 2)
        for index in (0, 1)
        for key in (
            Identity.of(seed, index).encryption_key,
            Identity.of(seed, index).authentication_key,
        )
    }
    assert len(keys) == 8
    assert Identity.of(1, 0) == Identity.of(1, 0)
    assert "key" not in repr(Identity.of(1, 0))


@pytest.mark.parametrize(
    ("at", "time", "status"),
    [
        (NOW, "2026-10-25T10:20:30.120000+01:00", 0),
        (datetime(2026, 7, 1, 12, tzinfo=UTC), "2026-07-01T14:00:00+02:00", 0x80),
    ],
)
def test_clock(at: datetime, time: str, status: int) -> None:
    asked = meter(at=at)
    shown = CosemDateTime.from_octets(value(asked, CLOCK, 2))
    assert shown.isoformat() == time
    assert shown.weekday == at.isoweekday()
    assert value(asked, CLOCK, 3) == -60
    assert value(asked, CLOCK, 4) == status
    assert value(asked, CLOCK, 8) is True


def test_registers_and_units() -> None:
    asked = meter()
    source, now_us = asked.source, microseconds(NOW)
    energy = ask(asked, (3, "1.0.1.8.0.255"), 2)
    assert energy == Data(DataTag.DOUBLE_LONG_UNSIGNED, source.total("import_wh", now_us))
    assert value(asked, (3, "1.0.2.8.0.255"), 2) == source.total("export_wh", now_us)
    assert value(asked, (3, "1.0.1.7.0.255"), 2) == source.momentary("import_w", NOW)
    assert value(asked, (3, "1.0.2.7.0.255"), 2) == source.momentary("export_w", NOW)
    assert value(asked, (3, "1.0.32.7.0.255"), 2) == source.momentary("voltage_l1_dv", NOW)
    units = {
        name: ScalerUnit.from_data(ask(asked, (3, name), 3))
        for name in ("1.0.1.8.0.255", "1.0.1.27.0.255", "1.0.32.7.0.255")
    }
    assert [(s.scaler, s.unit.symbol) for s in units.values()] == [(0, "Wh"), (0, "W"), (-1, "V")]


def test_object_list_is_what_can_be_read() -> None:
    """Every attribute that the list calls readable is readable, and no other."""
    asked = meter()
    for client_sap in (PUBLIC, MANAGEMENT):
        for entry in value(asked, ASSOCIATION, 2, client_sap=client_sap):
            listed = ObjectListEntry.from_data(entry)
            modes, _ = entry.value[3].value
            for item in modes.value:
                index, mode, _selectors = (member.value for member in item.value)
                what = (listed.class_id, str(listed.obis))
                answer = ask(asked, what, index, client_sap=client_sap)
                if mode:
                    assert isinstance(answer, Data), (what, index)
                else:
                    assert answer is DataAccessResult.READ_WRITE_DENIED
                if index == 1:
                    assert answer == Data(DataTag.OCTET_STRING, listed.obis.octets)


def test_object_list_tells_clients_apart() -> None:
    asked = meter()
    public = {
        str(ObjectListEntry.from_data(entry).obis)
        for entry in value(asked, ASSOCIATION, 2, client_sap=PUBLIC)
    }
    assert public == {"0.0.1.0.0.255", "0.0.42.0.0.255", "0.0.43.1.0.255", "0.0.40.0.0.255"}
    management = [
        (entry.value[0].value, str(ObjectListEntry.from_data(entry).obis))
        for entry in value(asked, ASSOCIATION, 2)
    ]
    assert len(management) == len(set(management)) == 16


@pytest.mark.parametrize(
    ("what", "index", "client_sap", "result"),
    [
        ((3, "1.0.9.9.9.255"), 2, MANAGEMENT, DataAccessResult.OBJECT_UNDEFINED),
        ((4, "1.0.1.8.0.255"), 2, MANAGEMENT, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
        ((3, "1.0.1.8.0.255"), 9, MANAGEMENT, DataAccessResult.OBJECT_UNDEFINED),
        ((3, "1.0.1.8.0.255"), 0, MANAGEMENT, DataAccessResult.OBJECT_UNDEFINED),
        ((15, "0.0.40.0.0.255"), 7, MANAGEMENT, DataAccessResult.READ_WRITE_DENIED),
        ((3, "1.0.1.8.0.255"), 2, PUBLIC, DataAccessResult.OBJECT_UNDEFINED),
        (PROFILE, 2, PUBLIC, DataAccessResult.OBJECT_UNDEFINED),
    ],
)
def test_refusals(
    what: tuple[int, str], index: int, client_sap: int, result: DataAccessResult
) -> None:
    assert ask(meter(), what, index, client_sap=client_sap) is result


def test_public_client_learns_the_expected_counter() -> None:
    asked = meter()
    assert value(asked, COUNTER, 2, client_sap=PUBLIC) == 0
    asked.state.counters[MANAGEMENT] = 4711
    assert value(asked, COUNTER, 2, client_sap=PUBLIC) == 4711


def test_no_method_may_be_invoked() -> None:
    asked = meter()
    there = ActionRequested(3, Method(8, Obis.parse("0.0.1.0.0.255"), 1), None, MANAGEMENT)
    assert asked.action(there).result is ActionResultCode.READ_WRITE_DENIED
    nowhere = ActionRequested(3, Method(70, Obis.parse("0.0.96.3.10.255"), 1), None, MANAGEMENT)
    assert asked.action(nowhere).result is ActionResultCode.OBJECT_UNDEFINED


def test_profile_describes_itself() -> None:
    asked = meter()
    captured = [CaptureObject.from_data(one) for one in value(asked, PROFILE, 3)]
    assert captured[0] == CLOCK_CAPTURE
    assert [str(one.obis) for one in captured[1:]] == [
        "0.0.96.10.1.255",
        "1.0.1.8.0.255",
        "1.0.2.8.0.255",
        "1.0.1.27.0.255",
        "1.0.32.7.0.255",
    ]
    assert value(asked, PROFILE, 4) == 900
    assert value(asked, PROFILE, 7) == 288
    assert value(asked, PROFILE, 8) == 288


@pytest.mark.parametrize("index", [0, 2, 7])
def test_profile_holds_the_true_rows_of_its_days(index: int) -> None:
    asked = meter(index)
    last = NOW.replace(minute=15, second=0, microsecond=0)
    expected = [
        (row.captured_at, row.values)
        for row in rows(asked, last - timedelta(days=3) + timedelta(minutes=15), NOW)
    ]
    assert len(expected) == 288
    assert profile_rows(asked) == expected


def test_buffer_wraps() -> None:
    early = meter(at=NOW, profile_days=1)
    late = meter(at=NOW + timedelta(minutes=15), profile_days=1)
    before, after = profile_rows(early), profile_rows(late)
    assert len(before) == len(after) == 96
    assert before[1:] == after[:-1]


def test_a_young_meter_holds_only_what_it_captured() -> None:
    installed_at = meter().source.installed_at
    young = meter(at=installed_at + timedelta(minutes=46))
    assert len(profile_rows(young)) == 3
    assert value(young, PROFILE, 7) == 3
    newborn = meter(at=installed_at)
    assert profile_rows(newborn) == []


def test_local_day_of_the_change_has_100_rows() -> None:
    asked = meter(at=datetime(2026, 10, 26, 12, tzinfo=UTC))
    start = datetime(2026, 10, 25, tzinfo=BERLIN)
    end = datetime(2026, 10, 26, tzinfo=BERLIN)
    found = profile_rows(asked, between(start + timedelta(seconds=1), end))
    assert len(found) == 100
    assert len({captured_at for captured_at, _ in found}) == 100


def test_range_includes_both_ends() -> None:
    asked = meter()
    first = datetime(2026, 10, 24, 10, 0, tzinfo=UTC)
    last = datetime(2026, 10, 24, 11, 0, tzinfo=UTC)
    found = profile_rows(asked, between(first, last))
    assert [captured_at for captured_at, _ in found] == [
        first + timedelta(minutes=15 * k) for k in range(5)
    ]
    assert profile_rows(asked, between(first + timedelta(seconds=1), last))[0][0] > first
    assert profile_rows(asked, between(first, last - timedelta(seconds=1)))[-1][0] < last


def test_range_outside_the_buffer_is_empty() -> None:
    asked = meter()
    for days in (-30, 30):
        at = NOW + timedelta(days=days)
        assert profile_rows(asked, between(at, at + timedelta(hours=1))) == []
    assert profile_rows(asked, between(NOW, NOW - timedelta(days=1))) == []
    everything = between(NOW - timedelta(days=30), NOW + timedelta(days=30))
    assert len(profile_rows(asked, everything)) == 288


def test_range_takes_both_codings_of_date_time_and_nothing_else() -> None:
    asked = meter()
    octets = CosemDateTime.from_datetime(NOW - timedelta(hours=2)).to_octets()
    end = CosemDateTime.from_datetime(NOW).to_octets()
    for tag in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
        found = RangeSelection(CLOCK_CAPTURE, Data(tag, octets), Data(tag, end))
        assert len(profile_rows(asked, found)) == 8
    for wrong in (Data(DataTag.OCTET_STRING, b"short"), Data(DataTag.UNSIGNED, 1)):
        refused = RangeSelection(CLOCK_CAPTURE, wrong, Data(DataTag.OCTET_STRING, end))
        assert ask(asked, PROFILE, 2, refused) is DataAccessResult.TYPE_UNMATCHED


def test_range_with_selected_columns() -> None:
    asked = meter()
    energy = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
    selected = between(NOW - timedelta(hours=1), NOW, energy, CLOCK_CAPTURE)
    table = value(asked, PROFILE, 2, selected)
    assert [len(row.value) for row in table] == [2] * 4
    clock, reading = table[-1].value
    assert CosemDateTime.from_octets(clock.value).isoformat() == "2026-10-25T10:15:00+01:00"
    at_us = microseconds(NOW.replace(minute=15, second=0, microsecond=0))
    assert reading.value == asked.source.total("import_wh", at_us)


def test_selection_beyond_what_is_captured_is_refused() -> None:
    asked = meter()
    energy = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)
    other = CaptureObject(3, Obis.parse("1.0.9.8.0.255"), 2)
    refused = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    number = Data(DataTag.DOUBLE_LONG_UNSIGNED, 1)
    assert ask(asked, PROFILE, 2, RangeSelection(energy, number, number)) is refused
    assert ask(asked, PROFILE, 2, between(NOW, NOW, other)) is refused
    for entry in (EntrySelection(0), EntrySelection(1, 0, 0), EntrySelection(1, 0, 1, 7)):
        assert ask(asked, PROFILE, 2, entry) is refused
    assert ask(asked, PROFILE, 3, between(NOW, NOW)) is refused
    assert ask(asked, CLOCK, 2, EntrySelection()) is refused


def test_selection_by_entry() -> None:
    asked = meter()
    whole = profile_rows(asked)
    assert profile_rows(asked, EntrySelection()) == whole
    assert profile_rows(asked, EntrySelection(1, 2)) == whole[:2]
    assert profile_rows(asked, EntrySelection(287)) == whole[286:]
    assert profile_rows(asked, EntrySelection(289)) == []
    assert profile_rows(asked, EntrySelection(280, 5000)) == whole[279:]
    narrow = value(asked, PROFILE, 2, EntrySelection(1, 1, 3, 4))
    first = whole[0][1]
    assert [cell.value for cell in narrow[0].value] == [
        first["1.0.1.8.0.255"],
        first["1.0.2.8.0.255"],
    ]


# --- SET ----------------------------------------------------------------------------------------

METERING_POINT = (1, "0.0.96.1.10.255")
EIC = Data(DataTag.OCTET_STRING, b"AT0010000000000000001000000000001")


def write(
    asked: Meter, what: tuple[int, str], index: int, data: Data, client_sap: int = MANAGEMENT
) -> DataAccessResult:
    attribute = Attribute(what[0], Obis.parse(what[1]), index)
    answer = asked.set(SetRequested(1, attribute, data, None, client_sap))
    assert answer.invoke_id == 1
    return answer.result


def test_what_may_be_written_is_kept_by_this_meter_only() -> None:
    written, other = meter(0), meter(1)
    assert ask(written, METERING_POINT, 2) == Data(DataTag.OCTET_STRING, b"")
    assert write(written, METERING_POINT, 2, EIC) is DataAccessResult.SUCCESS
    assert ask(written, METERING_POINT, 2) == EIC
    assert ask(other, METERING_POINT, 2) == Data(DataTag.OCTET_STRING, b"")


@pytest.mark.parametrize(
    ("what", "index", "data", "client_sap", "result"),
    [
        (METERING_POINT, 2, Data(DataTag.UNSIGNED, 1), MANAGEMENT, "TYPE_UNMATCHED"),
        (METERING_POINT, 2, Data(DataTag.OCTET_STRING, bytes(34)), MANAGEMENT, "OTHER_REASON"),
        (METERING_POINT, 1, EIC, MANAGEMENT, "READ_WRITE_DENIED"),
        (METERING_POINT, 3, EIC, MANAGEMENT, "OBJECT_UNDEFINED"),
        (METERING_POINT, 2, EIC, PUBLIC, "OBJECT_UNDEFINED"),
        (CLOCK, 2, EIC, MANAGEMENT, "READ_WRITE_DENIED"),
        (ASSOCIATION, 7, EIC, MANAGEMENT, "READ_WRITE_DENIED"),
        ((3, METERING_POINT[1]), 2, EIC, MANAGEMENT, "OBJECT_CLASS_INCONSISTENT"),
        ((1, "0.0.96.1.99.255"), 2, EIC, MANAGEMENT, "OBJECT_UNDEFINED"),
    ],
)
def test_what_may_not_be_written_says_why(
    what: tuple[int, str], index: int, data: Data, client_sap: int, result: str
) -> None:
    asked = meter()
    assert write(asked, what, index, data, client_sap) is DataAccessResult[result]
    assert asked.state.written == {}


def test_a_part_of_an_attribute_cannot_be_written() -> None:
    asked = meter()
    attribute = Attribute(1, Obis.parse(METERING_POINT[1]), 2)
    answer = asked.set(SetRequested(1, attribute, EIC, EntrySelection(), MANAGEMENT))
    assert answer.result is DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


# --- quirks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", SelectionBy)
def test_a_model_has_the_selectors_that_it_has(by: SelectionBy) -> None:
    asked = meter(quirks=Quirks(selection=by))
    day = RangeSelection.between(
        CLOCK_CAPTURE,
        CosemDateTime.from_datetime(NOW - timedelta(days=1)),
        CosemDateTime.from_datetime(NOW),
    )
    by_range, by_entry = ask(asked, PROFILE, 2, day), ask(asked, PROFILE, 2, EntrySelection(1, 1))
    refused = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    assert (by_range is refused) is (by is SelectionBy.ENTRY)
    assert (by_entry is refused) is (by is SelectionBy.RANGE)


@pytest.mark.parametrize("deviation", Deviation)
@pytest.mark.parametrize("given", [True, False])
def test_a_model_takes_the_bounds_that_it_takes(deviation: Deviation, given: bool) -> None:
    asked = meter(quirks=Quirks(deviation=deviation))
    first, last = NOW - timedelta(days=1), NOW
    if not given:
        first, last = (at.astimezone(BERLIN).replace(tzinfo=None) for at in (first, last))
    day = RangeSelection.between(
        CLOCK_CAPTURE, CosemDateTime.from_datetime(first), CosemDateTime.from_datetime(last)
    )
    refused = ask(asked, PROFILE, 2, day) is DataAccessResult.TYPE_UNMATCHED
    assert refused is (given is (deviation is Deviation.REFUSED))


def test_a_model_may_have_its_counter_elsewhere() -> None:
    elsewhere = (1, "0.0.43.1.4.255")
    asked = meter(quirks=Quirks(counter_object=ByClient(Obis.parse(elsewhere[1]))))
    assert isinstance(ask(asked, elsewhere, 2, client_sap=PUBLIC), Data)
    assert ask(asked, COUNTER, 2, client_sap=PUBLIC) is DataAccessResult.OBJECT_UNDEFINED
