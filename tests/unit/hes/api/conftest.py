"""A running API over the made-up fleet."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hes.api import create_app
from tests.unit.hes.api.fakes import FakeFleet
from tests.unit.hes.api.served import Api, served

NOW = datetime(2026, 11, 21, 12, 7, 30, tzinfo=UTC)


@pytest.fixture
def fleet() -> FakeFleet:
    """The fleet behind `api`; its answers can be changed under it."""
    return FakeFleet(now=NOW)


@pytest.fixture
def console(tmp_path: Path) -> Path:
    """A built console of few octets."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>console</title>")
    (tmp_path / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "assets" / "index-abc123.js").write_text("plain")
    (tmp_path / "assets" / "index-abc123.js.gz").write_bytes(b"\x1f\x8bpacked")
    (tmp_path / ".secret").write_text("no")
    return tmp_path


@pytest.fixture
def api(fleet: FakeFleet, console: Path) -> Iterator[Api]:
    """The API at a loopback address."""
    with served(create_app(fleet.services(), console=console)) as running:
        yield running
