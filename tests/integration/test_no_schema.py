"""Commands on a database that nobody has migrated say so, in one line."""

import shlex
from pathlib import Path

import pytest

from hes import wiring
from hes.cli import main


@pytest.mark.parametrize(
    "command",
    [
        "retention ls",
        "retention run",
        "erase C1 --reason r",
        "restore status",
        "restore finish",
        "quarantine ls",
        "quarantine drop 1 --why w",
        "meter ls",
        "meter import {file}",
    ],
)
def test_no_trace_but_what_to_do(
    command: str,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", database_url)
    monkeypatch.delenv("HES_REDIS_URL", raising=False)
    monkeypatch.setenv("HES_DATA", str(tmp_path))
    file = tmp_path / "meters"
    file.write_text('{"serial": "S1", "timezone": "UTC", "address": "127.0.0.1", "port": 4059}\n')
    monkeypatch.setattr("sys.argv", ["hes", *shlex.split(command.format(file=file))])
    wiring.settings.cache_clear()
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        wiring.settings.cache_clear()
    assert left.value.code == 1
    assert "hes migrate" in capsys.readouterr().err
