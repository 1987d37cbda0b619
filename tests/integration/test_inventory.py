"""Meter files, the list of meters and what is told of one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from hes.domain.errors import StorageUnavailableError, UnknownMeterError
from hes.domain.meters import Mechanism, MeterKnowledge, Policy, ProfileKnowledge, Transport
from hes.domain.ports import SessionOutcome, SessionPhase, SessionReport
from hes.keys import KeyService
from hes.meters import BadCursorError, ImportReport, Inventory
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.knowledge import KnowledgeStore
from hes.storage.leases import LeaseStore
from hes.storage.sessions import SessionStore
from hes_protocol.cosem import Obis

AddMeter = Callable[..., UUID]

EK = "00" * 16
OTHER_EK = "11" * 16
AK = "22" * 16
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def row(serial: str, **fields: Any) -> str:
    return json.dumps({"serial": serial, "timezone": "Europe/Vienna", **fields})


def simulated(i: int) -> str:
    """A row as `hes sim run --keys-out` writes it."""
    return row(
        f"SIM{i:08}",
        system_title=f"{0x5349_4D00_0000_0000 + i:016x}",
        address=f"127.16.{i >> 8 & 255}.{i & 255}",
        port=4159,
        transport="wrapper",
        client_sap=1,
        server_sap=1,
        mechanism="gmac",
        suite=0,
        secret=None,
        ek=f"{i:032x}",
        ak=AK,
        model="sim-basic",
    )


def errors(report: ImportReport) -> list[tuple[int, str | None, str | None]]:
    return [(error.line, error.serial, error.field) for error in report.errors]


def serials(inventory: Inventory) -> list[str]:
    return [item.serial for item in inventory.page().items]


def test_imports_what_the_simulator_writes(inventory: Inventory) -> None:
    report = inventory.import_file([simulated(i) for i in range(3)])
    assert (report.rows, report.created, report.errors) == (3, 3, ())
    (first, *_), cursor = (page := inventory.page()).items, page.next_cursor
    assert cursor is None
    assert (first.serial, first.model, first.address, first.port) == (
        "SIM00000000",
        "sim-basic",
        "127.16.0.0",
        4159,
    )
    assert (first.mechanism, first.transport) == (Mechanism.HLS_GMAC, Transport.WRAPPER)
    assert (first.state, first.timezone) == ("in_service", "Europe/Vienna")
    assert first.system_title == bytes.fromhex("53494d0000000000")


def test_imports_ten_thousand_meters_in_seconds(inventory: Inventory, database: Database) -> None:
    lines = [simulated(i) for i in range(10_000)]
    begun = time.monotonic()
    assert inventory.import_file(lines).created == 10_000
    taken_s = time.monotonic() - begun
    assert taken_s < 30  # some four on a machine of our own
    assert inventory.import_file(lines).kept == 10_000
    with database.connection() as connection:
        connection.execute("ANALYZE meter")
    assert inventory.page(limit=1).total_estimate == 10_000


def test_wrong_rows_are_listed_and_the_others_go_in(inventory: Inventory) -> None:
    report = inventory.import_file(
        [
            row("S1"),
            "",
            row("S2", port=0, address="::1"),
            "{",
            b"\xff",
            row("S3", colour="red"),
            row("S4", address="x" * 20_000),
            row("S5"),
            "\n",
        ]
    )
    assert (report.created, report.failed, report.rows) == (2, 5, 7)
    assert errors(report) == [
        (3, "S2", "port"),
        (4, None, None),
        (5, None, None),
        (6, "S3", "colour"),
        (7, None, None),
    ]
    assert serials(inventory) == ["S1", "S5"]


def test_what_comes_twice_in_a_file_is_refused_the_second_time(inventory: Inventory) -> None:
    title = "4845530000000001"
    report = inventory.import_file(
        [
            row("S1", system_title=title, id_object="0.0.96.1.0.255=A"),
            row("S1"),
            row("S2", system_title=title),
            row("S3", id_object="0.0.96.1.0.255=A"),
            row("A", id_object="0.0.96.1.0.255"),
            row("S4", id_object="0.0.42.0.0.255=A"),
        ]
    )
    assert errors(report) == [
        (2, "S1", "serial"),
        (3, "S2", "system_title"),
        (4, "S3", "id_object"),
        (5, "A", "id_object"),
    ]
    assert all("line 1" in error.message for error in report.errors)
    assert serials(inventory) == ["S1", "S4"]


def test_what_is_another_meters_is_refused(inventory: Inventory, add_meter: AddMeter) -> None:
    add_meter("S1", system_title="4845530000000001", id_object="0.0.96.1.0.255")
    add_meter("S2")
    claims = {
        row("S2", system_title="4845530000000001"): ("S2", "system_title"),
        row("S3", system_title="4845530000000001"): ("S3", "system_title"),
        row("S4", id_object="0.0.96.1.0.255=S1"): ("S4", "id_object"),
    }
    for claim, (serial, field) in claims.items():
        report = inventory.import_file([claim], on_existing="replace")
        assert errors(report) == [(1, serial, field)]
        assert "meter S1" in report.errors[0].message
    assert serials(inventory) == ["S1", "S2"]


def test_errors_are_counted_beyond_those_that_are_listed(inventory: Inventory) -> None:
    report = inventory.import_file(["{"] * 1500)
    assert (report.failed, len(report.errors)) == (1500, 1000)


def test_a_dry_run_says_the_same_and_writes_nothing(
    inventory: Inventory, add_meter: AddMeter
) -> None:
    add_meter("S1", model="old")
    lines = [row("S1", model="new"), row("S2"), row("S2"), row("S3", suite=9)]
    for on_existing in ("keep", "replace", "error"):
        dry = inventory.import_file(lines, dry_run=True, on_existing=on_existing)
        assert dry.dry_run
        assert serials(inventory) == ["S1"]
    assert inventory.page().items[0].model == "old"
    dry = inventory.import_file(lines, dry_run=True, on_existing="replace")
    wet = inventory.import_file(lines, on_existing="replace")
    assert (dry.created, dry.replaced, dry.errors) == (wet.created, wet.replaced, wet.errors)
    assert (wet.created, wet.replaced, wet.failed) == (1, 1, 2)
    assert serials(inventory) == ["S1", "S2"]


def test_meters_that_are_there_are_kept_unless_said_otherwise(
    inventory: Inventory, add_meter: AddMeter
) -> None:
    add_meter("S1", model="old")
    report = inventory.import_file([row("S1", model="new"), row("S2")])
    assert (report.created, report.kept, report.failed) == (1, 1, 0)
    report = inventory.import_file([row("S1", model="new")], on_existing="error")
    assert errors(report) == [(1, "S1", "serial")]
    assert inventory.page().items[0].model == "old"
    with pytest.raises(ValueError, match="merge"):
        inventory.import_file([], on_existing="merge")


def test_replacing_changes_everything_but_the_meters_life(
    database: Database, keys: KeyService
) -> None:
    inventory = Inventory(database, keys, clock=lambda: NOW)
    before = row(
        "S1", client_sap=1, mechanism="lls", secret="30", ek=EK, ak=AK, model="old",
        address="127.16.0.1", id_object="0.0.96.1.0.255=A", peer="10.0.0.0/8",
    )  # fmt: skip
    inventory.import_file([before])
    meter_id = inventory.find("S1")
    later = Inventory(database, keys, clock=lambda: NOW + timedelta(days=1))
    report = later.import_file([row("S1", client_sap=2, ek=OTHER_EK)], on_existing="replace")
    assert report.replaced == 1
    detail = inventory.get(meter_id)
    assert (detail.row.model, detail.row.address, detail.row.port) == (None, None, None)
    assert (detail.id_object, detail.id_value, detail.peer, detail.due) == (None,) * 4
    assert detail.row.commissioned_at == NOW
    (association,) = detail.associations
    assert (association.client_sap, association.mechanism) == (2, Mechanism.NONE)
    assert association.policy is Policy.ENCRYPTED
    assert (association.has_secret, association.has_ek, association.has_ak) == (False, True, False)
    assert keys.secrets(meter_id, 2).ek == bytes.fromhex(OTHER_EK)
    later.import_file([row("S1", commissioned_at="2026-01-01T00:00:00Z")], on_existing="replace")
    assert inventory.get(meter_id).row.commissioned_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_neither_key_nor_title_changes_under_a_session(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    title = "4845530000000001"
    as_it_is = {"address": "127.16.0.1", "ek": EK, "ak": AK, "system_title": title}
    meter_id = add_meter("S1", **as_it_is)
    leases = LeaseStore(database)
    (lease,) = leases.take(holder="test", limit=1, lease_s=60)
    changes = {
        "ek": [{"ek": OTHER_EK}, {"ek": None, "ak": None}],
        "system_title": [{"system_title": "4845530000000002"}],
        None: [{"model": "new"}, {"system_title": None}, {"address": "127.16.0.2"}],
    }
    for field, rows in changes.items():
        for changed in rows:
            report = inventory.import_file([row("S1", **as_it_is | changed)], False, "replace")
            assert errors(report) == ([] if field is None else [(1, "S1", field)])
    leases.release([lease])
    for rows in changes.values():
        for changed in rows:
            report = inventory.import_file([row("S1", **as_it_is | changed)], False, "replace")
            assert report.replaced == 1
    assert inventory.get(meter_id).row.address == "127.16.0.2"


def test_a_meter_that_loses_its_address_while_it_is_read_is_still_read(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    """Two imports during one session must not do together what neither may."""
    as_it_is = {"address": "127.16.0.1", "ek": EK, "ak": AK}
    add_meter("S1", **as_it_is)
    leases = LeaseStore(database)
    [lease] = leases.take(holder="test", limit=1, lease_s=60)
    add_meter("S1", ek=EK, ak=AK)
    report = inventory.import_file([row("S1", **as_it_is | {"ek": OTHER_EK})], False, "replace")
    assert errors(report) == [(1, "S1", "ek")]
    leases.release([lease])
    assert leases.take(holder="test", limit=1, lease_s=60) == []
    add_meter("S1", ek=OTHER_EK, ak=AK)
    with database.connection() as connection:
        assert connection.execute("SELECT due_at FROM due_work").fetchone() == (None,)


def test_a_system_title_that_was_seen_is_pinned(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    knowledge = KnowledgeStore(database)
    one, two = add_meter("S1", ek=EK), add_meter("S2", ek=EK)
    assert knowledge.pin_system_title(one, b"HES00001")
    assert knowledge.pin_system_title(one, b"HES00001")
    assert not knowledge.pin_system_title(one, b"HES00002")
    assert not knowledge.pin_system_title(two, b"HES00001")
    assert not knowledge.pin_system_title(two, b"short")
    assert inventory.get(one).row.system_title == b"HES00001"
    assert inventory.get(two).row.system_title is None
    with pytest.raises(UnknownMeterError):
        knowledge.pin_system_title(uuid4(), b"HES00003")


def test_of_meters_that_show_one_system_title_at_once_one_has_it(
    add_meter: AddMeter, database: Database
) -> None:
    knowledge = KnowledgeStore(database)
    meters = [add_meter(f"S{number}", ek=EK) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        pinned = threads.map(lambda one: knowledge.pin_system_title(one, b"HES00001"), meters)
        assert sum(pinned) == 1


def test_a_pinned_system_title_stays_as_long_as_the_key(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1", ek=EK)
    KnowledgeStore(database).pin_system_title(meter_id, b"HES00001")
    counters = CounterStore(database)
    counters.accept(meter_id, 1, 9)
    add_meter("S1", ek=EK, address="127.16.0.1")
    assert inventory.get(meter_id).row.system_title == b"HES00001"
    assert counters.last_accepted(meter_id, 1) == 9
    add_meter("S1", ek=OTHER_EK)
    assert inventory.get(meter_id).row.system_title is None


def test_another_device_is_learnt_anew(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    knowledge, learnt = KnowledgeStore(database), MeterKnowledge((), ())

    def survives(**fields: Any) -> bool:
        knowledge.save(meter_id, learnt)
        add_meter("S1", **fields)
        return knowledge.load(meter_id) == learnt

    meter_id = add_meter("S1", ek=EK, model="a")
    other = add_meter("S2", ek=EK)
    knowledge.save(other, learnt)
    assert survives(ek=EK, model="a", address="127.16.0.1")
    assert not survives(ek=EK, model="b")
    assert survives(ek=EK, model="b", system_title="4845530000000001")
    assert not survives(ek=EK, model="b", system_title="4845530000000002")
    assert survives(ek=EK, model="b")
    assert not survives(ek=OTHER_EK, model="b")
    assert not survives(ek=OTHER_EK)
    assert knowledge.load(other) == learnt


def test_nobody_takes_a_lease_on_a_meter_whose_keys_are_being_changed(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    from hes.storage.meter_changes import MeterChangeStore

    add_meter("S1", address="127.16.0.1")
    leases = LeaseStore(database)
    with MeterChangeStore(database).chunk(dry_run=False) as changes:
        assert not changes.kept(["S1"])["S1"].leased
        assert leases.take(holder="test", limit=1, lease_s=60) == []
    assert len(leases.take(holder="test", limit=1, lease_s=60)) == 1


def test_files_imported_at_once_do_not_disturb_each_other(inventory: Inventory) -> None:
    lines = [simulated(i) for i in range(300)]
    with ThreadPoolExecutor(4) as threads:
        reports = list(
            threads.map(
                lambda order: inventory.import_file(lines[::order], on_existing="replace"),
                (1, -1, 1, -1),
            )
        )
    assert sum(report.created for report in reports) == 300
    assert sum(report.replaced for report in reports) == 900
    assert not any(report.failed for report in reports)


def test_a_database_that_is_away_is_told_as_such(keys: KeyService) -> None:
    with Database("postgresql://127.0.0.1:1/none", wait_s=0.5) as away:
        inventory = Inventory(away, keys)
        with pytest.raises(StorageUnavailableError):
            inventory.import_file([row("S1")])
        with pytest.raises(StorageUnavailableError):
            inventory.page()


def walk(inventory: Inventory, limit: int, search: str | None = None) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = inventory.page(cursor, limit, search)
        assert len(page.items) <= limit
        found += [item.serial for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_pages_show_every_meter_once_in_order(inventory: Inventory) -> None:
    names = ["B", "a", "Ä", "10", "9", "a b", "A", 'a"b', "ä", "Z" * 64]
    inventory.import_file([row(name) for name in names])
    for limit in (1, 2, 3, 9, 10, 11):
        assert walk(inventory, limit) == sorted(names, key=str.encode)
    assert inventory.page(limit=1).total_estimate == 10


def test_what_comes_in_between_pages_moves_nothing(inventory: Inventory) -> None:
    inventory.import_file([row(f"S{i}") for i in (1, 3, 5)])
    first = inventory.page(limit=2)
    inventory.import_file([row(f"S{i}") for i in (0, 2, 4)])
    rest = inventory.page(first.next_cursor, limit=9)
    assert [item.serial for item in rest.items] == ["S4", "S5"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("KFM1", ["KFM100", "KFM123"]),
        ("kfm", ["KFM100", "KFM123"]),
        ("23", ["KFM123"]),
        ("127.16.0.2", ["KFM123"]),
        ("48455300000000a1", ["X_1"]),
        ("A1", ["X_1"]),
        ("_", ["X_1"]),
        ("%", ["50%"]),
        ("\\", ["a\\b"]),
        ("'; DROP TABLE meter; --", []),
        ("\0", []),
        ("\ud800", []),
        ("", ["50%", "KFM100", "KFM123", "X_1", "a\\b"]),
        ("  ", ["50%", "KFM100", "KFM123", "X_1", "a\\b"]),
    ],
)
def test_searches_serial_address_and_system_title(
    inventory: Inventory, search: str, found: Sequence[str]
) -> None:
    inventory.import_file(
        [
            row("KFM100", address="127.16.0.1"),
            row("KFM123", address="127.16.0.2"),
            row("X_1", system_title="48455300000000A1"),
            row("50%"),
            row("a\\b"),
        ]
    )
    assert walk(inventory, 2, search) == found
    assert inventory.page(search=search).total_estimate == len(found)


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "bnVsbA", "W10", "WyJhIiwiYiJd", "ä", "W1sx"])
def test_cursors_that_are_none_of_ours_are_refused(inventory: Inventory, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        inventory.page(cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_pages_have_a_size(inventory: Inventory, limit: int) -> None:
    with pytest.raises(ValueError, match="page"):
        inventory.page(limit=limit)


def session(meter_id: UUID, minute: int, outcome: SessionOutcome) -> SessionReport:
    started_at = NOW + timedelta(minutes=minute)
    cause = None if outcome is SessionOutcome.OK else "connect-refused"
    return SessionReport(
        uuid4(), meter_id, False, started_at, started_at, SessionPhase.DONE, outcome, cause, 1, 2
    )


def test_a_list_tells_of_the_last_session_and_reading(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1")
    add_meter("S2")
    sessions = SessionStore(database)
    sessions.record(session(meter_id, 2, SessionOutcome.TRANSPORT))
    sessions.record(session(meter_id, 1, SessionOutcome.OK))
    with database.connection() as connection:
        for group, hour in ((1, 3), (2, 5)):
            connection.execute(
                "INSERT INTO mark (meter_id, source, captured_at) VALUES (%s, %s, %s)",
                (meter_id, Obis.parse(f"1.0.99.{group}.0.255").octets, NOW + timedelta(hours=hour)),
            )
    told, untold = inventory.page().items
    assert told.last_session_at == NOW + timedelta(minutes=2)
    assert (told.last_outcome, told.last_cause) == (SessionOutcome.TRANSPORT, "connect-refused")
    assert told.last_reading_at == NOW + timedelta(hours=5)
    assert (untold.last_session_at, untold.last_outcome, untold.last_reading_at) == (None,) * 3


def test_a_list_tells_of_the_last_push(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1")
    with database.connection() as connection:
        connection.execute(
            "WITH new_channel AS ("
            "  INSERT INTO channel (meter_id, source, capture_period_s, obis, class_id,"
            "    attribute_index, data_index, kind, stamped_at, store)"
            "  VALUES (%s, NULL, 0, '\\x0100010700ff', 3, 2, 0, 'instantaneous', 'end', 'integer')"
            "  RETURNING channel_id"
            "), new_series AS ("
            "  INSERT INTO series (channel_id, scaler, unit, valid_from)"
            "  SELECT channel_id, 0, 27, '-infinity' FROM new_channel RETURNING series_id"
            ") INSERT INTO reading (captured_at, value, batch_id, series_id, quality)"
            "  SELECT %s::timestamptz + i * interval '1 hour', 7, 1, series_id, 0"
            "  FROM new_series, generate_series(-2, 0) i",
            (meter_id, NOW),
        )
    assert inventory.page().items[0].last_reading_at == NOW


def test_a_meter_is_told_of_whole_but_for_its_secrets(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter(
        "S1", mechanism="gmac", ek=EK, ak=AK, address="127.16.0.1",
        id_object="0.0.96.1.0.255=A", peer="10.0.0.1",
    )  # fmt: skip
    counters = CounterStore(database)
    counters.reserve(meter_id, 1, size=100)
    counters.accept(meter_id, 1, 42)
    profile = ProfileKnowledge(Obis.parse("1.0.99.1.0.255"), 900, ())
    KnowledgeStore(database).save(meter_id, MeterKnowledge((), (profile,)))
    sessions = SessionStore(database)
    for minute in range(25):
        sessions.record(session(meter_id, minute, SessionOutcome.OK))
    detail = inventory.get(meter_id)
    assert detail.row == inventory.page().items[0]
    assert (detail.id_object, detail.id_value) == (Obis.parse("0.0.96.1.0.255"), "A")
    assert detail.peer == "10.0.0.1"
    (association,) = detail.associations
    assert (association.has_ek, association.has_ak, association.has_secret) == (True, True, False)
    assert (association.accepted_counter, association.reserved_to) == (42, 100)
    assert detail.due is not None
    assert (detail.due.failures, detail.due.holder) == (0, None)
    assert detail.knowledge is not None
    assert (detail.knowledge.objects, detail.knowledge.profiles) == (0, (profile,))
    assert len(detail.sessions) == 20
    assert detail.sessions[0].started_at == NOW + timedelta(minutes=24)


def test_a_meter_is_found_by_serial_or_id(inventory: Inventory, add_meter: AddMeter) -> None:
    meter_id = add_meter("S1")
    assert inventory.find("S1") == inventory.find(str(meter_id)) == meter_id
    for name in ("S2", "", "\0", "\udc80"):
        with pytest.raises(UnknownMeterError):
            inventory.find(name)
    with pytest.raises(UnknownMeterError):
        inventory.get(uuid4())


def test_a_corrected_meter_is_due_at_once_whatever_rest_it_was_given(
    add_meter: Callable[..., UUID], database: Database
) -> None:
    fields = {"address": "10.0.0.1", "port": 4059, "transport": "wrapper"}
    meter_id = add_meter("HES1", **fields)
    look = "SELECT due_at <= now(), failures, token FROM due_work"
    with database.connection() as connection:
        connection.execute(
            "UPDATE due_work SET due_at = now() + interval '1 day', failures = 7,"
            " rests_until = now() + interval '1 day'"
        )
    assert add_meter("HES1", **fields) == meter_id
    with database.connection() as connection:
        assert connection.execute(look).fetchone() == (True, 0, None)
        connection.execute(
            "UPDATE due_work SET token = 5, holder = 'x', leased_until = now() + interval '1 hour'"
        )
    add_meter("HES1", **fields)
    with database.connection() as connection:
        # Somebody talks to it: the lease is theirs to end.
        assert connection.execute(look).fetchone() == (True, 0, 5)
