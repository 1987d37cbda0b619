"""
What an operator may set: read once at the start, checked, frozen, passed in.

Order, weakest first: defaults, `/etc/hes/hes.toml`, `./hes.toml`, the file that `HES_CONFIG`
names, the environment (`HES_SECTION_NAME`; secrets also as `HES_SECTION_NAME_FILE`). A wrong
value, an unknown name or an unreadable file stops the start and names the setting and its origin.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
import msgspec
from msgspec import Meta

from hes.domain.errors import PermanentError
from hes.domain.reach import parse_ports

_PREFIX: Final = "HES_"
_RELEASE_S: Final = 4
_SECRET: Final = {"secret": True}
# Names below HES_ that are no settings: they speak to make and to the tests.
_NOT_SETTINGS: Final = frozenset(
    {"HES_CONFIG", "HES_VECTORS", "HES_TEST_ALLOW_MISSING", "HES_CHROMIUM"}
)

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=1e8)]
Count = Annotated[int, Meta(ge=1)]


class SettingsError(PermanentError):
    """A setting is wrong. `setting` is its dotted name, `origin` where its value came from."""

    def __init__(self, setting: str, origin: str, problem: str) -> None:
        super().__init__(f"{setting} (from {origin}): {problem}")
        self.setting = setting
        self.origin = origin


def _networks(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: Any) -> None:
    for text in value:
        try:
            ip_network(text)
        except ValueError as error:
            raise ValueError(f"{attribute.name}: {error}") from None


def _ports(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: Any) -> None:
    for text in value:
        try:
            parse_ports(text)
        except ValueError as error:
            raise ValueError(f"{attribute.name}: {error}") from None


def _title(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value and not re.fullmatch(r"[0-9A-Fa-f]{16}", value):
        raise ValueError(f"{attribute.name}: a system title is 16 hex digits")


@attrs.frozen
class DatabaseSettings:
    """
    PostgreSQL or TimescaleDB; an empty url means: the embedded server.

    `replica_url`: of a standby that the API reads from while it is at most `replica_max_lag_s`
    behind.
    """

    url: str = attrs.field(default="", metadata=_SECRET)
    replica_url: str = attrs.field(default="", metadata=_SECRET)
    replica_max_lag_s: Seconds = 10.0
    max_connections: Annotated[int, Meta(ge=4)] = 20
    statement_timeout_s: Seconds = 30.0


@attrs.frozen
class BackupSettings:
    """Of a role that may replicate, for `hes backup`; an empty url means: the database's."""

    url: str = attrs.field(default="", metadata=_SECRET)


@attrs.frozen
class RedisSettings:
    """Redis 7 or Valkey; an empty url means: the embedded server."""

    url: str = attrs.field(default="", metadata=_SECRET)


@attrs.frozen
class MqttSettings:
    """An MQTT 5 broker; an empty url means: the machine's own, where there is one."""

    url: str = attrs.field(default="", metadata=_SECRET)


@attrs.frozen
class KeySettings:
    """The key encryption key; an empty path means: `kek` in the data folder."""

    kek_file: str = ""


@attrs.frozen
class ApiSettings:
    """REST, console; loopback only until people can log in."""

    host: str = "127.0.0.1"
    port: Port = 8080


@attrs.frozen
class CollectorSettings:
    """
    The DLMS collector; times in seconds.

    An empty system title means: the database's own, random and made once. With a certificate
    (PEM files) whoever connects to the listening port must speak TLS, with a client CA by a
    certificate that it has signed. Clocks that are off by more than `clock_above_s` are set, by at
    most `clock_step_s` in a session. `connections_per_s` new connections to meters, and
    `sessions_per_segment` sessions at once in a segment that has no limit of its own; 0: no limit.
    """

    listen_host: str = "127.0.0.1"
    listen_port: Port = 4059
    listen_udp: bool = True
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    system_title: str = attrs.field(default="", validator=_title)
    allowed_networks: tuple[str, ...] = attrs.field(
        default=("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"),
        validator=_networks,
    )
    allowed_ports: tuple[str, ...] = attrs.field(default=("4059",), validator=_ports)
    max_sessions: Count = 200
    connections_per_s: Annotated[float, Meta(ge=0)] = 0.0
    sessions_per_segment: Annotated[int, Meta(ge=0)] = 0
    lease_s: Annotated[float, Meta(gt=0, le=900)] = 180.0
    connect_s: Seconds = 5.0
    associate_s: Seconds = 10.0
    request_s: Seconds = 15.0
    session_s: Seconds = 120.0
    max_counter_jump: Count = 1_000_000
    set_clocks: bool = True
    clock_above_s: Seconds = 5.0
    clock_step_s: Seconds = 60.0
    max_inbound: Count = 5000
    max_inbound_per_source: Count = 100

    def __attrs_post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate: it takes both a certificate and its key")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca: without a certificate of our own there is no TLS")
        if self.session_s < self.connect_s + self.associate_s + self.request_s:
            raise ValueError("session_s: has no room for connect_s, associate_s and request_s")
        # While a session may still talk, nobody else may take its meter.
        if self.lease_s < self.session_s + _RELEASE_S:
            raise ValueError(f"lease_s: does not outlast session_s by {_RELEASE_S} s")


