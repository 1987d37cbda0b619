"""What every request meets: host check, request id, headers, faults without a trace."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit
from uuid import UUID

import attrs
import pytest
import structlog

from hes.api import create_app
from hes.api.edge import SECURITY_HEADERS, is_loopback_host
from hes.meters import Group, MeterDetail, MeterFilter, MeterPage, Tag
from tests.unit.hes.api.fakes import FakeFleet
from tests.unit.hes.api.served import Api, served


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8080", "127.9.9.9:1", "localhost", "LocalHost:8080", "[::1]",
        "[::1]:8080",
    ],
)  # fmt: skip
def test_loopback_names_pass(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example",
        "10.0.0.1", "0.0.0.0", "[::]", "::1", "127.0.0.1:port", "127.0.0.1@evil.example",
        "127.0.0.1:8080/x", "[::1", "localhost:99999999", "127.1", "0x7f000001",
    ],
)  # fmt: skip
def test_other_names_do_not(host: str) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize("path", ["/", "/v1/meters", "/openapi.json", "/nonsense"])
def test_a_page_of_a_foreign_name_is_told_nothing(api: Api, path: str) -> None:
    answer = api.ask(path, headers={"Host": "rebound.example"})
    assert (answer.status, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("path", ["/", "/v1/meters", "/openapi.json", "/v1/none", "/healthz"])
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    answer = api.ask(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert "aiohttp" not in str(answer.headers).lower()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy  # so that default-src holds: no inline script
    assert "frame-ancestors 'none'" in policy


def test_answers_of_the_api_are_not_kept(api: Api) -> None:
    assert api.ask("/v1/meters").headers["cache-control"] == "no-store"
    assert api.ask("/v1/none").headers["cache-control"] == "no-store"


def test_a_request_id_is_taken_over(api: Api) -> None:
    given = "trace-0.1:2_3"
    answer = api.ask("/v1/none", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "<script>", "ä"])
def test_an_odd_request_id_is_replaced(api: Api, given: str) -> None:
    headers = {"X-Request-Id": given.encode("latin-1").decode("latin-1")}
    taken = api.ask("/v1/none", headers=headers).headers["x-request-id"]
    assert taken != given
    assert len(taken) == 32


def test_a_database_that_is_away_is_said_to_be(api: Api, fleet: FakeFleet) -> None:
    fleet.down = True
    answer = api.ask("/v1/meters")
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert b"10.9.8.7" not in answer.body
    assert api.ask("/healthz").status == 200
    fleet.down = False
    assert api.ask("/v1/meters").status == 200


@attrs.frozen
class _Faulty:
    """An inventory with a fault of ours."""

    def page(
        self, cursor: str | None, limit: int, search: str | None, wanted: MeterFilter
    ) -> MeterPage:
        return _fail("SELECT secret FROM vault")

    def get(self, meter_id: UUID) -> MeterDetail:
        return _fail("/opt/hes/secret.py")

    def groups(self) -> Sequence[Group]:
        return _fail("groups")

    def tags(self) -> Sequence[Tag]:
        return _fail("tags")


def _fail(text: str) -> NoReturn:
    raise RuntimeError(text)


@pytest.fixture
def faulty(fleet: FakeFleet) -> Iterator[Api]:
    services = attrs.evolve(fleet.services(), inventory=_Faulty())
    with served(create_app(services, console=None)) as running:
        yield running


def test_a_fault_of_ours_goes_to_the_log_and_not_to_the_caller(faulty: Api) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = faulty.ask("/v1/meters", headers={"X-Request-Id": "r1"})
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    for word in (b"SELECT", b"Traceback", b"RuntimeError", b".py"):
        assert word not in answer.body
    (line,) = [each for each in lines if each["event"] == "api_request_failed"]
    assert (line["request_id"], line["route"]) == ("r1", "/v1/meters")


def _raw(api: Api, request: bytes) -> tuple[bytes, bytes]:
    where = urlsplit(api.url)
    with closing(socket.create_connection((where.hostname, where.port), timeout=30)) as line:
        line.sendall(request)
        received = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /v1/meters HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /v1/meters?q=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /v1/meters HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"400"),
        (b"BREW /v1/meters HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /v1/meters HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (
            (
                b"POST /v1/meters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            b"400",
        ),
    ],
    ids=[
        "version",
        "tls",
        "long header",
        "long target",
        "two hosts",
        "method",
        "no host",
        "smuggled",
    ],
)
def test_malformed_http_is_refused_without_a_trace(
    api: Api, caplog: pytest.LogCaptureFixture, request_: bytes, status: bytes
) -> None:
    with structlog.testing.capture_logs() as lines:
        head, body = _raw(api, request_)
    assert head.split(b" ")[1] == status
    assert b"Traceback" not in body
    assert b".py" not in body
    assert not caplog.records  # no trace in the log either: one line of ours
    assert {line["event"] for line in lines} <= {"http_request_malformed"}
    assert api.ask("/healthz").status == 200


def test_a_body_that_nobody_asked_for_is_not_read_for_ever(api: Api) -> None:
    head, _ = _raw(
        api,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Length: 1000000000\r\n\r\n" + b"x" * 100_000,
    )
    assert head.startswith(b"HTTP/1.1 200")


def test_without_a_console_its_addresses_lead_nowhere(fleet: FakeFleet, tmp_path: Path) -> None:
    with served(create_app(fleet.services(), console=None)) as api:
        answer = api.ask("/")
        assert (answer.status, answer.json()["code"]) == (404, "not_found")
        assert json.loads(api.ask("/healthz").body)["status"] == "ok"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_no_foreign_page_changes_anything(
    api: Api, fleet: FakeFleet, headers: dict[str, str], status: int
) -> None:
    filled = {name: value.format(own=api.url) for name, value in headers.items()}
    answer = api.ask("/v1/quarantine/70/replay?why=x", "POST", filled)
    assert answer.status == status
    assert bool(fleet.replays) == (status == 202)
    if status == 403:
        assert answer.json()["code"] == "origin_not_allowed"
    assert api.ask("/v1/stats", headers=filled).status == 200
