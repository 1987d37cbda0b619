"""
The composition root: builds each process of its parts from the settings.

The only modules that may import everything are this one and `hes.cli`. Nothing here decides
anything; it connects.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
from aiohttp import web
from prometheus_client import CollectorRegistry

from hes.api.app import create_app
from hes.api.services import Services
from hes.diagnosis import ServiceHealth
from hes.domain.errors import KeyUnavailableError, PermanentError
from hes.domain.ports import BatchSink
from hes.domain.reach import parse_ports
from hes.keys import KekError, KeyService
from hes.meters import Inventory, InventoryChanges
from hes.models import model_push_layouts, models
from hes.pipeline import DirectBus, WindowPolicy
from hes.pipeline.committed import CommitListener
from hes.pipeline.keeper import CacheKeeper
from hes.pipeline.publisher import Publisher
from hes.pipeline.replay import Replays
from hes.pipeline.rollup import Roller
from hes.pipeline.upkeep import ChunksAhead
from hes.plans.scheduler import LOCK, Leader, SchedulerMetrics
from hes.plans.service import PlanService
from hes.plans.steps import clock_set, make_steps
from hes.readings import BoardReader, LatestReader, Quarantine, ReadingQueries
from hes.readings.latest import TRUST_S
from hes.settings import Settings, load
from hes.storage import epochs, migrations
from hes.storage.cache import Cache, DialledPresence, LatestCache, Ledger, Presence
from hes.storage.clock_changes import ClockStore
from hes.storage.counters import CounterStore
from hes.storage.database import Database
from hes.storage.features import reconcile
from hes.storage.identity import own_system_title
from hes.storage.inbound import InboundStore
from hes.storage.knowledge import KnowledgeStore
from hes.storage.leadership import Leadership
from hes.storage.leases import LeaseStore
from hes.storage.replica import ReplicaFirst
from hes.storage.segments import SegmentStore
from hes.storage.sessions import SessionStore
from hes.storage.stats import StatsStore
from hes_collectors.dlms import (
    ClockRules,
    CollectorMetrics,
    CollectorSettings,
    Context,
    Deadlines,
    FrameReplays,
    InboundLimits,
    Ports,
    TlsFiles,
    make_context,
)

_API_THREADS: Final = 8
_COLLECTOR_THREADS: Final = 8
_PORTS_OF_SCHEMES: Final = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}
RUN: Final = "run"  # below the data folder: addresses of the servers that `hes up` runs


@cache
def settings() -> Settings:
    """
    The settings of this process; servers that `hes up` runs stand in where no address is set.

    Raises: SettingsError: a setting is wrong.
    """
    return beside_running(load().settings)


def beside_running(loaded: Settings) -> Settings:
    """`loaded`, with the addresses of servers that `hes up` runs where it gives none."""
    run = loaded.data_path / RUN
    changes = {}
    for name in ("database", "backup", "redis", "mqtt"):
        section = getattr(loaded, name)
        if not section.url and (url := _read(run / f"{name}_url")):
            changes[name] = attrs.evolve(section, url=url)
    return attrs.evolve(loaded, **changes)


def open_database(
    chosen: Settings | None = None,
    *,
    application_name: str = "hes",
    max_connections: int | None = None,
) -> Database:
    """
    The database of the settings, not connected yet; a context manager that closes its pool.

    Args: max_connections: None: as the settings say.

    Raises: PermanentError: there is no address.
    """
    chosen = chosen or settings()
    if not chosen.database.url:
        raise PermanentError(
            "no database: start one with `hes up`, or set HES_DATABASE_URL to a server of yours"
        )
    return Database(
        chosen.database.url,
        max_connections=max_connections or chosen.database.max_connections,
        statement_timeout_s=chosen.database.statement_timeout_s,
        application_name=application_name,
    )


def migrate(database: Database, chosen: Settings | None = None) -> None:
    """Bring the schema to the present and make use of what the server has."""
    migrations.migrate(database)
    reconcile(database, buffer_depth_days=(chosen or settings()).intake.buffer_depth_days)
    # From the first moment on it is known where the counters live.
    epochs.settle(database)


def keys(database: Database, chosen: Settings | None = None) -> KeyService:
    """The meter keys, behind the KEK of the settings; made at the first start."""
    chosen = chosen or settings()
    return KeyService.open(database, kek_path(chosen))


def _keys_if_here(database: Database) -> Callable[[], KeyService]:
    """
    What wraps secrets, opened when the first is to be wrapped; it makes no KEK.

    What only shows meters needs none, and a process that has none must not make another one than
    the collectors have.
    """
    chosen = settings()

    @cache
    def opened() -> KeyService:
        try:
            if not kek_path(chosen).exists():
                raise KeyUnavailableError(f"no KEK at {kek_path(chosen)}")
            return keys(database, chosen)
        except KekError as exc:
            raise KeyUnavailableError(str(exc)) from exc

    return opened


def kek_path(chosen: Settings) -> Path:
    """Where the KEK lies."""
    return Path(chosen.keys.kek_file) if chosen.keys.kek_file else chosen.data_path / "kek"


def inventory(database: Database, chosen: Settings | None = None) -> Inventory:
    """The meters."""
    return Inventory(database, keys(database, chosen))


def open_cache(chosen: Settings | None = None) -> Cache | None:
    """Redis of the settings, not connected yet; None where there is no address."""
    chosen = chosen or settings()
    return Cache(chosen.redis.url) if chosen.redis.url else None


@contextmanager
def publishing(database: Database, held: Cache | None) -> Iterator[Sequence[CommitListener]]:
    """Who tells Redis of commits, and who keeps it true, for as long as a bus writes here."""
    if held is None:
        yield ()
        return
    with CacheKeeper(database, held), Publisher(database, Ledger(held)) as publisher:
        yield (publisher,)


def latest_values(database: Database, held: Cache | None) -> LatestReader:
    """Latest values, from Redis if it can be believed."""
    return LatestReader(database, None if held is None else LatestCache(held))


@contextmanager
def reading(database: Database, chosen: Settings) -> Iterator[Database]:
    """Where to read what may be some seconds old: a standby while it keeps up, else `database`."""
    told = chosen.database
    if not told.replica_url:
        yield database
        return
    with ReplicaFirst(
        told.url,
        told.replica_url,
        max_lag_s=told.replica_max_lag_s,
        max_connections=told.max_connections,
        statement_timeout_s=told.statement_timeout_s,
        application_name="hes api reading",
    ) as reader:
        yield reader


def api(
    database: Database, held: Cache | None = None, *, reader: Database | None = None
) -> web.Application:
    """The API and the console; `held`: Redis, None: there is none; `reader`: see `reading`."""
    services = Services(
        # Without keys: what only shows meters needs no KEK.
        inventory=Inventory(database),
        changes=InventoryChanges(database, _keys_if_here(database)),
        readings=ReadingQueries(reader or database),
        latest=latest_values(database, held),
        quarantine=Quarantine(database),
        plans=PlanService(database),
        boards=BoardReader(database, reader),
        stats=StatsStore(reader or database),
        health=ServiceHealth(database, held, trust_s=TRUST_S),
    )
    return create_app(services, threads=_API_THREADS)


@contextmanager
def bus(chosen: Settings, listeners: Sequence[CommitListener] = ()) -> Iterator[DirectBus]:
    """
    The bus `direct`: it writes in this process, until the end of the context.

    On connections of its own: however much there is to write, leases, counters and sessions get
    theirs.
    """
    lanes = chosen.intake.lanes
    with (
        # One more: somebody may ask what is stored while all lanes write.
        open_database(chosen, application_name="hes write", max_connections=lanes + 1) as database,
        DirectBus(
            database,
            _window(chosen),
            lanes=lanes,
            listeners=listeners,
        ) as opened,
    ):
        yield opened


@contextmanager
def replays(
    database: Database, chosen: Settings, listeners: Sequence[CommitListener] = ()
) -> Iterator[Replays]:
    """
    What gets entries out of the quarantine; it writes on a connection of its own.

    Without listeners it is left to the collectors to tell Redis of what is replayed.
    """
    with open_database(chosen, application_name="hes replay", max_connections=1) as own:
        layouts = model_push_layouts()
        known = {model.name: model for model in models()}
        frames = FrameReplays(_ports(database, chosen), layouts, known)
        yield Replays(own, _window(chosen), frames, listeners=listeners)


def _window(chosen: Settings) -> WindowPolicy:
    return WindowPolicy(buffer_depth=timedelta(days=chosen.intake.buffer_depth_days))


@contextmanager
def upkeep(chosen: Settings) -> Iterator[Roller]:
    """
    What keeps the roll-ups up to date and makes chunks ahead, in threads until the context ends.

    On connections of their own: the collector counts on all of its.
    """
    with (
        open_database(chosen, application_name="hes upkeep", max_connections=2) as database,
        ChunksAhead(database),
        Roller(database) as roller,
    ):
        yield roller


@contextmanager
def scheduler(chosen: Settings, registry: CollectorRegistry) -> Iterator[Leader]:
    """What leads, or waits to; on a connection of its own, which holds the lead."""
    with open_database(chosen, application_name="hes schedule", max_connections=1) as database:
        yield Leader(
            Leadership(database, LOCK, silence_s=chosen.schedule.silence_s),
            make_steps,
            SchedulerMetrics(registry),
            clock_set=clock_set,
            tick_s=chosen.schedule.tick_s,
        )


def dlms_collector(
    database: Database, sink: DirectBus, chosen: Settings, registry: CollectorRegistry
) -> Context:
    """What the DLMS collector runs on."""
    title = bytes.fromhex(chosen.collector.system_title) or own_system_title(database)
    ports = _ports(database, chosen)(sink)
    if (held := open_cache(chosen)) is not None:
        ports = attrs.evolve(ports, presence=DialledPresence(Presence(held)))
    return make_context(
        _collector_settings(chosen, title),
        ports,
        CollectorMetrics(registry),
        push_layouts=model_push_layouts(),
        models=models(),
    )


def _ports(database: Database, chosen: Settings) -> Callable[[BatchSink], Ports]:
    """What a collector asks of storage, but for where its batches go."""
    secrets = keys(database, chosen)

    def ports(sink: BatchSink) -> Ports:
        return Ports(
            leases=LeaseStore(database),
            sessions=SessionStore(database),
            keys=secrets,
            counters=CounterStore(database),
            knowledge=KnowledgeStore(database),
            clocks=ClockStore(database),
            inbound=InboundStore(
                database,
                max_unknown_senders=chosen.intake.max_unknown_senders,
                max_unknown_octets=chosen.intake.max_unknown_octets,
            ),
            sink=sink,
            segments=SegmentStore(database),
        )

    return ports


def _collector_settings(chosen: Settings, system_title: bytes) -> CollectorSettings:
    told = chosen.collector
    # Pushes and sessions have threads of their own; the probes and the publisher need a connection.
    threads = max(1, min(_COLLECTOR_THREADS, (chosen.database.max_connections - 2) // 2))
    return CollectorSettings(
        holder=f"{socket.gethostname()}:{os.getpid()}",
        system_title=system_title,
        allowed_networks=tuple(ip_network(network) for network in told.allowed_networks),
        allowed_ports=tuple(map(parse_ports, told.allowed_ports)),
        own_ports=_own_ports(chosen),
        listen_host=told.listen_host,
        listen_port=told.listen_port,
        listen_udp=told.listen_udp,
        tls=_tls(chosen),
        max_sessions=told.max_sessions,
        connections_per_s=told.connections_per_s or None,
        sessions_per_segment=told.sessions_per_segment or None,
        worker_threads=threads,
        lease_s=told.lease_s,
        max_counter_jump=told.max_counter_jump,
        clock=ClockRules(
            sets=told.set_clocks, above_s=told.clock_above_s, step_s=told.clock_step_s
        ),
        deadlines=Deadlines(
            connect_s=told.connect_s,
            associate_s=told.associate_s,
            request_s=told.request_s,
            session_s=told.session_s,
        ),
        inbound=InboundLimits(
            max_connections=told.max_inbound,
            max_connections_per_source=told.max_inbound_per_source,
        ),
    )


def _tls(chosen: Settings) -> TlsFiles | None:
    told = chosen.collector
    if not told.tls_certificate:
        return None
    client_ca = Path(told.tls_client_ca) if told.tls_client_ca else None
    return TlsFiles(Path(told.tls_certificate), Path(told.tls_key), client_ca)


def _own_ports(chosen: Settings) -> frozenset[int]:
    """Where this head-end and its servers listen: nobody's meter."""
    urls = (chosen.database.url, chosen.database.replica_url, chosen.redis.url, chosen.mqtt.url)
    ports = {chosen.api.port, chosen.collector.listen_port, *map(_port, urls)}
    return frozenset(ports - {0})


def _port(url: str) -> int:
    """The port of an address, 0: none is named."""
    try:
        return urlsplit(url).port or _PORTS_OF_SCHEMES.get(url.partition(":")[0], 0)
    except ValueError:  # several hosts, a socket's folder
        return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
