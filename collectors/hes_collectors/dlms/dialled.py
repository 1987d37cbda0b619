"""
Meters that have dialled in: who they are, and whose turn it is.

Rule 1: a meter has one line. One that has proved by its tag, in a push or an HLS exchange, that it
is the meter replaces one that stands already; one that merely says so does not, and waits until
that one has ended. Rule 2: whoever only says that it is a meter costs the meter nothing: a session
that comes to no association over such a line gives the lease back as it was, and where it came
from may not claim that meter again for a while, longer each time. Rule 3: no secret goes out in
clear to whoever calls: LLS only over the meter's configured line. Rule 4: leases are asked for many
idle lines at once, those first that have waited longest: ten thousand cost no more than a thousand.

Does not own connections (`connection`) nor what a session does.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Final, Protocol
from uuid import UUID

import attrs
import structlog
import trio

from hes.domain.errors import HesError, StorageUnavailableError
from hes.domain.meters import Mechanism, Meter
from hes.domain.ports import Lease, SessionOutcome, SessionPhase
from hes.domain.reach import IPAddress
from hes_collectors.dlms.admission import Source, source_of
from hes_collectors.dlms.briefing import Brief, briefs
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.lines import Line
from hes_collectors.dlms.outcomes import log_crash
from hes_collectors.dlms.serving import serve
from hes_collectors.dlms.session import SessionResult
from hes_collectors.dlms.settler import Settler
from hes_protocol.models import FirstSpeaker, Model

_FIRST_SUSPICION_S: Final = 30.0
_MOST_SUSPICION_S: Final = 86_400.0
_MOST_SUSPECTS: Final = 10_000
_CLAIMS_OF_A_SOURCE: Final = 10
_MOST_DOUBLINGS: Final = 16
_NEVER: Final = (0, 0.0)
_ASKED_AT_ONCE: Final = 1000
# Those who have just called are asked for together.
_GATHER_S: Final = 0.05
_PRESENCE_S: Final = 30.0
_PROVING: Final = frozenset(Mechanism) - {Mechanism.NONE, Mechanism.LLS}
_BEFORE_ASSOCIATION: Final = frozenset({SessionPhase.CONNECT, SessionPhase.ASSOCIATE})
# After these the other end is no meter that can be talked to, or the octets are out of step.
_ENDS_LINE: Final = frozenset({SessionOutcome.TRANSPORT, SessionOutcome.SECURITY})
_UNPROVEN: Final = "dial-in-unproven"
_log = structlog.get_logger(__name__)


class Connection(Protocol):
    """The connection over which a meter is read."""

    peer: IPAddress

    def wake(self) -> None:
        """There is something to be done between two messages."""

    def hang_up(self, reason: str) -> None:
        """End it, whatever is going on."""


@attrs.frozen
class Turn:
    """A lease, until when it holds on trio's clock, and what storage knows of the meter."""

    lease: Lease
    until: float
    known: Brief | None


@attrs.define(eq=False)
class Caller:
    """
    A meter, or who says so, on its own connection. `turn` waits until the line is free.

    `asked_at`: when it was last asked whether it is this meter's turn, on trio's clock.
    """

    meter: Meter
    connection: Connection
    proven: bool
    turn: Turn | None = None
    busy: bool = False
    asked_at: float = -math.inf


def dials_in(meter: Meter, model: Model | None) -> bool:
    """
    Whether this meter takes associations over a connection that it has opened.

    By its model; without a word of it whoever has no address and does more than push.
    """
    if model is not None and model.dial_in is not None:
        return True
    only_pushes = model is not None and model.meter is not None and not model.meter.listens
    return meter.address is None and not only_pushes


