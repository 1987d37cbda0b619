"""Quarantine, numbers, health."""

import pytest

from hes.readings import Decision
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api


def test_the_quarantine_comes_newest_first_page_by_page(api: Api) -> None:
    ids: list[int] = []
    cursor = ""
    while True:
        page = api.ask(f"/v1/quarantine?limit=30{cursor}").json()
        ids += [frame["id"] for frame in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert ids == list(range(70, 0, -1))


def test_frames_are_cut_but_say_their_length(api: Api) -> None:
    frames = api.ask("/v1/quarantine").json()["items"]
    long = next(frame for frame in frames if frame["octets"] > 64)
    assert len(bytes.fromhex(long["raw"])) == 64
    short = next(frame for frame in frames if frame["octets"] < 64)
    assert len(bytes.fromhex(short["raw"])) == short["octets"]


def test_frames_of_known_meters_lead_to_them(api: Api) -> None:
    known, unknown = api.ask("/v1/quarantine?limit=2").json()["items"]
    assert (known["meter_id"], known["meter_serial"]) == (str(meter_id(70)), "SIM00000071")
    assert (unknown["meter_id"], unknown["identity"]) == (None, "4b464d1020000045")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("reason=malformed&limit=2", [67, 63]),
        (f"meter_id={meter_id(70)}", [70]),
        ("state=dropped", [2, 1]),
        ("since=2999-01-01T00:00:00Z", []),
    ],
)
def test_the_quarantine_by_what_is_wanted(api: Api, query: str, ids: list[int]) -> None:
    frames = api.ask(f"/v1/quarantine?{query}").json()["items"]
    assert [frame["id"] for frame in frames] == ids


def test_who_dropped_it_and_why(api: Api) -> None:
    frame = api.ask("/v1/quarantine?state=dropped&limit=1").json()["items"][0]
    assert (frame["handled_by"], frame["handled_why"]) == ("ann", "noise")
    assert frame["handled_at"].endswith("Z")


def test_a_replay_is_asked_for(api: Api, fleet: FakeFleet) -> None:
    answer = api.ask("/v1/quarantine/70/replay?why=the%20meter%20is%20known&any_time=true", "POST")
    assert (answer.status, answer.json()["id"]) == (202, 70)
    assert answer.json()["requested_by"] == "api"
    assert fleet.replays == {70: Decision("api", "the meter is known", any_time=True)}
    again = api.ask("/v1/quarantine?limit=1").json()["items"][0]
    assert again["requested_at"] is not None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("71/replay?why=x", 404, "entry_not_found"),
        ("2/replay?why=x", 409, "entry_handled"),
        ("70/replay", 400, "parameter_invalid"),
        ("70/replay?why=%20", 400, "parameter_invalid"),
        ("0/replay?why=x", 400, "parameter_invalid"),
    ],
)
def test_a_replay_that_makes_no_sense(
    api: Api, fleet: FakeFleet, path: str, status: int, code: str
) -> None:
    answer = api.ask(f"/v1/quarantine/{path}", "POST")
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert not fleet.replays


def test_the_fleet_in_numbers(api: Api) -> None:
    stats = api.ask("/v1/stats").json()
    assert (stats["meters"], stats["sessions_last_minute"]) == (100, 96)
    assert stats["readings"] == 307_200
    assert stats["as_of"].endswith("Z")


def test_health_does_not_ask_the_database(api: Api, fleet: FakeFleet) -> None:
    answer = api.ask("/healthz")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert fleet.calls == 0


def test_the_servers_even_when_they_are_away(api: Api, fleet: FakeFleet) -> None:
    fleet.down = True
    assert api.ask("/v1/services").json() == {
        "items": [
            {"name": "database", "state": "away", "detail": "answers"},
            {"name": "cache", "state": "degraded", "detail": "settled 60 s ago"},
        ],
        "latest_values": "database",
    }
