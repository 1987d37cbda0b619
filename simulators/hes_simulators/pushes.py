"""
What meters send unasked: when it is due, and the way to the head-end.

Rule 1: nobody waits for anybody. Each target has a queue with an end and a few senders; what does
not fit is dropped and counted, and a target that is slow or away delays only what goes there.
Rule 2: an idle meter costs an entry in the agenda for each of its periodic pushes, no task. Rule
3: a push says what the meter held when it was first sent; a repetition says the same, under an
invocation counter of its own.

Pushes go over the connection that the meter has dialled, if it has one, else over one of their own,
or in a datagram. A meter without power sends its last gasp (the push on "power_down") and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import attrs
import numpy as np
import structlog
import trio

from hes_protocol.models import ModelPush, Transport
from hes_protocol.server import Notify
from hes_protocol.xdlms import DataNotification
from hes_simulators.agenda import Agenda
from hes_simulators.classes.push_setup import current, destination
from hes_simulators.classes.windows import WINDOWS, opens_in_us
from hes_simulators.conversation import Conversation, SessionSummary, link_of, linked
from hes_simulators.counters import FleetCounters
from hes_simulators.meter import Meter
from hes_simulators.push_body import data_notification
from hes_simulators.randomness import stream_key, uniform
from hes_simulators.reach import Target
from hes_simulators.roster import Roster
from hes_simulators.session import Session
from hes_simulators.truth.journal import Journal

LAST_GASP: Final = "power_down"
_SENDERS: Final = 32
_MICROSECONDS: Final = 1_000_000
_log = structlog.get_logger(__name__)


class Lines(Protocol):
    """The ways from a meter to the head-end."""

    def dialled(self, index: int) -> Session | None:
        """The connection that a meter has dialled and that stands."""

    async def connect(self, index: int, target: Target, *, tls: bool) -> trio.abc.Stream:
        """
        A new connection from a meter.

        Raises: OSError, trio.BrokenResourceError.
        """

    async def send_datagram(self, index: int, octets: bytes, target: Target) -> None:
        """One datagram from a meter. Raises: OSError: too long, or nowhere to go."""


@attrs.define(eq=False)
class Push:
    """One push of one meter on its way; `notification` is made at the first attempt."""

    index: int
    setup: ModelPush
    reason: str = ""
    attempts: int = 0
    notification: DataNotification | None = None


class NoLineError(Exception):
    """The meter has no way to the head-end now."""


class UnconfirmedError(Exception):
    """The head-end has not confirmed a push."""


class DarkError(Exception):
    """The meter has no power."""


class Pushes:
    """
    The pushes of a fleet.

    Args:
        roster: its meters. lines: how they reach the head-end.
        by_meters, by_network: what is due by the one time and by the other.
        now: the fleet's, aware UTC.
        counters, journal: are told what happened.
    """

    def __init__(
        self,
        roster: Roster,
        lines: Lines,
        by_meters: Agenda,
        by_network: Agenda,
        now: Callable[[], datetime],
        counters: FleetCounters,
        journal: Journal,
    ) -> None:
        self._roster = roster
        self._lines = lines
        self._by_meters = by_meters
        self._by_network = by_network
        self._now = now
        self._counters = counters
        self._journal = journal
        self._settings = roster.settings
        self._queues: dict[Target, trio.MemorySendChannel[Push]] = {}
        self._waiting: list[tuple[Target, trio.MemoryReceiveChannel[Push]]] = []
        self._numbers: Counter[int] = Counter()
        self._wanted = trio.Event()

    # --- what is due -------------------------------------------------------------------------

    def begin(self) -> None:
        """Put the next periodic push of each meter on the agenda."""
        now_us = self._by_meters.now_us()
        for band in self._roster.bands:
            if not band.kind.destinations:
                continue
            for setup in band.pushes:
                if setup.every_s > 0:
                    for index in range(band.first, band.first + band.count):
                        self._add_next(index, setup, now_us)

    def push(self, index: int, setup: ModelPush, reason: str = "") -> None:
        """Let a meter send a push now, or when it may; a last gasp waits for nothing."""
        setup = self._current(index, setup)
        delay_s = 0.0
        if reason != LAST_GASP:
            delay_s = self._closed_s(index, setup)
            if setup.window_s:
                now_us = self._by_meters.now_us()
                delay_s += setup.window_s * self._draw(setup, index, now_us)
        self._put_in(delay_s, Push(index, setup, reason))

    def send(self, index: int, setup: ModelPush, reason: str = "") -> None:
        """As `push`, at once whatever its window."""
        self._put(Push(index, setup, reason))

    def drain(self, meter: Meter) -> None:
        """Take what a meter wants to send."""
        while meter.pushes_due:
            due = meter.pushes_due.popleft()
            self.push(meter.identity.index, due.setup, due.reason)

    def _add_next(self, index: int, setup: ModelPush, after_us: int) -> None:
        """The first push that is due after a moment, on the period's own grid since 1970."""
        every_us = round(setup.every_s * _MICROSECONDS)
        setup = self._current(index, setup)
        offset_us, window_us = setup.offset_s * _MICROSECONDS, setup.window_s * _MICROSECONDS
        slot = int((after_us - offset_us - window_us) // every_us)
        while True:
            wait_us = window_us and window_us * self._draw(setup, index, slot)
            due_us = slot * every_us + int(offset_us + wait_us)
            if due_us > after_us:
                break
            slot += 1
        self._by_meters.add(due_us, partial(self._periodic, index, setup, due_us), index)

    def _periodic(self, index: int, setup: ModelPush, due_us: int) -> None:
        self._put_in(self._closed_s(index, setup), Push(index, setup))
        # What has passed unsent while the process was busy is left out, as by a meter that sleeps.
        behind_us = self._by_meters.now_us() - round(setup.every_s * _MICROSECONDS)
        self._add_next(index, setup, max(due_us, behind_us))

    def _closed_s(self, index: int, setup: ModelPush) -> float:
        """How long no push may begin, by the communication windows that a client has written."""
        state = self._roster.state(index)
        if state is None or (setup.obis, WINDOWS) not in state.written:
            return 0.0
        meter = self._roster.meter(index)
        meter.advance(self._now())
        return opens_in_us(meter, setup.obis) / _MICROSECONDS

    def _put_in(self, delay_s: float, push: Push) -> None:
        if delay_s:
            self._by_meters.add_in(delay_s, partial(self._put, push), push.index)
        else:
            self._put(push)

    def _current(self, index: int, setup: ModelPush) -> ModelPush:
        """As clients have changed it."""
        state = self._roster.state(index)
        return setup if state is None else current(state.written, setup)

    def _draw(self, setup: ModelPush, index: int, counter: int) -> float:
        """A number in [0, 1) that follows from the seed, the meter, the push and a counter."""
        key = stream_key(self._settings.seed, "push-window", str(setup.obis), index)
        return float(uniform(key, np.array([counter], dtype=np.int64))[0])

    # --- queues ------------------------------------------------------------------------------

    def _put(self, push: Push) -> None:
        target = self._target(push)
        if target is None:
            return
        queue = self._queues.get(target)
        if queue is None:
            queue, waiting = trio.open_memory_channel[Push](self._settings.max_pushes)
            self._queues[target] = queue
            self._waiting.append((target, waiting))
            self._wanted.set()
        try:
            queue.send_nowait(push)
        except trio.WouldBlock:
            self._counters.pushes_dropped += 1
            self._tell(push, 0, target, "dropped")

    def _target(self, push: Push) -> Target | None:
        """Where a client has turned it to, else where the group's go; None: nowhere."""
        band, state = self._roster.band(push.index), self._roster.state(push.index)
        written = {} if state is None else state.written
        return destination(written, push.setup.obis, band.kind.destinations) or band.reach.target

    async def run(self) -> None:
        """Send until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                while self._waiting:
                    target, waiting = self._waiting.pop()
                    for _ in range(_SENDERS):
                        nursery.start_soon(self._send_all, target, waiting)
                self._wanted = trio.Event()
                await self._wanted.wait()

    async def _send_all(self, target: Target, waiting: trio.MemoryReceiveChannel[Push]) -> None:
        async for push in waiting:
            await self._send(push, target)

    # --- sending -----------------------------------------------------------------------------

    async def _send(self, push: Push, target: Target) -> None:
        """One attempt; whatever comes of it, the next push goes on."""
        push.attempts += 1
        octets = 0
        try:
            with trio.move_on_after(self._settings.push_timeout_s) as in_time:
                octets = await self._attempt(push, target)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            outcome = "failed"
        except UnconfirmedError:
            outcome = "unconfirmed"
        except NoLineError:
            outcome = "no line"
        except DarkError:
            outcome = "dark"
        except Exception:  # noqa: BLE001 - the sender's edge: others go on
            serial = self._roster.serial(push.index)
            _log.exception("sim_push_crashed", serial=serial, push=str(push.setup.obis))
            self._counters.crashed += 1
            push.attempts = push.setup.retries + 1
            outcome = "failed"
        else:
            outcome = "sent" if octets else "kept back"
        if in_time.cancelled_caught:
            outcome = "failed"
        self._tell(push, octets, target, outcome)
        if outcome in ("sent", "kept back"):
            self._counters.pushes_sent += 1
        elif outcome == "dark":
            self._counters.pushes_dropped += 1
        elif push.attempts <= push.setup.retries:
            self._by_network.add_in(push.setup.retry_delay_s, partial(self._put, push), push.index)
        else:
            self._counters.pushes_failed += 1

    async def _attempt(self, push: Push, target: Target) -> int:
        """Returns: how many octets were sent; 0: a fault keeps them back. Raises: DarkError."""
        meter, at = self._roster.meter(push.index), self._now()
        if push.reason != LAST_GASP and meter.is_dark(at):
            raise DarkError
        meter.advance(at)
        if push.notification is None:
            push.setup = self._current(push.index, push.setup)
            self._numbers[push.index] += 1
            number = self._numbers[push.index]
            push.notification = data_notification(meter, push.setup, at, number)
        notify = Notify(push.notification, push.setup.client_sap, push.setup.protection)
        return await self._carry(push, meter, notify, target)

    async def _carry(self, push: Push, meter: Meter, notify: Notify, target: Target) -> int:
        index, transport = push.index, push.setup.transport
        band, sap = self._roster.band(index), self._roster.server_sap(index)
        if transport is Transport.UDP:
            talk = Conversation(meter, SessionSummary(), linked(link_of(transport, sap)))
            sent = 0
            for octets in talk.push(notify):
                await self._lines.send_datagram(index, octets, target)
                sent += len(octets)
            return sent
        dial_in = band.reach.dial_in
        is_dialled = dial_in is not None and dial_in.target == target
        if is_dialled and transport is band.transport and push.reason != LAST_GASP:
            line = self._lines.dialled(index)
            if line is None:
                raise NoLineError
            return await self._say(line, push, notify)
        tls = band.reach.push_tls if dial_in is None else dial_in.tls
        stream = await self._lines.connect(index, target, tls=tls)
        async with stream:
            link = link_of(transport, sap)
            with meter.kind.faults.session(meter.identity) as misdeeds:
                line = Session(stream, meter, SessionSummary(), misdeeds=misdeeds, link=link)
                if not push.setup.confirmed:
                    return await line.push(notify)
                confirmed: int | None = None
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_listen, line)
                    # What breaks here would leave the nursery in a group.
                    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                        confirmed = await self._confirmed(line, notify)
                    nursery.cancel_scope.cancel()
                if confirmed is None:
                    raise UnconfirmedError
                return confirmed

    async def _say(self, line: Session, push: Push, notify: Notify) -> int:
        if not push.setup.confirmed:
            return await line.push(notify)
        octets = await self._confirmed(line, notify)
        if octets is None:
            raise UnconfirmedError
        return octets

    async def _confirmed(self, line: Session, notify: Notify) -> int | None:
        """None: nothing has come; half of the time is left for the connection."""
        octets = await line.push_confirmed(notify, self._settings.push_timeout_s / 2)
        if octets is not None:
            self._counters.pushes_confirmed += 1
        return octets

    def _tell(self, push: Push, octets: int, target: Target, outcome: str) -> None:
        self._journal.note(
            "sent",
            self._now(),
            self._roster.serial(push.index),
            push=str(push.setup.obis),
            reason=push.reason,
            octets=octets,
            destination=str(target),
            outcome=outcome,
        )


async def _listen(line: Session) -> None:
    """Hear the confirmation; what goes wrong shows in its absence."""
    try:
        await line.serve()
    except Exception:  # noqa: BLE001 - a hostile head-end, or one that has gone
        line.hang_up()
