"""
What a step of a session stands on: an association that is open, and the way into storage.

Owns no order of things (`session`) and nothing that is read (`steps` and what it names).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import attrs
import trio

from hes.domain.meters import Meter, MeterKnowledge
from hes.domain.ports import Lease, SessionPhase
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.learning import learn
from hes_collectors.dlms.reading import AnswerStore
from hes_collectors.dlms.unread import ClockSeen
from hes_protocol.client import AssociationAccepted, Get
from hes_protocol.cosem import Obis
from hes_protocol.models import certain, recognise
from hes_protocol.quirks import Quirks
from hes_protocol.xdlms import GetDataResult

P = ParamSpec("P")
T = TypeVar("T")


@attrs.define
class Progress:
    """
    How far a session has come.

    `until`: its deadline on trio's clock. `asked`: the first piece of a session is asked whatever
    the time: there is progress. `backlog`: more is waiting than this session may take. `learnt`:
    the meter was explored in it. `logs_asked`: for the news of all logs that are due, at once.
    """

    until: float = 0.0
    phase: SessionPhase = SessionPhase.CONNECT
    asked: bool = False
    backlog: bool = False
    learnt: bool = False
    logs_asked: bool = False
    stored: int = 0


@attrs.define
class Talk:
    """
    A session's association, for its steps.

    Args: context: surroundings. lease: whose meter, since which marks. exchange: asks. accepted:
        what the association was opened with. guard: looked at before anything is written.
        progress: the session's. answers: the way of a profile's buffer into storage.
        store_pushes: hands over what the meter has pushed; called after each answer, before what
        it said is stored. clock: what the meter's clock shows. knowledge: of the meter; empty
        until it was explored. ahead: answers to questions that a later step will put.
    """

    context: Context
    lease: Lease
    exchange: Exchange
    accepted: AssociationAccepted
    guard: LeaseGuard
    progress: Progress
    answers: AnswerStore
    store_pushes: Callable[[], Awaitable[None]]
    clock: ClockSeen | None
    knowledge: MeterKnowledge
    ahead: dict[Get, GetDataResult] = attrs.field(factory=dict, repr=False)

    @property
    def meter(self) -> Meter:
        """Who is talked to."""
        return self.lease.meter

    @property
    def quirks(self) -> Quirks:
        """What it does otherwise than the standard."""
        return self.context.quirks_of(self.lease.meter)

    async def explore(self) -> None:
        """Learn what the meter has, and keep it. Raises: as `learn`; what storage raises."""
        model = self.context.model_of(self.meter)
        learnt = await learn(self.exchange, model, self.knowledge.link)
        await self.store_pushes()
        self.progress.learnt = True
        taken_for = certain(
            recognise(
                learnt.device_name,
                {(one.class_id, one.obis) for one in learnt.objects},
                self.context.models.values(),
                client_sap=self.meter.association.client_sap,
            )
        )
        await self.keep(attrs.evolve(learnt, model=taken_for))

    async def keep(self, knowledge: MeterKnowledge) -> None:
        """Keep what is known by now. Raises: what storage raises."""
        await self.hop(self.context.ports.knowledge.save, self.meter.meter_id, knowledge)
        self.knowledge = knowledge

    async def refuse(self, source: Obis, cause: str) -> None:
        """Know of a profile that it cannot be read. Raises: what storage raises."""
        profiles = tuple(
            attrs.evolve(profile, refused=cause) if profile.obis == source else profile
            for profile in self.knowledge.profiles
        )
        await self.keep(attrs.evolve(self.knowledge, profiles=profiles))

    async def remember_link(self) -> None:
        """Know how the meter is best spoken to, if that is news. Raises: what storage raises."""
        link = attrs.evolve(
            self.knowledge.link,
            conformance=int(self.accepted.conformance),
            max_pdu=self.accepted.max_send_pdu_size,
            hdlc=self.exchange.link.agreed(),
        )
        if link != self.knowledge.link:
            await self.keep(attrs.evolve(self.knowledge, link=link))

    async def hop(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Write to storage in a worker thread, if the lease is still ours to write for.

        Raises: LeaseLostError; what `call` raises.
        """
        self.guard.check_lease()
        return await self.context.outbound_threads.run(call, *args, **kwargs)

    def go_on(self) -> bool:
        """
        Whether one more request can be answered before the session's deadline.

        To be asked before each: once it says no, what is left is backlog.
        """
        progress = self.progress
        request_s = self.context.settings.deadlines.request_s
        if progress.asked and trio.current_time() + request_s > progress.until:
            progress.backlog = True
            return False
        progress.asked = True
        return True
