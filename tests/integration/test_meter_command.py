"""`hes meter`: data on stdout, chatter on stderr, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from hes import wiring
from hes.cli.meter import meter

ROW = {
    "serial": "S1",
    "timezone": "Europe/Vienna",
    "address": "127.16.0.1",
    "port": 4159,
    "mechanism": "gmac",
    "ek": "c0ffee00" * 4,
    "ak": "c0ffee11" * 4,
    "system_title": "48455300000000a1",
}


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hes = Callable[..., Outcome]


def settings_of(migrated_url: str, data: Path) -> Mapping[str, str]:
    return {"HES_DATABASE_URL": migrated_url, "HES_DATA": str(data)}


@pytest.fixture
def hes(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hes]:
    """Run `hes meter …` in this process."""
    for name, value in settings_of(migrated_url, tmp_path).items():
        monkeypatch.setenv(name, value)
    wiring.settings.cache_clear()

    def run(*arguments: str, stdin: str = "") -> Outcome:
        result = CliRunner().invoke(meter, arguments, input=stdin, catch_exceptions=False)
        assert "c0ffee" not in result.output
        return Outcome(result.exit_code, result.stdout, result.stderr)

    yield run
    wiring.settings.cache_clear()


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_file_goes_in_and_comes_out(hes: Hes, tmp_path: Path) -> None:
    file = tmp_path / "meters.jsonl"
    file.write_text(lines(ROW, {"serial": "S2", "timezone": "UTC"}))
    dry = hes("import", str(file), "--dry-run", "-o", "json")
    assert (dry.code, dry.json["created"], dry.json["dry_run"]) == (0, 2, True)
    assert hes("ls", "-o", "json").json == []
    done = hes("import", str(file), "-o", "json")
    assert (done.code, done.json["created"], done.err) == (0, 2, "")
    again = hes("import", str(file))
    assert (again.code, again.err) == (0, "")
    assert "2 kept" in again.out
    assert (tmp_path / "kek").stat().st_mode & 0o777 == 0o600

    listed = hes("ls", "-o", "ndjson")
    first, second = [json.loads(line) for line in listed.out.splitlines()]
    assert (first["serial"], first["mechanism"], first["system_title"]) == (
        "S1",
        "gmac",
        "48455300000000a1",
    )
    assert second["serial"] == "S2"
    assert hes("ls", "--search", "a1", "-o", "csv").out.splitlines()[1].startswith("S1,")
    shown = hes("show", "S1", "-o", "json").json
    assert shown["associations"][0]["policy"] == "authenticated_encrypted"
    assert shown["meter_id"] == first["meter_id"]
    by_id = hes("show", first["meter_id"])
    assert by_id.code == 0
    assert "127.16.0.1" in by_id.out
    assert hes("show", "S1", "-o", "csv").out.startswith("serial,")


def test_rows_with_errors_are_listed(hes: Hes) -> None:
    bad = {**ROW, "serial": "S9", "ek": "c0ffee"}
    partial = hes("import", "-", "-o", "json", stdin=lines(ROW, bad))
    assert partial.code == 3
    (error,) = partial.json["errors"]
    assert (error["line"], error["serial"], error["field"]) == (2, "S9", "ek")
    nothing = hes("import", "-", stdin=lines(bad))
    assert nothing.code == 1
    assert "S9" in nothing.out
    listed = hes("import", "-", "-o", "csv", stdin=lines(bad))
    assert listed.out.splitlines()[0] == "line,serial,field,message"
    assert "1 failed" in listed.err


def test_one_meter_is_added_from_stdin(hes: Hes) -> None:
    assert hes("add", "-", stdin=json.dumps(ROW, indent=2)).code == 0
    twice = hes("add", "-", "-o", "json", stdin=json.dumps(ROW))
    assert (twice.code, twice.json["errors"][0]["field"]) == (1, "serial")
    assert hes("add", "-", stdin="").code == 2
    assert hes("add", "-", stdin="{" * 20_000).code == 1


def test_pages_go_on_where_they_ended(hes: Hes) -> None:
    rows = [{"serial": f"S{i}", "timezone": "UTC"} for i in range(5)]
    assert hes("import", "-", stdin=lines(*rows)).code == 0
    first = hes("ls", "--limit", "2", "-o", "json")
    assert "--cursor" in first.err
    cursor = first.err.split("--cursor ")[1].split()[0]
    second = hes("ls", "--limit", "3", "--cursor", cursor, "-o", "json")
    assert second.err == ""
    whole = hes("ls", "--limit", "2", "--all", "-o", "json")
    assert first.json + second.json == whole.json
    assert [row["serial"] for row in whole.json] == [row["serial"] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "--limit", "0"), "limit"),
        (("import", "/nonexistent"), "nonexistent"),
        (("import", "-", "--on-existing", "merge"), "merge"),
    ],
)
def test_wrong_usage_has_its_own_code(hes: Hes, arguments: tuple[str, ...], said: str) -> None:
    failed = hes(*arguments)
    assert (failed.code, failed.out) == (2, "")
    assert said in failed.err


@pytest.mark.parametrize(
    ("arguments", "said"), [(("show", "S9"), "no meter 'S9'"), (("ls", "--cursor", "x"), "cursor")]
)
def test_what_goes_wrong_is_one_line(
    migrated_url: str, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HES_")},
        **settings_of(migrated_url, tmp_path),
    }
    failed = subprocess.run(
        [sys.executable, "-m", "hes", "meter", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    (line,) = failed.stderr.splitlines()
    assert said in line
    # Looking needs no KEK, so it makes none.
    assert not (tmp_path / "kek").exists()
