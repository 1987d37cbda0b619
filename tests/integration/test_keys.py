"""Secrets at rest: wrapped from the first row on, bound to it, and nowhere else."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from hes.domain.errors import KeyUnavailableError
from hes.domain.meters import Secrets
from hes.keys import KekError, KeyService
from hes.meters import Inventory
from hes.storage.counters import CounterStore
from hes.storage.database import Database

AddMeter = Callable[..., UUID]

SECRET = b"canary-secret-00"
EK = b"canary-ek-000000"
AK = b"canary-ak-000000"
GIVEN = {"mechanism": "gmac", "secret": SECRET.hex(), "ek": EK.hex(), "ak": AK.hex()}


def forms(octets: bytes) -> list[str]:
    """The forms in which a secret could show."""
    return [
        octets.decode(),
        octets.hex(),
        octets.hex().upper(),
        base64.b64encode(octets).decode().rstrip("="),
        repr(list(octets))[1:-1],
    ]


def assert_no_canary(text: str) -> None:
    for canary in (SECRET, EK, AK):
        for form in forms(canary):
            assert form not in text


def test_come_back_as_they_were(keys: KeyService, add_meter: AddMeter) -> None:
    meter_id = add_meter("S1", **GIVEN)
    assert keys.secrets(meter_id, 1) == Secrets(SECRET, EK, AK)


def test_an_association_that_needs_none_has_none(keys: KeyService, add_meter: AddMeter) -> None:
    assert keys.secrets(add_meter("S1"), 1) == Secrets()


def test_none_are_made_up(keys: KeyService, add_meter: AddMeter, database: Database) -> None:
    meter_id = add_meter("S1", **GIVEN)
    for who, client_sap in ((meter_id, 2), (uuid4(), 1)):
        with pytest.raises(KeyUnavailableError):
            keys.secrets(who, client_sap)
    with database.connection() as connection:
        connection.execute(
            "UPDATE association SET secret_wrapped = NULL, ek_wrapped = NULL, ak_wrapped = NULL,"
            " kek_id = NULL, key_fingerprint = NULL"
        )
    with pytest.raises(KeyUnavailableError, match="no secrets are kept"):
        keys.secrets(meter_id, 1)


@pytest.mark.parametrize(
    "swap",
    [
        # Two meters' rows exchanged, one meter's keys exchanged, one moved to another client.
        "UPDATE association a SET ek_wrapped = b.ek_wrapped FROM association b WHERE a <> b",
        "UPDATE association SET ek_wrapped = ak_wrapped, ak_wrapped = ek_wrapped",
        "UPDATE association SET secret_wrapped = ek_wrapped",
        "UPDATE association SET client_sap = 2",
        "UPDATE association SET ek_wrapped = substr(ek_wrapped, 1, 20)",
        "UPDATE association SET ek_wrapped = ''",
    ],
)
def test_open_in_their_own_place_only(
    keys: KeyService, add_meter: AddMeter, database: Database, swap: str
) -> None:
    meter_ids = [add_meter("S1", **GIVEN), add_meter("S2", **GIVEN)]
    with database.connection() as connection:
        connection.execute(swap)
    for meter_id in meter_ids:
        with pytest.raises(KeyUnavailableError) as caught:
            keys.secrets(meter_id, 2 if "client_sap" in swap else 1)
        assert_no_canary("".join(traceback.format_exception(caught.value)))


def test_are_wrapped_differently_each_time(add_meter: AddMeter, database: Database) -> None:
    add_meter("S1", **GIVEN)
    add_meter("S2", **GIVEN)
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT ek_wrapped, substr(ek_wrapped, 2, 12), key_fingerprint FROM association"
        ).fetchall()
    wrapped, nonces, fingerprints = (set(column) for column in zip(*rows, strict=True))
    assert (len(wrapped), len(nonces), len(fingerprints)) == (2, 2, 1)


def test_stand_in_no_table_log_repr_or_error(
    database: Database,
    inventory: Inventory,
    keys: KeyService,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    good = {"serial": "S1", "timezone": "UTC", **GIVEN}
    bad = [
        {**good, "serial": "S2", "ek": EK.hex() + "0"},
        {**good, "serial": "S3", "ak": AK.decode()},
        {**good, "serial": "S4", "timezone": SECRET.hex()},
        {**good, "serial": "S5", EK.hex(): 1},
        good,
    ]
    lines = [json.dumps(row) for row in (good, *bad)] + [json.dumps(good)[:-1]]
    report = inventory.import_file(lines)
    assert (report.created, report.failed) == (1, 6)
    detail = inventory.get(inventory.find("S1"))
    secrets = keys.secrets(detail.row.meter_id, 1)
    shown = [repr(thing) for thing in (report, detail, keys, inventory, secrets, inventory.page())]
    shown += [str(secrets), f"{secrets}", caplog.text]
    with database.connection() as connection:
        tables = connection.execute(
            "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert ("association",) in tables
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
            shown += [text for (text,) in rows]
    assert_no_canary("\n".join(shown))


def test_stand_in_no_file_of_the_database(add_meter: AddMeter, tmp_path: Path) -> None:
    add_meter("S1", **GIVEN)
    assert len((tmp_path / "kek").read_bytes()) == 32


def test_a_kek_that_is_lost_is_not_replaced(
    database: Database, add_meter: AddMeter, tmp_path: Path
) -> None:
    meter_id = add_meter("S1", **GIVEN)
    (tmp_path / "kek").rename(tmp_path / "elsewhere")
    with pytest.raises(KekError, match="no such file"):
        KeyService.open(database, tmp_path / "kek")
    assert not (tmp_path / "kek").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "kek")
    assert KeyService.open(database, tmp_path / "kek").secrets(meter_id, 1).ek == EK


def test_another_kek_is_refused(database: Database, add_meter: AddMeter, tmp_path: Path) -> None:
    add_meter("S1", **GIVEN)
    (tmp_path / "other").touch(mode=0o600)
    (tmp_path / "other").write_bytes(bytes(32))
    with pytest.raises(KekError, match="holds the KEK"):
        KeyService.open(database, tmp_path / "other")


def test_a_kek_that_nothing_needs_may_be_another(
    database: Database, keys: KeyService, tmp_path: Path
) -> None:
    assert keys
    KeyService.open(database, tmp_path / "other")
    KeyService.open(database, tmp_path / "kek")


def test_of_two_keks_put_to_use_at_once_one_stays(
    database: Database, keys: KeyService, inventory: Inventory, tmp_path: Path
) -> None:
    # Another machine starts, with a file of its own, while nothing is wrapped yet; then this one
    # wraps: the row must not be written with a KEK that is not the database's any more.
    other = KeyService.open(database, tmp_path / "other")
    row = json.dumps({"serial": "S1", "timezone": "UTC", **GIVEN})
    with pytest.raises(KeyUnavailableError, match="start anew"):
        inventory.import_file([row])
    Inventory(database, other).import_file([row])
    with pytest.raises(KekError):
        KeyService.open(database, tmp_path / "kek")


def test_counters_alone_need_the_kek_too(
    database: Database, add_meter: AddMeter, tmp_path: Path
) -> None:
    # Under another KEK the same key has another fingerprint: its counter would begin anew.
    meter_id = add_meter("S1", **GIVEN)
    CounterStore(database).reserve(meter_id, 1, size=1)
    add_meter("S1")
    with pytest.raises(KekError):
        KeyService.open(database, tmp_path / "other")
