"""What a request brings in its body, over plain HTTP."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import attrs
import pytest
from aiohttp import web

from hes.api import bodies, server
from hes.api.bodies import Body, Upload, decode_json, serve_uploads
from hes.api.edge import edge
from hes.api.problems import ProblemError
from hes.api.routes import SERVICES, WORKERS, Call, Nothing, Routes, bind
from hes.api.workers import Workers
from tests.unit.hes.api.served import Api, served


class Wish(Body):
    name: str
    times: tuple[int, ...] = ()


@attrs.frozen
class Echo:
    said: str


_routes = Routes("things")


@_routes.route("POST", "/v1/wish", returns={201: Echo}, body=Wish)
def wish(_: Call[Nothing, Nothing], body: Wish) -> Echo:
    """Wish."""
    return Echo(body.name * sum(body.times))


@_routes.route("POST", "/v1/file", returns={200: Echo}, upload=["text/csv"])
def take(_: Call[Nothing, Nothing], upload: Upload) -> Echo:
    """Take a file."""
    return Echo(f"{upload.media_type} {len(upload.file.read())}")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(server, "_LINGER_S", 0.05)
    app = web.Application(middlewares=[edge(None)], client_max_size=4096)
    app[SERVICES] = None  # type: ignore[misc] # nothing here asks for any
    app[WORKERS] = Workers(threads=1)
    serve_uploads(app)
    bind(app, _routes.declared)
    with served(app) as running:
        yield running
    app[WORKERS].close()


def post(api: Api, path: str, body: bytes, media_type: str) -> tuple[int, bytes]:
    where = urlsplit(api.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=10)
    connection.request("POST", path, body, {"Content-Type": media_type})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_a_body_reaches_the_handler_checked(api: Api) -> None:
    assert post(api, "/v1/wish", b'{"name": "ab", "times": [1, 2]}', "application/json") == (
        201,
        b'{"said":"ababab"}',
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"name": 7}', "/body/name"),
        (b'{"name": "a", "times": [1, "x"]}', "/body/times/1"),
        (b'{"nam": "a"}', "/body"),
        (b"[]", "/body"),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, "/body"),
    ],
)
def test_a_wrong_body_says_where_and_quotes_nothing(body: bytes, pointer: str | None) -> None:
    with pytest.raises(ProblemError) as caught:
        decode_json(body, Wish)
    assert caught.value.kind.code == "body_invalid"
    assert [error.pointer for error in caught.value.errors] == ([pointer] if pointer else [])


def test_a_form_is_not_taken_for_json(api: Api) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        status, said = post(api, "/v1/wish", b'{"name": "a"}', media_type)
        assert (status, b"media_type_unsupported" in said) == (415, True)


def test_a_body_beyond_the_limit_is_refused(api: Api) -> None:
    body = b'{"name": "' + b"x" * 5000 + b'"}'
    assert post(api, "/v1/wish", body, "application/json")[0] == 413


def test_a_file_may_be_longer_than_a_body_but_not_without_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = post(api, "/v1/file", b"x" * 3_000_000, "text/csv; charset=utf-8")
    assert (status, said) == (200, b'{"said":"text/csv 3000000"}')
    monkeypatch.setattr(bodies, "UPLOAD_LENGTH_OCTETS", 1000)
    assert post(api, "/v1/file", b"x" * 1001, "text/csv")[0] == 413
    assert post(api, "/v1/file", b"x", "application/json")[0] == 415


def test_a_file_that_stops_arriving_holds_no_place_for_long(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_IDLE_S", 0.05)
    monkeypatch.setattr(bodies, "_AT_ONCE", 1)
    where = urlsplit(api.url)
    head = b"POST /v1/file HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    for _ in range(2):  # the second finds the first one's place free
        with socket.create_connection((str(where.hostname), where.port), timeout=10) as line:
            line.sendall(head + b"Content-Length: 100\r\n\r\nonly this")
            with line.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 408 ")  # to its end: it hangs up
