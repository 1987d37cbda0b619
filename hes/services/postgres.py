"""
A PostgreSQL server of our own on 127.0.0.1, with TimescaleDB where the programs bring it.

Owns the data directory, the passwords and the life of the process; knows nothing of the schema.
Below `folder` stand `pgdata/`, `passwords.json` (0600), `port` and `postgres.log`. The role `hes`
owns the database `hes` and may create databases; it is no superuser, as in production.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import psycopg
from psycopg import sql

from hes.services import accounts, ports, processes
from hes.services.errors import ServiceStartError
from hes.services.processes import Child
from hes.services.service import Running

NAME = "PostgreSQL"
ROLE = DATABASE = "hes"
_ADMIN = "postgres"
_START_S = 300.0
_RETRY_S = 30.0
_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # fast, then immediate

_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
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
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_HBA = f"# written by hes\nhost all all {ports.HOST}/32 scram-sha-256\n"


@attrs.frozen
class PostgresPrograms:
    """Installed server programs."""

    bin_folder: Path
    major: int
    timescaledb: bool
    origin: str
    """Where they come from, in a few words."""
    root: Path
    """Folder that holds all they load, which the server's user must be able to read."""


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
    return int(version.read_text()) if version.exists() else None


class Postgres(Running):
    """One server; its data survive `stop` and `kill` and are found again by the next start."""

    name = NAME

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
        self._folder = folder.resolve()
        self._programs = programs
        self._fixed_port = port
        self._durable = durable
        self._child: Child | None = None
        self._port = port

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

    @property
    def pid(self) -> int:
        """Process id of the running postmaster."""
        assert self._child is not None, "not started"
        return self._child.pid

    def start(self) -> None:
        """
        Make the data directory if there is none, start the server, wait until it answers.

        Raises: ServiceStartError: with the server's last words; ServiceError: see `accounts`.
        """
        if self._child is not None and self._child.exit_code is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        account = accounts.service_account(self._pgdata)
        self._check_version()
        if not self._pgdata.exists():
            self._initialise(account)
        self._wait_for_predecessor()
        self._write_settings()
        self._launch(account)
        try:
            self._bootstrap()
        except BaseException:
            self.stop()
            raise

    def healthy(self) -> bool:
        running = self._child is not None and self._child.exit_code is None
        return running and answers(self.url)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(*_STOP)
            self._child = None

    def kill(self) -> None:
        """Kill the postmaster with -9, for tests of what survives it."""
        assert self._child is not None, "not started"
        self._child.kill()
        self._child = None

    # -- the data directory

    @property
    def _pgdata(self) -> Path:
        return self._folder / "pgdata"

    def _check_version(self) -> None:
        found = data_major(self._folder)
        if found is not None and found != self._programs.major:
            raise ServiceStartError(
                NAME,
                f"{self._pgdata} was made by version {found}, the programs at hand"
                f" ({self.origin}) are version {self._programs.major}",
            )

    def _initialise(self, account: accounts.Account | None) -> None:
        fresh = self._folder / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        passwords = {ROLE: secrets.token_urlsafe(24), _ADMIN: secrets.token_urlsafe(24)}
        password_file = self._folder / "initdb-password"
        password_file.unlink(missing_ok=True)
        _write_private(password_file, passwords[_ADMIN] + "\n")
        if account is not None:
            for path in (fresh, password_file):
                os.chown(path, account.uid, account.gid)
        command = [
            self._program("initdb"), f"--pgdata={fresh}", "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums",
            "--auth=scram-sha-256", f"--username={_ADMIN}", f"--pwfile={password_file}",
            "--no-instructions", *([] if self._durable else ["--no-sync"]),
        ]  # fmt: skip
        try:
            processes.run(command, account=account, reached=self._reached(fresh), cwd=fresh)
        except subprocess.CalledProcessError as error:
            raise ServiceStartError(
                NAME, "initdb failed", (error.stderr or error.stdout).strip()
            ) from error
        finally:
            password_file.unlink()
        (fresh / "pg_hba.conf").write_text(_HBA)
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude = 'hes.conf'  # rewritten by hes at every start\n")
        (self._folder / "passwords.json").unlink(missing_ok=True)
        _write_private(self._folder / "passwords.json", json.dumps(passwords))
        fresh.rename(self._pgdata)

    def _write_settings(self) -> None:
        settings = dict(_SETTINGS)
        if self._programs.timescaledb:
            settings |= _TIMESCALEDB
        if not self._durable:
            settings |= _NOT_DURABLE
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        target = self._pgdata / "hes.conf"
        target.write_text("".join(lines))
        owner = self._pgdata.stat()
        if os.geteuid() == 0:
            os.chown(target, owner.st_uid, owner.st_gid)

    def _wait_for_predecessor(self) -> None:
        """
        Deal with a `postmaster.pid` that is left over.

        A server whose parent was killed is on its way out: wait for it. A file whose process is no
        server of this directory (the pid was given to another program) is removed.
        """
        lock = self._pgdata / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        if not _works_in(pid, self._pgdata):
            lock.unlink(missing_ok=True)
        elif not processes.wait_until_gone(pid, _RETRY_S):
            raise ServiceStartError(NAME, f"process {pid} already serves {self._pgdata}")

    # -- the process

    def _launch(self, account: accounts.Account | None) -> None:
        deadline = time.monotonic() + _RETRY_S
        while True:
            port = self._fixed_port or ports.pick(self._port or self._noted_port())
            child = Child(
                [self._program("postgres"), "-D", str(self._pgdata), "-p", str(port)],
                log_file=self._folder / "postgres.log",
                account=account,
                reached=self._reached(self._pgdata),
                death_signal=signal.SIGINT,
            )
            self._child, self._port = child, port
            if self._came_up(child):
                (self._folder / "port").write_text(f"{port}\n")
                return
            words = child.last_words
            child.stop(*_STOP)
            self._child = None
            if "could not bind" in words and self._fixed_port is None:
                self._port = None
                (self._folder / "port").unlink(missing_ok=True)
            elif "pre-existing shared memory block" in words:
                time.sleep(0.1)  # backends of a killed server are still ending
            else:
                raise ServiceStartError(NAME, "it ended", words, self._folder / "postgres.log")
            if time.monotonic() > deadline:
                raise ServiceStartError(
                    NAME, "it kept ending", words, self._folder / "postgres.log"
                )

    def _came_up(self, child: Child) -> bool:
        deadline = time.monotonic() + _START_S
        while child.exit_code is None and time.monotonic() < deadline:
            if answers(self.admin_url):
                return True
            time.sleep(0.02)
        return False

    def _bootstrap(self) -> None:
        """Bring role, extension and database to what `url` promises; the second time do nothing."""
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

    # -- small things

    def _program(self, name: str) -> str:
        return str(self._programs.bin_folder / name)

    def _reached(self, data: Path) -> Sequence[Path]:
        return (data, self._programs.root / "any")

    def _noted_port(self) -> int | None:
        try:
            return int((self._folder / "port").read_text())
        except (OSError, ValueError):
            return None

    def _passwords(self) -> dict[str, str]:
        try:
            passwords: dict[str, str] = json.loads((self._folder / "passwords.json").read_text())
        except OSError as error:
            raise ServiceStartError(NAME, f"{error.filename} is missing or not readable") from error
        return passwords

    def _url(self, role: str, database: str) -> str:
        assert self._port is not None, "not started"
        return f"postgresql://{role}:{self._passwords()[role]}@{ports.HOST}:{self._port}/{database}"


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


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
