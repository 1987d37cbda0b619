"""`hes sim models`: what there is, what one holds, and what a broken file says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hes.models
from hes.cli import main
from hes.cli.errors import FAILURE, NOT_ALLOWED, USAGE, exit_code
from hes.cli.sim import sim
from hes.models import ModelFileError, models


def printed(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(sim, ["models", *arguments, "-o", "json"])
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_simulated_models_are_listed() -> None:
    rows = {row["name"]: row for row in printed()}
    assert len(rows) >= 10
    assert sorted(rows) == list(rows)
    smr = rows["dsmr-smr5"]
    assert smr["kind"] == "electricity + gas + water"
    assert "management 1 hls-gmac" in smr["clients"]
    assert smr["profiles"] == 9
    assert "Dutch Smart Meter Requirements" in smr["source"]
    assert rows["nordic-han"]["transport"] == "hdlc"
    assert rows["nordic-han"]["listens"] is False
    assert "kaifa-ma" not in rows


def test_models_that_are_only_read() -> None:
    rows = {row["name"]: row for row in printed("--known")}
    assert rows["kaifa-ma"]["push_layouts"] == 6
    assert "nordic-han" not in rows


def test_objects_of_one() -> None:
    rows = {row["logical_name"]: row for row in printed("is-15959-single-phase")}
    assert rows["1.0.1.29.0.255"]["value"] == "interval(import_wh)"
    assert rows["1.0.12.7.0.255"]["unit"] == "10^-1 V"
    assert rows["0.0.96.3.10.255"]["class_name"] == "disconnect control"


def test_a_name_that_is_none() -> None:
    result = CliRunner().invoke(sim, ["models", "nothing"])
    assert result.exit_code == USAGE
    assert "nothing is none of austria-mbus-push" in result.stderr


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(hes.models, "_folder", lambda: tmp_path)
    models.cache_clear()
    yield tmp_path
    models.cache_clear()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'name = "a"', "model a: maker is missing"),
        (b"\xff", "a.toml: .*can't decode"),
        (b"a =", "a.toml: "),
    ],
)
def test_a_broken_file_is_told_with_its_place(broken: Path, text: bytes, told: str) -> None:
    (broken / "a.toml").write_bytes(text)
    with pytest.raises(ModelFileError, match=told) as caught:
        models()
    assert exit_code(caught.value) == FAILURE


def test_what_the_system_forbids_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/no/such/folder")

    monkeypatch.setattr("hes.cli.cli.main", refuse)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == NOT_ALLOWED
    assert capsys.readouterr().err == "hes: /no/such/folder: Permission denied\n"
