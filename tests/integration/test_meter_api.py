"""Meters changed through the API, over a real database and a real KEK."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from hes import wiring
from hes.keys import KeyService
from hes.storage.database import Database
from tests.unit.hes.api.served import Api, served

EK, AK = "0f" * 16, "f0" * 16


@pytest.fixture
def kek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the settings say that the KEK lies; nothing is there."""
    path = tmp_path / "kek"
    monkeypatch.setenv("HES_KEYS_KEK_FILE", str(path))
    wiring.settings.cache_clear()
    yield path
    wiring.settings.cache_clear()


@pytest.fixture
def api(kek: Path, database: Database) -> Iterator[Api]:
    """The API as `hes api` builds it."""
    with served(wiring.api(database)) as running:
        yield running


def send(api: Api, lines: list[bytes], media_type: str, query: str = "") -> Any:
    where = urlsplit(api.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
    connection.request("POST", f"/v1/imports{query}", b"".join(lines), {"Content-Type": media_type})
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == 200, body
    return body


def test_a_meter_lives_through_the_api(api: Api, keys: KeyService, database: Database) -> None:
    made = api.ask(
        "/v1/meters",
        "POST",
        body={"serial": "S1", "timezone": "Europe/Vienna", "address": "10.0.0.1", "site": "Mill",
              "installed_at": "2026-01-01T00:00:00Z", "mechanism": "gmac", "ek": EK, "ak": AK},
    )  # fmt: skip
    assert made.status == 201, made.body
    meter = made.json()
    path = f"/v1/meters/{meter['id']}"
    assert keys.secrets(UUID(meter["id"]), 1).ek == bytes.fromhex(EK)
    again = api.ask("/v1/meters", "POST", body={"serial": "S1", "timezone": "Europe/Vienna"})
    assert (again.status, meter["id"] in again.json()["detail"]) == (409, True)
    patched = api.ask(path, "PATCH", body={"segment": "cell 7", "tags": ["solar"]}).json()
    assert (patched["segment"], patched["tags"]) == ("cell 7", ["solar"])
    api.ask(f"{path}/associations/16", "PUT", body={})
    secret = {"mechanism": "lls", "secret": "31" * 8, "role": "reader"}
    shown = api.ask(f"{path}/associations/2", "PUT", body=secret)
    assert [each["role"] for each in shown.json()["associations"]] == [
        "management",
        "reader",
        "public",
    ]
    exchanged = api.ask(
        f"{path}/exchange",
        "POST",
        body={"meter": {"serial": "S2"}, "at": "2026-05-01T00:00:00Z", "reason": "age",
              "last_registers": {"1.0.1.8.0.255": "17.5"}},
    )  # fmt: skip
    assert exchanged.status == 200, exchanged.body
    assert exchanged.json()["exchanges"][0]["last_registers"] == {"1.0.1.8.0.255": "17.5"}
    old = api.ask(path).json()
    assert (old["state"], old["life"][0]["reason"]) == ("retired", "age")
    refused = api.ask(f"{path}/state", "POST", body={"state": "suspended", "reason": "x"})
    assert (refused.status, refused.json()["code"]) == (409, "state_refused")
    for answer in (made, again, shown, exchanged):
        for hidden in (EK, AK, "31" * 8):
            assert hidden.encode() not in answer.body
    assert [each["serial"] for each in api.ask("/v1/meters?state=retired").json()["items"]] == [
        "S1"
    ]


def test_a_csv_goes_in_by_the_thousand_and_its_errors_come_back(api: Api, keys: KeyService) -> None:
    lines = [b"serial;timezone;address;ek;group\r\n"]
    lines += [
        f"S{i:05};Europe/Vienna;10.0.{i >> 8}.{i & 255};{i:032x};north|n{i % 3}\r\n".encode()
        for i in range(2500)
    ]
    lines += [b"S00001;Europe/Vienna;;;\r\n", b"=x;Europe/Vienna;;;\r\n", b"X;Nowhere;;;\r\n"]
    tried = send(api, lines, "text/csv", "?dry_run=true")
    assert (tried["dry_run"], tried["created"], tried["failed"]) == (True, 2500, 3)
    assert api.ask("/v1/meters").json()["total_estimate"] == 0
    report = send(api, lines, "text/csv")
    assert (report["created"], report["rows"]) == (2500, 2503)
    assert [(error["line"], error["field"]) for error in report["errors"]] == [
        (2502, "serial"),
        (2503, "serial"),
        (2504, "timezone"),
    ]
    again = send(api, lines, "text/csv")
    assert (again["created"], again["kept"]) == (0, 2500)
    groups = {each["name"]: each["meters"] for each in api.ask("/v1/groups").json()["items"]}
    assert groups == {"north": 2500, "n0": 834, "n1": 833, "n2": 833}


def test_without_the_kek_nothing_is_wrapped_and_none_is_made(
    api: Api, kek: Path, add_meter: Callable[..., UUID]
) -> None:
    meter_id = add_meter("S1", ek=EK)
    kek.unlink()
    body = {"serial": "S2", "timezone": "Europe/Vienna"}
    answer = api.ask("/v1/meters", "POST", body=body)
    assert (answer.status, answer.json()["code"]) == (501, "keys_unavailable")
    assert str(kek.parent).encode() not in answer.body
    assert not kek.exists()
    patched = api.ask(f"/v1/meters/{meter_id}", "PATCH", body={"tags": ["a"]})
    assert (patched.status, patched.json()["tags"]) == (200, ["a"])
