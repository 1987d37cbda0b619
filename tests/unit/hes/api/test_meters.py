"""Operations on meters."""

from datetime import datetime

from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api


def test_pages_follow_one_another_without_gap_or_repeat(api: Api) -> None:
    serials: list[str] = []
    cursor = ""
    while True:
        page = api.ask(f"/v1/meters?limit=30{cursor}").json()
        serials += [meter["serial"] for meter in page["items"]]
        assert page["total_estimate"] == 100
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert serials == sorted(set(serials))
    assert len(serials) == 100


def test_the_link_leads_to_the_next_page(api: Api) -> None:
    answer = api.ask("/v1/meters?limit=60&q=SIM")
    link = answer.headers["link"]
    assert link.endswith('>; rel="next"')
    following = api.ask(link[1 : link.index(">")])
    assert following.json()["items"][0]["serial"] == "SIM00000061"
    assert "link" not in following.headers


def test_search_reaches_the_capability(api: Api) -> None:
    page = api.ask("/v1/meters?q=127.16.0.7").json()
    assert "SIM00000007" in {meter["serial"] for meter in page["items"]}
    assert api.ask("/v1/meters?q=nothing").json()["items"] == []


def test_a_meter_in_the_list(api: Api) -> None:
    items = api.ask("/v1/meters?limit=3").json()["items"]
    assert items[0]["system_title"] == "53494d0000000001"
    assert items[0]["mechanism"] == "hls-gmac"
    assert items[0]["last_session"]["outcome"] == "ok"
    assert items[1]["last_session"]["cause"] == "connect_refused"
    assert items[1]["last_reading_at"] is None
    assert items[2]["last_session"] is None
    assert (items[2]["address"], items[2]["port"]) == (None, None)
    at = datetime.fromisoformat(items[0]["last_reading_at"])
    assert at.utcoffset() is not None


def test_one_meter(api: Api, fleet: FakeFleet) -> None:
    meter = api.ask(f"/v1/meters/{meter_id(0)}").json()
    assert meter["id"] == str(meter_id(0))
    assert meter["timezone"] == "Europe/Berlin"
    assert [each["client_sap"] for each in meter["associations"]] == [16, 1]
    working = meter["associations"][1]
    assert (working["mechanism"], working["policy"]) == ("hls-gmac", "authenticated-encrypted")
    assert meter["next_read"] == {
        "due_at": "2026-11-21T12:08:18Z", "failed_attempts": 0, "reading": False,
    }  # fmt: skip
    assert len(meter["sessions"]) == 20
    assert meter["sessions"][6]["outcome"] == "transport"
    assert meter["sessions"][6]["phase"] == "request"


def test_a_meter_that_only_pushes(api: Api) -> None:
    meter = api.ask(f"/v1/meters/{meter_id(2)}").json()
    assert meter["peer"] == "192.0.2.17"
    assert meter["next_read"] is None
    assert meter["sessions"] == []


def test_no_answer_holds_a_counter_or_a_key(api: Api) -> None:
    body = api.ask(f"/v1/meters/{meter_id(0)}").body
    for word in (b"4711", b"accepted", b"reserved", b"wrapped", b'"ek"', b'"ak"'):
        assert word not in body