class Dialled:
    """The lines of one collector. Args: settler: ends leases."""

    def __init__(self, context: Context, settler: Settler) -> None:
        self._context = context
        self._settler = settler
        self._callers: dict[UUID, Caller] = {}
        self._suspects = _Suspects()
        self._running = 0
        self._called = trio.Event()
        self.heartbeats = tuple(
            beat
            for model in context.models.values()
            if model.dial_in is not None
            for beat in model.dial_in.heartbeats
        )
        """Of all models, for connections of which nobody knows yet whose they are."""
        self.some_wait = any(
            model.dial_in is not None and model.dial_in.speaks_first is FirstSpeaker.HEAD_END
            for model in context.models.values()
        )
        """Whether meters of any model wait until we speak."""

    def __len__(self) -> int:
        return len(self._callers)

    @property
    def running(self) -> int:
        """How many sessions there are now."""
        return self._running

    # --- who has a line -----------------------------------------------------------------------

    def join(self, meter: Meter, connection: Connection, *, proven: bool) -> Caller | None:
        """
        Take a connection as a meter's line.

        Returns: None: the meter is not read so, it has another line that stands, or this one may
            not claim it now; ask again with the next thing that is heard.
        """
        if not dials_in(meter, self._context.model_of(meter)):
            return None
        if not proven and not self._may_claim(meter, connection.peer):
            return None
        held = self._callers.get(meter.meter_id)
        if held is not None:
            if not proven:
                return None
            _log.info("dialled_line_replaced", meter_id=str(meter.meter_id), proven=held.proven)
            held.connection.hang_up("replaced")
        caller = Caller(meter, connection, proven)
        self._callers[meter.meter_id] = caller
        self._context.metrics.dialled_lines.set(len(self._callers))
        self._called.set()
        return caller

    def _may_claim(self, meter: Meter, peer: IPAddress) -> bool:
        if self._suspects.rests(source_of(peer), meter.meter_id):
            return False
        if meter.association.mechanism is not Mechanism.LLS:
            return True
        return meter.peer is not None and _is_line(meter.peer, peer)

    def leave(self, caller: Caller) -> None:
        """Its connection has ended; a turn that did not come is given back."""
        if caller.turn is not None:
            self._settler.release(caller.turn.lease)
        meter_id = caller.meter.meter_id
        if self._callers.get(meter_id) is caller:
            del self._callers[meter_id]
            self._context.metrics.dialled_lines.set(len(self._callers))

    # --- whose turn it is ---------------------------------------------------------------------

    async def run(self) -> None:
        """Hand out leases, and tell who is there, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_presence)
            while True:
                await self._wait()
                try:
                    await self._hand_out()
                except StorageUnavailableError as error:
                    self._context.gate.report(error)
                except Exception as error:  # noqa: BLE001 - the loop is what all lines wait for
                    log_crash(error)

    async def _wait(self) -> None:
        """Until somebody has called, or it is time to look again."""
        context = self._context
        with trio.move_on_after(
            context.settings.poll_interval_s * context.random.uniform(0.5, 1.5)
        ):
            await self._called.wait()
        self._called = trio.Event()
        await trio.sleep(_GATHER_S)
        # Whoever asks next finds out that storage is back; if nobody does, we do.
        with trio.move_on_after(context.settings.storage_retry_s):
            await context.gate.wait_open()

    async def _hand_out(self) -> None:
        context, settings = self._context, self._context.settings
        idle = heapq.nsmallest(
            _ASKED_AT_ONCE,
            (one for one in self._callers.values() if not one.busy and one.turn is None),
            key=lambda one: one.asked_at,
        )
        waiting = sum(one.turn is not None for one in self._callers.values())
        free = settings.max_sessions - self._running - waiting
        if not idle or free <= 0:
            return
        now = trio.current_time()
        until = now + settings.lease_s
        for one in idle:
            one.asked_at = now
        taken = await context.outbound_threads.run(
            self._take, [one.meter.meter_id for one in idle], free
        )
        context.gate.open()
        for lease, known in taken:
            caller = self._callers.get(lease.meter.meter_id)
            if caller is None or caller.busy or caller.turn is not None:
                self._settler.release(lease)
            else:
                caller.turn = Turn(lease, until, known)
                caller.connection.wake()

    def _take(self, meter_ids: Sequence[UUID], limit: int) -> list[tuple[Lease, Brief | None]]:
        """In a worker thread."""
        ports, settings = self._context.ports, self._context.settings
        leases = ports.leases.take_dialled(
            meter_ids, holder=settings.holder, limit=limit, lease_s=settings.lease_s
        )
        if not leases:
            return []
        try:
            known = briefs(ports, leases, block_size=settings.counter_block_size)
        except StorageUnavailableError:
            known = [None] * len(leases)  # the sessions ask, or find out
        return list(zip(leases, known, strict=True))

    async def serve(self, caller: Caller, turn: Turn, line: Line) -> str | None:
        """
        Run the session that it is a caller's turn for.

        Returns: why the line must end, None: it stands. Raises: nothing but trio.Cancelled.
        """
        believed = True

        def judge(result: SessionResult) -> bool:
            nonlocal believed
            believed = self._judge(caller, result)
            return believed

        caller.busy = True
        self._running += 1
        try:
            result = await serve(
                self._context,
                self._settler,
                turn.lease,
                turn.until,
                line=line,
                known=turn.known,
                believed=judge,
            )
        finally:
            self._running -= 1
            caller.busy = False
            caller.asked_at = -math.inf  # there may be more
            self._called.set()
        if not believed:
            await self._tell_unproven(caller, result)
            return "unproven"
        judged = result.verdict
        return (judged.cause or "failed") if judged.outcome in _ENDS_LINE else None

    def _judge(self, caller: Caller, result: SessionResult) -> bool:
        """Whether what came of a session says anything of the meter: see Rule 2."""
        meter, source = caller.meter, source_of(caller.connection.peer)
        if result.report.phase not in _BEFORE_ASSOCIATION:
            if meter.association.mechanism in _PROVING:
                caller.proven = True
                self._suspects.clear(source, meter.meter_id)
            return True
        outcome = result.verdict.outcome
        if caller.proven or outcome in (SessionOutcome.OK, SessionOutcome.STORAGE):
            return True
        self._suspects.note(source, meter.meter_id)
        return False

    async def _tell_unproven(self, caller: Caller, result: SessionResult) -> None:
        meter_id, peer = caller.meter.meter_id, str(caller.connection.peer)
        context, cause = self._context, result.verdict.cause or "failed"
        context.metrics.security_events.labels(_UNPROVEN).inc()
        _log.warning("dialled_line_unproven", meter_id=str(meter_id), peer=peer, cause=cause)
        try:
            await context.outbound_threads.run(
                context.ports.sessions.security_event, meter_id, _UNPROVEN, cause, peer
            )
        except HesError:
            _log.warning("security_event_not_kept", code=_UNPROVEN)

    # --- who is there -------------------------------------------------------------------------

    async def _tell_presence(self) -> None:
        presence = self._context.ports.presence
        if presence is None:
            return
        while True:
            await trio.sleep(_PRESENCE_S * self._context.random.uniform(0.5, 1.0))
            if self._callers:
                await self._context.inbound_threads.run(
                    presence.here, list(self._callers), ttl_s=3 * _PRESENCE_S
                )


class _Suspects:
    """
    Who claims to be which meter and could not show it; bounded, the oldest is forgotten.

    A source whose claims came to nothing again and again rests as a whole.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[Source, UUID | None], tuple[int, float]] = OrderedDict()

    def rests(self, source: Source, meter_id: UUID) -> bool:
        """Whether this claim is not looked at now."""
        now = trio.current_time()
        keys = (source, meter_id), (source, None)
        return any(now < self._until.get(key, _NEVER)[1] for key in keys)

    def note(self, source: Source, meter_id: UUID) -> None:
        """One more claim has come to nothing."""
        self._note((source, meter_id), 0)
        self._note((source, None), _CLAIMS_OF_A_SOURCE)

    def _note(self, key: tuple[Source, UUID | None], free: int) -> None:
        failures = self._until.pop(key, _NEVER)[0] + 1
        doublings = min(failures - 1 - free, _MOST_DOUBLINGS)
        rests_s = (
            0.0 if doublings < 0 else min(_FIRST_SUSPICION_S * 2**doublings, _MOST_SUSPICION_S)
        )
        self._until[key] = failures, trio.current_time() + rests_s
        if len(self._until) > _MOST_SUSPECTS:
            self._until.popitem(last=False)

    def clear(self, source: Source, meter_id: UUID) -> None:
        """It was the meter."""
        self._until.pop((source, meter_id), None)
        self._until.pop((source, None), None)


def _is_line(line: str, peer: IPAddress) -> bool:
    """Whether a configured line, an address or a network, is where somebody calls from."""
    try:
        network = ip_network(line, strict=False)
    except ValueError:
        return False
    return network.version == peer.version and peer in network
