"""`hes meter state`, `exchange` and the others that change one meter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hes.cli.meter import meter
from hes.domain.life import BadTransitionError
from hes.meters import RefusedError
from tests.integration.test_meter_command import Hes, hes  # noqa: F401 - a fixture

ROW = {
    "serial": "S1",
    "timezone": "Europe/Vienna",
    "address": "10.0.0.1",
    "site": "Mill",
    "installed_at": "2026-01-01T00:00:00Z",
    "commissioned_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def one(hes: Hes) -> Hes:  # noqa: F811
    """`hes meter`, with one meter in the inventory."""
    assert hes("add", "-", stdin=json.dumps(ROW)).code == 0
    return hes


def shown(hes: Hes, name: str) -> dict[str, object]:  # noqa: F811
    document: dict[str, object] = hes("show", name, "-o", "json").json
    return document


def test_a_life_from_the_command_line(one: Hes) -> None:
    tried = one("state", "S1", "suspended", "--reason", "storm", "--dry-run")
    assert tried.err == "dry run, nothing written: S1 is suspended\n"
    assert shown(one, "S1")["state"] == "in_service"
    assert one("state", "S1", "suspended", "--reason", "storm").err == "S1 is suspended\n"
    assert one("state", "S1", "suspended", "--reason", "x").err == "S1 is suspended already\n"
    life = shown(one, "S1")["life"]
    assert isinstance(life, list)
    assert [step["state"] for step in life] == ["suspended", "in_service"]
    assert life[0]["reason"] == "storm"
    assert life[0]["actor"]
    assert one("state", "S1", "lost", "--reason", "x").code == 2
    assert one("state", "S1", "retired").code == 2  # without a reason
    with pytest.raises(BadTransitionError):
        one("state", "S1", "discovered", "--reason", "x")


def test_an_exchange_from_the_command_line(one: Hes, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    new.write_text(json.dumps({"serial": "S2", "mechanism": "lls", "secret": "c0ffee00"}))
    done = one(
        "exchange", "S1", str(new), "--at", "2026-05-01T12:00:00+02:00", "--reason", "age",
        "--last", "1.0.1.8.0.255=17.5", "--last", "1.0.2.8.0.255=0", "--first", "1-0:1.8.0=0",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "S2 hangs in place of S1 since 2026-05-01T10:00:00Z\n")
    [exchange] = shown(one, "S2")["exchanges"]  # type: ignore[misc]
    assert exchange["last_registers"] == {"1.0.1.8.0.255": "17.5", "1.0.2.8.0.255": "0"}  # type: ignore[has-type]
    assert shown(one, "S1")["state"] == "retired"
    assert one("ls", "--state", "retired", "-o", "ndjson").json["serial"] == "S1"
    assert one("exchange", "S2", "S1", "--at", "yesterday", "--reason", "x").code == 2
    with pytest.raises(RefusedError, match="retired already"):
        one("exchange", "S1", "S2", "--at", "2026-06-01T00:00:00Z", "--reason", "x")


def test_words_from_the_command_line(one: Hes) -> None:
    assert one("tag", "S1", "--add", "solar", "--add", "new").out == "new\nsolar\n"
    assert one("tag", "S1", "--remove", "new", "--dry-run").out == "solar\n"
    assert one("tag", "S1").out == "new\nsolar\n"
    assert one("group", "S1", "--add", "north").out == "north\n"
    assert one("groups", "-o", "csv").out == "group,meters\nnorth,1\n"
    assert one("tags", "-o", "ndjson").out.splitlines()[1] == '{"tag": "solar", "meters": 1}'
    assert one("change", "S1", "segment=cell 7", "model=odd").code == 0
    assert one("change", "S1", "model=").err == "S1: model changed\n"
    assert (shown(one, "S1")["segment"], shown(one, "S1")["model"]) == ("cell 7", None)
    with pytest.raises(RefusedError, match="ek: cannot be changed by this"):
        one("change", "S1", "ek=00")


def test_associations_and_channels_from_the_command_line(one: Hes) -> None:
    secret = json.dumps({"mechanism": "lls", "secret": "c0ffee00", "role": "reader"})
    assert one("associate", "S1", "2", "-", stdin=secret).code == 0
    rows = shown(one, "S1")["associations"]
    assert isinstance(rows, list)
    assert [(row["client_sap"], row["role"], row["has_secret"]) for row in rows] == [
        (1, "management", False),
        (2, "reader", True),
    ]
    assert one("dissociate", "S1", "2").code == 0
    assert one("associate", "S1", "2", "-", stdin="[]").code == 2
    child = json.dumps({"serial": "G1", "timezone": "Europe/Vienna"})
    assert one("add", "-", stdin=child).code == 0
    assert one("attach", "S1", "1", "G1").err == "G1 hangs at channel 1 of S1\n"
    assert "G1" in one("show", "S1").out
    assert one("detach", "S1", "1").err == "channel 1 of S1 is free\n"
    assert one("detach", "S1", "1").err == "channel 1 of S1 is free already\n"


def test_a_csv_goes_in(one: Hes, tmp_path: Path) -> None:
    file = tmp_path / "meters.csv"
    file.write_bytes(b"serial;timezone;tags\r\nS1;Europe/Vienna;\r\nS2;Europe/Vienna;a|b\r\n")
    assert one("import", str(file)).out == "2 rows, 1 created, 0 replaced, 1 kept, 0 failed\n"
    assert one("import", str(file), "--format", "ndjson").code == 1
    assert one("ls", "--tag", "b", "-o", "ndjson").json["serial"] == "S2"


def test_every_verb_that_acts_can_be_tried() -> None:
    shows = {"ls", "show", "groups", "tags"}
    for name, command in meter.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--dry-run" in options) == (name not in shows), name
    assert CliRunner().invoke(meter, ["tag", "--help"]).exit_code == 0
