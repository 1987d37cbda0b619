"""`hes up` as its user meets it: one command, a page, a live line; Ctrl-C leaves no process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SERVERS
from tests.e2e.system import Process, System, free_port, system, wait_until

LIVE = re.compile(r"(\d+) meters, ([\d.]+) sessions/s, (\d+) readings$", re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[System]:
    """A data folder of the test's own, with the server programs of the clone."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "servers").symlink_to(SERVERS)
    with system(tmp_path, HES_COLLECTOR_LISTEN_PORT=str(free_port())) as made:
        yield made


def start(here: System, *arguments: str) -> tuple[Process, int]:
    port = free_port()
    process = here.hes(
        "up", "--meters", "5", "--port", str(port), "--simulated-port", str(here.meter_port),
        *arguments,
    )  # fmt: skip
    return process, port


def readings(process: Process) -> int:
    found = LIVE.findall(process.log.read_text())
    return int(found[-1][2]) if found else 0


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def children(folder: Path) -> set[int]:
    """Processes whose working files lie below `folder`: servers by argument, ours by setting."""
    mark = str(folder / "data").encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in told and b"pytest" not in told.split(b"\0")[0]:
            found.add(int(process.name))
    return found


def test_one_command_reads_meters_and_finds_its_data_again(here: System) -> None:
    process, port = start(here)
    seconds = wait_until(lambda: readings(process) > 5 * 4 * 96, 90, "meters are being read")
    print(f"first readings after {seconds:.1f} s")
    meters = get(port, "/v1/meters")["items"]
    assert len(meters) == 5
    channels = get(port, f"/v1/meters/{meters[0]['id']}/channels")["items"]
    energy = [channel for channel in channels if channel["obis"] == "1.0.1.8.0.255"]
    assert energy[0]["unit"] == "Wh"
    assert len(children(here.folder)) >= 5

    process.popen.send_signal(signal.SIGINT)
    assert process.popen.wait(30) == 0
    assert not children(here.folder)
    assert "Traceback" not in process.log.read_text()

    before = readings(process)
    other_port = free_port()
    again, port = start(here, "--meters", "3", "--simulated-port", str(other_port))
    wait_until(lambda: readings(again) >= before, 60, "the data are found again")
    meters = get(port, "/v1/meters")["items"]
    assert [meter["port"] for meter in meters] == [other_port] * 3 + [here.meter_port] * 2
    assert "2 meters in this folder are of another fleet" in again.log.read_text()
    assert again.stop() == 0


def test_even_the_supervisors_own_death_leaves_nothing(here: System) -> None:
    process, _ = start(here)
    wait_until(lambda: LIVE.search(process.log.read_text()) is not None, 60, "a live line")
    process.kill()
    wait_until(lambda: not children(here.folder), 30, "no process is left")


def test_a_process_that_dies_is_started_again(here: System) -> None:
    process, port = start(here)
    wait_until(lambda: readings(process) > 0, 60, "meters are being read")
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(here.folder)}
    (victim,) = [pid for pid, command in commands.items() if b"\0api\0" in command + b"\0"]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: "api ended with -9" in process.log.read_text(), 10, "it is missed")

    def answers() -> bool:
        try:
            return len(get(port, "/v1/meters")["items"]) == 5
        except OSError:
            return False

    wait_until(answers, 30, "the API answers again")
    assert process.stop() == 0


def test_a_second_one_on_the_same_folder_is_refused(here: System) -> None:
    process, _ = start(here)
    wait_until(lambda: LIVE.search(process.log.read_text()) is not None, 60, "a live line")
    second, _ = start(here)
    assert second.popen.wait(20) == 1
    assert "another `hes up`" in second.log.read_text()
    assert process.stop() == 0


def test_a_bad_setting_is_named_before_anything_starts(here: System) -> None:
    process = here.hes("up", HES_API_PORT="eighty")
    assert process.popen.wait(20) == 2
    text = process.log.read_text()
    assert "api.port" in text
    assert "HES_API_PORT" in text
    assert not children(here.folder)


def test_a_taken_port_is_named(here: System) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = here.hes("up", "--port", str(port))
        assert process.popen.wait(20) == 1
        assert f"127.0.0.1:{port}" in process.log.read_text()


def test_a_database_that_dies_is_started_again(here: System) -> None:
    process, port = start(here)
    wait_until(lambda: readings(process) > 0, 60, "meters are being read")
    (pid_file,) = (here.folder / "data" / "postgres").glob("*/postmaster.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    wait_until(
        lambda: "PostgreSQL did not answer and was started again" in process.log.read_text(),
        60,
        "it is started again",
    )

    def answers() -> bool:
        try:
            return len(get(port, "/v1/meters")["items"]) == 5
        except OSError:
            return False

    wait_until(answers, 30, "the API answers again")
    assert process.stop() == 0


HARBOUR = """
title = "A harbour"

[[population]]
name = "homes"
model = "idis-single-phase"
count = 4

[[district]]
name = "Harbour"

[[fault]]
fault = "wrong-key"
meters = "1"

[[timeline]]
do = "outage"
at = "+0s"
meters = "2"
"""


def test_a_scenario_is_what_the_console_shows(here: System) -> None:
    file, truth = here.folder / "harbour.toml", here.folder / "truth.jsonl"
    file.write_text(HARBOUR)
    port = free_port()
    process = here.hes(
        "up", "--scenario", str(file), "--truth-log", str(truth),
        "--port", str(port), "--simulated-port", str(here.meter_port),
    )  # fmt: skip

    def outcomes() -> list[str | None]:
        try:
            meters = get(port, "/v1/meters")["items"]
        except OSError:
            return []
        assert all(meter["model"] == "idis-single-phase" for meter in meters)
        last = [meter["last_session"] for meter in meters]
        return [None if session is None else session["outcome"] for session in last]

    wait_until(lambda: outcomes() == ["security", "transport", "ok", "ok"], 120, "all are tried")
    assert any(json.loads(line)["kind"] == "outage" for line in truth.read_text().splitlines())
    process.popen.send_signal(signal.SIGINT)
    assert process.popen.wait(30) == 0
    assert "Traceback" not in process.log.read_text()


def test_an_unknown_scenario_is_said_at_once(here: System) -> None:
    said = here.run("up", "--scenario", "nowhere")
    assert said.returncode == 2
    assert "'nowhere' is neither a file *.toml nor one of bad-day, city, demo" in said.stderr
