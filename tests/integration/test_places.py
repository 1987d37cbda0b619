"""Where meters hang: rows of meter files into sites, grid and installations, and meter_place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from hes.meters import ImportReport, Inventory, OnExisting
from hes.storage import groups
from hes.storage.database import Database
from hes.storage.tenants import DEFAULT_TENANT, put_tenant, tenants

JANUARY = "2026-01-01T00:00:00+00:00"
MAY = "2026-05-01T00:00:00+00:00"
AUGUST = "2026-08-01T00:00:00+00:00"

Add = Callable[..., UUID]


@pytest.fixture
def load(inventory: Inventory) -> Callable[..., ImportReport]:
    """Import rows: `load(row, row, …, on_existing="keep")`."""

    def load(*rows: dict[str, Any], on_existing: str = "keep", dry: bool = False) -> ImportReport:
        lines = [
            json.dumps({"timezone": "Europe/Vienna", "commissioned_at": JANUARY, **row})
            for row in rows
        ]
        return inventory.import_file(lines, dry, OnExisting(on_existing))

    return load


def errors(report: ImportReport) -> list[tuple[str | None, str | None, str]]:
    return [(error.serial, error.field, error.message) for error in report.errors]


def place_rows(database: Database, serial: str) -> Sequence[tuple[Any, ...]]:
    with database.connection() as connection:
        return connection.execute(
            "SELECT p.usage_point_id IS NOT NULL, p.timezone, nullif(p.since, '-infinity'),"
            "   nullif(p.until, 'infinity') FROM meter_place p JOIN meter m USING (meter_id)"
            " WHERE m.serial = %s ORDER BY p.since",
            (serial,),
        ).fetchall()


def test_a_row_makes_site_grid_and_installation(
    load: Callable[..., ImportReport], inventory: Inventory, database: Database
) -> None:
    report = load(
        {"serial": "F", "measures": "feeder", "feeder": "North"},
        {"serial": "T", "measures": "transformer", "transformer": "T1", "feeder": "North",
         "ct_ratio": "400/5", "vt_ratio": "10000/100"},
        {"serial": "S", "site": "Mill", "site_address": "River 1", "transformer": "T1",
         "usage_point": "AT001", "group": ["industry", "west"], "ct_ratio": 40},
    )  # fmt: skip
    assert errors(report) == []
    (place,) = inventory.get(inventory.find("S")).places
    assert (place.usage_point, place.site, place.transformer, place.feeder) == (
        "AT001", "Mill", "T1", "North",
    )  # fmt: skip
    assert (place.measures, place.factor, str(place.ct)) == ("site", 40, "40/1")
    assert (place.since, place.until) == (datetime.fromisoformat(JANUARY), None)
    assert inventory.get(inventory.find("S")).groups == ("industry", "west")
    (measuring,) = inventory.get(inventory.find("T")).places
    assert (measuring.measures, measuring.site, measuring.transformer, measuring.feeder) == (
        "transformer", None, "T1", "North",
    )  # fmt: skip
    assert (measuring.factor, measuring.usage_point) == (8000, "T1")
    (head,) = inventory.get(inventory.find("F")).places
    assert (head.measures, head.feeder, head.transformer) == ("feeder", "North", None)
    with database.connection() as connection:
        assert connection.execute(
            "SELECT serial FROM meter_place JOIN meter USING (meter_id)"
            " WHERE transformer_id = (SELECT transformer_id FROM transformer)"
            "   AND measures = 'site'"
        ).fetchall() == [("S",)]


def test_the_zone_is_the_sites_while_a_meter_hangs_there_and_else_its_own(
    load: Callable[..., ImportReport], database: Database
) -> None:
    load({"serial": "A", "site": "X", "timezone": "Asia/Tokyo"})
    load({"serial": "A", "timezone": "Asia/Tokyo"}, {"serial": "B"}, on_existing="replace")
    with database.connection() as connection:
        connection.execute("UPDATE meter SET timezone = 'Europe/Paris' WHERE serial = 'A'")
        connection.execute("UPDATE installation SET until = %s", (MAY,))
    january, may = datetime.fromisoformat(JANUARY), datetime.fromisoformat(MAY)
    assert place_rows(database, "A") == [
        (False, "Europe/Paris", None, january),
        (True, "Asia/Tokyo", january, may),
        (False, "Europe/Paris", may, None),
    ]
    assert place_rows(database, "B") == [(False, "Europe/Vienna", None, None)]


def test_an_exchange_ends_the_old_meter_where_the_new_begins(
    load: Callable[..., ImportReport], database: Database
) -> None:
    load({"serial": "OLD", "site": "X"})
    taken = load({"serial": "NEW", "site": "X", "commissioned_at": MAY})
    assert errors(taken) == [
        ("NEW", "usage_point", "meter OLD hangs at X; with installed_at this row ends that")
    ]
    early = load({"serial": "NEW", "site": "X", "installed_at": JANUARY})
    assert errors(early) == [("NEW", "installed_at", f"meter OLD hangs at X since {JANUARY}")]
    assert errors(load({"serial": "NEW", "site": "X", "installed_at": MAY})) == []
    may = datetime.fromisoformat(MAY)
    assert place_rows(database, "OLD")[1][2:] == (datetime.fromisoformat(JANUARY), may)
    assert place_rows(database, "NEW")[1][2:] == (may, None)
    # What was is not rewritten.
    past = load({"serial": "THIRD", "site": "X", "installed_at": "2026-02-01T00:00:00Z"})
    assert errors(past)[0][:2] == ("THIRD", "installed_at")


def test_a_meter_that_moves_leaves_where_it_hung(
    load: Callable[..., ImportReport], database: Database
) -> None:
    load({"serial": "A", "site": "X"})
    moved = load({"serial": "A", "site": "Y"}, on_existing="replace")
    assert errors(moved)[0][1] == "usage_point"
    load({"serial": "A", "site": "Y", "installed_at": MAY}, on_existing="replace")
    assert [row[0] for row in place_rows(database, "A")] == [False, True, True]


def test_ratios_are_corrected_or_change_at_an_instant(
    load: Callable[..., ImportReport], inventory: Inventory
) -> None:
    def ratios() -> list[tuple[str, str | None]]:
        detail = inventory.get(inventory.find("A"))
        return [
            (str(place.ct), place.until.isoformat() if place.until else None)
            for place in detail.places
        ]

    load({"serial": "A", "site": "X", "ct_ratio": "200/5"})
    load({"serial": "A", "site": "X", "ct_ratio": "300/5"}, on_existing="replace")
    assert ratios() == [("300/5", None)]
    change = {"serial": "A", "site": "X", "ct_ratio": "600/5", "installed_at": MAY}
    for _ in range(2):
        load(change, on_existing="replace")
        assert ratios() == [("600/5", None), ("300/5", MAY)]
    load({"serial": "A", "site": "X"}, on_existing="replace")
    assert ratios() == [("600/5", None), ("300/5", MAY)]
    before = load({**change, "installed_at": JANUARY}, on_existing="replace")
    assert errors(before) == [("A", "installed_at", f"it hangs there since {MAY}")]


def test_several_exchanges_in_one_file(
    load: Callable[..., ImportReport], database: Database
) -> None:
    report = load(
        {"serial": "A", "site": "X"},
        {"serial": "B", "site": "X", "installed_at": MAY},
        {"serial": "C", "site": "X", "installed_at": AUGUST},
        {"serial": "D", "site": "X"},
    )
    assert [error[0] for error in errors(report)] == ["D"]
    may, august = datetime.fromisoformat(MAY), datetime.fromisoformat(AUGUST)
    spans = [place_rows(database, serial)[1][2:] for serial in "ABC"]
    assert spans == [(datetime.fromisoformat(JANUARY), may), (may, august), (august, None)]


def test_what_contradicts_a_known_place_is_refused_unless_it_replaces(
    load: Callable[..., ImportReport], inventory: Inventory
) -> None:
    load({"serial": "A", "site": "X", "usage_point": "P", "transformer": "T1", "feeder": "F1"})
    refused = load(
        {"serial": "B", "site": "X", "usage_point": "P2", "transformer": "T2"},
        {"serial": "C", "site": "X", "usage_point": "P2", "timezone": "Asia/Tokyo"},
        {"serial": "D", "site": "Y", "usage_point": "P"},
        {"serial": "E", "site": "Y", "transformer": "T1", "feeder": "F2"},
        {"serial": "G", "site": "X", "usage_point": "P2"},
        {"serial": "H", "measures": "transformer", "transformer": "T1"},
        {"serial": "I", "measures": "transformer", "transformer": "T1", "usage_point": "T1b"},
    )
    assert errors(refused) == [
        ("B", "transformer", "site X has another one: T1"),
        ("C", "timezone", "site X is in Europe/Vienna"),
        ("D", "usage_point", "is at site X already"),
        ("E", "feeder", "transformer T1 has another one: F1"),
        ("I", "usage_point", "transformer T1 is measured at T1"),
    ]
    assert load({"serial": "A", "site": "X", "usage_point": "P", "transformer": "T2"},
                on_existing="replace").failed == 0  # fmt: skip
    (place,) = inventory.get(inventory.find("A")).places
    assert (place.transformer, place.feeder) == ("T2", None)


def test_a_dry_run_leaves_no_place(load: Callable[..., ImportReport], database: Database) -> None:
    report = load({"serial": "A", "site": "X", "transformer": "T", "group": "g"}, dry=True)
    assert (report.created, report.failed) == (1, 0)
    with database.connection() as connection:
        for table in ("site", "transformer", "usage_point", "installation", "meter_group"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_zone_that_the_server_does_not_know_is_told_of_the_row(
    load: Callable[..., ImportReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hes.meters.rows._timezones", lambda: {"Nowhere/Land", "Europe/Vienna"})
    report = load({"serial": "A", "timezone": "Nowhere/Land"}, {"serial": "B", "site": "X"})
    assert errors(report) == [("A", "timezone", "is not known to the database's server")]


def test_groups_become_those_of_the_row_and_stay_when_it_says_none(
    load: Callable[..., ImportReport], inventory: Inventory, database: Database
) -> None:
    load({"serial": "A", "group": ["x", "y"]}, {"serial": "B", "group": "y"})
    load({"serial": "A", "group": ["z", "y"]}, {"serial": "B"}, on_existing="replace")
    assert inventory.get(inventory.find("A")).groups == ("y", "z")
    assert inventory.get(inventory.find("B")).groups == ("y",)
    with database.connection() as connection:
        listed = groups.groups(connection, DEFAULT_TENANT)
        assert [(group.name, group.meters) for group in listed] == [("x", 0), ("y", 2), ("z", 1)]
        assert groups.find(connection, DEFAULT_TENANT, "y") == listed[1].group_id
        assert groups.find(connection, DEFAULT_TENANT, "none") is None


INSTALL = (
    "INSERT INTO installation (meter_id, usage_point_id, since, until)"
    " SELECT meter_id, usage_point_id, %s, %s FROM meter, usage_point"
    " WHERE serial = %s AND name = %s"
)


@pytest.mark.parametrize(
    ("serial", "point", "since", "until", "constraint"),
    [
        ("B", "X", MAY, None, "installation_at_point"),
        ("B", "X", "2025-01-01", "2026-01-02", "installation_at_point"),
        ("A", "Y", MAY, AUGUST, "installation_of_meter"),
        ("B", "X", "2025-01-01", JANUARY, None),
        ("B", "Y", MAY, MAY, "installation_period_check"),
        ("B", "Y", MAY, "infinity", "installation_finite_check"),
    ],
)
def test_the_database_itself_refuses_two_meters_at_one_place_and_one_at_two(
    load: Callable[..., ImportReport],
    database: Database,
    serial: str,
    point: str,
    since: str,
    until: str | None,
    constraint: str | None,
) -> None:
    load({"serial": "A", "site": "X"}, {"serial": "B"}, {"serial": "C", "site": "Y"})
    with database.connection() as connection:
        connection.execute(
            "DELETE FROM installation USING meter m"
            " WHERE m.meter_id = installation.meter_id AND m.serial = 'C'"
        )
    values = (since, until, serial, point)
    if constraint is None:
        with database.connection() as connection:
            assert connection.execute(INSTALL, values).rowcount == 1
        return
    with (
        pytest.raises(psycopg.errors.IntegrityError) as caught,
        database.connection() as connection,
    ):
        connection.execute(INSTALL, values)
    assert caught.value.diag.constraint_name == constraint


def test_roll_ups_are_made_anew_where_an_installation_changes_the_zone(
    load: Callable[..., ImportReport], inventory: Inventory, database: Database
) -> None:
    load({"serial": "A", "timezone": "Asia/Tokyo"}, {"serial": "B"}, {"serial": "C"})
    captured = datetime(2026, 6, 1, tzinfo=UTC)
    with database.connection() as connection:
        connection.execute(
            "WITH c AS (INSERT INTO channel (meter_id, source, capture_period_s, obis, class_id,"
            "    attribute_index, data_index, kind, stamped_at, store)"
            "  SELECT meter_id, NULL, 900, '\\x0100010800ff', 3, 2, 0, 'cumulative', 'end',"
            "    'integer' FROM meter RETURNING channel_id),"
            " s AS (INSERT INTO series (channel_id, scaler, unit, valid_from)"
            "  SELECT channel_id, 0, 30, '-infinity' FROM c RETURNING series_id)"
            " INSERT INTO reading (captured_at, value, batch_id, series_id, quality)"
            " SELECT %s, 7, 1, series_id, 0 FROM s",
            (captured + timedelta(hours=1),),
        )
    load(
        {"serial": "A", "site": "X", "timezone": "Asia/Tokyo"},
        {"serial": "B", "timezone": "Asia/Tokyo"},
        {"serial": "C", "site": "Z"},
        on_existing="replace",
    )
    with database.connection() as connection:
        marked = connection.execute(
            "SELECT DISTINCT m.serial FROM dirty_bucket CROSS JOIN LATERAL unnest(series_ids) AS s"
            " JOIN series ON series.series_id = s JOIN channel USING (channel_id)"
            " JOIN meter m USING (meter_id)"
        ).fetchall()
    assert marked == [("B",)]


def test_a_site_has_a_zone_that_the_server_can_cut_days_by(database: Database) -> None:
    insert = "INSERT INTO site (tenant_id, name, timezone) VALUES (1, %s, %s)"
    with database.connection() as connection:
        connection.execute(insert, ("X", "Europe/Vienna"))
    with pytest.raises(psycopg.Error, match="Nowhere/Land"), database.connection() as connection:
        connection.execute(insert, ("Y", "Nowhere/Land"))


def test_tenants_there_is_always_one(database: Database) -> None:
    with database.connection() as connection:
        assert [tenant.tenant_id for tenant in tenants(connection)] == [DEFAULT_TENANT]
        other = put_tenant(connection, "other")
        assert put_tenant(connection, "other") == other
        assert other.tenant_id != DEFAULT_TENANT


def test_a_site_is_fed_by_a_transformer_of_its_own_tenant(database: Database) -> None:
    with database.connection() as connection:
        other = put_tenant(connection, "other")
        connection.execute(
            "INSERT INTO transformer (tenant_id, name) VALUES (%s, 'T')", (other.tenant_id,)
        )
    insert = (
        "INSERT INTO site (tenant_id, name, timezone, transformer_id)"
        " SELECT 1, 'X', 'UTC', transformer_id FROM transformer"
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation), database.connection() as connection:
        connection.execute(insert)
