"""
`hes doctor`: what this machine's head-end needs, whether it is there, and a fix for what is not.

Owns the checks and their words. They look and never change anything; each catches what it expects
to go wrong, so that one failure hides no other.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs
import click
import psycopg
import redis

import hes
from hes.diagnosis.services import ServiceState, report_cache
from hes.plans.scheduler import LOCK
from hes.readings.latest import TRUST_S
from hes.services import mosquitto
from hes.settings import Settings
from hes.storage import features, rollups
from hes.storage.cache import Cache

_PROBE_S: Final = 3
_DISK_FAIL_OCTETS: Final = 1_000_000_000
_DISK_WARN_OCTETS: Final = 5_000_000_000
_CLOCK_OFF_S: Final = 2.0
_ROLLUP_WARN: Final = timedelta(minutes=15)
_BUILT: Final = datetime(2026, 11, 1, tzinfo=UTC)
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_POSTGRES_MIN: Final = 15_00_00
_START: Final = "start it with `hes up`, or set {variable} to a server of yours"


class State(enum.StrEnum):
    """How a check came out; only `fail` makes the whole unhealthy."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@attrs.frozen
class Check:
    """One finding; `fix` says what to do and is empty when nothing is."""

    name: str
    state: State
    detail: str
    fix: str = ""


@attrs.frozen
class Targets:
    """What to look at. Addresses hold passwords and are never shown; None: nobody named one."""

    data: Path
    database_url: str | None = attrs.field(default=None, repr=False)
    redis_url: str | None = attrs.field(default=None, repr=False)
    mqtt_url: str | None = attrs.field(default=None, repr=False)
    console: Path = Path(hes.__file__).parent / "console" / "static"


def targets(settings: Settings) -> Targets:
    """What to look at: the operator's addresses, or those of the servers that `hes up` runs."""
    return Targets(
        data=settings.data_path,
        database_url=settings.database.url or None,
        redis_url=settings.redis.url or None,
        mqtt_url=settings.mqtt.url or None,
    )


def checks(of: Targets) -> list[Check]:
    """Carry out every check, in the order in which a person would mend things."""
    return [
        check_disk(of.data),
        check_clock(),
        *check_database(of.database_url),
        *check_redis(of.redis_url),
        check_mqtt(of.mqtt_url),
        check_console(of.console),
    ]


