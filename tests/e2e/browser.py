"""Debian's Chromium, driven by Playwright, and what every page of ours must never do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from hes.console import STATIC

CHROMIUM = Path(os.environ.get("HES_CHROMIUM", "/usr/bin/chromium"))
AXE = Path(__file__).resolve().parents[2] / "hes" / "console" / "web" / ".cache" / "axe.min.js"

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Scheme = Literal["light", "dark"]
DESKTOP = (1440, 900)
PHONE = (390, 844)


def require_console() -> None:
    """What is missing is a failure: a skipped page is a page that nobody looked at."""
    if not CHROMIUM.exists():
        pytest.fail(f"no browser at {CHROMIUM}: apt-get install chromium, or set HES_CHROMIUM")
    if not (STATIC / "index.html").exists() or not AXE.exists():
        pytest.fail("the console is not built: make console")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, headless."""
    require_console()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@attrs.define
class Watched:
    """A page of the console at `url` and what it did that it should not have done."""

    page: Page
    url: str
    faults: list[str] = attrs.field(factory=list)
    expected_statuses: set[int] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        origin = urlsplit(self.url)[:2]

        def check_request(address: str) -> None:
            if urlsplit(address).scheme not in {"data", "blob"} and urlsplit(address)[:2] != origin:
                self.faults.append(f"asked another origin: {address}")

        def check_line(kind: str, text: str) -> None:
            expected = any(f"status of {status}" in text for status in self.expected_statuses)
            if kind in {"error", "warning"} and not expected:
                self.faults.append(f"said in its console: {text}")

        self.page.on("request", lambda request: check_request(request.url))
        self.page.on("console", lambda message: check_line(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"threw: {error}"))

    def open(self, path: str) -> Page:
        """Go to an address of the console and wait until it has been drawn."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("h1")
        return self.page

    def axe(self) -> list[str]:
        """What axe-core finds wrong with the page as it stands."""
        # Through the protocol: the page's own policy would refuse an injected script.
        self.page.evaluate(AXE.read_text() + "; undefined")
        result: dict[str, Any] = self.page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',"
            " 'best-practice']})"
        )
        return [
            f"{finding['id']}: {finding['help']}: {json.dumps(node['target'])} {node['html'][:160]}"
            for finding in result["violations"]
            for node in finding["nodes"]
        ]


@contextmanager
def watched(
    browser: Browser,
    url: str,
    *,
    scheme: Scheme = "light",
    size: tuple[int, int] = DESKTOP,
    zone: str = "Europe/Berlin",
) -> Iterator[Watched]:
    """A page in a context of its own; afterwards it must have done nothing wrong."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        timezone_id=zone,
        locale="en-GB",
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    try:
        seen = Watched(context.new_page(), url)
        yield seen
        assert seen.faults == []
    finally:
        context.close()
