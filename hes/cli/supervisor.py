"""
The supervisor behind `hes up`: servers first, then the schema, then our own processes.

Owns the order of starting and stopping, the restart of a process that dies, and the live line.
Every child has a session of its own and a parent-death signal (`hes.services.processes`), so that
Ctrl-C reaches only us and even our own death leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import attrs
import click

from hes import wiring
from hes.cli import demo
from hes.domain.errors import PermanentError, StorageUnavailableError
from hes.meters import OnExisting
from hes.services import (
    Postgres,
    ServerMissingError,
    Service,
    ServiceError,
    database_service,
    mqtt_service,
    redis_service,
)
from hes.services.processes import Child
from hes.settings import Settings, load
from hes.storage.database import Database
from hes.storage.stats import StatsStore
from hes_simulators.truth.journal import forget

_DEMO_NETWORK: Final = "127.16.0.0/16"
_DEMO_ADDRESSES: Final = "127.16."
_API_START_S: Final = 30.0
_FLEET_START_S: Final = 60.0
_TICK_S: Final = 1.0
_TICKS_PER_LINE: Final = 5
_TICKS_PER_LOOK: Final = 5
# Who lived so long did not die of what it died of before.
_LIVED_S: Final = 60.0
_STOP: Final = ((signal.SIGTERM, 15.0),)
_RESTART_S: Final = (1.0, 2.0, 5.0, 15.0)


@attrs.frozen
class Options:
    """What the command line said."""

    meters: int
    scenario: str | None
    seed: int | None
    truth_log: Path | None
    data: Path | None
    port: int | None
    simulated_port: int
    read_every_s: int | None = None

    @property
    def simulates(self) -> bool:
        """Whether there is a simulated fleet."""
        return bool(self.meters or self.scenario)


@attrs.define
class _Process:
    """One of our own processes, started again when it dies."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    child: Child | None = None
    deaths: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.child = Child(
            self.command,
            log_file=self.log_file,
            cwd=Path.cwd(),
            environment=self.environment,
        )

    def watch(self, now: float) -> str | None:
        """Start it again if it died and has waited; returns a line for a person, if any."""
        if self.child is None:
            if now >= self.restart_at:
                self.start()
            return None
        if self.child.exit_code is None:
            return None
        code, words = self.child.exit_code, self.child.last_words
        self.child = None
        if now - self.started_at > _LIVED_S:
            self.deaths = 0
        pause_s = _RESTART_S[min(self.deaths, len(_RESTART_S) - 1)]
        self.deaths += 1
        self.restart_at = now + pause_s
        # Who is killed by a signal has said nothing about it.
        last = f" ({words.splitlines()[-1]})" if words and code > 0 else ""
        return (
            f"{self.name} ended with {code}{last}; again in {pause_s:.0f} s, log: {self.log_file}"
        )

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(*_STOP)
            self.child = None


@attrs.define
class _Server:
    """An embedded server, started again when it does not answer any more."""

    service: Service
    restart_at: float = 0.0

    def watch(self, now: float) -> str | None:
        """Returns a line for a person, if any."""
        if now < self.restart_at or self.service.healthy():
            return None
        self.restart_at = now + _RESTART_S[-1]
        try:
            self.service.start()
        except ServiceError as error:
            return f"{self.service.name} does not answer and does not start: {error}"
        return f"{self.service.name} did not answer and was started again"


