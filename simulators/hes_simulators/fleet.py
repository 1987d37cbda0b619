"""
A fleet: many meters behind few sockets, in one trio process.

Owns what belongs together while it runs: who is who (`roster`), sockets that take connections
(`listeners`), meters that call by themselves (`dial_in`) and push (`pushes`), datagrams and TLS;
and keeping hostile clients away from each other. With a network each meter has a loopback address
of its own, told apart by the local address of the connection. With a port base, meter i listens on
port base + i of 127.0.0.1, on any system.

Meters exist from their first connection on: ten thousand silent ones cost nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Set
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Final

import structlog
import trio

from hes_protocol.models import ModelPush, Transport
from hes_protocol.quirks import STANDARD
from hes_simulators.agenda import by_the_meters, by_the_network
from hes_simulators.clock import SECOND_US, microseconds
from hes_simulators.conversation import SessionSummary
from hes_simulators.counters import FleetCounters
from hes_simulators.datagrams import Datagrams
from hes_simulators.dial_in import DialIns
from hes_simulators.door import Door
from hes_simulators.faults import FaultPlan
from hes_simulators.garbage import seldom_collected
from hes_simulators.known_models import simulated_model
from hes_simulators.listeners import connect_from, open_listeners
from hes_simulators.meter import Meter, MeterKind, Security
from hes_simulators.pushes import Pushes
from hes_simulators.reach import Reach, Target
from hes_simulators.roster import Roster
from hes_simulators.scenario.pace import Pace, RealPace
from hes_simulators.scenario.population import Group
from hes_simulators.session import Session
from hes_simulators.settings import DEFAULT_PORT, FleetError, FleetSettings
from hes_simulators.starts import first_counter
from hes_simulators.state import MeterState
from hes_simulators.streams import serve_connections
from hes_simulators.tls import CertificateFolder
from hes_simulators.truth.journal import Journal, NullJournal

__all__ = ["DEFAULT_PORT", "Fleet", "FleetCounters", "FleetError", "FleetSettings"]

_CHALLENGE_OCTETS: Final = 16
REST_AFTER_S: Final = 3600.0
_log = structlog.get_logger(__name__)


def _fresh_challenge() -> bytes:
    """One in a million would read as an APDU, which no client signs; none that begins with 0."""
    return b"\0" + secrets.token_bytes(_CHALLENGE_OCTETS - 1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Fleet:
    """
    The meters and their sockets.

    Args:
        settings: what the fleet looks like.
        start_number: of this start, see `starts.next_start`; invocation counters begin with it.
        now: the meters' clock, aware UTC; unused with `pace`.
        next_challenge: gives a fresh HLS challenge.
        pace: how fast the meters' time goes.
        journal: is told what really happened.
        states: of meters that are not fresh, by index; see `persistence`.
        keeps: is given, by index, the state of a meter that must not be lost now.
    """

    def __init__(
        self,
        settings: FleetSettings,
        *,
        start_number: int,
        now: Callable[[], datetime] = _utc_now,
        next_challenge: Callable[[], bytes] = _fresh_challenge,
        pace: Pace | None = None,
        journal: Journal | None = None,
        states: Mapping[int, MeterState] | None = None,
        keeps: Callable[[int, MeterState], None] | None = None,
    ) -> None:
        self.settings = settings
        self.counters = FleetCounters()
        self.pace: Pace = RealPace(now) if pace is None else pace
        self.journal: Journal = NullJournal() if journal is None else journal
        self.faults = FaultPlan(settings.seed, self.pace.now, self.journal)
        self._next_challenge = next_challenge
        self._keeps = keeps
        self._first_counter = first_counter(start_number)
        self._roster = Roster(settings, self._kind, states or {})
        self._door = Door(self._roster, self.pace.now, self.counters, self._told)
        self._datagrams: Datagrams | None = None
        by_network = by_the_network(self._crashed)
        by_meters = by_the_meters(self.pace.now, self.pace.sleep_until, self._crashed)
        self._agendas = by_meters, by_network
        self._dial_ins = DialIns(
            self._roster, by_network, self.connect, self.pace.now, self.counters, self._told
        )
        self._pushes = Pushes(
            self._roster, self, *self._agendas, self.pace.now, self.counters, self.journal
        )

    @property
    def port(self) -> int:
        """At which the meters answer; with `port=0` known once the fleet serves."""
        return self._roster.port

    @property
    def listens(self) -> bool:
        """Whether any meter answers who calls it."""
        return any(band.listens for band in self._roster.bands)

    @property
    def targets(self) -> Set[Target]:
        """Whom meters call and push to."""
        return {target for band in self._roster.bands if (target := band.reach.target)}

    @property
    def kind(self) -> MeterKind:
        """What the meters of the first group share."""
        return self._roster.bands[0].kind

    def meter(self, index: int) -> Meter:
        """
        Meter `index`, made when it is first asked for.

        Raises: IndexError: the fleet has no such meter.
        """
        return self._roster.meter(index)

    def all_meters(self) -> Iterator[Meter]:
        """Every meter in order; makes those that do not exist yet."""
        return map(self._roster.meter, range(len(self._roster)))

    def states(self) -> Iterator[tuple[int, MeterState]]:
        """What to keep of the meters over restarts, by index."""
        return self._roster.states()

    def meter_file(self) -> Iterator[Mapping[str, Any]]:
        """
        The records that `hes meter import` reads, one per meter.

        With `port=0` the port is known, and right here, once the fleet serves.
        """
        return self._roster.records()

    # --- what happens to meters, from outside ---------------------------------------------------

    def push(self, index: int, push: ModelPush, event: str = "") -> None:
        """Let a meter push now, or within the push's window; `event` is why."""
        self._pushes.push(index, push, event)

    def dial(self, index: int) -> None:
        """Let a meter that dials in call now and not only when its time has come."""
        self._dial_ins.dial(index)

    def hang_up(self, index: int) -> None:
        """Break all connections of a meter: it has no power."""
        self._door.hang_up(index)
        dialled = self._dial_ins.line(index)
        if dialled is not None:
            dialled.hang_up()
        if self._datagrams is not None:
            self._datagrams.forget(self._roster.host(index))

    def speaks_up(self, meter: Meter) -> None:
        """Something has happened to a meter: it may have pushes to send, or no power, or again."""
        self._pushes.drain(meter)
        if meter.is_dark(self.pace.now()):
            self.hang_up(meter.identity.index)
        else:
            self._dial_ins.wake(meter.identity.index)

    # --- serving -------------------------------------------------------------------------------

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """
        Serve until cancelled; reports started when every meter answers.

        Raises: FleetError: an address or port cannot be used.
        """
        settings = self.settings
        if settings.tls_folder is not None and settings.speaks_tls:
            make = partial(CertificateFolder, settings.tls_folder)
            self._door.certificates = await trio.to_thread.run_sync(make)
        listeners = open_listeners(settings)
        if settings.port_base is None:
            self._roster.port = listeners[0].getsockname()[1]
        try:
            self._datagrams = await self._open_datagrams()
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        with seldom_collected():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_connections, listeners, self._door.serve)
                if self._datagrams is not None:
                    nursery.start_soon(self._datagrams.serve, self._meter_by_datagram)
                for agenda in self._agendas:
                    nursery.start_soon(agenda.run)
                nursery.start_soon(self._pushes.run)
                nursery.start_soon(self._dial_ins.run, self._pushes)
                self._dial_ins.begin()
                self._pushes.begin()
                task_status.started()

    async def let_rest(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forget, until cancelled, what was worked out for meters at which nobody looks."""
        task_status.started()
        while True:
            await trio.sleep(REST_AFTER_S / 4)
            self._roster.rest(microseconds(self.pace.now()) - round(REST_AFTER_S * SECOND_US))

    async def _open_datagrams(self) -> Datagrams | None:
        """The socket for datagrams, where anybody needs it; for answers at the meters' port."""
        answers = any(reach.udp for reach in self.settings.reaches)
        speaks = any(band.kind.destinations for band in self._roster.bands)
        if not (answers or speaks):
            return None
        try:
            return await Datagrams.open(self.port if answers else 0, self.counters)
        except FleetError:
            if answers:
                raise
            return None  # not on Linux: pushes by UDP fail and are counted

    # --- ways from a meter to the head-end (`pushes.Lines`) --------------------------------------

    def dialled(self, index: int) -> Session | None:
        """The connection that a meter has dialled and that stands."""
        return self._dial_ins.line(index)

    async def connect(self, index: int, target: Target, *, tls: bool) -> trio.abc.Stream:
        """
        A new connection from a meter's own address.

        Raises: OSError, trio.BrokenResourceError.
        """
        host = self._roster.host(index)
        stream = await connect_from(host, target)
        if not tls:
            return stream
        assert self._door.certificates is not None  # the settings ask for a folder
        serial = self._roster.meter(index).identity.serial
        context = self._door.certificates.meter_context(serial, IPv4Address(host), server=False)
        safe = trio.SSLStream(stream, context, https_compatible=True)
        try:
            await safe.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(safe)
            raise
        return safe

    async def send_datagram(self, index: int, octets: bytes, target: Target) -> None:
        """One datagram from a meter's own address. Raises: OSError: too long, or nowhere to go."""
        if self._datagrams is None:
            raise OSError("no socket for datagrams")
        await self._datagrams.send(self._roster.host(index), octets, (target.host, target.port))

    def _meter_by_datagram(self, host: str, sap: int) -> Meter | None:
        called = self._roster.called(host, self.port)
        if called is None or not called.band.reach.udp:
            return None
        index = called.band.meter_at(called.address, sap)
        if index is None:
            return None
        meter = self._roster.meter(index)
        return None if meter.is_dark(self.pace.now()) else meter

    # --- what it is made of --------------------------------------------------------------------

    def _kind(self, group: Group, reach: Reach) -> MeterKind:
        settings = self.settings
        model = simulated_model(group.model)
        transport = reach.transport
        if transport is None:
            transport = Transport.WRAPPER if model.meter is None else model.meter.transport
            transport = Transport.HDLC if settings.hdlc else transport
        # What a group of a scenario leaves open is as its model has it, not as the settings say.
        alone = settings.population is None
        security = settings.security if alone else None
        to = reach.target
        return MeterKind(
            seed=settings.seed,
            zone=group.zone,
            model=model,
            security=security if group.security is None else Security(group.security),
            max_receive_pdu_size=group.pdu or (settings.max_receive_pdu_size if alone else None),
            profile_days=group.profile_days or (settings.profile_days if alone else None),
            now=self.pace.now,
            next_challenge=self._next_challenge,
            first_counter=self._first_counter,
            hdlc=transport is Transport.HDLC,
            quirks=None if settings.quirks is STANDARD else settings.quirks,
            faults=self.faults,
            load=group.curve,
            journal=self.journal,
            speaks_up=self.speaks_up,
            keeps=self._keep,
            destinations=(*([] if to is None else [to]), *settings.destinations),
        )

    def _keep(self, meter: Meter) -> None:
        if self._keeps is not None:
            self._keeps(meter.identity.index, meter.state)

    def _crashed(self, index: int) -> None:
        """Something that one meter was to do has failed; the exception is being handled."""
        self.counters.crashed += 1
        _log.exception("sim_call_crashed", serial=self._roster.serial(index))

    def _told(self, index: int, summary: SessionSummary, outcome: str) -> None:
        """One session has ended."""
        self.journal.note(
            "session",
            self.pace.now(),
            self._roster.meter(index).identity.serial,
            sap=summary.sap,
            mechanism=summary.mechanism,
            reads=summary.reads,
            outcome=outcome,
        )
