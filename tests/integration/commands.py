"""`hes` as people run it, with a data folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from hes.cli import cli


class Commands:
    """Args: folder: the data folder, and where commands that go on are started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "HES_DATA": str(folder), "NO_COLOR": "1"}

    def run(self, *arguments: str) -> Result:
        """Run one to its end, in this process: another takes a second to start."""
        return CliRunner().invoke(cli, arguments, env={"HES_DATA": str(self.folder)})

    @contextmanager
    def running(self, *arguments: str) -> Iterator[str]:
        """Start it, wait for its `ready:` line, and end it by SIGINT."""
        command = [sys.executable, "-m", "hes", *arguments]
        with subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            try:
                said: list[str] = []
                while not said or not said[-1].startswith("ready:"):
                    said.append(process.stderr.readline())
                    assert said[-1], "".join(said)
                yield said[-1].strip()
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)
