"""
A fleet: many meters behind few sockets, in one trio process.

Owns listening, telling meters apart, and keeping hostile clients away from each other. With a
network each meter has a loopback address of its own and one wildcard socket serves all of them,
told apart by the local address of the connection; the socket is bound to the device `lo`, so
that nothing outside the machine reaches it. With a port base, meter i listens on port base + i
of 127.0.0.1, on any system.

Meters exist from their first connection on: ten thousand silent ones cost nothing.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import attrs
import structlog
import trio

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.quirks import STANDARD, Quirks
from hes_simulators.addresses import DEFAULT_NETWORK, MeterNetwork
from hes_simulators.faults import reset
from hes_simulators.household_meter import MANAGEMENT_SAP, MODEL, SERVER_SAP
from hes_simulators.identity import Identity
from hes_simulators.meter import Meter, MeterKind, Security
from hes_simulators.reach import Reach
from hes_simulators.scenario.population import Population
from hes_simulators.session import SessionSummary, serve_stream
from hes_simulators.starts import first_counter

DEFAULT_PORT: Final = 4159
_BACKLOG: Final = 4096
_CHALLENGE_OCTETS: Final = 16
_LOOPBACK_HOST: Final = "127.0.0.1"

_log = structlog.get_logger(__name__)


class FleetError(Exception):
    """The fleet cannot start; the text says what to do."""


@attrs.frozen(kw_only=True)
class FleetSettings:
    """
    What a fleet looks like.

    Args:
        meters: how many; unused with `population`.
        network: their addresses; unused with `port_base`.
        port: of every address; 0 lets the system choose one.
        port_base: where not None, meter i listens on 127.0.0.1, port base + i, instead.
        security: of the management client.
        max_receive_pdu_size: of the meters, octets; answers above it come in blocks.
        profile_days: depth of the load profile's buffer.
        seed: all curves and keys follow from it.
        zone: of the meters; one with the European summer time rule.
        hdlc: whether they speak HDLC over TCP instead of the wrapper.
        model: their model's name. quirks: what that does otherwise than the standard.
        idle_timeout_s: a client that sends no whole APDU for so long is dropped.
        max_connections: more at once are closed unheard.
        population: meters of several makes; None: all are of `model`.
        reach: how they are reached and speak up, where a group of `population` says nothing.
        tls_folder: where the certificates are, or will be made, of meters that speak TLS.
    Raises: NetworkError, FleetError: more meters than addresses or ports.
    """

    meters: int = 1
    network: MeterNetwork = attrs.field(factory=lambda: MeterNetwork(DEFAULT_NETWORK))
    port: int = DEFAULT_PORT
    port_base: int | None = None
    security: Security = Security.GMAC
    max_receive_pdu_size: int = 512
    profile_days: int = 7
    seed: int = 1
    zone: ZoneInfo = attrs.field(factory=lambda: ZoneInfo("Europe/Berlin"))
    hdlc: bool = False
    model: str = MODEL
    quirks: Quirks = STANDARD
    idle_timeout_s: float = 60.0
    max_connections: int = 8192
    population: Population | None = None
    reach: Reach = attrs.field(factory=Reach)
    tls_folder: Path | None = None

    def __attrs_post_init__(self) -> None:
        if self.port_base is None:
            self.network.address(self.meters - 1)
        elif self.port_base + self.meters - 1 > 0xFFFF:
            raise FleetError(f"{self.meters} ports from {self.port_base} end above 65535")


@attrs.define
class FleetCounters:
    """What happened so far, over all meters."""

    sessions: int = 0
    open_sessions: int = 0
    reads: int = 0
    failed: int = 0
    turned_away: int = 0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fleet:
    """
    The meters and their sockets.

    Args:
        settings: what the fleet looks like.
        start_number: of this start, see `starts.next_start`; invocation counters begin with it.
        now: the meters' clock, aware UTC.
        next_challenge: gives a fresh HLS challenge.
    """

    def __init__(
        self,
        settings: FleetSettings,
        *,
        start_number: int,
        now: Callable[[], datetime] = _utc_now,
        next_challenge: Callable[[], bytes] = lambda: secrets.token_bytes(_CHALLENGE_OCTETS),
    ) -> None:
        self.settings = settings
        self.counters = FleetCounters()
        self.port = settings.port
        self.kind = MeterKind(
            seed=settings.seed,
            zone=settings.zone,
            security=settings.security,
            max_receive_pdu_size=settings.max_receive_pdu_size,
            profile_days=settings.profile_days,
            now=now,
            next_challenge=next_challenge,
            first_counter=first_counter(start_number),
            hdlc=settings.hdlc,
            quirks=settings.quirks,
        )
        self._meters: dict[int, Meter] = {}

    def meter(self, index: int) -> Meter:
        """
        Meter `index`, made when it is first asked for.

        Raises: IndexError: the fleet has no such meter.
        """
        meter = self._meters.get(index)
        if meter is None:
            if not 0 <= index < self.settings.meters:
                raise IndexError(index)
            meter = self._meters[index] = Meter.of(self.kind, index)
        return meter

    def all_meters(self) -> Iterator[Meter]:
        """Every meter in order; makes those that do not exist yet."""
        return map(self.meter, range(self.settings.meters))

    def meter_file(self) -> Iterator[Mapping[str, Any]]:
        """
        The records that `hes meter import` reads, one per meter.

        With `port=0` the port is known, and right here, once the fleet serves.
        """
        for index in range(self.settings.meters):
            yield self._meter_record(index)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """
        Serve until cancelled; reports started when every meter answers.

        Raises: FleetError: an address or port cannot be used.
        """
        listeners = await self._open_listeners()
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve_connection, listeners)
            task_status.started()

    async def _open_listeners(self) -> list[trio.SocketListener]:
        settings = self.settings
        if settings.port_base is None:
            listener = await _open_lo_listener(settings.port)
            self.port = listener.socket.getsockname()[1]
            return [listener]
        ports = range(settings.port_base, settings.port_base + settings.meters)
        return [await _open_port_listener(port) for port in ports]

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        """One client, from accept to close; nothing that it does leaves this function."""
        counters = self.counters
        async with stream:
            meter = self._called_meter(stream)
            if meter is None or counters.open_sessions >= self.settings.max_connections:
                counters.turned_away += 1
                return
            counters.sessions += 1
            counters.open_sessions += 1
            summary = SessionSummary()
            try:
                with meter.kind.faults.session(meter.identity) as misdeeds:
                    if misdeeds.refuses:
                        await reset(stream)
                        return
                    idle_s = self.settings.idle_timeout_s
                    await serve_stream(stream, meter, summary, idle_s, misdeeds)
            except RemoteProtocolError as error:
                counters.failed += 1
                self._log_failure(meter, summary, code=error.code, detail=str(error))
            except (trio.BrokenResourceError, OSError):
                pass  # the client is gone, as clients go
            except Exception:  # noqa: BLE001 - the session's edge: others go on
                counters.failed += 1
                _log.exception("sim_session_crashed", serial=meter.identity.serial)
            finally:
                counters.open_sessions -= 1
                counters.reads += summary.reads
            if summary.refusals or summary.timed_out:
                code = "idle" if summary.timed_out else "association-refused"
                self._log_failure(meter, summary, code=code, detail="")

    def _called_meter(self, stream: trio.SocketStream) -> Meter | None:
        """The meter that owns the address or port which the client connected to."""
        host, port = stream.socket.getsockname()[:2]
        settings = self.settings
        if settings.port_base is None:
            index = settings.network.index(IPv4Address(host))
        else:
            index = port - settings.port_base
        if index is None or not 0 <= index < settings.meters:
            return None
        return self.meter(index)

    def _log_failure(
        self, meter: Meter, summary: SessionSummary, *, code: str, detail: str
    ) -> None:
        _log.warning(
            "sim_session_failed",
            serial=meter.identity.serial,
            code=code,
            detail=detail,
            associations=summary.associations,
            reads=summary.reads,
        )

    def _meter_record(self, index: int) -> Mapping[str, Any]:
        settings = self.settings
        identity = Identity.of(settings.seed, index)
        if settings.port_base is None:
            address, port = str(settings.network.address(index)), self.port
        else:
            address, port = _LOOPBACK_HOST, settings.port_base + index
        ciphered = settings.security is Security.GMAC
        secret = settings.security.secret(identity)
        return {
            "serial": identity.serial,
            "system_title": identity.system_title.hex(),
            "address": address,
            "port": port,
            "transport": "hdlc" if settings.hdlc else "wrapper",
            "client_sap": MANAGEMENT_SAP,
            "server_sap": SERVER_SAP,
            "mechanism": settings.security.value,
            "suite": 0,
            "secret": None if secret is None else secret.hex(),
            "ek": identity.encryption_key.hex() if ciphered else None,
            "ak": identity.authentication_key.hex() if ciphered else None,
            "model": settings.model,
            "timezone": settings.zone.key,
        }


async def _open_lo_listener(port: int) -> trio.SocketListener:
    """A wildcard socket that only the machine itself can reach."""
    device_option = getattr(socket, "SO_BINDTODEVICE", None)
    if device_option is None:
        raise FleetError("one address per meter needs Linux: use --port-base")
    listening = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before bind: an ordinary user may bind a socket to a device that has none (Linux 5.7).
        listening.setsockopt(socket.SOL_SOCKET, device_option, b"lo")
        await listening.bind(("0.0.0.0", port))  # noqa: S104 - the device is lo
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise FleetError(f"port {port} on the device lo: {error.strerror}") from error
    return trio.SocketListener(listening)


async def _open_port_listener(port: int) -> trio.SocketListener:
    try:
        [listener] = await trio.open_tcp_listeners(port, host=_LOOPBACK_HOST, backlog=_BACKLOG)
    except OSError as error:
        raise FleetError(f"port {port} on {_LOOPBACK_HOST}: {error.strerror}") from error
    return listener
