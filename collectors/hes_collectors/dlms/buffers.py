"""
A profile's buffer in a session: asked for in parts, and each part committed before the next.

Owns what becomes of an answer that does not fit what was learnt long ago: the meter is explored
anew, once a session. Does not own which parts are asked for (`profiles`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

import attrs

from hes.domain.meters import ProfileKnowledge
from hes.domain.ports import SessionPhase
from hes.domain.readings import Receipt
from hes_collectors.dlms.entries import RowTime
from hes_collectors.dlms.reading import Arrived, row_times
from hes_collectors.dlms.talk import Talk
from hes_protocol.client import Get, GetCompleted, Selection
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import RemoteProtocolError, SecurityError

_CLASS_PROFILE: Final = 7


Keep = Callable[[ProfileKnowledge, Arrived], Receipt | None]
"""Takes a part to storage, in a worker thread; None: it holds nothing that would be kept."""


class Buffer:
    """
    One profile's buffer.

    Args: talk: with whom. profile: as it was learnt. keep: where its rows go.
    """

    def __init__(self, talk: Talk, profile: ProfileKnowledge, keep: Keep) -> None:
        self._talk = talk
        self._keep = keep
        self.profile = profile
        """As it is known now."""

    def part(self, wanted: Selection) -> Get:
        """The request for a part."""
        return Get(Attribute(_CLASS_PROFILE, self.profile.obis, 2), wanted)

    async def ask(self, wanted: Selection, break_off_octets: int | None = None) -> GetCompleted:
        """
        Ask for a part, unless it was answered ahead.

        Raises: as `Exchange.ask`, what storing pushes raises.
        """
        part = self.part(wanted)
        ahead = self._talk.ahead.pop(part, None)
        if ahead is not None:
            return GetCompleted(0, ahead.result, ahead.octets)
        answer = await self._talk.exchange.ask(part, break_off_octets=break_off_octets)
        await self._talk.store_pushes()
        assert isinstance(answer, GetCompleted)  # what completes a Get
        return answer

    async def times(self, octets: bytes) -> tuple[RowTime, ...]:
        """When the rows of a part were captured, the oldest first."""
        hop, meter = self._talk.context.outbound_threads.run, self._talk.meter
        times_of = partial(row_times, standard_time=self._talk.quirks.standard_time)
        try:
            times = await hop(times_of, self.profile, octets, meter)
        except RemoteProtocolError:
            await self._learn_anew()
            times = await hop(times_of, self.profile, octets, meter)
        return times[::-1] if self.profile.newest_first else times

    async def store(
        self, octets: bytes, asked_until: datetime, fresh: tuple[bool, ...] | None = None
    ) -> bool:
        """
        Commit a part; returns whether there was nothing in it.

        Args: as of `Arrived`. Raises: RemoteProtocolError: it is not what the profile says, not
            after learning anew either; what storage raises.
        """
        exchange = self._talk.exchange
        arrived = Arrived(
            octets,
            exchange.evidence,
            self._talk.context.now(),
            asked_until,
            exchange.server_counter,
            fresh,
        )
        try:
            return await self._commit(arrived)
        except SecurityError:
            raise
        except RemoteProtocolError:
            await self._learn_anew()
            return await self._commit(arrived)

    async def _learn_anew(self) -> None:
        """
        Explore the meter; called where a buffer does not fit what was learnt.

        Raises: the error that is being handled: the meter was explored in this session already,
            or the profile is as it was known.
        """
        if self._talk.progress.learnt:
            raise
        await self._talk.explore()
        known = self._talk.knowledge.profiles
        changed = next((p for p in known if p.obis == self.profile.obis), None)
        if changed is None or changed == attrs.evolve(self.profile, access=None):
            raise
        self.profile = changed

    async def _commit(self, arrived: Arrived) -> bool:
        progress = self._talk.progress
        progress.phase = SessionPhase.STORE
        try:
            receipt = await self._talk.hop(self._keep, self.profile, arrived)
        except RemoteProtocolError:
            progress.phase = SessionPhase.REQUEST  # the answer was no good; storage never saw it
            raise
        progress.phase = SessionPhase.REQUEST
        if receipt is None:
            return True
        self._talk.context.metrics.count_receipt("profile", receipt)
        progress.stored += receipt.stored
        return False
