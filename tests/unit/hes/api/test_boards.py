"""The board, a meter's completeness and clocks over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api


def test_a_board_says_what_came_and_why_the_rest_did_not(api: Api) -> None:
    answer = api.ask("/v1/board?by=plan&from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z")
    assert answer.status == 200
    said = answer.json()
    assert (said["from_at"], said["to_at"]) == ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
    assert said["total"] == {
        "expected": 100,
        "on_time": 90,
        "late": 3,
        "lost": 2,
        "missing": 1,
        "pending": 4,
        "share": 93.75,
        "causes": {"not-in-buffer": 2, "connect-timeout": 1},
    }
    assert [(one["name"], one["target"]) for one in said["cells"]] == [
        ("daily", 98.0),
        (None, None),
    ]
    assert said["cells"][1]["cell"]["share"] is None


def test_the_last_day_unless_somebody_says_otherwise(api: Api) -> None:
    said = api.ask("/v1/board").json()
    begins, ends = map(datetime.fromisoformat, (said["from_at"], said["to_at"]))
    assert ends - begins == timedelta(days=1)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("by=moon", "parameter_invalid"),
        ("from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z", "range_invalid"),
        ("from=2026-01-01T00:00:00Z&to=2026-11-20T00:00:00Z", "range_invalid"),
    ],
)
def test_what_cannot_be_asked(api: Api, query: str, code: str) -> None:
    answer = api.ask(f"/v1/board?{query}")
    assert (answer.status, answer.json()["code"]) == (400, code)


def test_completeness_of_a_meter(api: Api) -> None:
    said = api.ask(f"/v1/meters/{meter_id(1)}/completeness?to=2026-11-21T00:00:00Z").json()
    (profile,) = said["profiles"]
    assert (profile["source"], profile["total"]["late"]) == ("1.0.99.1.0.255", 3)
    assert said["losses"][0]["reason"] == "beyond-buffer"
    assert said["clock_changes"][0]["how"] == "seen"
    assert api.ask(f"/v1/meters/{meter_id(10**6)}/completeness").status == 404


def test_clocks_by_model(api: Api) -> None:
    said = api.ask("/v1/clocks").json()
    (model,) = said["models"]
    assert len(model["counts"]) == len(said["bounds_s"]) + 1


def test_a_clock_is_set_by_order_with_a_reason(api: Api, fleet: FakeFleet) -> None:
    path = f"/v1/meters/{meter_id(1)}/clock"
    assert api.ask(path, "POST", body={"reason": "was never set"}).status == 202
    assert api.ask(path, "POST", body={"reason": ""}).json()["code"] == "body_invalid"
    fleet.down = True
    assert api.ask(path, "POST", body={"reason": "was never set"}).status == 503