class Supervisor:
    """Runs until SIGINT or SIGTERM."""

    def __init__(self, options: Options) -> None:
        self._options = options
        settings = load().settings
        if options.data is not None:
            settings = attrs.evolve(settings, data=str(options.data))
        if options.port is not None:
            settings = attrs.evolve(settings, api=attrs.evolve(settings.api, port=options.port))
        self._settings: Settings = settings
        self._data = settings.data_path
        self._stopping = threading.Event()
        self._servers: list[_Server] = []

    def run(self) -> int:
        """
        Start everything, watch it, stop it in order.

        Returns: the exit code.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            with ExitStack() as stack:
                stack.enter_context(_sole_owner(self._data))
                api, collector = self._settings.api, self._settings.collector
                _check_port("api.port", api.host, api.port)
                _check_port("collector.listen_port", collector.listen_host, collector.listen_port)
                self._serve(stack)
        except (ServiceError, PermanentError, StorageUnavailableError) as error:
            if not self._stopping.is_set():
                click.echo(f"hes: {error}", err=True)
                return 1
        return 0

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopping.set()

    def _serve(self, stack: ExitStack) -> None:
        database_server = self._start(
            stack,
            database_service(self._data, url=self._settings.database.url or None, report=_say),
        )
        redis_server = self._start(
            stack,
            redis_service(self._data, url=self._settings.redis.url or None, report=_say),
        )
        addresses = {"database": database_server.url, "redis": redis_server.url}
        if isinstance(database_server, Postgres):
            addresses["backup"] = database_server.admin_url
        try:
            broker = mqtt_service(self._data, url=self._settings.mqtt.url or None, report=_say)
            addresses["mqtt"] = self._start(stack, broker).url
        except ServerMissingError:
            _say("no MQTT broker on this machine: MQTT devices cannot connect")
        if self._stopping.is_set():
            return
        environment = self._environment(stack, addresses)
        settings = attrs.evolve(
            self._settings,
            database=attrs.evolve(self._settings.database, url=database_server.url),
        )
        database = wiring.open_database(settings)
        stack.callback(database.close)
        wiring.migrate(database, settings)
        processes = list(self._processes(environment))
        if self._options.simulates:
            fleet = self._fleet(environment)
            stack.callback(fleet.stop)
            fleet.start()
            processes.append(fleet)
            self._import_fleet(fleet, settings, database)
            meters = StatsStore(database).read().meters
            if (line := demo.read_often(database, meters, self._options.read_every_s)) is not None:
                _say(line)
        for process in processes:
            if process.child is None:
                stack.callback(process.stop)
                process.start()
        self._watch(processes, StatsStore(database))
        if sys.stdout.isatty():
            click.echo()
        _say("stopping")

    def _start(self, stack: ExitStack, service: Service) -> Service:
        service.start()
        stack.callback(service.stop)
        self._servers.append(_Server(service))
        return service

    def _environment(self, stack: ExitStack, addresses: Mapping[str, str]) -> dict[str, str]:
        """
        Settings for the children; addresses with passwords go by file, never by value.

        The files stand while the servers run: other commands on this machine find them there.
        """
        folder = self._data / wiring.RUN
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {name: folder / f"{name}_url" for name in addresses}
        for name, file in files.items():
            stack.callback(file.unlink, missing_ok=True)
            _write_secret(file, addresses[name])
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("HES_") and not name.endswith("_URL")
        }
        collector = self._settings.collector
        simulated: dict[str, str] = {}
        if self._options.simulates:
            simulated = {
                "HES_COLLECTOR_ALLOWED_NETWORKS": ",".join(
                    (*collector.allowed_networks, _DEMO_NETWORK)
                ),
                "HES_COLLECTOR_ALLOWED_PORTS": ",".join(
                    (*collector.allowed_ports, str(self._options.simulated_port))
                ),
                # Simulated meters answer at once: a lease that a killed collector holds ends soon.
                "HES_COLLECTOR_SESSION_S": "45",
                "HES_COLLECTOR_LEASE_S": "60",
            }
        return {
            **simulated,
            **inherited,
            "HES_DATA": str(self._data),
            "HES_API_PORT": str(self._settings.api.port),
            **{f"HES_{name.upper()}_URL_FILE": str(file) for name, file in files.items()},
        }

    def _processes(self, environment: Mapping[str, str]) -> Iterator[_Process]:
        for name, arguments in (
            ("schedule", ("schedule",)),
            ("collect-dlms", ("collect", "dlms")),
            ("api", ("api",)),
        ):
            yield self._process(name, arguments, environment)

    def _process(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> _Process:
        logs = self._data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        # -P: a file of the folder that one stands in is no module of ours.
        command = [sys.executable, "-P", "-m", "hes", *arguments]
        return _Process(name, command, environment, logs / f"{name}.log")

    @property
    def _fleet_file(self) -> Path:
        options = self._options
        who = options.meters if options.scenario is None else Path(options.scenario).stem
        seed = "" if options.seed is None else f"-{options.seed}"
        return self._data / "sim" / f"meters-{who}{seed}.jsonl"

    def _fleet(self, environment: Mapping[str, str]) -> _Process:
        self._fleet_file.parent.mkdir(parents=True, exist_ok=True)
        self._fleet_file.unlink(missing_ok=True)
        if self._options.truth_log is not None:
            forget(self._options.truth_log)
        options, collector = self._options, self._settings.collector
        arguments = [
            "sim", "run",
            "--network", _DEMO_NETWORK,
            "--port", str(options.simulated_port),
            "--head-end", f"127.0.0.1:{collector.listen_port}",
            "--security", "gmac",
            "--keys-out", str(self._fleet_file),
            # Nobody waits for a console until a week of ten thousand meters is written.
            "--truth-history", "beside",
            # Started again after a crash, it still tells what happened before.
            "--truth-append",
        ]  # fmt: skip
        said = {
            "--meters": options.meters or None,
            "--scenario": options.scenario,
            "--seed": options.seed,
            "--truth-log": options.truth_log,
        }
        for option, value in said.items():
            if value is not None:
                arguments += [option, str(value)]
        return self._process("sim", arguments, environment)

    def _import_fleet(self, fleet: _Process, settings: Settings, database: Database) -> None:
        deadline = time.monotonic() + _FLEET_START_S
        while not self._fleet_file.exists():
            died = fleet.child is not None and fleet.child.exit_code is not None
            if died or time.monotonic() > deadline:
                words = fleet.child.last_words if fleet.child is not None else ""
                last = words.splitlines()[-1].removeprefix("Error: ") if words else "no word"
                raise PermanentError(f"the simulated fleet did not start: {last}")
            if self._stopping.wait(0.05):
                return
        inventory = wiring.inventory(database, settings)
        with self._fleet_file.open(encoding="utf-8") as lines:
            # Its port, its keys and who it is made of may be others than at the last start; who was
            # put in quarantine for a key that he has no more is read again.
            report = inventory.import_file(lines, on_existing=OnExisting.REPLACE, release=True)
        for error in report.errors[:1]:
            _say(
                f"{report.failed} of {report.rows} simulated meters are not what this folder knows"
                f" of them ({error.serial}: {error.field} {error.message}); choose another: --data"
            )
        others = inventory.page(limit=1, search=_DEMO_ADDRESSES).total_estimate - report.rows
        if others > 0:
            _say(
                f"{others} meters in this folder are of another fleet, and do not answer now;"
                " for this one alone choose another folder: --data"
            )

    def _wait_for_api(self, processes: Sequence[_Process]) -> None:
        """The address is shown when somebody answers there."""
        deadline = time.monotonic() + _API_START_S
        while time.monotonic() < deadline and not self._stopping.wait(0.05):
            for process in processes:
                if (line := process.watch(time.monotonic())) is not None:
                    _say(line)
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((self._settings.api.host, self._settings.api.port)) == 0:
                    return

    def _watch(self, processes: Sequence[_Process], stats: StatsStore) -> None:
        address = f"http://{self._settings.api.host}:{self._settings.api.port}/"
        self._wait_for_api(processes)
        click.echo(f"console: {address}")
        live = sys.stdout.isatty()
        tick = 0
        while not self._stopping.wait(_TICK_S):
            watched: list[_Process | _Server] = [*processes]
            if tick % _TICKS_PER_LOOK == 0:
                watched += self._servers
            for one in watched:
                if (line := one.watch(time.monotonic())) is not None:
                    _say(line)
            try:
                now = stats.read()
            except StorageUnavailableError as error:
                _say(f"the database is away: {error}")
                tick = 0
                continue
            line = (
                f"{address}  {now.meters} meters, {now.sessions_per_s:.1f} sessions/s, "
                f"{now.readings} readings"
            )
            if live:
                click.echo(f"\r\x1b[K{line}", nl=False)
            elif tick % _TICKS_PER_LINE == 0:
                click.echo(line)
            tick += 1


@contextmanager
def _sole_owner(data: Path) -> Iterator[None]:
    """Two supervisors on one data folder would fight over its servers."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermanentError(
                f"another `hes up` runs on {data}; stop it, or choose another folder with --data"
            ) from None
        yield


def _check_port(setting: str, host: str, port: int) -> None:
    """
    Say at once that a port is taken, instead of starting over and over.

    Raises: PermanentError: somebody listens there, or the address is none of ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PermanentError(
                f"{setting}: {host}:{port} cannot be used ({error.strerror}); choose another"
            ) from None


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _say(line: str) -> None:
    click.echo(f"hes: {line}", err=True)
