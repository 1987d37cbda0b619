"""
A PostgreSQL server of our own on 127.0.0.1, with TimescaleDB where the programs bring it.

Owns the data directory and the roles; knows nothing of the schema. The role `hes` owns the
database `hes` and may create databases; it is no superuser, as in production.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import psycopg
from psycopg import sql

from hes.services import ports, processes
from hes.services.embedded import Embedded, own_folder, write_private
from hes.services.errors import ServiceStartError

NAME = "PostgreSQL"
ROLE = DATABASE = "hes"
_ADMIN = "postgres"
_PREDECESSOR_S = 30.0

_SETTINGS = {
    "listen_addresses": f"'{ports.HOST}'",
    "unix_socket_directories": "''",
    "password_encryption": "'scram-sha-256'",
    "max_locks_per_transaction": "512",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "jit": "off",
    "log_line_prefix": "'%m [%p] %a '",
}
_TIMESCALEDB = {
    "shared_preload_libraries": "'timescaledb'",
    "timescaledb.telemetry_level": "off",
    # one scheduler for each database that has the extension, those of the tests included
    "max_worker_processes": "32",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_HBA = f"""\
# written by hes
host all all {ports.HOST}/32 scram-sha-256
host replication all {ports.HOST}/32 scram-sha-256
"""


@attrs.frozen
class PostgresPrograms:
    """Installed server programs; all that they load is below `root`."""

    bin_folder: Path
    major: int
    timescaledb: bool
    origin: str
    root: Path


def answers(url: str) -> bool:
    """Tell whether a PostgreSQL answers a query at this URL within two seconds."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def data_major(folder: Path) -> int | None:
    """Which major version made the data below `folder`; None if there are none."""
    version = folder / "pgdata" / "PG_VERSION"
    try:
        return int(version.read_text())
    except FileNotFoundError:
        return None


class Postgres(Embedded):
    """One server; its data survive `stop` and `kill` and are found again by the next start."""

    name = NAME
    _stop_signals = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # fast, then immediate
    # Backends of a killed server are still on their way out.
    _passing: ClassVar[tuple[str, ...]] = ("pre-existing shared memory block",)

    def __init__(
        self,
        folder: Path,
        programs: PostgresPrograms,
        *,
        port: int | None = None,
        durable: bool = True,
    ) -> None:
        """
        Args: folder: everything of this server is below it. programs: what to run.
        port: None keeps the last one or takes a free one. durable: False gives up fsync, for tests.
        """
        super().__init__(folder, root=programs.root, port=port)
        self._programs = programs
        self._durable = durable

    @property
    def origin(self) -> str:
        return self._programs.origin

    @property
    def url(self) -> str:
        """`postgresql://` URL of the database `hes`; known once it has been started."""
        return self._url(ROLE, DATABASE)

    @property
    def admin_url(self) -> str:
        """The same for the superuser and the maintenance database."""
        return self._url(_ADMIN, "postgres")

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._passwords()[role]}@{self._address()}/{database}"

    @property
    def data_folder(self) -> Path:
        """PostgreSQL's own: what a backup is put in the place of, while the server is stopped."""
        return self._data

    @property
    def bin_folder(self) -> Path:
        """Where its programs are: pg_basebackup and the like."""
        return self._programs.bin_folder

    @property
    def _data(self) -> Path:
        return self._folder / "pgdata"

    def _command(self, port: int) -> Sequence[str]:
        return [self._program("postgres"), "-D", str(self._data), "-p", str(port)]

    def _answers(self) -> bool:
        return answers(self.admin_url)

    def _program(self, name: str) -> str:
        return str(self._programs.bin_folder / name)

    # -- the data directory

    def _prepare(self) -> None:
        found = data_major(self._folder)
        if found is not None and found != self._programs.major:
            raise ServiceStartError(
                NAME,
                f"{self._data} was made by version {found}, the programs at hand"
                f" ({self.origin}) are version {self._programs.major}",
            )
        if not self._data.exists():
            self._initialise()
        self._wait_for_predecessor()
        self._write_settings()

    def _initialise(self) -> None:
        """Make the data directory under another name, so that half of one is never taken for it."""
        fresh = self._folder / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        own_folder(fresh, self._account)
        password_file = self._folder / "initdb-password"
        (self._folder / "passwords.json").unlink(missing_ok=True)
        write_private(password_file, self._passwords(ROLE, _ADMIN)[_ADMIN] + "\n", self._account)
        command = [
            self._program("initdb"),
            f"--pgdata={fresh}",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--auth=scram-sha-256",
            f"--username={_ADMIN}",
            f"--pwfile={password_file}",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        try:
            processes.run(command, account=self._account, reached=self._reached(), cwd=fresh)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout).strip()
            raise ServiceStartError(NAME, "initdb failed", said) from error
        finally:
            password_file.unlink()
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude = 'hes.conf'  # rewritten by hes at every start\n")
        fresh.rename(self._data)

    def _write_settings(self) -> None:
        settings = dict(_SETTINGS)
        if self._programs.timescaledb:
            settings |= _TIMESCALEDB
        if not self._durable:
            settings |= _NOT_DURABLE
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        write_private(self._data / "hes.conf", text, self._account)
        write_private(self._data / "pg_hba.conf", _HBA, self._account)

    def _wait_for_predecessor(self) -> None:
        """
        Deal with a `postmaster.pid` that is left over.

        A server whose parent was killed is on its way out: wait for it. A file whose process is no
        server of this directory (the pid was given to another program) is removed.
        """
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        if not _works_in(pid, self._data):
            lock.unlink(missing_ok=True)
        elif not processes.wait_until_gone(pid, _PREDECESSOR_S):
            raise ServiceStartError(NAME, f"process {pid} already serves {self._data}")

    # -- roles and databases

    def _settle(self) -> None:
        """Bring role, extension and database to what `url` promises; the second time do nothing."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            if admin.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                return  # a standby, or a restore under way: nothing can be written
        if self._programs.timescaledb:
            self._update_extension("template1", create=True)
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                admin.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                        sql.Identifier(ROLE), sql.Literal(self._passwords()[ROLE])
                    )
                )
            names = {row[0] for row in admin.execute("SELECT datname FROM pg_database")}
            if DATABASE not in names:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(ROLE)
                    )
                )
            elif self._programs.timescaledb:
                self._update_extension(DATABASE, create=False)

    def _update_extension(self, database: str, *, create: bool) -> None:
        """Follow the installed version; ALTER EXTENSION must be a session's first statement."""
        url = self._url(_ADMIN, database)
        with psycopg.connect(url, autocommit=True) as admin:
            if create:
                admin.execute("SET client_min_messages = warning")
                admin.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            outdated = admin.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
                " AND installed_version <> default_version"
            ).fetchone()
        if outdated:
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("ALTER EXTENSION timescaledb UPDATE")


def _works_in(pid: int, folder: Path) -> bool:
    """Tell whether this process lives and has `folder` as its working directory."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if not Path("/proc/self").exists():
        return True  # cannot tell: let the server itself decide
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder
    except OSError:
        return False
