"""
Base backups of the whole server by `pg_basebackup`, with the WAL that makes them whole.

A backup is a folder: `data/` as a server could start on it, and `backup.json` beside it. It holds
`recovery.signal`, so that whoever starts on it, with archived WAL or without, comes out on a new
timeline, by which the head-end sees that it was restored (`hes.storage.epochs`). Passwords go to
the programs by file. Not in a backup: the KEK, which must not lie beside what it opens.

Source: PostgreSQL manual, chapter 25.3 (continuous archiving), pg_basebackup, pg_verifybackup.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.storage.database import Database, check_url

_DATA: Final = "data"
_NOTE: Final = "backup.json"
_VERSION: Final = 1
_PROGRESS: Final = re.compile(rb"(\d+)/(\d+) kB")

# Both are left out of the manifest by pg_verifybackup. A restore_command of the operator's, set
# later in the same file, counts instead.
_RECOVERY: Final = """
# written by `hes backup create`: without archived WAL this backup ends where it ended
restore_command = 'exit 1'
"""


class BackupError(PermanentError):
    """A backup could not be made, or is not what it was when it was made."""


@attrs.frozen
class Backup:
    """A finished backup; `folder` holds `data/` and `backup.json`."""

    folder: Path
    made_at: datetime
    seconds: float
    octets: int
    server: str

    @property
    def data(self) -> Path:
        """What a server starts on."""
        return self.folder / _DATA


Progress = Callable[[int, int], None]
"""Is told kB done and kB in all, as far as the server knows."""


def create(
    url: str,
    to: Path,
    *,
    programs: Path,
    now: datetime,
    progress: Progress | None = None,
) -> Backup:
    """
    Make a backup in a new folder below `to`, named by the time, and verify it.

    Half a backup is never left under a name that looks like a whole one.

    Args:
        url: of a role that may replicate; the database in it does not matter.
        programs: folder of `pg_basebackup` and `pg_verifybackup`, of the server's major version.

    Raises:
        BackupError: with what the program said.
        StorageUnavailableError: the server cannot be reached.
    """
    folder = to / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    if folder.exists():
        raise BackupError(f"{folder} is there already")
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=to))
    begun = time.monotonic()
    try:
        data = partial / _DATA
        with _connection(url) as (conninfo, environment):
            command = [
                str(programs / "pg_basebackup"), "--dbname", conninfo, "--no-password",
                "--pgdata", str(data), "--format=plain", "--wal-method=stream",
                "--checkpoint=fast", "--manifest-checksums=SHA256", "--progress",
            ]  # fmt: skip
            _run(command, environment, progress)
        _run([str(programs / "pg_verifybackup"), "--quiet", str(data)], {}, progress)
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.write(_RECOVERY)
        (data / "recovery.signal").touch(mode=0o600)
        backup = Backup(
            folder=folder,
            made_at=now,
            seconds=round(time.monotonic() - begun, 1),
            octets=sum(file.stat().st_size for file in data.rglob("*") if file.is_file()),
            server=(data / "PG_VERSION").read_text().strip(),
        )
        (partial / _NOTE).write_text(json.dumps(_as_note(backup), indent=2) + "\n")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return backup


def check(url: str) -> None:
    """
    See that the server answers this role.

    Raises: StorageUnavailableError: it does not.
    """
    with Database(url, max_connections=1) as database, database.connection():
        pass


def verify(folder: Path, *, programs: Path) -> Backup:
    """
    Check a backup against its manifest: every file, its checksum, and that the WAL is whole.

    Raises: BackupError: something is missing, changed or surplus; with what the program said.
    """
    backup = read(folder)
    _run([str(programs / "pg_verifybackup"), "--quiet", str(backup.data)], {}, None)
    if not (backup.data / "recovery.signal").exists():
        raise BackupError(
            f"{folder}: recovery.signal is missing: a server that starts on it would not show that"
            " it was restored"
        )
    return backup


def read(folder: Path) -> Backup:
    """
    What is noted of a backup, without a look at its files.

    Raises: BackupError: it is none.
    """
    try:
        note: Mapping[str, Any] = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        return Backup(
            folder=folder,
            made_at=datetime.fromisoformat(note["made_at"]),
            seconds=note["seconds"],
            octets=note["octets"],
            server=note["server"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise BackupError(f"{folder} is no backup of ours: {error}") from error


def _as_note(backup: Backup) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "made_at": backup.made_at.isoformat(),
        "seconds": backup.seconds,
        "octets": backup.octets,
        "server": backup.server,
    }


@contextmanager
def _connection(url: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """A conninfo without its password, and an environment that names a file with it."""
    check_url(url)
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    parts["dbname"] = "replication"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pgpass"
        file.touch(mode=0o600)
        escaped = str(password or "").replace("\\", "\\\\").replace(":", "\\:")
        file.write_text(f"*:*:*:*:{escaped}\n")
        yield make_conninfo("", **parts), {"PGPASSFILE": str(file)}


def _run(command: Sequence[str], environment: Mapping[str, str], progress: Progress | None) -> None:
    """Run to the end; what it says besides its progress is the error if it fails."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed programs, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**kept, "LC_ALL": "C", **environment},
        )
    except OSError as error:
        raise BackupError(f"{command[0]} cannot be run: {error.strerror}") from error
    said: list[bytes] = []
    with process:
        assert process.stderr is not None
        try:
            for line in _lines(process.stderr.fileno()):
                step = _PROGRESS.search(line)
                if step is None:
                    said = [*said[-20:], line]
                elif progress is not None:
                    progress(int(step[1]), int(step[2]))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        words = b"\n".join(said).decode(errors="replace").strip()
        text = f"{Path(command[0]).name}: {words or f'ended with {process.returncode}'}"
        if "could not connect" in words or "connection to server" in words:
            raise StorageUnavailableError(text)
        raise BackupError(text)


def _lines(descriptor: int) -> Iterator[bytes]:
    """Lines as they come; pg_basebackup ends those of its progress by a carriage return."""
    left = b""
    while chunk := os.read(descriptor, 65536):
        *whole, left = re.split(rb"[\r\n]", left + chunk)
        yield from (line for line in whole if line.strip())
    if left.strip():
        yield left
