"""
One session: a stream, associate, request and store, release.

Rule 1: each phase has its own deadline and the session one above them, on the monotonic clock.
Rule 2: nothing is sent without a look at the lease (`exchange`). Rule 3: the release has a
shielded scope of its own, so that a cancelled session still leaves the meter free. Rule 4: every
error ends here, in a `SessionResult`; only cancellation passes through. Rule 5: what the meter
pushes between its answers is handed over before the answer that it came with is stored, since the
answer's counter is the higher one, and at the very end however that comes about.

Does not own where the stream comes from (`lines`), what is read (`work`, `steps`), nor what comes
of it for the meter and what is due on it (`retries`).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import uuid4

import attrs
import trio

from hes.domain.errors import StorageUnavailableError
from hes.domain.meters import Mechanism, MeterKnowledge
from hes.domain.ports import Lease, SecurityFinding, SessionPhase, SessionReport
from hes.domain.readings import VerifiedCounter
from hes.domain.work import ReadKind
from hes_collectors.dlms.association import client_for, is_authenticated, is_ciphered
from hes_collectors.dlms.bootstrap import ask_counter
from hes_collectors.dlms.briefing import Brief, brief
from hes_collectors.dlms.clock_setting import set_if_due
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.counters import OwnCounters
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.lines import Dialling, Line
from hes_collectors.dlms.links import HeardHdlcLink, HeardWrapperLink, link_for
from hes_collectors.dlms.outcomes import (
    DONE,
    MeterRefusedError,
    Verdict,
    allows_release,
    is_permanent,
    log_crash,
    rejection,
    verdict,
)
from hes_collectors.dlms.reading import AnswerStore, look_at_clock
from hes_collectors.dlms.session_pushes import SessionPushes
from hes_collectors.dlms.steps import RUNNERS, UNSUPPORTED
from hes_collectors.dlms.talk import Progress, Talk
from hes_collectors.dlms.work import Step, StepKind, StepOutcome, sources, steps
from hes_protocol.client import (
    Associate,
    AssociationAccepted,
    AssociationRejected,
    Client,
)
from hes_protocol.errors import RemoteProtocolError, SecurityError

# Frames and protection around the smallest blocks double an answer; pushes come in between.
_ARRIVING_PER_RESULT: Final = 2
_ARRIVING_BESIDE: Final = 0x20000
# A sixteenth of all invocation counters is left: years at our pace, time to change the key.
_COUNTER_ALARM: Final = 0xF000_0000
_NOTHING_KNOWN: Final = MeterKnowledge((), ())


@attrs.frozen
class SessionResult:
    """
    How a session ended and what is to be done about it.

    `planned` are the steps that were to be done, None: it did not come that far. `served` are those
    to which the meter has answered, `broke` is the one at which the session ended, None: before,
    between or after the steps. `read` tells that all that was due is committed, even if the meter
    then did not answer the release; `backlog` that more is waiting than one session may take.
    `read_at` is when the reading began, if no load profile has anything left from before.
    `counter` is the meter's last verified one. `findings` are for who looks after security,
    `detail` explains a security verdict; neither holds secrets. `pushes` are what storage has not
    taken yet.
    """

    report: SessionReport
    verdict: Verdict
    read: bool
    backlog: bool
    stored: int
    detail: str = ""
    pushes: SessionPushes | None = None
    read_at: datetime | None = None
    planned: tuple[Step, ...] | None = None
    served: tuple[tuple[Step, StepOutcome], ...] = ()
    broke: Step | None = None
    counter: VerifiedCounter | None = None
    findings: tuple[SecurityFinding, ...] = ()


class Session:
    """
    One meter, once.

    Args: context: surroundings. lease: whose turn it is. until: when the lease ends, on trio's
        clock. line: where the meter is heard; None: we dial its address. known: what storage knows
        of the meter; None: the session asks.
    """

    def __init__(
        self,
        context: Context,
        lease: Lease,
        until: float,
        line: Line | None = None,
        known: Brief | None = None,
    ) -> None:
        self._context = context
        self._lease = lease
        self._line: Line = line or Dialling(context, lease.meter, lease.networks)
        self._known = known
        self._guard = LeaseGuard(until, context.gate)
        self.session_id = uuid4()
        self._progress = Progress()
        self._exchange: Exchange | None = None
        quirks = context.quirks_of(lease.meter)
        self._standard_time = quirks.standard_time
        self._answers = AnswerStore(
            context.ports,
            lease,
            self.session_id,
            authenticated=is_authenticated(lease.meter),
            null_means=quirks.null_means,
            standard_time=quirks.standard_time,
        )
        self._pushes = SessionPushes(context, lease.meter, self.session_id)
        self._began_at: datetime | None = None
        self._drift_s: float | None = None
        self._read = False
        self._hinted = False
        self._knowledge = _NOTHING_KNOWN
        self._planned: tuple[Step, ...] | None = None
        self._served: list[tuple[Step, StepOutcome]] = []
        self._at: Step | None = None
        self._findings: list[SecurityFinding] = []

    async def run(self) -> SessionResult:
        """
        Talk to the meter until all is read or something is in the way.

        Raises: nothing but trio.Cancelled; the meter is then released already.
        """
        started_at = self._context.now()
        session_s = self._context.settings.deadlines.session_s
        self._progress.until = trio.current_time() + session_s
        judged, detail = DONE, ""
        try:
            with trio.fail_after(session_s):
                await self._converse()
            self._progress.phase = SessionPhase.DONE
        except Exception as error:  # noqa: BLE001 - the session's edge: it must not harm others
            judged = verdict(error)
            detail = error.detail if isinstance(error, RemoteProtocolError) else ""
            if isinstance(error, StorageUnavailableError):
                self._context.gate.report(error)
            if judged.is_bug:
                log_crash(error)
        return SessionResult(
            self._report(started_at, judged),
            judged,
            read=self._read,
            read_at=self._began_at if self._read and self._has_read_profiles() else None,
            backlog=self._progress.backlog,
            stored=self._progress.stored,
            detail=detail,
            pushes=self._pushes,
            planned=self._planned,
            served=tuple(self._served),
            broke=self._at,
            counter=(
                None
                if self._exchange is None
                else self._answers.verified(self._exchange.server_counter)
            ),
            findings=tuple(self._findings),
        )

    def _has_read_profiles(self) -> bool:
        """Whether nothing that any load profile has captured before is left."""
        read = {
            step.source
            for step, outcome in self._served
            if step.kind is StepKind.PROFILE and outcome.complete and outcome.refused is None
        }
        return read.issuperset(sources(self._knowledge, ReadKind.PROFILE))

    def _report(self, started_at: datetime, judged: Verdict) -> SessionReport:
        exchange = self._exchange
        if exchange is not None:
            self._context.metrics.frames_discarded.inc(exchange.frames_discarded)
        return SessionReport(
            session_id=self.session_id,
            meter_id=self._lease.meter.meter_id,
            inbound=self._line.inbound,
            started_at=started_at,
            ended_at=self._context.now(),
            phase=self._progress.phase,
            outcome=judged.outcome,
            cause=judged.cause,
            octets_in=0 if exchange is None else exchange.octets_in,
            octets_out=0 if exchange is None else exchange.octets_out,
            clock_drift_s=self._drift_s,
        )

    async def _converse(self) -> None:
        context, meter = self._context, self._lease.meter
        known = self._known
        if known is None:
            known = await context.outbound_threads.run(brief, context.ports, meter)
        fingerprint = self._answers.key_fingerprint = known.secrets.key_fingerprint
        ciphered = is_ciphered(meter)
        counters = OwnCounters(
            context,
            meter,
            needed=ciphered,
            key_fingerprint=fingerprint,
            block=known.counting.block,
        )
        link, client = self._client(known, counters)
        if ciphered and known.counting.own is None:
            await self._ask_counter(known, counters)
        try:
            await self._talk(link, client, known.knowledge, counters)
        except MeterRefusedError as error:
            associating = self._progress.phase is SessionPhase.ASSOCIATE
            if not (ciphered and associating and error.security) or self._hinted:
                raise
            # Perhaps it is our counter that it refuses; if so it says that it expects a higher one.
            if not await self._ask_counter(known, counters):
                raise
            link, client = self._client(known, counters)
            await self._talk(link, client, known.knowledge, counters)

    def _client(
        self, known: Brief, counters: OwnCounters
    ) -> tuple[HeardWrapperLink | HeardHdlcLink, Client]:
        context, meter = self._context, self._lease.meter
        learnt = None if known.knowledge is None else known.knowledge.link
        link = link_for(meter, context.quirks_of(meter), learnt)
        client = client_for(context, meter, known.secrets, known.counting.accepted, counters, link)
        return link, client

    async def _ask_counter(self, known: Brief, counters: OwnCounters) -> bool:
        """Ask for a hint and follow it, within the cap; returns whether it leads anywhere."""
        context, meter = self._context, self._lease.meter
        self._hinted = True
        hint = await ask_counter(context, meter, self._line, self._guard, self._pushes.keep)
        ours = max(known.counting.own or 0, counters.highest)
        if hint is None or hint <= ours:
            return False
        most = context.settings.max_counter_jump
        if hint - ours > most:
            self._finding(
                "counter-hint-beyond-cap", f"{hint} after {ours}, the most is {most} more"
            )
            return False
        counters.leap(hint)
        return True

    def _finding(self, code: str, detail: str) -> None:
        self._findings.append(SecurityFinding(code, detail, self._lease.meter.address))

    async def _talk(
        self,
        link: HeardWrapperLink | HeardHdlcLink,
        client: Client,
        knowledge: MeterKnowledge | None,
        counters: OwnCounters,
    ) -> None:
        context = self._context
        try:
            async with self._line.opened() as stream:
                self._pushes.connected(self._line.peer(stream))
                exchange = self._exchange = Exchange(
                    stream,
                    link,
                    client,
                    counters,
                    self._guard,
                    context.settings.deadlines.request_s,
                    _ARRIVING_BESIDE + _ARRIVING_PER_RESULT * context.settings.max_result_octets,
                    self._pushes.keep,
                )
                try:
                    accepted = await self._associate(exchange, counters)
                    await self._read_and_release(exchange, accepted, knowledge)
                finally:
                    with trio.CancelScope(shield=True):
                        await exchange.hang_up()
        finally:
            # What storage does not take now is handed over once it is back, by whoever settles.
            with trio.CancelScope(shield=True), suppress(StorageUnavailableError):
                await self._hand_over_pushes()

    async def _store_pushes(self) -> None:
        """Hand over what the meter has pushed so far, and confirm to it what is kept."""
        await self._hand_over_pushes()
        assert self._exchange is not None
        if self._pushes.all_kept:
            await self._exchange.confirm()

    async def _hand_over_pushes(self) -> None:
        """Hand over what the meter has pushed so far; no lease is needed for that."""
        if len(self._pushes):
            try:
                await self._context.outbound_threads.run(self._pushes.store)
            except StorageUnavailableError as error:
                self._context.gate.report(error)
                raise

    async def _associate(self, exchange: Exchange, counters: OwnCounters) -> AssociationAccepted:
        self._progress.phase = SessionPhase.ASSOCIATE
        with trio.fail_after(self._context.settings.deadlines.associate_s):
            answer = await exchange.ask(Associate())
        if isinstance(answer, AssociationRejected):
            raise rejection(answer)
        assert isinstance(answer, AssociationAccepted)  # what else completes an Associate
        # The proofs of these mechanisms hold the title.
        mechanism = self._lease.meter.association.mechanism
        titled = mechanism in (Mechanism.HLS_GMAC, Mechanism.HLS_SHA256)
        if titled or answer.protection.authenticated:
            await self._pin(answer.server_system_title)
            await counters.keep()
        self._pushes.believe()
        self._watch_counters(counters.highest, exchange.server_counter)
        return answer

    def _watch_counters(self, ours: int, theirs: int | None) -> None:
        """Neither side may ever count past 2^32 - 1 under one key: say so long before."""
        for whose, counter in (("ours", ours), ("the meter's", theirs or 0)):
            if counter >= _COUNTER_ALARM:
                self._finding("counter-near-its-end", f"{whose} is at {counter}: change the key")

    async def _pin(self, title: bytes | None) -> None:
        """
        Hold a meter that was imported without its system title to the one it has proved.

        Whoever has the same keys could otherwise answer at its address another time.
        Raises: SecurityError: the title is another meter's, or the meter's is another one.
        """
        meter = self._lease.meter
        if meter.system_title is not None or title is None:
            return
        self._guard.check_lease()
        pin = self._context.ports.knowledge.pin_system_title
        if not await self._context.outbound_threads.run(pin, meter.meter_id, title):
            self._pushes.doubt("system-title-mismatch")
            raise SecurityError("system-title-mismatch", f"{title.hex()} is not this meter's")

    async def _read_and_release(
        self, exchange: Exchange, accepted: AssociationAccepted, knowledge: MeterKnowledge | None
    ) -> None:
        try:
            await self._read_all(exchange, accepted, knowledge)
        except BaseException as error:
            if allows_release(error):
                # What went wrong is told already; that the release fails as well adds nothing.
                with suppress(Exception):
                    await self._release(exchange)
            raise
        self._read = True
        self._progress.phase = SessionPhase.RELEASE
        await self._release(exchange)

    async def _release(self, exchange: Exchange) -> None:
        with trio.fail_after(self._context.settings.deadlines.release_s, shield=True):
            await exchange.release()

    async def _read_all(
        self, exchange: Exchange, accepted: AssociationAccepted, knowledge: MeterKnowledge | None
    ) -> None:
        self._progress.phase = SessionPhase.REQUEST
        self._began_at = self._context.now()
        clock = await look_at_clock(
            exchange, self._lease.meter, self._context.now, standard_time=self._standard_time
        )
        self._drift_s = None if clock is None else clock.drift_s
        await self._store_pushes()
        talk = Talk(
            self._context,
            self._lease,
            exchange,
            accepted,
            self._guard,
            self._progress,
            self._answers,
            self._store_pushes,
            clock,
            knowledge or _NOTHING_KNOWN,
        )
        if knowledge is None:
            await talk.explore()
        self._planned = steps(self._lease.items, talk.knowledge)
        for step in self._planned:
            self._at = step
            self._served.append((step, await _do(talk, step)))
        self._at = None
        self._knowledge = talk.knowledge
        await talk.remember_link()
        # Last: what is read bears the times of the clock as it went.
        await set_if_due(talk)
        refusals = [outcome.refused for _, outcome in self._served if outcome.refused]
        if refusals:
            raise MeterRefusedError(refusals[0])


async def _do(talk: Talk, step: Step) -> StepOutcome:
    """One step; what the meter refuses for good is not asked for again."""
    known = next((one for one in talk.knowledge.profiles if one.obis == step.source), None)
    if known is not None and known.refused is not None:
        return StepOutcome(refused=known.refused)
    runner = RUNNERS.get(step.kind)
    outcome = UNSUPPORTED if runner is None else await runner(talk, step)
    if known is not None and outcome.refused is not None and is_permanent(outcome.refused):
        await talk.refuse(known.obis, outcome.refused)
    return outcome
