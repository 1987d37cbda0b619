"""What the API makes of requests that change meters, and of what is refused."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from hes.api import create_app
from hes.domain.errors import KeyUnavailableError, UnknownMeterError
from hes.domain.life import BadTransitionError, MeterState
from hes.meters import (
    ExchangeWish,
    Format,
    MeterExistsError,
    OnExisting,
    RefusedError,
    UnknownAssociationError,
)
from tests.unit.hes.api.fake_changes import FakeChanges
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api, served

ID = meter_id(0)
METER = f"/v1/meters/{ID}"
AT = "2026-06-01T10:00:00Z"
_AT = datetime(2026, 6, 1, 10, tzinfo=UTC)
NEW = {"serial": "S1", "timezone": "Europe/Vienna"}


@pytest.fixture
def changes(fleet: FakeFleet) -> FakeChanges:
    return FakeChanges(fleet.check)


@pytest.fixture
def api(fleet: FakeFleet, changes: FakeChanges) -> Iterator[Api]:
    services = attrs.evolve(fleet.services(), changes=changes)
    with served(create_app(services, console=None)) as running:
        yield running


def test_requests_become_acts(api: Api, changes: FakeChanges) -> None:
    asked: list[tuple[str, str, object, tuple[Any, ...]]] = [
        ("POST", "/v1/meters", NEW | {"ek": None}, ("create", NEW | {"ek": None}, "api")),
        (
            "PATCH",
            METER,
            {"address": "10.0.0.1", "model": None, "tags": ["a"]},
            ("change", ID, {"address": "10.0.0.1", "model": None, "tags": ["a"]}, "api"),
        ),
        (
            "POST",
            f"{METER}/state",
            {"state": "retired", "reason": "burnt", "since": AT},
            ("state", ID, MeterState.RETIRED, "burnt", "api", _AT),
        ),
        (
            "POST",
            f"{METER}/exchange",
            {"meter": {"serial": "N"}, "at": AT, "reason": "age", "last_registers": {"x": "1"}},
            ("exchange", ID, ExchangeWish({"serial": "N"}, _AT, "age", {"x": "1"}), "api"),
        ),
        ("PUT", f"{METER}/tags", {"tags": ["a"]}, ("tags", ID, ["a"])),
        ("PUT", f"{METER}/groups", {"groups": []}, ("groups", ID, [])),
        (
            "PUT",
            f"{METER}/associations/16",
            {"mechanism": "none"},
            ("association", ID, 16, {"mechanism": "none"}),
        ),
        ("DELETE", f"{METER}/associations/16", None, ("no association", ID, 16)),
        (
            "PUT",
            f"{METER}/children/2",
            {"child": str(meter_id(3))},
            ("attach", ID, 2, meter_id(3), None),
        ),
        ("DELETE", f"{METER}/children/2?at={AT}", None, ("detach", ID, 2, _AT)),
        (
            "POST",
            "/v1/groups/north/members",
            {"add": [str(ID)]},
            ("members", "north", [ID], []),
        ),
    ]
    for method, path, body, made in asked:
        answer = api.ask(path, method, body=body)
        assert answer.status in (200, 201), (path, answer.body)
        assert changes.made.pop() == made


NO_REQUESTS: list[tuple[str, str, object, str]] = [
    ("POST", "/v1/meters", {"serial": "S1"}, "/body"),
    ("POST", "/v1/meters", NEW | {"colour": "red"}, "/body"),
    ("POST", "/v1/meters", NEW | {"state": "retired"}, "/body/state"),
    (
        "POST",
        "/v1/meters",
        NEW | {"associations": [{"role": "x"}]},
        "/body/associations/0/role",
    ),
    ("PATCH", METER, {"ek": "00"}, "/body"),
    ("PATCH", METER, {"tags": ["a\nb"]}, "/body/tags/0"),
    ("POST", f"{METER}/state", {"state": "lost", "reason": "x"}, "/body/state"),
    ("POST", f"{METER}/state", {"state": "retired"}, "/body"),
    ("POST", f"{METER}/state", {"state": "retired", "reason": ""}, "/body/reason"),
    ("POST", f"{METER}/exchange", {"meter": NEW, "at": "now", "reason": "x"}, "/body/at"),
    ("PUT", f"{METER}/associations/0", {}, "/path/client_sap"),
    ("PUT", f"{METER}/children/65", {"child": str(ID)}, "/path/channel"),
    ("PUT", f"{METER}/children/1", {"child": "me"}, "/body/child"),
]


def test_what_is_no_request_reaches_nobody(api: Api, changes: FakeChanges) -> None:
    for method, path, body, pointer in NO_REQUESTS:
        answer = api.ask(path, method, body=body)
        assert answer.status == 400, (path, answer.body)
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], path
    assert changes.made == []


@pytest.mark.parametrize(
    ("raised", "status", "code", "pointers"),
    [
        (RefusedError("ek", "12 octets where 16 are due"), 422, "change_refused", ["/body/ek"]),
        (RefusedError(None, "is being read"), 422, "change_refused", []),
        (UnknownMeterError("x"), 404, "meter_not_found", []),
        (
            BadTransitionError(MeterState.RETIRED, MeterState.IN_SERVICE),
            409,
            "state_refused",
            [],
        ),
    ],
)
def test_a_refusal_says_what_and_where(
    api: Api,
    changes: FakeChanges,
    raised: Exception,
    status: int,
    code: str,
    pointers: list[str],
) -> None:
    changes.raises = raised
    body = {"state": "in_service", "reason": "x"}
    problem = (answer := api.ask(f"{METER}/state", "POST", body=body)).json()
    assert (answer.status, problem["code"]) == (status, code)
    assert [error["pointer"] for error in problem["errors"]] == pointers


def test_refusals_of_other_acts(api: Api, changes: FakeChanges) -> None:
    changes.raises = MeterExistsError("S1", ID)
    problem = api.ask("/v1/meters", "POST", body=NEW).json()
    assert problem["code"] == "meter_exists"
    assert str(ID) in problem["detail"]
    changes.raises = UnknownAssociationError("x")
    assert api.ask(f"{METER}/associations/2", "DELETE").json()["code"] == "association_not_found"
    changes.raises = KeyUnavailableError("/srv/hes/kek")
    answer = api.ask(f"{METER}/associations/2", "PUT", body={})
    assert (answer.status, answer.json()["code"]) == (501, "keys_unavailable")
    assert b"/srv" not in answer.body


def post_file(api: Api, path: str, octets: bytes, media_type: str) -> int:
    where = urlsplit(api.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=10)
    connection.request("POST", path, octets, {"Content-Type": media_type})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_file_comes_line_by_line_in_the_form_that_was_said(
    api: Api, changes: FakeChanges
) -> None:
    path = "/v1/imports?dry_run=true&on_existing=replace&release=true"
    assert post_file(api, path, b"serial\r\nS1", "text/csv; charset=utf-8") == 200
    assert changes.made == [
        ("import", [b"serial\r\n", b"S1"], True, OnExisting.REPLACE, Format.CSV, "api", True)
    ]
    assert post_file(api, "/v1/imports", b"{}", "application/x-ndjson") == 200
    assert changes.made[1][2:5] == (False, OnExisting.KEEP, Format.NDJSON)
    assert post_file(api, "/v1/imports", b"{}", "text/plain") == 415
    assert post_file(api, "/v1/imports?on_existing=drop", b"{}", "text/csv") == 400


def test_words_are_listed(api: Api) -> None:
    assert api.ask("/v1/groups").json()["items"] == [{"name": "north", "meters": 3}]
    assert api.ask("/v1/tags").json()["items"] == [{"tag": "solar", "meters": 2}]


def test_a_list_is_narrowed_by_what_is_named(api: Api) -> None:
    items = api.ask("/v1/meters?state=commissioned").json()["items"]
    assert [item["id"] for item in items] == [str(meter_id(1))]
    assert api.ask("/v1/meters?state=lost").status == 400
