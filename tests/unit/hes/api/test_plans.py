"""Plans over plain HTTP."""

from __future__ import annotations

import pytest

from tests.unit.hes.api.fakes import FakeFleet
from tests.unit.hes.api.served import Answer, Api

DAILY = {
    "name": "daily",
    "reads": [
        {"kind": "profile", "source": "1.0.99.1.0.255"},
        {"kind": "registers", "attributes": [{"class_id": 3, "obis": "1.0.1.8.0.255"}]},
    ],
    "selection": {"groups": ["north"], "tags": ["pv"]},
    "recurrence": "cron 30 2 * * *",
    "deadline_s": 3600,
}


def refusal(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"].startswith("application/problem+json")
    return answer.status, answer.json()["code"]


def test_a_plan_is_made_and_shown_as_it_was_said(api: Api) -> None:
    made = api.ask("/v1/plans", "POST", body=DAILY)
    assert (made.status, made.headers["etag"]) == (201, '"1"')
    plan = made.json()
    assert plan["selection"] == {
        "all_meters": False, "groups": ["north"], "tags": ["pv"], "models": [],
    }  # fmt: skip
    assert plan["reads"][1] == {
        "kind": "registers",
        "source": None,
        "attributes": [{"class_id": 3, "obis": "1.0.1.8.0.255", "attribute_index": 2}],
    }
    # Who says only by when is read in time for second tries.
    assert (plan["window_s"], plan["spread_s"]) == (3600, 1200)
    assert (plan["target"], plan["zone"], plan["priority"]) == ("98.0", "site", "normal")
    assert api.ask(f"/v1/plans/{plan['id']}").json() == plan
    assert [each["name"] for each in api.ask("/v1/plans").json()["items"]] == [
        "everything",
        "daily",
    ]


def test_nobody_overwrites_what_he_has_not_seen(api: Api) -> None:
    seen = api.ask("/v1/plans/1").headers["etag"]
    assert refusal(api.ask("/v1/plans/1", "PUT", body=DAILY)) == (428, "revision_required")
    changed = api.ask("/v1/plans/1", "PUT", {"If-Match": seen}, body=DAILY)
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    for stale in (seen, 'W/"2"', '"x"', '"2", "3"'):
        answer = api.ask("/v1/plans/1", "PUT", {"If-Match": stale}, body=DAILY)
        assert refusal(answer) == (412, "revision_changed")
    assert refusal(api.ask("/v1/plans/1", "DELETE", {"If-Match": seen}))[0] == 412
    assert api.ask("/v1/plans/1", "PUT", {"If-Match": "*"}, body=DAILY).status == 200


def test_enable_disable_remove(api: Api) -> None:
    assert api.ask("/v1/plans/1/disable", "POST").json()["enabled"] is False
    assert api.ask("/v1/plans/1/disable", "POST").headers["etag"] == '"2"'
    assert api.ask("/v1/plans/1/enable", "POST").json()["enabled"] is True
    assert api.ask("/v1/plans/1", "DELETE").json() == {"id": 1, "cancelled": 12}
    assert refusal(api.ask("/v1/plans/1")) == (404, "plan_not_found")


def test_a_run_is_asked_for(api: Api) -> None:
    asked = api.ask("/v1/plans/1/run", "POST")
    assert (asked.status, asked.json()["members"]) == (202, 9_000)
    api.ask("/v1/plans/1/disable", "POST")
    assert refusal(api.ask("/v1/plans/1/run", "POST")) == (409, "plan_disabled")
    assert refusal(api.ask("/v1/plans/9/run", "POST")) == (404, "plan_not_found")


def test_what_runs_have_come_to(api: Api) -> None:
    page = api.ask("/v1/plans/1/runs?limit=2").json()
    assert (len(page["items"]), page["has_more"]) == (2, True)
    assert page["items"][0]["run_at"] == "2026-11-21T12:07:30Z"
    assert (page["items"][0]["open"], page["items"][0]["timezone"]) == (4, "UTC")
    assert refusal(api.ask("/v1/plans/9/runs")) == (404, "plan_not_found")


def test_a_name_is_one_plans(api: Api) -> None:
    taken = {**DAILY, "name": "everything"}
    assert refusal(api.ask("/v1/plans", "POST", body=taken)) == (409, "plan_exists")


def test_the_next_runs_with_changes_of_clocks(api: Api) -> None:
    (zone,) = api.ask("/v1/plans/trial?runs=2", "POST", body=DAILY).json()["zones"]
    assert zone["runs"][0] == {
        "run_at": "2026-11-22T01:30:00Z",
        "local": "2026-11-22T02:30:00+01:00",
        "deadline_at": "2026-11-22T02:30:00Z",
        "shift": None,
    }
    kept = api.ask("/v1/plans/1/preview?runs=3").json()
    assert (kept["members"], len(kept["zones"][0]["runs"])) == (9_000, 3)
    assert refusal(api.ask("/v1/plans/1/preview?runs=101")) == (400, "parameter_invalid")


def test_capacity_by_the_hour(api: Api) -> None:
    capacity = api.ask("/v1/plans/capacity").json()
    assert (capacity["peak_per_s"], capacity["fits"], len(capacity["hours"])) == (10.0, True, 24)
    assert capacity["plans"][0]["values_per_day"] == 384 * 9_000


@pytest.mark.parametrize(
    ("pointer", "change"),
    [
        ("/body/recurrence", {"recurrence": "cron 0 0 30 2 *"}),
        ("/body/recurrence", {"recurrence": "now and then"}),
        ("/body/selection", {"selection": {}}),
        ("/body/selection", {"selection": {"all_meters": True, "tags": ["pv"]}}),
        ("/body/spread_s", {"spread_s": 3600}),
        ("/body/zone", {"zone": "../etc/passwd"}),
        ("/body/target", {"target": "101"}),
        ("/body/reads", {"reads": [{"kind": "profile", "source": "1.0.99.1.0.999"}]}),
        ("/body/name", {"name": " "}),
    ],
)
def test_what_cannot_be_names_its_member(api: Api, pointer: str, change: dict[str, object]) -> None:
    answer = api.ask("/v1/plans", "POST", body={**DAILY, **change})
    assert refusal(answer) == (400, "plan_invalid")
    assert pointer in {each["pointer"] for each in answer.json()["errors"]}


@pytest.mark.parametrize(
    "change",
    [
        {"priority": "urgent"},
        {"reads": []},
        {"reads": [{"kind": "everything"}]},
        {"reads": [{"kind": "profile"}] * 33},
        {"deadline_s": -1},
        {"deadline_s": 10**12},
        {"target": "NaN!"},
        {"secret": "x"},
        {"selection": {"groups": ["x"] * 101}},
        {"name": "n" * 65},
    ],
)
def test_what_has_another_form_is_refused_before(api: Api, change: dict[str, object]) -> None:
    assert refusal(api.ask("/v1/plans", "POST", body={**DAILY, **change})) == (400, "body_invalid")


def test_without_a_database_nothing_happens(api: Api, fleet: FakeFleet) -> None:
    fleet.down = True
    assert refusal(api.ask("/v1/plans")) == (503, "storage_unavailable")
    assert refusal(api.ask("/v1/plans", "POST", body=DAILY)) == (503, "storage_unavailable")
