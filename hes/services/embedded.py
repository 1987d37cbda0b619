"""
What our own servers have in common: a folder, a port that stays, a password, one child process.

Below `folder` stand `port`, `passwords.json` (0600) and the server's log. Subclasses say how the
data are made, what to run and how to ask whether it answers.
"""

import json
import os
import secrets
import signal
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from hes.services import accounts, ports
from hes.services.errors import ServiceStartError
from hes.services.processes import Child
from hes.services.service import Running

_START_S = 300.0  # a database that replays its log takes its time
_RETRY_S = 30.0


class Embedded(Running):
    """A server that we start on 127.0.0.1 and stop."""

    name: str
    _stop_signals: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGTERM, 20.0),)
    _port_taken: ClassVar[tuple[str, ...]] = ("Address already in use",)
    _passing: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, *, root: Path, port: int | None = None) -> None:
        """
        Args: folder: everything of this server is below it. root: folder that holds its programs.
        port: None keeps the last one or takes a free one.
        """
        self._folder = folder.resolve()
        self._root = root.resolve()
        self._fixed_port = port
        self._port = port
        self._account: accounts.Account | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._child is not None, "not started"
        return self._child.pid

    def start(self) -> None:
        """
        Make what the server needs, start it, wait until it answers.

        Raises: ServiceStartError: with the server's last words; ServiceError: see `accounts`.
        """
        if self._is_running():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._account = accounts.service_account(self._data)
        self._prepare()
        self._launch()
        try:
            self._settle()
        except BaseException:
            self.stop()
            raise

    def healthy(self) -> bool:
        return self._is_running() and self._answers()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(*self._stop_signals)
            self._child = None

    def kill(self) -> None:
        """Kill the server with -9, for tests of what survives it."""
        assert self._child is not None, "not started"
        self._child.kill()
        self._child = None

    # -- for subclasses

    @property
    @abstractmethod
    def _data(self) -> Path:
        """The data directory, which belongs to the server's user."""

    @abstractmethod
    def _prepare(self) -> None:
        """Bring data directory and settings into being, for `_account` (None: for us)."""

    @abstractmethod
    def _command(self, port: int) -> Sequence[str]:
        """What to run."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it answers its own protocol now."""

    def _settle(self) -> None:
        """Do what can only be done once the server answers."""

    def _reached(self) -> Sequence[Path]:
        """Paths that the server's user must get at."""
        return (self._data, self._root / "any")

    def _passwords(self, *names: str) -> dict[str, str]:
        """Read the passwords, made at the first call (`names`) and kept."""
        path = self._folder / "passwords.json"
        if names and not path.exists():
            made = {name: secrets.token_urlsafe(24) for name in names}
            write_private(path, json.dumps(made), None)
        try:
            passwords: dict[str, str] = json.loads(path.read_text())
        except OSError as error:
            raise ServiceStartError(self.name, f"{path} is missing or not readable") from error
        return passwords

    def _address(self) -> str:
        assert self._port is not None, "not started"
        return f"{ports.HOST}:{self._port}"

    # -- the process

    def _is_running(self) -> bool:
        return self._child is not None and self._child.exit_code is None

    def _launch(self) -> None:
        log_file = self._folder / f"{self._data.name}.log"
        port_file = self._folder / "port"
        deadline = time.monotonic() + _RETRY_S
        while True:
            port = self._fixed_port or ports.pick(self._port or _noted(port_file))
            self._port = port
            self._child = child = Child(
                self._command(port),
                log_file=log_file,
                account=self._account,
                reached=self._reached(),
                death_signal=self._stop_signals[0][0],
            )
            try:
                if self._came_up(child):
                    port_file.write_text(f"{port}\n")
                    return
            except BaseException:  # Ctrl-C while it starts
                self.stop()
                raise
            words = child.last_words
            self.stop()
            if self._fixed_port is None and any(text in words for text in self._port_taken):
                self._port = None
                port_file.unlink(missing_ok=True)
            elif any(text in words for text in self._passing) and time.monotonic() < deadline:
                time.sleep(0.1)
            else:
                raise ServiceStartError(self.name, "it ended or stayed silent", words, log_file)

    def _came_up(self, child: Child) -> bool:
        deadline = time.monotonic() + _START_S
        while child.exit_code is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        return False


def _noted(port_file: Path) -> int | None:
    try:
        return int(port_file.read_text())
    except (OSError, ValueError):
        return None


def write_private(path: Path, text: str, account: accounts.Account | None) -> None:
    """Write a file that nobody but its owner, the account or we, may read."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
    fresh.replace(path)


def own_folder(path: Path, account: accounts.Account | None) -> None:
    """Make a folder of mode 0700 that belongs to the account."""
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)
