"""What is changed of meters one by one: lives, exchanges, words, channels, associations."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from hes.domain.errors import UnknownMeterError
from hes.domain.life import BadTransitionError, MeterState
from hes.domain.meters import Role, Transport
from hes.domain.ports import Finished, SessionOutcome, SessionPhase, SessionReport
from hes.domain.work import ItemResult, ItemState, MeterAfter
from hes.keys import KeyService
from hes.meters import (
    ExchangeWish,
    Inventory,
    InventoryChanges,
    MeterExistsError,
    MeterFilter,
    RefusedError,
    UnknownAssociationError,
)
from hes.storage import meter_life
from hes.storage.database import Database
from hes.storage.leases import LeaseStore

AddMeter = Callable[..., UUID]

S = MeterState
EK, OTHER_EK, AK = "00" * 16, "11" * 16, "22" * 16
ADDRESS = {"address": "10.1.2.3"}


@pytest.fixture
def changing(database: Database, keys: KeyService) -> InventoryChanges:
    return InventoryChanges(database, lambda: keys)


def items(database: Database, meter_id: UUID) -> list[str]:
    """Kinds of what is open, then how what has ended did."""
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT kind FROM due_item WHERE meter_id = %(id)s UNION ALL"
            " SELECT outcome || ' ' || cause FROM due_result WHERE meter_id = %(id)s",
            {"id": meter_id},
        ).fetchall()
    return [text for (text,) in rows]


def test_a_life_is_kept_step_by_step(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter
) -> None:
    meter_id = add_meter("S1")
    for state, reason in [(S.SUSPENDED, "house empty"), (S.IN_SERVICE, "sold")]:
        assert changing.set_state(meter_id, state, reason=reason, actor="ada") is True
    assert changing.set_state(meter_id, S.IN_SERVICE, reason="again", actor="bob") is False
    detail = inventory.get(meter_id)
    assert detail.row.state == "in_service"
    assert [(step.state, step.reason, step.actor) for step in detail.life] == [
        (S.IN_SERVICE, "sold", "ada"),
        (S.SUSPENDED, "house empty", "ada"),
        (S.IN_SERVICE, "imported", "import"),
    ]


def test_only_who_is_in_service_is_due(
    changing: InventoryChanges, add_meter: AddMeter, database: Database
) -> None:
    leases = LeaseStore(database)
    meter_id = add_meter("S1", **ADDRESS, state="commissioned")
    assert items(database, meter_id) == []
    assert leases.take(holder="c", limit=9, lease_s=9) == []
    changing.set_state(meter_id, S.IN_SERVICE, reason="tested", actor="ada")
    assert items(database, meter_id) == ["first"]
    changing.set_state(meter_id, S.SUSPENDED, reason="storm", actor="ada")
    assert items(database, meter_id) == ["first"]
    assert leases.take(holder="c", limit=9, lease_s=9) == []
    changing.set_state(meter_id, S.IN_SERVICE, reason="over", actor="ada")
    [lease] = leases.take(holder="c", limit=9, lease_s=9)
    assert lease.meter.meter_id == meter_id


def test_who_is_retired_hangs_nowhere_and_has_nothing_left_to_do(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter(
        "S1",
        **ADDRESS,
        site="Mill",
        installed_at="2026-01-01T00:00:00Z",
        commissioned_at="2026-01-01T00:00:00Z",
    )
    since = datetime(2026, 5, 1, tzinfo=UTC)
    changing.set_state(meter_id, S.RETIRED, reason="burnt", actor="ada", since=since)
    assert items(database, meter_id) == ["cancelled meter-gone"]
    detail = inventory.get(meter_id)
    assert [place.until for place in detail.places if place.site] == [since]
    with pytest.raises(BadTransitionError, match="only: commissioned"):
        changing.set_state(meter_id, S.IN_SERVICE, reason="no", actor="ada")
    add_meter("S2", site="Mill", installed_at="2026-05-01T00:00:00Z")


def test_a_session_may_quarantine_and_an_operator_releases(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    wrong, retired = add_meter("S1", **ADDRESS), add_meter("S2")
    changing.set_state(retired, S.RETIRED, reason="gone", actor="ada")
    with database.connection() as connection:
        meter_life.quarantine(connection, {wrong: "wrong-key", retired: "late"}, actor="collector")
    assert inventory.get(retired).row.state == "retired"
    detail = inventory.get(wrong)
    assert (detail.row.state, detail.life[0].reason) == ("quarantined", "wrong-key")
    changing.set_state(wrong, S.IN_SERVICE, reason="key corrected", actor="ada")
    assert inventory.get(wrong).row.state == "in_service"


def test_a_meter_may_be_retired_while_somebody_talks_to_it(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1", **ADDRESS)
    leases = LeaseStore(database)
    [lease] = leases.take(holder="c", limit=1, lease_s=60)
    changing.set_state(meter_id, S.RETIRED, reason="burnt", actor="ada")
    [item] = lease.items
    now = datetime.now(UTC)
    report = SessionReport(
        uuid4(), meter_id, False, now, now, SessionPhase.DONE, SessionOutcome.OK, None, 1, 1
    )
    done = (ItemResult(item.item_id, ItemState.DONE),)
    suspect = MeterAfter(quarantine="wrong-key")
    assert not leases.finish([Finished(lease, report, results=done, after=suspect)])
    assert items(database, meter_id) == ["cancelled meter-gone"]
    detail = inventory.get(meter_id)
    assert (detail.row.state, detail.life[0].reason) == ("retired", "burnt")
    assert len(detail.sessions) == 1
    assert leases.take(holder="c", limit=1, lease_s=60) == []


def test_a_corrected_key_releases_by_the_file_if_that_is_said(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    wrong, right = add_meter("S1", **ADDRESS, ek=EK), add_meter("S2", **ADDRESS)
    with database.connection() as connection:
        meter_life.quarantine(connection, {wrong: "wrong-key"}, actor="collector")
    row = json.dumps({"serial": "S1", "timezone": "Europe/Vienna", **ADDRESS, "ek": OTHER_EK})
    for release, state in [(False, "quarantined"), (True, "in_service")]:
        assert inventory.import_file([row], on_existing="replace", release=release).replaced == 1
        assert inventory.get(wrong).row.state == state
    assert len(inventory.get(right).life) == 1


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "x" * 501])
def test_a_step_needs_a_reason(
    changing: InventoryChanges, add_meter: AddMeter, reason: str
) -> None:
    with pytest.raises(RefusedError, match="reason"):
        changing.set_state(add_meter("S1"), S.SUSPENDED, reason=reason, actor="ada")


AT = datetime(2026, 6, 1, 10, tzinfo=UTC)
HUNG = {
    "site": "Mill",
    "usage_point": "AT1",
    "installed_at": "2026-01-01T00:00:00Z",
    "commissioned_at": "2026-01-01T00:00:00Z",
    "ct_ratio": "200/5",
}


def wish(serial: str = "NEW", **changes: Any) -> ExchangeWish:
    fields = {"meter": {"serial": serial, **ADDRESS}, "at": AT, "reason": "age", **changes}
    return ExchangeWish(**fields)


def test_an_exchange_is_one_act(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    old = add_meter("OLD", **ADDRESS, **HUNG)
    registers = {
        "last_registers": {"1.0.1.8.0.255": "1234.5"},
        "first_registers": {"1-0:1.8.0": "0"},
    }
    new = changing.exchange(old, wish(**registers), actor="ada")
    gone, came = inventory.get(old), inventory.get(new)
    assert (gone.row.state, came.row.state) == ("retired", "in_service")
    assert [(place.usage_point, place.until) for place in gone.places if place.site] == [
        ("AT1", AT)
    ]
    [place] = [place for place in came.places if place.site]
    assert (place.usage_point, place.since, place.until, str(place.ct)) == (
        "AT1",
        AT,
        None,
        "200/5",
    )
    assert (gone.life[0].since, gone.life[0].reason) == (AT, "age")
    assert items(database, old) == ["cancelled meter-gone"]
    assert items(database, new) == ["first"]
    [exchange] = came.exchanges
    assert (exchange.old, exchange.new, exchange.at, exchange.actor) == ("OLD", "NEW", AT, "ada")
    assert exchange.last_registers == {"1.0.1.8.0.255": "1234.5"}
    assert exchange.first_registers == {"1.0.1.8.0.255": "0"}
    assert changing.exchange(old, wish(**registers), actor="ada") == new  # asked for twice
    assert len(inventory.get(new).exchanges) == 1


def test_a_meter_from_the_shelf_takes_the_place(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter
) -> None:
    old = add_meter("OLD", **HUNG)
    shelf = add_meter("NEW", address="10.9.9.9", ek=EK, state="commissioned")
    assert changing.exchange(old, wish(meter={"serial": "NEW"}), actor="ada") == shelf
    detail = inventory.get(shelf)
    assert (detail.row.state, detail.row.address) == ("in_service", "10.9.9.9")
    assert [each.has_ek for each in detail.associations] == [True]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (wish(at=datetime.now(UTC) + timedelta(days=1)), "installed_at: lies in the future"),
        (wish(at=datetime(2025, 1, 1, tzinfo=UTC)), "installed_at: meter OLD hangs at AT1 since"),
        (wish("OLD"), "exchanges: is the meter itself"),
        (wish(meter={"serial": "NEW", "site": "Other"}), "usage_point: meter OLD hangs at AT1"),
        (wish(meter={"serial": "NEW", "port": 0, **ADDRESS}), "port: not a whole number"),
        (wish(last_registers={"1.0.1.8.0.255": "many"}), "last_registers: .* no decimal number"),
        (wish(last_registers={"x": "1"}), "last_registers: .* no OBIS code"),
    ],
)
def test_what_cannot_be_exchanged_changes_nothing(
    changing: InventoryChanges,
    inventory: Inventory,
    add_meter: AddMeter,
    asked: ExchangeWish,
    says: str,
) -> None:
    old = add_meter("OLD", **HUNG)
    before = inventory.get(old)
    with pytest.raises(RefusedError, match=says):
        changing.exchange(old, asked, actor="ada")
    assert inventory.get(old) == before
    assert [row.serial for row in inventory.page().items] == ["OLD"]


def test_old_and_new_never_overlap_whatever_is_written(
    changing: InventoryChanges, add_meter: AddMeter, database: Database
) -> None:
    old = add_meter("OLD", **HUNG)
    changing.exchange(old, wish(), actor="ada")
    with (
        pytest.raises(psycopg.errors.ExclusionViolation),
        database.connection() as connection,
    ):
        connection.execute("UPDATE installation SET until = NULL WHERE meter_id = %s", (old,))


def test_an_exchange_by_file_is_kept_the_second_time(
    inventory: Inventory, add_meter: AddMeter
) -> None:
    add_meter("OLD", **HUNG)
    lines = [
        "serial;timezone;exchanges;installed_at;last_registers;reason",
        "NEW;Europe/Vienna;OLD;2026-06-01T12:00:00+02:00;1.0.1.8.0.255=1234.5|1.0.2.8.0.255=7;age",
        "ODD;Europe/Vienna;NOBODY;2026-06-01T12:00:00+02:00;;",
    ]
    report = inventory.import_file(lines)
    assert (report.created, report.failed) == (1, 1)
    assert [(error.line, error.field) for error in report.errors] == [(3, "exchanges")]
    again = inventory.import_file(lines[:2])
    assert (again.created, again.kept) == (0, 1)
    old = inventory.get(inventory.find("OLD"))
    assert (old.row.state, old.exchanges[0].at) == ("retired", AT)


def test_fields_change_one_by_one_and_the_others_stay(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter
) -> None:
    meter_id = add_meter("S1", **ADDRESS, ek=EK, ak=AK, model="odd", site="Mill", tags=["a"])
    before = inventory.get(meter_id)
    changing.change(
        meter_id, {"address": "10.7.7.7", "segment": "north", "tags": ["b"]}, actor="ada"
    )
    after = inventory.get(meter_id)
    assert (after.row.address, after.row.segment, after.tags) == ("10.7.7.7", "north", ("b",))
    assert (after.row.model, after.row.port) == ("odd", 4059)
    assert (after.associations, after.places) == (before.associations, before.places)
    changing.change(meter_id, {"segment": None, "model": None, "tags": None}, actor="ada")
    cleared = inventory.get(meter_id)
    assert (cleared.row.segment, cleared.row.model, cleared.tags) == (None, None, ())
    for patch, field in [({"ek": EK}, "ek"), ({"serial": "S2"}, "serial"), ({"port": 0}, "port")]:
        with pytest.raises(RefusedError) as caught:
            changing.change(meter_id, patch, actor="ada")
        assert caught.value.field == field


def test_a_changed_word_makes_nobody_read_the_meter(
    changing: InventoryChanges, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1", **ADDRESS)
    with database.connection() as connection:
        connection.execute("DELETE FROM due_item")
    changing.change(meter_id, {"tags": ["b"], "segment": "north"}, actor="ada")
    assert items(database, meter_id) == []
    changing.change(meter_id, {"port": 4060}, actor="ada")
    assert items(database, meter_id) == ["first"]


def test_a_new_meter_is_there_once(changing: InventoryChanges, inventory: Inventory) -> None:
    row = {"serial": "S1", "timezone": "Europe/Vienna", "mechanism": "lls", "secret": "30" * 8}
    meter_id = changing.create(row, actor="ada")
    assert inventory.get(meter_id).life[0].actor == "ada"
    with pytest.raises(MeterExistsError) as caught:
        changing.create(row, actor="ada")
    assert caught.value.meter_id == meter_id
    with pytest.raises(RefusedError, match="secret: missing"):
        changing.create({**row, "serial": "S2", "secret": None}, actor="ada")
    with pytest.raises(RefusedError, match="state: a new meter is one of"):
        changing.create({**row, "serial": "S2", "state": "retired"}, actor="ada")


def test_meters_are_found_by_what_people_call_them(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter
) -> None:
    one, two = add_meter("S1", group="north", model="odd"), add_meter("S2", tags="solar|new")
    assert changing.change_members("north", add=[one, two], remove=[]) == (1, 0)
    assert changing.change_members("north", add=[two], remove=[one]) == (0, 1)
    changing.set_state(one, S.SUSPENDED, reason="x", actor="ada")

    def found(**wanted: str) -> list[str]:
        page = inventory.page(wanted=MeterFilter(**wanted))
        assert page.total_estimate == len(page.items)
        return [row.serial for row in page.items]

    assert found(group="north") == ["S2"]
    assert found(tag="solar") == ["S2"]
    assert found(state="suspended") == found(model="odd") == ["S1"]
    assert found(tag="solar", state="suspended") == []
    assert [(each.tag, each.meters) for each in inventory.tags()] == [("new", 1), ("solar", 1)]
    assert [(each.name, each.meters) for each in inventory.groups()] == [("north", 1)]
    changing.set_groups(two, ["a", "b"])
    changing.set_tags(two, [])
    detail = inventory.get(two)
    assert (detail.groups, detail.tags) == (("a", "b"), ())
    with pytest.raises(UnknownMeterError):
        changing.change_members("north", add=[uuid4()], remove=[])


def test_several_clients_talk_to_one_meter_each_with_its_keys(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, keys: KeyService
) -> None:
    meter_id = add_meter("S1", **ADDRESS, mechanism="gmac", ek=EK, ak=AK)
    reader = {"mechanism": "lls", "secret": "31" * 8, "role": "reader", "transport": "hdlc",
              "counter_object": "0.0.43.1.2.255"}  # fmt: skip
    changing.put_association(meter_id, 2, reader)
    changing.put_association(meter_id, 16, {})
    rows = {each.client_sap: each for each in inventory.get(meter_id).associations}
    assert {sap: each.role for sap, each in rows.items()} == {
        1: Role.MANAGEMENT,
        2: Role.READER,
        16: Role.PUBLIC,
    }
    assert (rows[2].transport, str(rows[2].counter_object)) == (Transport.HDLC, "0.0.43.1.2.255")
    assert keys.secrets(meter_id, 2).secret == b"11111111"
    changing.put_association(meter_id, 2, {**reader, "secret": "32" * 8})
    changing.put_association(meter_id, 2, {**reader, "secret": "32" * 8})
    changing.put_association(meter_id, 1, {"mechanism": "gmac", "ek": OTHER_EK, "ak": AK})
    rows = {each.client_sap: each for each in inventory.get(meter_id).associations}
    assert rows[2].secret_version == 2
    assert (rows[1].ek_version, rows[1].ak_version) == (2, 1)
    changing.remove_association(meter_id, 2)
    assert [each.client_sap for each in inventory.get(meter_id).associations] == [1, 16]
    with pytest.raises(UnknownAssociationError):
        changing.remove_association(meter_id, 2)
    with pytest.raises(RefusedError, match="secret: missing"):
        changing.put_association(meter_id, 3, {"mechanism": "lls"})


def test_a_row_replaces_what_is_for_the_same_and_leaves_the_others(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter
) -> None:
    meter_id = add_meter("S1", client_sap=1)
    changing.put_association(meter_id, 2, {"role": "reader"})
    add_meter("S1", client_sap=5)
    assert [each.client_sap for each in inventory.get(meter_id).associations] == [2, 5]
    add_meter("S1", associations=[{"client_sap": 7}, {"client_sap": 16}])
    assert [each.client_sap for each in inventory.get(meter_id).associations] == [7, 16]


def test_no_key_changes_while_the_meter_is_being_read(
    changing: InventoryChanges, add_meter: AddMeter, database: Database
) -> None:
    meter_id = add_meter("S1", **ADDRESS, ek=EK)
    [lease] = LeaseStore(database).take(holder="c", limit=1, lease_s=60)
    assert lease.meter.meter_id == meter_id
    with pytest.raises(RefusedError, match="ek: cannot change while"):
        changing.put_association(meter_id, 1, {"ek": OTHER_EK})
    with pytest.raises(RefusedError, match="being read"):
        changing.remove_association(meter_id, 1)
    changing.put_association(meter_id, 1, {"ek": EK, "server_sap": 2})


def test_an_m_bus_child_has_a_life_of_its_own(
    changing: InventoryChanges, inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    parent = add_meter("E1", **ADDRESS, commissioned_at="2026-01-01T00:00:00Z")
    gas = add_meter("G1", parent="E1", channel=1, installed_at="2026-02-01T00:00:00Z")
    detail = inventory.get(gas)
    assert (detail.associations, detail.row.state) == ((), "in_service")
    assert items(database, gas) == []  # it is read by way of its parent
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO plan (tenant_id, name, enabled, priority, reads, all_meters, recurrence,"
            " zone, window_s, spread_s, deadline_s)"
            " VALUES (1, 'all', true, 20, '[{\"kind\": \"profile\"}]', true, 'every 900s', 'site',"
            "   900, 300, 900)"
        )
        members = connection.execute("SELECT meter_id FROM plan_member").fetchall()
    assert members == [(parent,)]
    new_gas = add_meter("G2", parent="E1", channel=1, installed_at="2026-03-01T00:00:00Z")
    spans = [
        (each.child, each.since.month, each.until) for each in inventory.get(parent).attachments
    ]
    assert spans == [("G2", 3, None), ("G1", 2, datetime(2026, 3, 1, tzinfo=UTC))]
    with pytest.raises(RefusedError, match="since: meter G2 hangs at channel 1 of E1; with"):
        changing.attach(parent, 1, gas)
    changing.attach(parent, 2, gas)
    changing.attach(parent, 2, gas)  # asked for twice
    assert changing.detach(parent, 1) is True
    assert changing.detach(parent, 1) is False
    changing.set_state(gas, S.RETIRED, reason="gone", actor="ada")
    assert all(each.until is not None for each in inventory.get(parent).attachments)
    assert inventory.get(new_gas).row.state == "in_service"


def test_readings_of_a_channel_are_the_childs_of_that_time(
    inventory: Inventory, add_meter: AddMeter, database: Database
) -> None:
    parent = add_meter("E1")
    first = add_meter("G1", parent="E1", channel=2, installed_at="2026-02-01T00:00:00Z")
    second = add_meter("G2", parent="E1", channel=2, installed_at="2026-03-01T00:00:00Z")
    objects = {
        "own energy": ("0100010800ff", None),
        "gas volume": ("0002180201ff", None),
        "other channel": ("0001180201ff", None),
        "clock of the gas profile": ("0000010000ff", "0002180300ff"),
    }
    with database.connection() as connection:
        for obis, source in objects.values():
            connection.execute(
                "INSERT INTO channel (meter_id, source, capture_period_s, obis, class_id,"
                " attribute_index, data_index, kind, stamped_at, store) VALUES"
                " (%s, decode(%s, 'hex'), 0, decode(%s, 'hex'), 4, 2, 0, 'cumulative', 'end',"
                " 'integer')",
                (parent, source, obis),
            )
        rows = connection.execute(
            "SELECT child_meter_id, encode(obis, 'hex'), date_part('month', mbus_channel.since)"
            " FROM mbus_channel JOIN channel USING (channel_id) ORDER BY 3, 2"
        ).fetchall()
    assert rows == [
        (first, "0000010000ff", 2),
        (first, "0002180201ff", 2),
        (second, "0000010000ff", 3),
        (second, "0002180201ff", 3),
    ]


def test_the_query_of_the_page_on_m_bus_runs(database: Database) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "meters.md"
    query = page.read_text(encoding="utf-8").partition("```sql\n")[2].partition("```")[0]
    with database.connection() as connection:
        assert connection.execute(query.encode()).fetchall() == []


def test_wrong_children_are_refused_with_the_reason(inventory: Inventory) -> None:
    lines = [
        "serial,timezone,parent,channel,address",
        "G1,Europe/Vienna,NOBODY,1,",
        "G2,Europe/Vienna,G2,1,",
        "G3,Europe/Vienna,G1,,",
        "G4,Europe/Vienna,G1,65,",
        "G5,Europe/Vienna,G1,1,10.1.1.1",
    ]
    report = inventory.import_file(lines)
    assert [(error.line, error.field) for error in report.errors] == [
        (2, "parent"),
        (3, "parent"),
        (4, "channel"),
        (5, "channel"),
        (6, "address"),
    ]
