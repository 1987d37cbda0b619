"""The socket of a running fleet: what it takes, what it refuses; nobody ends it."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
import trio

from hes_protocol.models import ModelPush
from hes_simulators import Meter
from hes_simulators.faults import FaultError, FaultPlan, Meters
from hes_simulators.faults.control import Control
from hes_simulators.faults.lines import (
    MAX_CLIENTS,
    MAX_LINE_OCTETS,
    ControlError,
    RefusedError,
    ask,
    serve_lines,
    somebody_serves,
)
from hes_simulators.known_models import simulated_model
from hes_simulators.scenario import RealPace
from hes_simulators.scenario.population import District, Group, Population
from hes_simulators.truth import ListJournal

METERS = 40


@attrs.define
class Stage:
    """Keeps which events happened to which meter."""

    events: list[tuple[int, str]] = attrs.field(factory=list)

    def meter(self, index: int) -> Meter:
        return cast("Meter", Puppet(index, self.events))

    def push(self, index: int, push: ModelPush, event: str = "") -> None:
        raise LookupError("nobody pushes on this stage")


@attrs.define
class Puppet:
    """As much of a meter as an event needs."""

    index: int
    events: list[tuple[int, str]]

    @property
    def kind(self) -> SimpleNamespace:
        return SimpleNamespace(model=simulated_model("idis-single-phase"))

    def raise_event(self, name: str, at: datetime) -> None:
        assert at.tzinfo is not None
        self.events.append((self.index, name))


@attrs.define
class Fleet:
    path: Path
    plan: FaultPlan
    journal: ListJournal
    stage: Stage

    async def ask(self, do: str, **rest: Any) -> dict[str, Any]:
        return await ask(self.path, {"do": do, **rest})


@asynccontextmanager
async def fleet(folder: Path, name: str = "fault-1.sock") -> AsyncIterator[Fleet]:
    groups = [
        Group(name="homes", model="m", count=METERS - 10),
        Group(name="shops", model="m", count=10),
    ]
    population = Population(groups, [District(name="Town")], 1)
    pace, journal, stage = RealPace(), ListJournal(), Stage()
    plan = FaultPlan(1, pace.now, journal)
    control = Control(stage, population, plan, pace, journal)
    async with trio.open_nursery() as nursery:
        await nursery.start(control.run, folder / name)
        yield Fleet(folder / name, plan, journal, stage)
        nursery.cancel_scope.cancel()


async def test_set_list_and_clear(tmp_path: Path) -> None:
    async with fleet(tmp_path) as there:
        done = await there.ask("set", fault="hang", parameters={"answer": 3}, population="shops")
        assert done["rule"]["meters"] == 10
        [rule] = there.plan
        assert rule.meters == Meters(frozenset(range(30, 40)))
        await there.ask("set", fault="drip", share=0.25, **{"for": "90s"}, name="slow", every=2)
        rules = (await there.ask("list"))["rules"]
        assert [(one["name"], one["meters"], one["every"]) for one in rules] == [
            ("hang", 10, 1),
            ("slow", 10, 2),
        ]
        assert rules[1]["until"] is not None
        assert (await there.ask("clear", name="hang"))["cleared"] == ["hang"]
        assert (await there.ask("clear"))["cleared"] == ["slow"]
        assert len(there.plan) == 0
        told = [(note.facts["name"], note.facts["on"]) for note in there.journal.of("fault")]
        assert told == [("hang", True), ("drip", True), ("hang", False), ("drip", False)]


async def test_a_dry_run_says_it_and_does_nothing(tmp_path: Path) -> None:
    async with fleet(tmp_path) as there:
        done = await there.ask("set", fault="refuse", meters="1-5", dry_run=True)
        assert done["rule"]["meters"] == 5
        done = await there.ask("play", line={"do": "outage", "share": 0.5}, dry_run=True)
        assert done == {"playing": "outage", "meters": METERS}
        assert len(there.plan) == 0
        assert there.journal.notes == []


async def test_a_socket_of_another_user_is_told_from_one_that_nobody_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: str) -> None:  # root, who runs tests at times, may connect to all of them
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trio, "open_unix_socket", refuse)
    with pytest.raises(PermissionError, match="it is another user's") as caught:
        await ask(tmp_path / "fault-1.sock", {"do": "list"})
    assert caught.value.filename == str(tmp_path / "fault-1.sock")


async def test_an_event_that_no_meter_would_show_is_refused(tmp_path: Path) -> None:
    async with fleet(tmp_path) as there:
        line = {"do": "event", "event": "token_accepted", "meters": "7,9"}
        with pytest.raises(RefusedError, match=r"token_accepted: no code in m; there are .* as "):
            await there.ask("play", line=line)
        assert there.journal.notes == there.stage.events == []


async def test_a_line_is_played_now_on_whom_it_names(tmp_path: Path) -> None:
    async with fleet(tmp_path) as there:
        await there.ask("play", line={"do": "event", "event": "cover_opened", "meters": "7,9"})
        with trio.fail_after(5):
            while len(there.stage.events) < 2:  # noqa: ASYNC110 - it is another task's
                await trio.sleep(0.01)
        assert there.stage.events == [(6, "cover_opened"), (8, "cover_opened")]
        assert there.journal.of("scenario")[0].facts["meters"] == 2


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"do": "nothing"}, "unknown-command"),
        ({"do": ["set"]}, "unknown-command"),
        ({}, "unknown-command"),
        ({"do": "set"}, "bad-command"),
        ({"do": "set", "fault": "nothing"}, "bad-command"),
        ({"do": "set", "fault": "hang", "parameters": []}, "bad-command"),
        ({"do": "set", "fault": "hang", "parameters": {"answer": "x"}}, "bad-command"),
        ({"do": "set", "fault": "hang", "meters": "0"}, "bad-command"),
        ({"do": "set", "fault": "hang", "meters": "1-99999999999"}, "bad-command"),
        ({"do": "set", "fault": "hang", "meters": f"{METERS + 1}"}, "bad-command"),
        ({"do": "set", "fault": "hang", "share": 0}, "bad-command"),
        ({"do": "set", "fault": "hang", "for": "-1h"}, "bad-command"),
        ({"do": "set", "fault": "hang", "for": "99999999999999999999h"}, "bad-command"),
        ({"do": "set", "fault": "hang", "for": 5}, "bad-command"),
        ({"do": "set", "fault": "hang", "population": "nobody"}, "bad-command"),
        ({"do": "set", "fault": "hang", "surprise": 1}, "bad-command"),
        ({"do": "set", "fault": "hang", "dry_run": "yes"}, "bad-command"),
        ({"do": "clear", "name": "nobody"}, "unknown-rule"),
        ({"do": "clear", "name": {"a": 1}}, "unknown-rule"),
        ({"do": "clear", "all": True}, "bad-command"),
        ({"do": "play"}, "bad-command"),
        ({"do": "play", "line": {"do": "fly"}}, "bad-command"),
        ({"do": "play", "line": {"do": "outage", "at": "+5s"}}, "bad-command"),
        ({"do": "play", "line": {"do": "outage"}, "more": 1}, "bad-command"),
        ({"do": "play", "line": {"do": "clock-jump", "by": "soon"}}, "bad-command"),
    ],
    ids=str,
)
async def test_what_means_nothing_is_refused_typed_and_changes_nothing(
    command: dict[str, Any], code: str, tmp_path: Path
) -> None:
    async with fleet(tmp_path) as there:
        with pytest.raises(RefusedError) as caught:
            await ask(there.path, command)
        assert caught.value.code == code
        assert len(there.plan) == 0
        assert there.journal.notes == []
        assert await there.ask("list") == {"rules": []}


async def said(path: Path, octets: bytes) -> list[dict[str, Any]]:
    """What the socket answers to any octets, until it has no more to say."""
    received = bytearray()
    async with await trio.open_unix_socket(str(path)) as stream:
        try:
            await stream.send_all(octets)
            await stream.send_eof()
            while data := await stream.receive_some(65_536):
                received += data
        except trio.BrokenResourceError:
            pass
    return [json.loads(line) for line in received.splitlines()]


@pytest.mark.parametrize(
    ("octets", "codes"),
    [
        (b"hello\n", ["no-json"]),
        (b"\xff\xfe\n", ["no-json"]),
        (b"[1]\n", ["no-object"]),
        (b"[" * 100_000 + b"\n", ["no-json"]),
        (b'{"do": "list"', []),
        (b"\n\n\n", []),
        (b'{"do": 1}\n{"do": 2}\nx\n', ["unknown-command", "unknown-command", "no-json"]),
        (b" " * (MAX_LINE_OCTETS + 70_000), ["too-long"]),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_octets_that_are_no_commands_end_nothing(
    octets: bytes, codes: list[str], tmp_path: Path
) -> None:
    async with fleet(tmp_path) as there:
        with trio.fail_after(10):
            answers = await said(there.path, octets)
            assert [one["error"]["code"] for one in answers] == codes
            assert await there.ask("list") == {"rules": []}


async def test_mutated_commands_only_ever_get_answers(tmp_path: Path) -> None:
    random = Random(5)
    line = json.dumps({"do": "set", "fault": "hang", "parameters": {"answer": 3}, "share": 0.5})
    async with fleet(tmp_path) as there:
        for _ in range(300):
            octets = bytearray(line.encode())
            for _ in range(random.randrange(1, 4)):
                octets[random.randrange(len(octets))] = random.randrange(256)
            answers = await said(there.path, bytes(octets) + b"\n")
            assert all("error" in one or "rule" in one for one in answers)
        assert "rules" in await there.ask("list")


async def test_it_is_the_owners_alone_and_goes_with_the_fleet(tmp_path: Path) -> None:
    async with fleet(tmp_path) as there:
        assert stat.S_IMODE(there.path.stat().st_mode) == 0o600
        with pytest.raises(ControlError, match="somebody else"):
            await serve_lines(there.path, lambda command: there.ask("list"))
        assert await there.ask("list") == {"rules": []}
    assert not there.path.exists()
    with pytest.raises(ControlError, match="nothing runs"):
        await there.ask("list")


async def test_what_a_dead_process_left_is_replaced_but_no_file(tmp_path: Path) -> None:
    path = tmp_path / "fault-1.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not somebody_serves(path)
    with pytest.raises(ControlError, match="is left from one that was killed"):
        await ask(path, {"do": "list"})
    async with fleet(tmp_path) as there:
        assert await there.ask("list") == {"rules": []}
        assert await trio.to_thread.run_sync(somebody_serves, path)
    path.write_text("mine")
    with pytest.RaisesGroup(ControlError, flatten_subgroups=True):
        async with fleet(tmp_path):
            pass
    assert path.read_text() == "mine"


async def test_a_folder_deep_in_a_tree_is_no_obstacle(tmp_path: Path) -> None:
    async with fleet(tmp_path / ("x" * 100) / ("y" * 100)) as there:
        assert await there.ask("list") == {"rules": []}
        assert there.path.exists()


async def test_silent_clients_do_not_keep_others_out_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hes_simulators.faults.lines._IDLE_S", 0.5)
    async with fleet(tmp_path) as there:
        silent = [await trio.open_unix_socket(str(there.path)) for _ in range(MAX_CLIENTS)]
        with pytest.raises(RefusedError) as caught:
            await there.ask("list")
        assert caught.value.code == "too-many-clients"
        with trio.fail_after(5):
            for stream in silent:
                assert await stream.receive_some(10) == b""
                await stream.aclose()
        assert await there.ask("list") == {"rules": []}


async def test_an_answer_that_fails_is_an_answer(tmp_path: Path) -> None:
    async def answer(command: object) -> dict[str, Any]:
        raise FaultError("always", str(command))

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_lines, tmp_path / "s", answer)
        with pytest.raises(RefusedError, match="always"):
            await ask(tmp_path / "s", {})
        nursery.cancel_scope.cancel()
