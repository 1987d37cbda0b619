"""A server that archives its WAL, is backed up, destroyed, and restored: for the drills."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import attrs
import psycopg

from hes.lifecycle import backup as backups
from hes.lifecycle.backup import Backup
from hes.services import Postgres

_RECOVERY_S = 60.0


@attrs.frozen
class Drill:
    """A running durable server and, below `folder`, its archive and its backups."""

    server: Postgres
    folder: Path

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def begin(self) -> None:
        """Archive from now on."""
        for folder in (self.folder, self.archive):
            folder.mkdir(exist_ok=True)
        self._give(self.archive)
        self._admin("ALTER SYSTEM SET archive_mode = 'on'")
        self._admin(
            "ALTER SYSTEM SET archive_command ="
            f" 'test ! -f {self.archive}/%f && cp %p {self.archive}/%f'"
        )
        self.server.stop()
        self.server.start()

    def back_up(self) -> Backup:
        return backups.create(
            self.server.admin_url,
            self.folder / "backups",
            programs=self.server.bin_folder,
            now=datetime.now(UTC),
        )

    def mark(self, name: str) -> None:
        """Name this point in time, and see it archived with all before it."""
        self._admin(f"SELECT pg_create_restore_point('{name}')")
        segment = self._admin("SELECT pg_walfile_name(pg_switch_wal())")
        # An archiver that has failed once tries again after a minute.
        deadline = time.monotonic() + 90
        while not (self.archive / segment).exists():
            assert time.monotonic() < deadline, f"{segment} is not archived"
            time.sleep(0.02)

    def destroy(self) -> None:
        """As if the disk were gone, in the middle of work."""
        backends = _children(self.server.pid)
        self.server.kill()
        # Orphans notice some time later; until then they would work in what is put in its place.
        for pid in backends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(map(_works, backends)):
            assert time.monotonic() < deadline, "somebody survives"
            time.sleep(0.02)
        shutil.rmtree(self.server.data_folder)

    def restore(self, backup: Backup, target: str | None) -> None:
        """As docs/operations/backup.md says; `target`: a point that was marked, None: no WAL."""
        data = self.server.data_folder
        shutil.copytree(backup.data, data)
        if target is not None:
            with (data / "postgresql.auto.conf").open("a") as conf:
                conf.write(
                    f"restore_command = 'cp {self.archive}/%f %p'\n"
                    f"recovery_target_name = '{target}'\n"
                    "recovery_target_action = 'promote'\n"
                )
        self._give(data)
        self.server.start()
        deadline = time.monotonic() + _RECOVERY_S
        while self._admin("SELECT pg_is_in_recovery()") != "False":
            assert time.monotonic() < deadline, "recovery does not end"
            time.sleep(0.05)

    def _admin(self, statement: str) -> str:
        with psycopg.connect(self.server.admin_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return "" if row is None else str(row[0])

    def _give(self, folder: Path) -> None:
        """To whom the server runs as."""
        if os.geteuid() != 0:
            return
        uid, gid = (lambda found: (found.st_uid, found.st_gid))(self._owned().stat())
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, gid)

    def _owned(self) -> Path:
        # What is destroyed by now was owned as the archive is.
        data = self.server.data_folder
        return data if data.exists() and data.stat().st_uid else self.archive


def _children(parent: int) -> list[int]:
    folders = Path("/proc").glob("[0-9]*")
    return [int(one.name) for one in folders if _state(int(one.name))[1] == str(parent)]


def _works(pid: int) -> bool:
    """Whether a process lives; where nobody collects orphans, what is left of one does not."""
    return _state(pid)[0] not in ("", "Z")


def _state(pid: int) -> tuple[str, str]:
    """State and parent of a process; empty if there is none."""
    try:
        # pid (name) state parent …; the name may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[1]
