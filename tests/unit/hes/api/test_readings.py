"""Operations on readings."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hes.api.readings import _text
from tests.unit.hes.api.conftest import NOW
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api

METER = f"/v1/meters/{meter_id(0)}"
LAST = NOW.replace(minute=0, second=0)


def _at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def test_channels_come_with_the_one_that_people_want_first(api: Api) -> None:
    page = api.ask(f"{METER}/channels").json()
    assert [channel["obis"] for channel in page["items"]] == [
        "1.0.1.8.0.255",  # profile, imported energy
        "1.0.2.8.0.255",  # profile, exported energy
        "1.0.32.7.0.255",  # profile, the rest
        "1.0.1.7.0.255",  # spot
        "0.0.96.10.1.255",  # status
    ]
    assert page["items"][0]["source"] == "1.0.99.1.0.255"
    assert page["items"][0]["capture_period_s"] == 900
    assert page["items"][3]["source"] is None
    assert (page["has_more"], page["next_cursor"], page["total_estimate"]) == (False, None, 5)


def test_a_meter_without_channels_has_none(api: Api) -> None:
    assert api.ask(f"/v1/meters/{meter_id(1)}/channels").json()["items"] == []


def test_without_a_choice_the_first_channel_is_read(api: Api) -> None:
    page = api.ask(f"{METER}/readings?limit=1").json()
    assert page["channel"]["obis"] == "1.0.1.8.0.255"
    assert page["channel"]["kind"] == "cumulative"
    assert page["channel"]["stamped_at"] == "end"


@pytest.mark.parametrize(
    ("query", "obis"),
    [
        ("channel=4", "1.0.1.7.0.255"),
        ("obis=1.0.2.8.0.255", "1.0.2.8.0.255"),
        ("source=1.0.99.1.0.255", "1.0.1.8.0.255"),
        ("obis=1.0.32.7.0.255&source=1.0.99.1.0.255", "1.0.32.7.0.255"),
    ],
)
def test_a_channel_is_chosen_by_id_obis_or_source(api: Api, query: str, obis: str) -> None:
    assert api.ask(f"{METER}/readings?limit=1&{query}").json()["channel"]["obis"] == obis


def test_the_range_is_half_open(api: Api) -> None:
    query = f"from={_at(LAST - timedelta(hours=1))}&to={_at(LAST)}"
    items = api.ask(f"{METER}/readings?{query}").json()["items"]
    assert [item["captured_at"] for item in items] == [
        _at(LAST - timedelta(minutes=minutes)) for minutes in (60, 45, 30, 15)
    ]


def test_times_are_taken_with_any_offset_and_given_in_utc(api: Api) -> None:
    start = (LAST - timedelta(minutes=15)).astimezone(UTC)
    written = start.isoformat().replace("+00:00", "%2B00:00")
    items = api.ask(f"{METER}/readings?from={written}").json()["items"]
    assert items[0]["captured_at"] == _at(start)


def test_values_are_exact_decimal_strings_with_unit_and_flags(api: Api) -> None:
    page = api.ask(f"{METER}/readings?from={_at(LAST - timedelta(hours=8))}").json()
    by_time = {item["captured_at"]: item for item in page["items"]}
    good = by_time[_at(LAST)]
    assert isinstance(good["value"], str)
    assert Decimal(good["value"]) % Decimal("0.1") == 0
    assert (good["unit"], good["quality"], good["revised"]) == ("Wh", [], False)
    missing = by_time[_at(LAST - 30 * timedelta(minutes=15))]
    assert (missing["value"], missing["quality"]) == (None, ["missing"])
    doubtful = by_time[_at(LAST - 20 * timedelta(minutes=15))]
    assert doubtful["quality"] == ["clock_doubtful"]
    assert by_time[_at(LAST - 12 * timedelta(minutes=15))]["revised"] is True


def test_pages_hold_every_reading_once(api: Api, fleet: FakeFleet) -> None:
    times: list[str] = []
    cursor = ""
    while True:
        page = api.ask(f"{METER}/readings?limit=100{cursor}").json()
        times += [item["captured_at"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert times == [_at(row.reading.captured_at) for row in fleet.rows(3)]


def test_a_cursor_keeps_to_its_channel(api: Api) -> None:
    cursor = api.ask(f"{METER}/readings?limit=1&channel=2").json()["next_cursor"]
    following = api.ask(f"{METER}/readings?limit=1&cursor={cursor}").json()
    assert following["channel"]["id"] == 2
    for query in (f"channel=3&cursor={cursor}", f"obis=1.0.1.8.0.255&cursor={cursor}"):
        assert api.ask(f"{METER}/readings?{query}").json()["code"] == "cursor_invalid"
    other = api.ask(f"/v1/meters/{meter_id(4)}/readings?cursor={cursor}")
    assert other.json()["code"] == "cursor_invalid"
    assert api.ask(f"/v1/quarantine?cursor={cursor}").json()["code"] == "cursor_invalid"


def test_an_empty_range_is_an_empty_page(api: Api) -> None:
    page = api.ask(f"{METER}/readings?to=2000-01-01T00:00:00Z").json()
    assert (page["items"], page["has_more"], page["next_cursor"]) == ([], False, None)


def test_an_interval_gives_buckets_with_what_they_come_to(api: Api, fleet: FakeFleet) -> None:
    start = fleet.last_quarter - timedelta(hours=3)
    page = api.ask(f"{METER}/readings?interval=hour&from={_at(start)}&limit=2").json()
    first, second = page["items"]
    assert (first["captured_at"], first["value"], first["unit"]) == (_at(start), "2.50", "Wh/hour")
    rolled = first["rolled_up"]
    assert rolled["until"] == second["captured_at"]
    assert Decimal(rolled["last"]) - Decimal(rolled["first"]) == 2
    assert (rolled["min"], rolled["max"]) == (rolled["first"], rolled["last"])
    assert (rolled["sum"], rolled["samples"], rolled["expected"]) == ("2.50", 4, 4)
    assert page["has_more"] is True
    following = api.ask(f"{METER}/readings?interval=hour&cursor={page['next_cursor']}").json()
    assert following["items"][0]["captured_at"] == _at(start + timedelta(hours=2))


def test_without_an_interval_nothing_is_rolled_up(api: Api) -> None:
    assert api.ask(f"{METER}/readings?limit=1").json()["items"][0]["rolled_up"] is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("interval=day&timezone=Asia/Kolkata", "timezone_invalid"),
        ("interval=day&timezone=Europe/Atlantis", "timezone_invalid"),
        ("interval=day&timezone=../etc/passwd", "timezone_invalid"),
        ("interval=week", "parameter_invalid"),
    ],
)
def test_what_cannot_be_rolled_up_so_is_refused(api: Api, query: str, code: str) -> None:
    answer = api.ask(f"{METER}/readings?{query}")
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert api.ask(f"{METER}/readings?limit=1&interval=day&timezone=Europe/Athens").status == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(5).scaleb(3), "5000"),
        (Decimal(5).scaleb(-10), "0.0000000005"),
        (Decimal(-684).scaleb(-1), "-68.4"),
        (Decimal(9223372036854775807), "9223372036854775807"),
        (230.1, "230.1"),
        ("on", "on"),
        (None, None),
    ],
)
def test_no_value_is_written_with_an_exponent_or_rounded(
    value: Decimal | float | str | None, text: str | None
) -> None:
    assert _text(value) == text


def test_the_latest_reading_of_each_channel(api: Api, fleet: FakeFleet) -> None:
    answer = api.ask(f"/v1/meters/{meter_id(0)}/latest").json()
    assert answer["read_from"] == "cache"
    channels = {one.channel_id: one for one in fleet.channels(0)}
    assert {item["channel"] for item in answer["items"]} == channels.keys()
    for item in answer["items"]:
        last = fleet.rows(item["channel"])[-1].reading
        assert datetime.fromisoformat(item["reading"]["captured_at"]) == last.captured_at
        assert item["obis"] == str(channels[item["channel"]].key.obis)
    assert api.ask(f"/v1/meters/{meter_id(1)}/latest").json()["items"] == []
    assert api.ask(f"/v1/meters/{meter_id(5000)}/latest").status == 404