def check_disk(
    data: Path, free_octets: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
) -> Check:
    """Is there room where the data lie, and may we write there?"""
    existing = next(path for path in (data, *data.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check("disk", State.FAIL, f"{existing} is not writable", "set HES_DATA elsewhere")
    free = free_octets(existing)
    detail = f"{free / 1e9:.1f} GB free for {data}"
    if free < _DISK_FAIL_OCTETS:
        return Check("disk", State.FAIL, detail, "make room or set HES_DATA elsewhere")
    if free < _DISK_WARN_OCTETS:
        return Check("disk", State.WARN, detail, "make room soon")
    return Check("disk", State.OK, detail)


def check_clock(now: datetime | None = None, synchronised: bool | None = None) -> Check:
    """Is the time plausible, and does somebody keep it so? Meters are set by this clock."""
    now = now or datetime.now(UTC)
    if synchronised is None:
        synchronised = _clock_synchronised()
    detail = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _BUILT:
        return Check("clock", State.FAIL, f"{detail} is before this program was made", "set it")
    if not synchronised:
        fix = "run chrony or systemd-timesyncd (in a container: on its host)"
        return Check("clock", State.WARN, f"{detail}, not synchronised", fix)
    return Check("clock", State.OK, f"{detail}, synchronised")


def _clock_synchronised() -> bool:
    """Ask the kernel; reading needs no right. A system without the call counts as synchronised."""
    try:
        adjust = ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return True
    return int(adjust(ctypes.create_string_buffer(512))) != _TIME_ERROR


def check_database(url: str | None) -> Iterator[Check]:
    """Does it answer, which version, how are readings kept, do both clocks agree?"""
    if url is None:
        fix = _START.format(variable="HES_DATABASE_URL")
        yield Check("database", State.FAIL, "no address: nothing runs here", fix)
        return
    try:
        with psycopg.connect(url, connect_timeout=_PROBE_S) as connection:
            *found, marked, plans = _row(connection, _SERVER)
            used = features.look(connection)
            behind = rollups.backlog(connection) if marked else None
            planned = _row(connection, _PLANNED) if plans else None
    except psycopg.Error as error:
        fix = _START.format(variable="HES_DATABASE_URL")
        yield Check("database", State.FAIL, _reason(error), fix)
        return
    number, version, schema, server_time = found
    if number < _POSTGRES_MIN:
        yield Check("database", State.FAIL, f"PostgreSQL {version}", "use PostgreSQL 15 or newer")
    else:
        yield Check("database", State.OK, f"PostgreSQL {version}")
    if not schema:
        yield Check("schema", State.FAIL, "the database is empty", "run `hes migrate`")
    elif used.is_settled:
        yield Check("readings", State.OK, f"in {used}")
    else:
        fix = "run `hes migrate`, and read what it says"
        yield Check("readings", State.WARN, f"in {used}: the server can do better", fix)
    if behind is not None:
        yield check_rollups(behind, server_time)
    if planned is not None:
        yield check_plans(*planned)
    off_s = abs((server_time - datetime.now(UTC)).total_seconds())
    if off_s > _CLOCK_OFF_S:
        detail = f"the database's clock is {off_s:.0f} s away from ours"
        yield Check("clocks", State.WARN, detail, "synchronise both machines")


def check_rollups(behind: rollups.Backlog, now: datetime) -> Check:
    """Do the hourly, daily and monthly values keep up with the readings?"""
    if behind.oldest is None:
        return Check("roll-ups", State.OK, "up to date")
    late = now - behind.oldest
    detail = f"{late.total_seconds():.0f} s behind, {behind.places} series and days to take in"
    if late < _ROLLUP_WARN:
        return Check("roll-ups", State.OK, detail)
    fix = "see that a collector runs, and look for rollup_failed in its log"
    return Check("roll-ups", State.WARN, detail, fix)


def check_plans(enabled: int, leads: bool) -> Check:
    """Is anything read regularly: are there plans, and does somebody make their runs?"""
    if not enabled:
        fix = "enable one: hes plan ls, hes plan set NAME --enable"
        return Check("plans", State.WARN, "none is enabled: meters are read once", fix)
    if not leads:
        detail = "nobody makes runs of them: meters are read once"
        return Check("plans", State.WARN, detail, "start `hes schedule`")
    return Check("plans", State.OK, f"{enabled} enabled")


_PLANNED = f"""
SELECT (SELECT count(*) FROM plan WHERE enabled),
       EXISTS (SELECT FROM pg_locks AS held JOIN pg_database ON pg_database.oid = held.database
               WHERE locktype = 'advisory' AND datname = current_database()
                 AND classid = 0 AND objid = {LOCK} AND objsubid = 1 AND granted)
"""  # noqa: S608 - constants only

_SERVER = """
SELECT current_setting('server_version_num')::int,
       current_setting('server_version'),
       to_regclass('schema_migration') IS NOT NULL,
       clock_timestamp(),
       to_regclass('dirty_bucket') IS NOT NULL,
       to_regclass('plan_run') IS NOT NULL AND to_regclass('plan') IS NOT NULL
"""


def _row(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def check_redis(url: str | None) -> Iterator[Check]:
    """Does it answer, which version, is its memory bounded, are latest values read from it?"""
    fix = _START.format(variable="HES_REDIS_URL")
    if url is None:
        yield Check("redis", State.FAIL, "no address: nothing runs here", fix)
        return
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_PROBE_S, socket_connect_timeout=_PROBE_S, retry=None
        ) as client:
            said, memory = client.info("server"), client.info("memory")
        with Cache(url, timeout_s=_PROBE_S) as cache:
            held = report_cache(cache, trust_s=TRUST_S)
    except (redis.RedisError, OSError, ValueError) as error:
        yield Check("redis", State.FAIL, _reason(error), fix)
        return
    name = said.get("server_name", "redis")
    version = f"{name} {said.get(f'{name}_version', said['redis_version'])}"
    if not memory["maxmemory"] or memory["maxmemory_policy"] == "noeviction":
        fix = "set maxmemory, and maxmemory-policy volatile-ttl"
        yield Check("redis", State.WARN, f"{version}, with memory that is not bounded", fix)
    else:
        yield Check("redis", State.OK, f"{version}, {memory['maxmemory'] / 2**20:.0f} MiB at most")
    if held.state is ServiceState.OK:
        yield Check("cache", State.OK, f"latest values are read from Redis: {held.detail}")
    else:
        detail = f"latest values are read from the database: {held.detail}"
        fix = "see that a collector runs: it keeps what Redis holds"
        yield Check("cache", State.WARN, detail, fix)


def check_mqtt(url: str | None) -> Check:
    """Is there a broker? Without one DLMS meters are still read."""
    if url is None:
        detail = "no broker: MQTT devices cannot connect"
        return Check("mqtt", State.WARN, detail, "install mosquitto or set HES_MQTT_URL")
    if mosquitto.answers(url):
        return Check("mqtt", State.OK, "the broker accepts MQTT 5")
    return Check("mqtt", State.FAIL, "the broker does not accept us", "look at HES_MQTT_URL")


def check_console(static: Path) -> Check:
    """Are the console's assets there?"""
    if (static / "index.html").exists():
        return Check("console", State.OK, "built")
    return Check("console", State.WARN, f"not built: {static} has no page", "run `make run`")


def _reason(error: Exception) -> str:
    """The first line of what the library says, unless it would quote the address."""
    if isinstance(error, (psycopg.ProgrammingError, ValueError)):
        return "the address cannot be read"
    return (str(error).splitlines() or [type(error).__name__])[0]


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def doctor(context: click.Context, output: str) -> None:
    """Check this machine's head-end; exit code 1 if something fails."""
    from hes import wiring

    found = checks(targets(wiring.settings()))
    if output == "json":
        click.echo(json.dumps([attrs.asdict(check) for check in found], indent=1))
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            click.echo(f"{check.state.value:4}  {check.name:{width}}  {check.detail}")
            if check.fix:
                click.echo(f"{'':4}  {'':{width}}  -> {check.fix}")
    if any(check.state is State.FAIL for check in found):
        context.exit(1)
