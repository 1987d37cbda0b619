"""
A server as a child process that never outlives us.

It gets a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in
order, and a parent-death signal (prctl PR_SET_PDEATHSIG, by `setpriv`), so that it ends even when
we are killed with -9. The kernel sends that signal when the *thread* that started the child ends:
therefore one thread, which lives as long as the process, starts them all.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hes.services import accounts
from hes.services.errors import ServiceError

_LOG_OCTETS_MAX = 10_000_000
_LOG_TAIL_OCTETS = 4_000
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR")

_lock = threading.Lock()
_starter: tuple[int, ThreadPoolExecutor] | None = None


def _starting_thread() -> ThreadPoolExecutor:
    """The one thread that starts children, made anew after a fork."""
    global _starter
    with _lock:
        if _starter is None or _starter[0] != os.getpid():
            _starter = (os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="hes-services"))
        return _starter[1]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give a child what it needs and none of our settings, secrets or preloaded libraries."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(extra or {})}


def guarded(
    command: Sequence[str],
    *,
    account: accounts.Account | None,
    reached: Sequence[Path],
    death_signal: signal.Signals,
) -> list[str]:
    """
    Put `setpriv` before a command.

    Args: account: whom to become, None to stay. reached: paths the command must get at.
    death_signal: what it gets when we die.
    Raises: ServiceError: root needs setpriv and has none.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if account is not None:
            raise ServiceError("root needs `setpriv` (package util-linux) to start a server")
        return list(command)
    options = ["--no-new-privs", f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
    if account is not None:
        options += accounts.setpriv_arguments(account, reached)
    return [setpriv, *options, "--", *command]


class Child:
    """One running server process."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_file: Path,
        account: accounts.Account | None = None,
        reached: Sequence[Path] = (),
        death_signal: signal.Signals = signal.SIGTERM,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Start it; its output is added to `log_file`, which begins anew past 10 MB.

        `environment` is added to the clean one; secrets go by file, never by value.
        """
        argv = guarded(command, account=account, reached=reached, death_signal=death_signal)
        if log_file.exists() and log_file.stat().st_size > _LOG_OCTETS_MAX:
            log_file.unlink()
        self._log_file = log_file
        with open(log_file, "ab", opener=_private) as log:
            self._log_from = log.tell()
            self._process: subprocess.Popen[bytes] = (
                _starting_thread()
                .submit(
                    subprocess.Popen,
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=clean_environment(environment),
                    cwd=cwd or log_file.parent,
                    start_new_session=True,
                )
                .result()
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote since this start."""
        with self._log_file.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_from, end - _LOG_TAIL_OCTETS))
            return log.read().decode(errors="replace").strip()

    def stop(self, *signals: tuple[signal.Signals, float]) -> None:
        """Send each signal and wait its seconds for the end; then kill this one process."""
        for number, grace_s in signals:
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
                return
        self.kill()

    def kill(self) -> None:
        """Kill with -9, as a machine that loses power would, and collect the remains."""
        self._process.kill()
        self._process.wait()


def _private(path: str, flags: int) -> int:
    """A log may quote what it stumbled over: it is nobody else's to read."""
    return os.open(path, flags, 0o600)


def run(
    command: Sequence[str],
    *,
    account: accounts.Account | None = None,
    reached: Sequence[Path] = (),
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600,
) -> subprocess.CompletedProcess[str]:
    """
    Run a helper program to its end, as the account, and return what it said; it dies with us.

    Raises: subprocess.CalledProcessError, subprocess.TimeoutExpired.
    """
    argv = guarded(command, account=account, reached=reached, death_signal=signal.SIGTERM)
    return subprocess.run(  # noqa: S603 - fixed programs, no shell
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
        cwd=cwd,
        env=clean_environment(environment),
        timeout=timeout_s,
    )


def wait_until_gone(pid: int, timeout_s: float) -> bool:
    """Wait for a process that is not our child; tell whether it went."""
    deadline = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