@attrs.frozen
class IntakeSettings:
    """
    What the writer accepts, in how many lanes it writes, what the quarantine holds at most.

    A collector has `lanes` + 4 database connections beside `database.max_connections`.
    """

    lanes: Count = 2
    buffer_depth_days: Count = 60
    max_unknown_senders: Count = 1000
    max_unknown_octets: Count = 64 * 1024 * 1024


@attrs.frozen
class LogSettings:
    """Structured logs on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


@attrs.frozen
class ScheduleSettings:
    """
    The scheduler.

    It looks what is to be done every `tick_s`; another process leads when one has said nothing to
    the database for `silence_s`.
    """

    tick_s: Seconds = 1.0
    silence_s: Annotated[float, Meta(ge=2)] = 8.0


@attrs.frozen
class Settings:
    """Everything that can be set. `data` holds servers, keys and state of this machine."""

    data: str = ".hes"
    database: DatabaseSettings = DatabaseSettings()
    backup: BackupSettings = BackupSettings()
    redis: RedisSettings = RedisSettings()
    mqtt: MqttSettings = MqttSettings()
    keys: KeySettings = KeySettings()
    api: ApiSettings = ApiSettings()
    collector: CollectorSettings = CollectorSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    intake: IntakeSettings = IntakeSettings()
    log: LogSettings = LogSettings()

    @property
    def data_path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data).expanduser().resolve()


@attrs.frozen
class Option:
    """One setting as it stands: dotted name, value (secrets masked) and origin."""

    name: str
    value: str
    origin: str


@attrs.frozen
class Loaded:
    """The settings and where each came from."""

    settings: Settings
    origins: Mapping[str, str]

    def options(self) -> Iterator[Option]:
        """Every setting, in the order of the classes, secrets masked."""
        for name, field, value in _leaves(self.settings):
            shown = "********" if field.metadata.get("secret") and value else _shown(value)
            yield Option(name, shown, self.origins.get(name, "default"))


def load(
    environ: Mapping[str, str] = os.environ,
    files: tuple[Path, ...] = (Path("/etc/hes/hes.toml"), Path("hes.toml")),
) -> Loaded:
    """
    Read files and environment.

    Args: environ: the environment. files: optional files, weakest first.
    Raises: SettingsError: a wrong value or name, or a file that cannot be read.
    """
    known = {name: field for name, field, _ in _leaves(Settings())}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    paths = [path for path in files if path.is_file()]
    if chosen := environ.get("HES_CONFIG"):
        paths.append(Path(chosen))
    for path in paths:
        for name, value in _read(path).items():
            if name not in known:
                raise SettingsError(name, str(path), "there is no such setting")
            values[name], origins[name] = value, str(path)
    for name, (value, variable) in _from_environment(environ, known).items():
        values[name], origins[name] = value, variable
    return Loaded(_build(values, origins), origins)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError("HES_CONFIG", str(path), str(error)) from None
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": leaf for inner, leaf in value.items()})
        else:
            flat[key] = value
    return flat


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, attrs.Attribute[Any]]
) -> dict[str, tuple[Any, str]]:
    by_variable = {_PREFIX + name.upper().replace(".", "_"): name for name in known}
    sections = tuple(
        {f"{_PREFIX}{name.partition('.')[0].upper()}_" for name in known if "." in name}
    )
    found: dict[str, tuple[Any, str]] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(_PREFIX) or variable in _NOT_SETTINGS:
            continue
        name = by_variable.get(variable)
        if name is None:
            name = by_variable.get(variable.removesuffix("_FILE"), "")
            if not name or not known[name].metadata.get("secret"):
                if variable.startswith(sections):
                    raise SettingsError(variable, "environment", "there is no such setting")
                continue
            try:
                text = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(name, variable, str(error)) from None
        is_list = isinstance(known[name].default, tuple)
        found[name] = (
            [part.strip() for part in text.split(",") if part.strip()] if is_list else text,
            variable,
        )
    return found


def _build(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    try:
        return msgspec.convert(nested, Settings, strict=False)
    except msgspec.ValidationError as error:
        # The message ends in " - at `$.section.name`"; validators name only the field.
        problem, _, where = str(error).partition(" - at `$")
        name = where.strip("`.")
        if name not in origins:
            field = problem.partition(":")[0]
            name = next((n for n in origins if n.rpartition(".")[2] == field), name)
        raise SettingsError(name, origins.get(name, "?"), problem) from None


def _leaves(settings: Settings) -> Iterator[tuple[str, attrs.Attribute[Any], Any]]:
    for field in attrs.fields(Settings):
        value = getattr(settings, field.name)
        if attrs.has(type(value)):
            for leaf in attrs.fields(type(value)):
                yield f"{field.name}.{leaf.name}", leaf, getattr(value, leaf.name)
        else:
            yield field.name, field, value


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
