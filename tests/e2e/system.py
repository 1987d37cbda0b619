"""The head-end's processes, run by tests as an operator's service manager would run them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]


@attrs.define
class Process:
    """One `hes` process; its output goes to a file below the test's folder."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """kill -9, by the pid that we started."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode


@attrs.define
class System:
    """Starts processes with common settings and ends what is left."""

    folder: Path
    environment: dict[str, str]
    started: list[Process] = attrs.field(factory=list)
    # Simulated meters take a port on all of 127.0.0.0/8: not that of a `make run` beside us.
    meter_port: int = attrs.field(factory=lambda: free_port())

    def hes(self, *arguments: str, **settings: str) -> Process:
        """Start `hes ARGUMENTS` in the background."""
        log = self.folder / f"{len(self.started)}-{arguments[0]}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "hes", *arguments],
                cwd=ROOT,
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = Process(arguments[0], popen, log)
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `hes ARGUMENTS` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "hes", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@contextmanager
def system(folder: Path, **settings: str) -> Iterator[System]:
    """A system whose data lie in `folder`; nothing of it runs afterwards."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HES_")}
    made = System(folder, {**kept, "HES_DATA": str(folder / "data"), **settings})
    try:
        yield made
    finally:
        for process in made.started:
            if process.running:
                process.kill()


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Wait, looking often; returns the seconds that it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout_s:
            raise AssertionError(f"after {timeout_s} s still not: {what}")
        time.sleep(0.1)
    return time.monotonic() - start


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
