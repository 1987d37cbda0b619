"""Serving the console: packed files, what may be kept, the page for every address of its own."""

from pathlib import Path

import pytest

from hes.api import create_app
from tests.unit.hes.api.fakes import FakeFleet
from tests.unit.hes.api.served import Api, served


@pytest.mark.parametrize("path", ["/", "/meters", "/meters/018f-x?period=7d", "/quarantine", "//"])
def test_the_page_answers_its_own_addresses(api: Api, path: str) -> None:
    answer = api.ask(path)
    assert answer.status == 200
    assert b"<title>console</title>" in answer.body
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/html")


def test_hashed_files_may_be_kept_for_ever(api: Api) -> None:
    answer = api.ask("/assets/index-abc123.js")
    assert (answer.status, answer.body) == (200, b"plain")
    assert "immutable" in answer.headers["cache-control"]
    assert "javascript" in answer.headers["content-type"]


def test_packed_siblings_go_to_those_that_take_them(api: Api) -> None:
    answer = api.ask("/assets/index-abc123.js", headers={"Accept-Encoding": "gzip, br"})
    assert answer.body == b"\x1f\x8bpacked"
    assert answer.headers["content-encoding"] == "gzip"
    assert "javascript" in answer.headers["content-type"]
    assert "accept-encoding" in answer.headers["vary"].lower()


def test_unchanged_files_are_not_sent_again(api: Api) -> None:
    etag = api.ask("/favicon.svg").headers["etag"]
    answer = api.ask("/favicon.svg", headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.js",
        "/assets/",
        "/assets/index-abc123.js.gz",
        "/.secret",
        "/../.secret",
        "/%2e%2e/.secret",
        "/assets/..%2f..%2f.secret",
        "/assets\\..\\.secret",
        "/none.png",
        "/a/b/c/d/e/f/g/h/i/j",
        "/" + "x" * 300,
        "/%00",
        "/%0d%0aSet-Cookie:x",
        "/<script>",
    ],
)
def test_nothing_else_is_served(api: Api, path: str) -> None:
    answer = api.ask(path.replace("<", "%3C").replace(">", "%3E"))
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


def test_only_reading_is_served(api: Api) -> None:
    assert api.ask("/meters", "HEAD").status == 200
    assert api.ask("/meters", "POST").status == 404


def test_a_console_that_is_not_built_says_how_to(fleet: FakeFleet, tmp_path: Path) -> None:
    with served(create_app(fleet.services(), console=tmp_path / "static")) as api:
        answer = api.ask("/meters")
        assert answer.status == 503
        assert b"make console" in answer.body
        assert api.ask("/v1/meters").status == 200
