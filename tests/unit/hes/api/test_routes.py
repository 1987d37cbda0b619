"""What bad input gets: one table, stated answers."""

import pytest
from yarl import URL

from hes.api.routes import Inputs, Nothing, Routes, decode, next_link
from hes.api.schemas import Health
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api

METER = f"/v1/meters/{meter_id(0)}"
READINGS = f"{METER}/readings"

BAD = [
    # path, status, code, pointer, what the message says
    ("/v1/meters?limt=5", 400, "parameter_unknown", "/query/limt", "unknown"),
    ("/v1/meters?Limit=5", 400, "parameter_unknown", "/query/Limit", "unknown"),
    (f"{METER}?expand=all", 400, "parameter_unknown", "/query/expand", "unknown"),
    ("/v1/stats?x", 400, "parameter_unknown", "/query/x", "unknown"),
    ("/v1/meters?limit=0", 400, "parameter_invalid", "/query/limit", ">= 1"),
    ("/v1/meters?limit=1001", 400, "parameter_invalid", "/query/limit", "<= 1000"),
    ("/v1/meters?limit=-1", 400, "parameter_invalid", "/query/limit", ">= 1"),
    ("/v1/meters?limit=ten", 400, "parameter_invalid", "/query/limit", "whole"),
    ("/v1/meters?limit=1.5", 400, "parameter_invalid", "/query/limit", "whole"),
    ("/v1/meters?limit=1e2", 400, "parameter_invalid", "/query/limit", "whole"),
    ("/v1/meters?limit=", 400, "parameter_invalid", "/query/limit", "whole"),
    ("/v1/meters?limit=null", 400, "parameter_invalid", "/query/limit", "whole"),
    ("/v1/meters?limit=" + "9" * 400, 400, "parameter_invalid", "/query/limit", ""),
    ("/v1/meters?limit=5&limit=6", 400, "parameter_invalid", "/query/limit", "more than once"),
    ("/v1/meters?q=" + "x" * 65, 400, "parameter_invalid", "/query/q", "<= 64"),
    ("/v1/meters?q=a%00b", 400, "parameter_invalid", "/query/q", ""),
    ("/v1/meters?cursor=", 400, "parameter_invalid", "/query/cursor", ">= 1"),
    ("/v1/meters?cursor=" + "x" * 513, 400, "parameter_invalid", "/query/cursor", "<= 512"),
    ("/v1/meters?cursor=nonsense", 400, "cursor_invalid", None, ""),
    ("/v1/quarantine?cursor=%00%ff", 400, "cursor_invalid", None, ""),
    ("/v1/quarantine?cursor=kqA", 400, "cursor_invalid", None, ""),
    (f"{READINGS}?cursor=AAAA", 400, "cursor_invalid", None, ""),
    ("/v1/meters/17", 400, "parameter_invalid", "/path/meter_id", "UUID"),
    ("/v1/meters/%27%3BDROP", 400, "parameter_invalid", "/path/meter_id", "UUID"),
    ("/v1/meters/%00", 400, "parameter_invalid", "/path/meter_id", "UUID"),
    (f"/v1/meters/{meter_id(999)}", 404, "meter_not_found", None, ""),
    (f"/v1/meters/{meter_id(999)}/channels", 404, "meter_not_found", None, ""),
    (f"/v1/meters/{meter_id(999)}/readings", 404, "meter_not_found", None, ""),
    (f"/v1/meters/{meter_id(1)}/readings", 404, "channel_not_found", None, ""),
    (f"{READINGS}?channel=999", 404, "channel_not_found", None, ""),
    (f"{READINGS}?channel=0", 400, "parameter_invalid", "/query/channel", ">= 1"),
    (f"{READINGS}?channel=99999999999", 400, "parameter_invalid", "/query/channel", "<="),
    (f"{READINGS}?obis=1.8.0", 400, "parameter_invalid", "/query/obis", "regex"),
    (f"{READINGS}?obis=1.0.99.9.9.255", 404, "channel_not_found", None, ""),
    (f"{READINGS}?from=yesterday", 400, "parameter_invalid", "/query/from", "RFC 3339"),
    (f"{READINGS}?from=2026-01-01", 400, "parameter_invalid", "/query/from", "RFC 3339"),
    (f"{READINGS}?from=1767225600", 400, "parameter_invalid", "/query/from", "RFC 3339"),
    (f"{READINGS}?from=2026-02-30T00:00:00Z", 400, "parameter_invalid", "/query/from", "RFC3339"),
    (f"{READINGS}?from=2026-01-01T00:00:00", 400, "parameter_invalid", "/query/from", "offset"),
    (f"{READINGS}?to=2026-01-01T00:00:00+01:00", 400, "parameter_invalid", "/query/to", "%2B"),
    (f"{READINGS}?from_=2026-01-01T00:00:00Z", 400, "parameter_unknown", "/query/from_", "unknown"),
    (
        f"{READINGS}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        400,
        "range_invalid",
        "/query/from",
        "before",
    ),
    (
        f"{READINGS}?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        400,
        "range_invalid",
        "/query/from",
        "before",
    ),
    (f"{READINGS}?from=0001-01-01T00:00:00%2B14:00", 400, "range_invalid", "/query/from", "years"),
    (f"{READINGS}?to=9999-12-31T23:59:59-14:00", 400, "range_invalid", "/query/to", "years"),
    ("/v1", 404, "not_found", None, ""),
    ("/v1/", 404, "not_found", None, ""),
    ("/v1/meters/", 404, "not_found", None, ""),
    ("/v1/metres", 404, "not_found", None, ""),
    ("/v2/meters", 200, None, None, ""),  # an address of the console, which says that it is none
    ("/ws", 404, "not_found", None, ""),
    ("/docs", 404, "not_found", None, ""),
    ("/problems/nonsense", 404, "not_found", None, ""),
    ("/v1/../v1/meters/../../etc/passwd", 404, "not_found", None, ""),
]


