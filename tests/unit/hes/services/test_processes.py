"""What a child gets and what it does not."""

import signal
import time
from pathlib import Path

import pytest

from hes.services import processes
from hes.services.processes import Child


def test_environment_of_a_child_has_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("LD_PRELOAD", "x")
    environment = processes.clean_environment({"A": "1"})
    assert environment["A"] == "1"
    assert not {"HES_DATABASE_URL", "LD_PRELOAD"} & set(environment)


def test_child_stops_by_signal_and_leaves_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    child = Child(["sh", "-c", "echo ready; exec sleep 60"], log_file=log)
    deadline = time.monotonic() + 10
    while child.last_words != "ready" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.last_words == "ready"
    assert child.exit_code is None
    child.stop((signal.SIGTERM, 10))
    assert child.exit_code == -signal.SIGTERM


def test_child_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(["sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.1; done"], log_file=log)
    deadline = time.monotonic() + 10
    while child.last_words != "set" and time.monotonic() < deadline:
        time.sleep(0.01)
    child.stop((signal.SIGTERM, 0.1))
    assert child.exit_code == -signal.SIGKILL


def test_large_log_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LOG_OCTETS_MAX", 4)
    log = tmp_path / "log"
    log.write_text("too long")
    child = Child(["true"], log_file=log)
    child.stop((signal.SIGTERM, 10))
    assert log.read_text() == ""
