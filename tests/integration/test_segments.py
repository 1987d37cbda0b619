"""Segments by the command line: made, limited, listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import UUID

import pytest
from click.testing import CliRunner

from hes.cli.segment import segment
from hes.storage.database import Database
from hes.storage.leases import LeaseStore

AddMeter = Callable[..., UUID]


@pytest.fixture
def hes(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    from hes import wiring

    monkeypatch.setenv("HES_DATABASE_URL", migrated_url)
    wiring.settings.cache_clear()

    def run(*arguments: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(segment, arguments)
        assert result.exit_code == exit_code, result.output
        return result.output

    return run


def test_a_segment_is_limited_and_listed(
    hes: Callable[..., str], database: Database, add_meter: AddMeter
) -> None:
    for n in range(3):
        add_meter(f"S{n}", address="127.16.0.1", port=4159, segment="cell 7")
    hes("set", "cell 7", "--max-sessions", "2", "--connections-per-s", "0.5", "--kind", "cell")
    assert len(LeaseStore(database).take(holder="a", limit=9, lease_s=60)) == 2
    [row] = json.loads(hes("ls", "-o", "json"))
    assert row == {
        "name": "cell 7", "kind": "cell", "max_sessions": 2, "connections_per_s": 0.5,
        "meters": 3, "running": 2,
    }  # fmt: skip
    hes("set", "cell 7", "--max-sessions", "none", "--dry-run")
    assert LeaseStore(database).take(holder="a", limit=9, lease_s=60) == []
    hes("set", "cell 7", "--max-sessions", "none")
    assert len(LeaseStore(database).take(holder="a", limit=9, lease_s=60)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("x" * 65,),
        ("a\0b",),
        ("a", "--max-sessions", "0"),
        ("a", "--max-sessions", "1e3"),
        ("a", "--connections-per-s", "nan"),
        ("a", "--connections-per-s", "-1"),
        ("a", "--kind", "moon"),
    ],
)
def test_what_is_no_limit_is_refused(hes: Callable[..., str], arguments: tuple[str, ...]) -> None:
    hes("set", *arguments, exit_code=2)
    assert json.loads(hes("ls", "-o", "json")) == []
