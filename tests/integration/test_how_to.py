"""What the documents tell people to run, run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from click.testing import CliRunner

import hes.models
from hes.cli import cli
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import Model
from hes_simulators import Fleet, FleetSettings, Security, known_models
from hes_simulators.scenario import MockedPace
from hes_simulators.scenario.director import Director
from hes_simulators.scenario.errors import ScenarioError
from hes_simulators.scenario.file import parse_scenario
from hes_simulators.truth import ListJournal
from tests.integration.commands import Commands

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = [ROOT / "README.md", HOW_TO / "simulate-a-fleet.md", HOW_TO / "add-a-meter-model.md"]
FLEET, MODEL = (path.read_text(encoding="utf-8") for path in PAGES[1:])
NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
# Not those that other fleets on this machine have.
APART = ("--port", "0", "--network", "127.54.0.0/16")


@attrs.frozen
class Told:
    """A command of a document, and the line that it shows below."""

    words: tuple[str, ...]
    answer: str

    def __str__(self) -> str:
        return " ".join(self.words)


def told(text: str) -> Iterator[Told]:
    """The commands of `hes` in its blocks; a line may go on behind a backslash."""
    for block in re.findall(r"^```(?:console)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        lines = [*block.replace("\\\n", " ").splitlines(), ""]
        for line, below in pairwise(lines):
            found = re.fullmatch(r"(?:\$ )?(?:[A-Z_]+=\S+ +)*hes +(.*)", line)
            if found:
                words = tuple(shlex.split(found[1], comments=True))
                yield Told(words, "" if below.startswith("$") else below)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_place(ready: str) -> str:
    """A `ready:` line, wherever it is that meters are found."""
    return re.sub(r"on 127\.\d+\.0\.0/16, port \d+", "", ready)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_commands_have_the_options_that_pages_give_them(page: Path) -> None:
    commands = list(told(page.read_text(encoding="utf-8")))
    assert len(commands) > 3
    for command in commands:
        # Help comes once all words have been read: nothing begins.
        result = CliRunner().invoke(cli, [*command.words, "--help"])
        assert result.exit_code == 0, f"{command}: {result.output}"


def test_a_fleet_and_what_is_done_to_it(tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    (tmp_path / "street.toml").write_text(blocks(FLEET, "toml")[0])
    begun = [one for one in told(FLEET) if one.words[:2] == ("sim", "run")]
    faults = [one for one in told(FLEET) if one.words[:2] == ("sim", "fault")]
    assert len(begun) == 4
    assert len(faults) == 5
    for one in begun:
        with commands.running(*one.words, *APART) as ready:
            if one.answer:
                assert without_place(ready) == without_place(one.answer)
            if one is begun[0]:
                assert len((tmp_path / "meters.jsonl").read_text().splitlines()) == 100
                for fault in faults:
                    done = commands.run(*fault.words)
                    assert done.exit_code == 0, f"{fault}: {done.output}"
                    if fault.answer:
                        assert done.stdout.strip() == fault.answer
            elif "street.toml" in one.words:
                assert len((tmp_path / "meters.jsonl").read_text().splitlines()) == 40
    assert (tmp_path / "truth.jsonl").stat().st_size > 0
    assert (tmp_path / "meters.state").exists()


def test_a_mistake_in_a_scenario_is_told_as_the_page_says() -> None:
    [street, *_] = blocks(FLEET, "toml")
    [message] = re.findall(r"`(street\.toml, .*?)`", FLEET, re.DOTALL)
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(street.replace("Street F1", "Street F3"), "street.toml")
    assert str(caught.value) == " ".join(message.split())


def test_the_programs_on_the_page_of_fleets() -> None:
    for program in blocks(FLEET, "python"):
        scenario = parse_scenario(blocks(FLEET, "toml")[0], "street.toml")
        names: dict[str, Any] = {
            "scenario": scenario,
            **{kind.__name__: kind for kind in (MockedPace, Fleet, FleetSettings, Director)},
            **{kind.__name__: kind for kind in (ListJournal, datetime)},
            "UTC": UTC,
        }
        exec(program, names)


@pytest.fixture
def my_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's model among the others."""
    for path in (ROOT / "config" / "models").glob("*.toml"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(hes.models, "_folder", lambda: tmp_path)
    monkeypatch.setattr(known_models, "_folder", lambda: tmp_path)
    hes.models.models.cache_clear()
    known_models.models.cache_clear()
    file = tmp_path / "my-meter.toml"
    file.write_text(next(one for one in blocks(MODEL, "toml") if 'name = "my-meter"' in one))
    yield file
    hes.models.models.cache_clear()
    known_models.models.cache_clear()


def test_a_model_in_ten_minutes(my_meter: Path) -> None:
    assert my_meter.exists()
    result = CliRunner().invoke(cli, ["sim", "models", "my-meter"])
    assert result.exit_code == 0, result.output
    assert "0.0.96.3.10.255" in result.stdout
    assert "0.0.96.1.10.255" not in result.stdout
    [run, shown] = [one.words for one in told(MODEL) if {"my-meter", "show"} & set(one.words)]
    model = known_models.simulated_model(run[run.index("--model") + 1])
    assert isinstance(model, Model)
    fleet = Fleet(FleetSettings(meters=10, port=0, model=model.name), start_number=1)
    assert next(iter(fleet.meter_file()))["serial"] == shown[-1]


def test_a_mistake_in_a_model_is_told_as_the_page_says(my_meter: Path) -> None:
    [message] = re.findall(r"^    hes: (model my-meter: .*)$", MODEL, re.MULTILINE)
    my_meter.write_text(my_meter.read_text().replace('{ management = "rwx"', '{ managment = "rwx"'))
    with pytest.raises(LocalProtocolError) as caught:
        known_models.models()
    assert str(caught.value) == message


def test_captured_octets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    [(record, name)] = re.findall(r"^echo '(\{.*\})' > (\S+)$", text, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(record + "\n")
    found = {" ".join(one.words[:2]): one.words for one in told(text)}
    decoded = CliRunner().invoke(cli, found["dlms decode"])
    assert json.loads(decoded.stdout)["complete"] is True
    assert CliRunner().invoke(cli, found["dlms encode"]).stdout == "1105\n"
    replayed = CliRunner().invoke(cli, [*found["sim replay"], "--dry-run"])
    assert replayed.stdout.startswith("would send 1 pushes to 127.0.0.1:4059")


async def test_the_program_that_talks_to_a_meter(tmp_path: Path) -> None:
    text = (HOW_TO / "talk-to-a-meter.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "program.py"
    fleet = Fleet(
        FleetSettings(meters=1, port=0, security=Security.LLS), start_number=1, now=lambda: NOW
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(fleet.serve)
        (record,) = fleet.meter_file()
        # The program names the address that `--port-base` gives; here the system chose one.
        file.write_text(program.replace("127.0.0.1", record["address"]))
        done = await trio.run_process(
            [sys.executable, str(file), str(record["port"])],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        nursery.cancel_scope.cancel()
    assert done.stdout.decode().startswith("2026-11-21T10:20:00")
