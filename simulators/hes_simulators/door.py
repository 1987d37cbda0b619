"""
Connections that clients open to meters, each from accept to close.

Owns who is let in, TLS, and which connections a meter has; keeps hostile clients away from each
other: nothing that one does leaves `Door.serve`. What is said is `session`'s, or `concentrator`'s
where many meters share an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Final, Protocol, TypeAlias

import structlog
import trio

from hes_protocol.errors import RemoteProtocolError
from hes_simulators.concentrator import ConcentratorSession
from hes_simulators.conversation import SessionSummary
from hes_simulators.counters import FleetCounters
from hes_simulators.faults import reset
from hes_simulators.meter import Meter
from hes_simulators.roster import Band, Called, Roster
from hes_simulators.session import Session
from hes_simulators.streams import MeterStream
from hes_simulators.tls import CertificateFolder

_HANDSHAKE_S: Final = 10.0
_log = structlog.get_logger(__name__)

Told = Callable[[int, SessionSummary, str], None]
"""Hears of each session that has ended: the meter's index, what happened, how it ended."""


_Whose: TypeAlias = int | tuple[str, int]


class Endable(Protocol):
    """A session that can be ended from outside."""

    def hang_up(self) -> None:
        """End it as soon as may be."""


class Door:
    """
    Where clients come in.

    Args: roster: who is there. now: the fleet's time, aware UTC. counters, told: hear what
        happened.
    """

    def __init__(
        self,
        roster: Roster,
        now: Callable[[], datetime],
        counters: FleetCounters,
        told: Told,
    ) -> None:
        self.certificates: CertificateFolder | None = None
        self._roster = roster
        self._settings = roster.settings
        self._now = now
        self._counters = counters
        self._told = told
        self._sessions: dict[_Whose, list[Endable]] = {}

    def hang_up(self, index: int) -> None:
        """Break the connections to a meter: it has no power."""
        for session in self._sessions.get(index, ()):
            session.hang_up()

    async def serve(self, stream: MeterStream) -> None:
        """Serve one connection to its end. Raises: nothing but trio.Cancelled."""
        try:
            await self._let_in(stream)
        finally:
            stream.close()

    async def _let_in(self, stream: MeterStream) -> None:
        counters = self._counters
        try:
            host, port = stream.socket.getsockname()
        except OSError:
            return  # gone before we looked
        called = self._roster.called(host, port)
        if called is None or not self._admits(called):
            counters.turned_away += 1
            return
        meter = self._roster.meter(called.index)
        if not called.band.concentrates and meter.is_dark(self._now()):
            counters.turned_away += 1
            await reset(stream)
            return
        counters.sessions += 1
        counters.open_sessions += 1
        summary = SessionSummary()
        try:
            outcome = await self._serve(called, meter, stream, summary)
        finally:
            counters.open_sessions -= 1
            counters.reads += summary.reads
            counters.crashed += summary.crashes
        self._told(called.index, summary, outcome)

    def _admits(self, called: Called) -> bool:
        if self._counters.open_sessions >= self._settings.max_connections:
            return False
        return not (called.band.reach.one_session and _whose(called) in self._sessions)

    async def _serve(
        self, called: Called, meter: Meter, stream: MeterStream, summary: SessionSummary
    ) -> str:
        """Returns: how it ended."""
        serial = meter.identity.serial
        try:
            outcome = await self._talk(called, meter, stream, summary)
        except RemoteProtocolError as error:
            self._counters.failed += 1
            _log_failure(serial, summary, code=error.code, detail=str(error))
            return error.code
        except (trio.BrokenResourceError, OSError):
            return "broken"  # the client is gone, as clients go
        except Exception:  # noqa: BLE001 - the session's edge: others go on
            self._counters.crashed += 1
            _log.exception("sim_session_crashed", serial=serial)
            return "crashed"
        if summary.timed_out or summary.refusals:
            outcome = "idle" if summary.timed_out else "association-refused"
            _log_failure(serial, summary, code=outcome, detail="")
        return outcome

    async def _talk(
        self, called: Called, meter: Meter, socket: MeterStream, summary: SessionSummary
    ) -> str:
        """Returns: how it ended. Raises: as `Session.serve`."""
        stream: trio.abc.Stream = socket
        if called.band.reach.tls:
            stream = await self._shake_hands(meter, socket)
        idle_s = self._settings.idle_timeout_s
        if called.band.concentrates:
            at = partial(self._behind, called.band, called.address)
            concentrator = ConcentratorSession(stream, at, summary, idle_s)
            with self._known(_whose(called), concentrator):
                await concentrator.serve()
            return "closed"
        with meter.kind.faults.session(meter.identity) as misdeeds:
            if misdeeds.refuses:
                await reset(socket)
                return "refused"
            session = Session(stream, meter, summary, idle_s, misdeeds)
            with self._known(_whose(called), session):
                await session.serve()
        if meter.is_dark(self._now()):
            await reset(socket)
            return "dark"
        return "closed"

    async def _shake_hands(self, meter: Meter, socket: MeterStream) -> trio.SSLStream[MeterStream]:
        """Raises: trio.BrokenResourceError: it is no TLS, or takes too long."""
        assert self.certificates is not None  # the settings ask for a folder
        address = IPv4Address(socket.socket.getsockname()[0])
        serial = meter.identity.serial
        context = self.certificates.meter_context(serial, address, server=True)
        stream = trio.SSLStream(socket, context, server_side=True, https_compatible=True)
        with trio.move_on_after(_HANDSHAKE_S):
            await stream.do_handshake()
            return stream
        raise trio.BrokenResourceError("no TLS handshake in time")

    def _behind(self, band: Band, address: int, sap: int) -> Meter | None:
        """The meter at a SAP of a concentrator, if there is one and it has power."""
        index = band.meter_at(address, sap)
        if index is None:
            return None
        meter = self._roster.meter(index)
        return None if meter.is_dark(self._now()) else meter

    @contextmanager
    def _known(self, whose: _Whose, session: Endable) -> Iterator[None]:
        """Let a connection be found until the block ends."""
        open_ones = self._sessions.setdefault(whose, [])
        open_ones.append(session)
        try:
            yield
        finally:
            open_ones.remove(session)
            if not open_ones:
                del self._sessions[whose]


def _whose(called: Called) -> _Whose:
    """A meter, or a concentrator, which stays when a meter behind it loses its power."""
    return ("concentrator", called.address) if called.band.concentrates else called.index


def _log_failure(serial: str, summary: SessionSummary, *, code: str, detail: str) -> None:
    _log.warning(
        "sim_session_failed",
        serial=serial,
        code=code,
        detail=detail,
        associations=summary.associations,
        reads=summary.reads,
    )