@pytest.mark.parametrize(
    ("path", "status", "code", "pointer", "says"), BAD, ids=[row[0][:60] for row in BAD]
)
def test_bad_input_gets_the_stated_answer(
    api: Api, path: str, status: int, code: str | None, pointer: str | None, says: str
) -> None:
    answer = api.ask(path)
    assert answer.status == status
    if code is None:
        return
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    assert [error["pointer"] for error in problem["errors"]] == ([pointer] if pointer else [])
    if pointer:
        assert says in problem["errors"][0]["message"]


def test_bad_parameters_never_reach_a_capability(api: Api, fleet: FakeFleet) -> None:
    for path, _, code, _, _ in BAD:
        if code in {"parameter_unknown", "parameter_invalid", "range_invalid"}:
            api.ask(path)
            assert fleet.calls == 0, path
    assert fleet.calls == 0


def test_every_wrong_parameter_is_named(api: Api) -> None:
    problem = api.ask(f"{READINGS}?from=x&to=y&limit=0").json()
    assert [error["pointer"] for error in problem["errors"]] == [
        "/query/from",
        "/query/to",
        "/query/limit",
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_refused_with_what_is_allowed(api: Api, method: str) -> None:
    answer = api.ask("/v1/stats", method)
    assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET,HEAD,OPTIONS"


def test_head_is_get_without_a_body(api: Api) -> None:
    got, head = api.ask("/v1/meters"), api.ask("/v1/meters", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_options_tells_the_methods_and_opens_nothing_to_other_origins(api: Api) -> None:
    answer = api.ask(
        "/v1/stats",
        "OPTIONS",
        {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"},
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_path_must_name_the_fields_of_its_class() -> None:
    with pytest.raises(ValueError, match="does not name"):
        Routes("x").route("GET", "/v1/x/{id}", returns={200: Health})


def test_a_problem_must_stand_in_the_table() -> None:
    with pytest.raises(ValueError, match="unknown problems"):
        Routes("x").route("GET", "/v1/x", returns={200: Health}, problems=["odd"])


def test_no_parameters_make_an_object_without_any() -> None:
    assert decode(Inputs("query", Nothing), []) == Nothing()


def test_the_next_page_keeps_the_filters() -> None:
    link = next_link(URL("/v1/meters?q=a%26b&limit=2&cursor=old"), "n+w")
    assert link == '</v1/meters?q=a%26b&limit=2&cursor=n%2Bw>; rel="next"'
