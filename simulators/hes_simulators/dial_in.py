"""
Meters that call the head-end and keep the connection: read over it, and pushing through it.

Rule 1: so many connections are being opened at a time and no more, however many meters have lost
theirs. Rule 2: whoever was refused, or lost the connection at once, waits longer each time, at
random below a bound that doubles (full jitter). Rule 3: a meter without power waits, too.

An open connection is one task. A meter that waits is an entry in the agenda.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import numpy as np
import structlog
import trio

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.models import ModelPush
from hes_simulators.agenda import Agenda
from hes_simulators.conversation import SessionSummary, link_of
from hes_simulators.counters import FleetCounters
from hes_simulators.push_body import identity_push
from hes_simulators.randomness import stream_key, uniform
from hes_simulators.reach import DialIn, Greeting, Target
from hes_simulators.roster import Band, Roster
from hes_simulators.session import Session

HEARTBEAT: Final = "heartbeat"
GREETING: Final = "greeting"
_CONNECT_S: Final = 10.0
# A connection that ends sooner was refused, whatever TCP says.
_STANDS_AFTER_S: Final = 5.0
_MOST_DOUBLINGS: Final = 16
_log = structlog.get_logger(__name__)


class Speaker(Protocol):
    """What sends the greeting."""

    def send(self, index: int, setup: ModelPush, reason: str = "") -> None:
        """Let a meter send a push now; must not block."""


class ConnectAs(Protocol):
    """`Lines.connect`."""

    async def __call__(self, index: int, target: Target, *, tls: bool) -> trio.abc.Stream:
        """A new connection from a meter. Raises: OSError, trio.BrokenResourceError."""


class DialIns:
    """
    The connections that meters of a fleet keep to the head-end.

    Args:
        roster: the meters. agenda: by the network's time.
        connect: opens a connection from a meter, see `Lines`.
        now: the fleet's time, aware UTC.
        counters: are told what happened. ended: is told of each session that ended.
    """

    def __init__(
        self,
        roster: Roster,
        agenda: Agenda,
        connect: ConnectAs,
        now: Callable[[], datetime],
        counters: FleetCounters,
        ended: Callable[[int, SessionSummary, str], None],
    ) -> None:
        self._roster = roster
        self._agenda = agenda
        self._connect = connect
        self._now = now
        self._counters = counters
        self._ended = ended
        self._lines: dict[int, Session] = {}
        self._failures: dict[int, int] = {}
        self._busy: set[int] = set()
        self._dark: set[int] = set()
        # Each meter is in it once at most, see `_busy`.
        self._due, self._waiting = trio.open_memory_channel[int](max(len(roster), 1))

    def line(self, index: int) -> Session | None:
        """The connection of a meter that stands."""
        return self._lines.get(index)

    def begin(self) -> None:
        """Let every meter that dials in call within its population's spread."""
        for band in self._roster.bands:
            dial_in = band.reach.dial_in
            if dial_in is None:
                continue
            for index in range(band.first, band.first + band.count):
                delay_s = dial_in.spread_s * self._draw(index, 0)
                self._agenda.add_in(delay_s, partial(self.dial, index), index)

    def dial(self, index: int) -> None:
        """Let a meter call now, unless it has a connection or is about to have one."""
        dials_in = self._roster.band(index).reach.dial_in is not None
        if dials_in and index not in self._busy and index not in self._lines:
            self._busy.add(index)
            self._due.send_nowait(index)

    def wake(self, index: int) -> None:
        """Let a meter that has power again call soon, and not only after many failures."""
        if index in self._dark:
            self._dark.discard(index)
            self._failures.pop(index, None)
            dial_in = self._roster.band(index).reach.dial_in
            assert dial_in is not None  # it would not have called
            delay_s = dial_in.reconnect_s * self._draw(index, self._agenda.now_us())
            self._agenda.add_in(delay_s, partial(self.dial, index), index)

    async def run(self, speaker: Speaker) -> None:
        """Dial and serve until cancelled."""
        if all(band.reach.dial_in is None for band in self._roster.bands):
            return
        async with trio.open_nursery() as nursery:
            for _ in range(self._roster.settings.max_dials):
                nursery.start_soon(self._dial_all, nursery, speaker)

    async def _dial_all(self, nursery: trio.Nursery, speaker: Speaker) -> None:
        async for index in self._waiting:
            band = self._roster.band(index)
            dial_in = band.reach.dial_in
            assert dial_in is not None  # `dial` has looked
            stream = await self._open(index, dial_in)
            if stream is None:
                self._call_again(index, dial_in, stood=False)
            else:
                nursery.start_soon(self._serve, index, band, dial_in, stream, speaker)

    async def _open(self, index: int, dial_in: DialIn) -> trio.abc.Stream | None:
        if self._roster.meter(index).is_dark(self._now()):
            self._dark.add(index)
            return None
        self._counters.dials += 1
        try:
            with trio.fail_after(_CONNECT_S):
                return await self._connect(index, dial_in.target, tls=dial_in.tls)
        except (OSError, trio.TooSlowError, trio.BrokenResourceError):
            self._counters.dials_failed += 1
            return None

    async def _serve(
        self,
        index: int,
        band: Band,
        dial_in: DialIn,
        stream: trio.abc.Stream,
        speaker: Speaker,
    ) -> None:
        """One connection, to its end; nothing that happens on it leaves this function."""
        began_s = trio.current_time()
        meter, summary = self._roster.meter(index), SessionSummary()
        self._counters.open_dials += 1
        outcome = "closed"
        try:
            with meter.kind.faults.session(meter.identity) as misdeeds:
                link = link_of(band.transport, self._roster.server_sap(index))
                session = Session(stream, meter, summary, misdeeds=misdeeds, link=link)
                self._lines[index] = session
                self._busy.discard(index)
                self._greet(index, band, dial_in, speaker)
                self._next_heartbeat(index, session, band, dial_in, speaker)
                await session.serve()
        except RemoteProtocolError as error:
            self._counters.failed += 1
            outcome = error.code
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            outcome = "broken"
        except Exception:  # noqa: BLE001 - the connection's edge: others go on
            self._counters.crashed += 1
            outcome = "crashed"
            _log.exception("sim_session_crashed", serial=meter.identity.serial)
        finally:
            self._lines.pop(index, None)
            self._busy.discard(index)
            self._counters.open_dials -= 1
            self._counters.reads += summary.reads
            await trio.aclose_forcefully(stream)
        self._ended(index, summary, outcome)
        stood = trio.current_time() - began_s >= _STANDS_AFTER_S
        self._call_again(index, dial_in, stood=stood)

    def _greet(self, index: int, band: Band, dial_in: DialIn, speaker: Speaker) -> None:
        if dial_in.greeting is Greeting.IDENTITY:
            speaker.send(index, _identity(band), GREETING)
        elif dial_in.greeting is Greeting.PUSH and band.pushes:
            speaker.send(index, band.pushes[0], GREETING)

    def _next_heartbeat(
        self, index: int, session: Session, band: Band, dial_in: DialIn, speaker: Speaker
    ) -> None:
        every_s = dial_in.heartbeat_s
        if every_s is None:
            return

        def beat() -> None:
            if self._lines.get(index) is session:  # not that of an earlier connection
                speaker.send(index, _identity(band), HEARTBEAT)
                self._next_heartbeat(index, session, band, dial_in, speaker)

        self._agenda.add_in(every_s, beat, index)

    def _call_again(self, index: int, dial_in: DialIn, *, stood: bool) -> None:
        self._busy.discard(index)
        failures = 0 if stood else self._failures.get(index, 0)
        if stood:
            self._failures.pop(index, None)
        else:
            self._failures[index] = min(failures + 1, _MOST_DOUBLINGS)
        bound_s = min(dial_in.reconnect_s * 2**failures, dial_in.most_reconnect_s)
        delay_s = bound_s * self._draw(index, self._agenda.now_us())
        self._agenda.add_in(delay_s, partial(self.dial, index), index)

    def _draw(self, index: int, counter: int) -> float:
        key = stream_key(self._roster.settings.seed, "dial-in", index)
        return float(uniform(key, np.array([counter], dtype=np.int64))[0])


def _identity(band: Band) -> ModelPush:
    """As the meters of a group say who they are: over the transport of their connection."""
    return identity_push(band.kind.main_client.sap, band.protection, band.transport)
