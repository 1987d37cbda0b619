"""
The disk is full, and the disk fails: PostgreSQL on a small tmpfs, and with fsync errors injected.

Mounting and tracing need root with the right to do so; without it these tests are skipped.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from hes.domain.errors import StorageUnavailableError
from hes.pipeline import WindowPolicy, Writer
from hes.services import Postgres, database_service
from hes.storage.database import Database
from tests.batches import NOW
from tests.conftest import SERVERS
from tests.e2e.system import wait_until
from tests.faults.conftest import furnish
from tests.faults.judging import check
from tests.faults.mixed import mixed_batch
from tests.faults.writing import eventually
from tests.history import Journal

_OCTETS = 256 * 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={_OCTETS}".encode()
    if _libc.mount(b"hes-test", bytes(folder), b"tmpfs", 0, options) != 0:
        pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    yield folder
    assert _libc.umount2(bytes(folder), 0) == 0


@pytest.fixture
def on_small_disk(small_disk: Path) -> Iterator[Postgres]:
    """A server whose data are there."""
    with database_service(small_disk / "server", servers=SERVERS, durable=True) as server:
        assert isinstance(server, Postgres)
        furnish(server)
        yield server


@pytest.mark.parametrize("left", [0, 8 * 1024 * 1024], ids=["for tables", "for the log"])
def test_the_disk_is_full(
    on_small_disk: Postgres, small_disk: Path, tmp_path: Path, left: int
) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    ballast = small_disk / "ballast"
    with Database(on_small_disk.url, max_connections=1, wait_s=1.0) as database:
        # Whether a COMMIT has happened is not to be found out while the server is down.
        writer = Writer(database, WindowPolicy(), clock=lambda: NOW, settle_s=0.5)
        _write(writer, journal, 0)
        _fill(ballast, left)
        number = 1
        # The first find room in pages, and segments of the log, that are there.
        while _has_room(writer, journal, number):
            number += 1
            if left:
                _switch_log(on_small_disk)
        assert number < 20
        if left:
            # PostgreSQL cannot go on without its log, nor recover: it has ended itself.
            wait_until(lambda: not on_small_disk._is_running(), 30, "the server is down")
            ballast.unlink()
            on_small_disk.stop()
            on_small_disk.start()
        else:
            ballast.unlink()
        eventually(writer, number)
        journal.acked(number)
        assert check(database, path) > 0
    journal.close()


@pytest.fixture
def tracer() -> str:
    """strace, if we may use it."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-qq", "true"], capture_output=True).returncode:
        pytest.skip("no strace, or it may not trace")
    return found


def test_the_log_of_a_commit_cannot_be_synced(
    own_server: Postgres, tracer: str, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    with Database(own_server.url, max_connections=1, wait_s=1.0) as database:
        writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
        _write(writer, journal, 0)
        with database.connection() as connection:
            (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        with _injected(tracer, backend, "fdatasync"):
            # It panics, and all sessions with it; the server recovers by itself.
            journal.invoked(1)
            receipt = eventually(writer, 1)
            journal.acked(1)
        assert receipt.stored == 50
        assert b"could not fdatasync file" in _log(own_server)
        check(database, path)
    journal.close()


def test_tables_cannot_be_synced_at_a_checkpoint(
    own_server: Postgres, tracer: str, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    with Database(own_server.url, max_connections=1, wait_s=1.0) as database:
        writer = Writer(database, WindowPolicy(), clock=lambda: NOW)
        for number in range(5):
            _write(writer, journal, number)
        with psycopg.connect(own_server.admin_url, autocommit=True) as admin:
            (checkpointer,) = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
            ).fetchone() or (0,)
            with (
                _injected(tracer, checkpointer, "fsync"),
                pytest.raises(psycopg.OperationalError),
            ):
                admin.execute("CHECKPOINT")
        journal.invoked(5)
        eventually(writer, 5)
        journal.acked(5)
        assert b"could not fsync file" in _log(own_server)
        check(database, path)
    journal.close()


def _write(writer: Writer, journal: Journal, number: int) -> None:
    journal.invoked(number)
    writer.write([mixed_batch(number)])
    journal.acked(number)


def _has_room(writer: Writer, journal: Journal, number: int) -> bool:
    try:
        _write(writer, journal, number)
    except StorageUnavailableError:
        return False
    return True


def _fill(ballast: Path, left: int) -> None:
    """Take what is free on the disk but for so many octets."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left)


def _switch_log(server: Postgres) -> None:
    """Go on in the next segment of the log; what has no room for it fails."""
    with suppress(psycopg.OperationalError), psycopg.connect(server.admin_url) as admin:
        admin.execute("SELECT pg_switch_wal()")


@contextmanager
def _injected(tracer: str, pid: int, call: str) -> Iterator[None]:
    """Have this system call of a process fail with EIO."""
    with subprocess.Popen(
        [tracer, "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"inject={call}:error=EIO"]
    ) as trace:
        status = Path(f"/proc/{pid}/status")
        wait_until(lambda: "TracerPid:\t0\n" not in status.read_text(), 10, "it is traced")
        yield
        trace.terminate()


def _log(server: Postgres) -> bytes:
    return server.data_folder.with_name("pgdata.log").read_bytes()
