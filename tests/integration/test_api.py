"""The API over a real database: what was stored is read, also after the database was away."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from hes import wiring
from hes.domain.ports import Sender, SessionOutcome, SessionPhase, SessionReport
from hes.pipeline import WindowPolicy
from hes.pipeline.replay import Replays
from hes.services import Postgres
from hes.storage.database import Database
from hes.storage.inbound import InboundStore
from hes.storage.migrations import migrate
from hes.storage.sessions import SessionStore
from tests.batches import DAY, IMPORT, NOW, batch, channel, later, open_bus, profile, series
from tests.unit.hes.api.served import Api, served

SERIALS = [f"S{number:05}" for number in range(25)]


@pytest.fixture
def api(database: Database) -> Iterator[Api]:
    """The API as `hes api` builds it."""
    with served(wiring.api(database)) as running:
        yield running


@pytest.fixture
def meters(add_meter: Callable[..., UUID]) -> dict[str, UUID]:
    """25 meters, imported in no order."""
    shuffled = random.Random(5).sample(SERIALS, len(SERIALS))
    return {
        serial: add_meter(
            serial,
            address=f"127.16.0.{int(serial[1:]) + 1}",
            port=4159,
            mechanism="gmac",
            system_title=f"53494d{int(serial[1:]):010x}",
            ek="00" * 16,
            ak="11" * 16,
            commissioned_at="2026-11-01T00:00:00Z",
        )
        for serial in shuffled
    }


def pages(api: Api, path: str) -> Iterator[Any]:
    """All items behind `path`, page by page along the Link header."""
    following: str | None = path
    while following is not None:
        answer = api.ask(following)
        assert answer.status == 200, answer.body
        yield from answer.json()["items"]
        link = answer.headers.get("link")
        following = None if link is None else link[1 : link.index(">")]


def test_all_meters_come_page_by_page(api: Api, meters: dict[str, UUID]) -> None:
    listed = list(pages(api, "/v1/meters?limit=4"))
    assert [meter["serial"] for meter in listed] == SERIALS
    assert [UUID(meter["id"]) for meter in listed] == [meters[serial] for serial in SERIALS]
    assert api.ask("/v1/meters?limit=1").json()["total_estimate"] == 25


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("S0001", 10),
        ("s00017", 1),
        ("127.16.0.25", 1),
        ("53494D0000000018", 1),
        ("%25", 0),
        ("_", 0),
        ("'%20OR%201=1--", 0),
        ("%5C", 0),
        ("%F0%9F%92%A1", 0),
        ("%20%20", 25),
    ],
)
def test_search_is_by_serial_address_or_system_title_and_nothing_else(
    api: Api, meters: dict[str, UUID], search: str, found: int
) -> None:
    page = api.ask(f"/v1/meters?q={search}").json()
    assert (len(page["items"]), page["total_estimate"]) == (found, found)


def test_a_meter_tells_its_security_but_no_secret(api: Api, meters: dict[str, UUID]) -> None:
    answer = api.ask(f"/v1/meters/{meters['S00003']}")
    meter = answer.json()
    assert (meter["serial"], meter["timezone"]) == ("S00003", "Europe/Vienna")
    (association,) = meter["associations"]
    assert association["mechanism"] == "hls-gmac"
    assert association["has_encryption_key"] is True
    assert association["has_authentication_key"] is True
    assert "11111111" not in answer.body.decode()


def test_sessions_are_told_by_phase_outcome_and_cause(
    api: Api, database: Database, meters: dict[str, UUID]
) -> None:
    meter = meters["S00001"]
    sessions = SessionStore(database)
    ended = datetime.now(UTC)
    for number, outcome in enumerate((SessionOutcome.OK, SessionOutcome.SECURITY)):
        sessions.record(
            SessionReport(
                session_id=uuid4(),
                meter_id=meter,
                inbound=False,
                started_at=ended - timedelta(seconds=2 - number),
                ended_at=ended + timedelta(milliseconds=number),
                phase=SessionPhase.ASSOCIATE if number else SessionPhase.DONE,
                outcome=outcome,
                cause="tag_invalid" if number else None,
                octets_in=100,
                octets_out=50,
            )
        )
    last, first = api.ask(f"/v1/meters/{meter}").json()["sessions"]
    assert (last["outcome"], last["phase"], last["cause"]) == (
        "security",
        "associate",
        "tag_invalid",
    )
    assert first["outcome"] == "ok"
    (row,) = [each for each in pages(api, "/v1/meters") if each["id"] == str(meter)]
    assert row["last_session"]["cause"] == "tag_invalid"
    assert api.ask("/v1/stats").json()["sessions_last_minute"] == 2


def test_what_was_stored_is_what_is_read(
    api: Api, database: Database, meters: dict[str, UUID]
) -> None:
    meter = meters["S00002"]
    stored = profile([meter], intervals=96 * 2, start=DAY - timedelta(days=1))
    with open_bus(database) as bus:
        bus.publish(stored)
    channels = list(pages(api, f"/v1/meters/{meter}/channels"))
    assert [each["obis"] for each in channels][:2] == ["1.0.1.8.0.255", "1.0.2.8.0.255"]
    total = 0
    for index, each in enumerate(channels):
        read = list(pages(api, f"/v1/meters/{meter}/readings?channel={each['id']}&limit=50"))
        assert [Decimal(item["value"]) for item in read] == [
            Decimal(100_000 * index + step) / 10 for step in range(192)
        ]
        assert {item["unit"] for item in read} == {"Wh"}
        total += len(read)
    assert api.ask("/v1/stats").json()["readings"] == total == len(stored)


def test_ranges_are_half_open_and_gaps_stay_gaps(
    api: Api, database: Database, meters: dict[str, UUID]
) -> None:
    meter = meters["S00004"]
    key = series(channel(meter))
    with open_bus(database) as bus:
        bus.publish(
            batch([(key, later(DAY, step), None if step == 2 else step) for step in (0, 1, 2, 5)])
        )
    start, end = "2026-11-20T00:15:00Z", "2026-11-20T01:15:00Z"
    items = api.ask(f"/v1/meters/{meter}/readings?from={start}&to={end}").json()["items"]
    assert [(item["captured_at"], item["value"]) for item in items] == [
        ("2026-11-20T00:15:00Z", "0.1"),
        ("2026-11-20T00:30:00Z", None),
    ]


def test_a_revised_value_is_said_to_be(
    api: Api, database: Database, meters: dict[str, UUID]
) -> None:
    meter = meters["S00005"]
    key = series(channel(meter, IMPORT))
    with open_bus(database) as bus:
        bus.publish(batch([(key, DAY, 100)]))
        bus.publish(batch([(key, DAY, 101)]))
    (item,) = api.ask(f"/v1/meters/{meter}/readings").json()["items"]
    assert item["revised"] is True


def test_the_quarantine_shows_unknown_senders_and_rows_outside_the_window(
    api: Api, database: Database, meters: dict[str, UUID]
) -> None:
    InboundStore(database, max_unknown_senders=10, max_unknown_octets=10_000).quarantine(
        Sender(ip_address("127.0.0.1"), system_title=bytes.fromhex("4b464d1020000001")),
        "unknown_meter",
        bytes(range(100)),
        meter_id=None,
        received_at=NOW,
    )
    key = series(channel(meters["S00006"]))
    with open_bus(database) as bus:
        receipt = bus.publish(batch([(key, datetime(1999, 1, 1, tzinfo=UTC), 1)]))
    assert receipt.quarantined == 1
    first, second = pages(api, "/v1/quarantine?limit=1")
    assert (first["reason"], first["meter_serial"]) == ("before_window", "S00006")
    assert second["reason"] == "unknown_meter"
    assert second["meter_id"] is None
    assert second["octets"] == 100
    assert second["raw"] == bytes(range(64)).hex()
    assert "4b464d1020000001" in second["identity"].lower()
    assert (first["rows"], first["state"], second["rows"]) == (1, "open", None)

    asked = api.ask(f"/v1/quarantine/{first['id']}/replay?why=known&any_time=true", "POST")
    assert (asked.status, asked.json()["requested_by"]) == (202, "api")
    assert Replays(database, WindowPolicy()).run_once() == 1
    (left,) = pages(api, "/v1/quarantine?state=open")
    (done,) = pages(api, "/v1/quarantine?state=replayed")
    assert (left["id"], done["id"]) == (second["id"], first["id"])
    assert (done["handled_by"], done["handled_why"]) == ("api", "known")
    assert api.ask(f"/v1/quarantine/{first['id']}/replay?why=x", "POST").status == 409


def test_a_database_that_was_away_is_used_again(
    postgres_factory: Callable[[], Postgres],
) -> None:
    server = postgres_factory()
    server.start()
    with Database(server.url) as database:
        migrate(database)
        with served(wiring.api(database)) as api:
            assert api.ask("/v1/meters").status == 200
            server.kill()
            for path in ("/v1/meters", "/v1/stats", "/v1/quarantine", f"/v1/meters/{uuid4()}"):
                answer = api.ask(path)
                assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
                assert answer.headers["retry-after"] == "5"
            assert api.ask("/healthz").status == 200
            server.start()
            assert api.ask("/v1/meters").status == 200


def test_a_caller_that_hangs_up_disturbs_nobody(api: Api, meters: dict[str, UUID]) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=10)
        connection.request("GET", "/v1/meters?limit=1000")
        connection.close()
    assert len(list(pages(api, "/v1/meters"))) == 25
