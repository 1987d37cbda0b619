"""
Reading a meter's profiles in one session: what is asked for, in which way, and how it is kept.

Owns the way to ask (by range, with or without deviation, or by entry) and what a refused one
means, the pieces, and the commit of each before the next is asked for. A meter's model says which
way it takes; where it does not, the standard's range is tried first, and what the meter took after
a refusal is kept with its profile, so that it is asked rightly the next time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final, ParamSpec, TypeVar

import attrs
import trio

from hes.domain.meters import MeterKnowledge, ProfileAccess, ProfileKnowledge
from hes.domain.ports import Lease, SessionPhase
from hes_collectors.dlms.context import Context
from hes_collectors.dlms.entries import EntryPieces, EntrySearch, RowTime, entry_selection
from hes_collectors.dlms.exchange import AnswerTooLongError, Exchange
from hes_collectors.dlms.gate import LeaseGuard
from hes_collectors.dlms.learning import learn, read
from hes_collectors.dlms.ranges import Pieces, first_mark, selection
from hes_collectors.dlms.reading import AnswerStore, row_times
from hes_collectors.dlms.unread import ClockSeen, Unread, unread
from hes_protocol.client import Get, GetCompleted, Selection
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import RemoteProtocolError, SecurityError
from hes_protocol.quirks import Deviation, Quirks, SelectionBy
from hes_protocol.xdlms.results import DataAccessResult

P = ParamSpec("P")
T = TypeVar("T")
_CLASS_PROFILE: Final = 7
# A piece that was grown over an empty stretch is broken off above this, at the end of a block.
_GROWN_PIECE_OCTETS: Final = 16_384
# What a meter answers to an access selection that it does not take.
_REFUSED: Final = frozenset(
    {DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, DataAccessResult.TYPE_UNMATCHED}
)


@attrs.define
class Progress:
    """
    How far a session has come.

    `asked`: the first piece of a session is asked whatever the time: there is progress. `backlog`:
    more is waiting than this session may take. `learnt`: the meter was explored in it.
    """

    until: float = 0.0
    phase: SessionPhase = SessionPhase.CONNECT
    asked: bool = False
    backlog: bool = False
    learnt: bool = False
    stored: int = 0


@attrs.frozen
class _Arrived:
    """A buffer, how it came, and up to when it was asked for."""

    octets: bytes = attrs.field(repr=False)
    evidence: bytes = attrs.field(repr=False)
    received_at: datetime
    asked_until: datetime
    fresh: tuple[bool, ...] | None = None


def ways(quirks: Quirks, access: ProfileAccess | None) -> tuple[ProfileAccess, ...]:
    """
    In which ways a profile may be asked for, the one to try first in front.

    Args: quirks: of the meter's model. access: what is known of this profile.
    """
    found = [ProfileAccess.RANGE, ProfileAccess.RANGE_WITHOUT_DEVIATION, ProfileAccess.ENTRY]
    if quirks.deviation is Deviation.REFUSED:
        found.remove(ProfileAccess.RANGE)
    if quirks.deviation is Deviation.REQUIRED:
        found.remove(ProfileAccess.RANGE_WITHOUT_DEVIATION)
    if quirks.selection is SelectionBy.ENTRY:
        found = [ProfileAccess.ENTRY]
    if quirks.selection is SelectionBy.RANGE:
        found.remove(ProfileAccess.ENTRY)
    if access in found:
        found.remove(access)
        found.insert(0, access)
    return tuple(found)


class ProfileReader:
    """
    The profiles of one meter, in one session.

    Args: context: surroundings. lease: whose meter and since which marks. guard: looked at before
        anything is written. progress: shared with the session. answers: the way into storage.
        store_pushes: hands over what the meter has pushed meanwhile.
    """

    def __init__(
        self,
        context: Context,
        lease: Lease,
        guard: LeaseGuard,
        progress: Progress,
        answers: AnswerStore,
        store_pushes: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._lease = lease
        self._guard = guard
        self._progress = progress
        self._answers = answers
        self._store_pushes = store_pushes
        self._quirks = context.quirks_of(lease.meter)
        self._knowledge: MeterKnowledge | None = None

    async def read_all(
        self, exchange: Exchange, knowledge: MeterKnowledge | None, clock: ClockSeen | None
    ) -> list[str]:
        """
        Read what is new of every profile; explores a meter of which nothing is known.

        Args: clock: what the meter's clock shows.
        Returns: the meter's refusals as cause codes. Raises: as `Exchange.ask`, and what storage
            raises.
        """
        self._knowledge = knowledge or await self._learn(exchange)
        marks = dict(self._lease.marks)
        new = partial(unread, read_at=self._lease.read_at, clock=clock)
        return [
            code
            for profile in self._knowledge.profiles
            if (code := await self._read(exchange, profile, new(marks.get(profile.obis))))
        ]

    async def _read(self, exchange: Exchange, profile: ProfileKnowledge, new: Unread) -> str | None:
        result = DataAccessResult.SUCCESS
        possible = ways(self._quirks, profile.access)
        for way in possible:
            if way is ProfileAccess.ENTRY:
                result = await self._by_entry(exchange, profile, new)
            else:
                deviation = way is ProfileAccess.RANGE
                result = await self._by_range(exchange, profile, new, deviation=deviation)
            if result in _REFUSED:
                continue
            if result is DataAccessResult.SUCCESS and way is not possible[0]:
                await self._remember(profile.obis, way)
            break
        return None if result is DataAccessResult.SUCCESS else _cause(result)

    async def _remember(self, obis: object, access: ProfileAccess) -> None:
        assert self._knowledge is not None  # there is a profile that was read
        profiles = tuple(
            attrs.evolve(profile, access=access) if profile.obis == obis else profile
            for profile in self._knowledge.profiles
        )
        await self._keep(attrs.evolve(self._knowledge, profiles=profiles))

    async def _learn(self, exchange: Exchange) -> MeterKnowledge:
        knowledge = await learn(exchange, self._context.model_of(self._lease.meter))
        await self._store_pushes()
        self._progress.learnt = True
        return await self._keep(knowledge)

    async def _keep(self, knowledge: MeterKnowledge) -> MeterKnowledge:
        meter_id = self._lease.meter.meter_id
        await self._hop(self._context.ports.knowledge.save, meter_id, knowledge)
        self._knowledge = knowledge
        return knowledge

    # --- by range ---------------------------------------------------------------------------

    async def _by_range(
        self,
        exchange: Exchange,
        profile: ProfileKnowledge,
        new: Unread,
        *,
        deviation: bool,
    ) -> DataAccessResult:
        spans = [(new.mark, self._context.now())]
        if new.again is not None:
            spans.insert(0, new.again)
        result = DataAccessResult.SUCCESS
        for since, until in spans:
            pieces = Pieces(
                since,
                until,
                profile.capture_period_s,
                rows=self._context.settings.rows_per_request,
                first_days=self._context.settings.first_read_days,
            )
            result, profile = await self._pieces(exchange, profile, pieces, deviation=deviation)
            if result is not DataAccessResult.SUCCESS:
                break
        return result

    async def _pieces(
        self, exchange: Exchange, profile: ProfileKnowledge, pieces: Pieces, *, deviation: bool
    ) -> tuple[DataAccessResult, ProfileKnowledge]:
        """Ask for the pieces and commit them; returns also the profile as it is known now."""
        zone = self._lease.meter.timezone
        while (piece := pieces.current()) is not None:
            if not self._go_on():
                break
            start, end = piece
            wanted = selection(
                profile,
                start,
                end,
                zone,
                deviation=deviation,
                standard_time=self._quirks.standard_time,
            )
            try:
                answer = await self._ask(
                    exchange, profile, wanted, _GROWN_PIECE_OCTETS if pieces.grown else None
                )
            except AnswerTooLongError:
                pieces.shrink()
                continue
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result, profile
            profile, empty = await self._store(exchange, profile, answer.octets, end)
            pieces.advance(empty=empty)
        return DataAccessResult.SUCCESS, profile

    # --- by entry ---------------------------------------------------------------------------

    async def _by_entry(
        self, exchange: Exchange, profile: ProfileKnowledge, new: Unread
    ) -> DataAccessResult:
        settings = self._context.settings
        now = self._context.now()
        if new.mark is None:
            days = settings.first_read_days
            new = Unread(first_mark(now, profile.capture_period_s, first_days=days))
        used = await read(exchange, _CLASS_PROFILE, profile.obis, 7)
        if used is None or not isinstance(used.value, int):
            return DataAccessResult.OBJECT_UNAVAILABLE
        count = used.value
        search = EntrySearch(
            count,
            new,
            now,
            profile.capture_period_s,
            near=settings.rows_per_request,
        )
        while (place := search.probe()) is not None:
            wanted = entry_selection(place, place, count, newest_first=profile.newest_first)
            answer = await self._ask(exchange, profile, wanted)
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result
            profile, times = await self._times(exchange, profile, answer.octets)
            search.found(place, times[0] if times else RowTime(None, certain=False))
        pieces = EntryPieces(
            search.start,
            search.known,
            count,
            rows=settings.rows_per_request,
            period_s=profile.capture_period_s,
        )
        while (piece := pieces.current()) is not None:
            if not self._go_on():
                break
            wanted = entry_selection(*piece, count, newest_first=profile.newest_first)
            answer = await self._ask(exchange, profile, wanted)
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result
            profile, times = await self._times(exchange, profile, answer.octets)
            if times and pieces.moved(times[0]):
                continue
            fresh = pieces.fresh(times, new)
            profile, _ = await self._store(
                exchange,
                profile,
                answer.octets,
                self._context.now(),
                fresh,
            )
            pieces.advance(times)
        return DataAccessResult.SUCCESS

    async def _times(
        self, exchange: Exchange, profile: ProfileKnowledge, octets: bytes
    ) -> tuple[ProfileKnowledge, tuple[RowTime, ...]]:
        """When the rows were captured, the oldest first, and the profile as it is known now."""
        hop, meter = self._context.outbound_threads.run, self._lease.meter
        times_of = partial(row_times, standard_time=self._quirks.standard_time)
        try:
            times = await hop(times_of, profile, octets, meter)
        except RemoteProtocolError:
            profile = await self._changed(exchange, profile)
            times = await hop(times_of, profile, octets, meter)
        return profile, times[::-1] if profile.newest_first else times

    # --- both -------------------------------------------------------------------------------

    async def _ask(
        self,
        exchange: Exchange,
        profile: ProfileKnowledge,
        wanted: Selection,
        break_off_octets: int | None = None,
    ) -> GetCompleted:
        answer = await exchange.ask(
            Get(Attribute(_CLASS_PROFILE, profile.obis, 2), wanted),
            break_off_octets=break_off_octets,
        )
        await self._store_pushes()
        assert isinstance(answer, GetCompleted)  # what completes a Get
        return answer

    def _go_on(self) -> bool:
        """Whether one more piece can be answered before the session's deadline."""
        progress = self._progress
        request_s = self._context.settings.deadlines.request_s
        if progress.asked and trio.current_time() + request_s > progress.until:
            progress.backlog = True
            return False
        progress.asked = True
        return True

    async def _store(
        self,
        exchange: Exchange,
        profile: ProfileKnowledge,
        octets: bytes,
        asked_until: datetime,
        fresh: tuple[bool, ...] | None = None,
    ) -> tuple[ProfileKnowledge, bool]:
        """
        Commit one piece.

        Args: fresh: which of its rows are to be kept; None: all.
        Returns: the profile as it is known now: a buffer that does not fit what was learnt long
            ago is tried once more after learning anew. And whether the buffer was empty.
        """
        arrived = _Arrived(octets, exchange.evidence, self._context.now(), asked_until, fresh)
        try:
            return profile, await self._commit(exchange, profile, arrived)
        except SecurityError:
            raise
        except RemoteProtocolError:
            changed = await self._changed(exchange, profile)
            return changed, await self._commit(exchange, changed, arrived)

    async def _changed(self, exchange: Exchange, profile: ProfileKnowledge) -> ProfileKnowledge:
        """
        The profile after learning anew, called where a buffer does not fit what was learnt.

        Raises: the error that is being handled: the meter was explored in this session already,
            or the profile is as it was known.
        """
        if self._progress.learnt:
            raise
        relearnt = await self._learn(exchange)
        changed = next((p for p in relearnt.profiles if p.obis == profile.obis), None)
        if changed is None or changed == attrs.evolve(profile, access=None):
            raise
        return changed

    async def _commit(
        self, exchange: Exchange, profile: ProfileKnowledge, arrived: _Arrived
    ) -> bool:
        """Commit one piece as `profile` reads it; returns whether it was empty."""
        progress = self._progress
        progress.phase = SessionPhase.STORE
        try:
            receipt = await self._hop(
                self._answers.store,
                profile,
                arrived.octets,
                arrived.evidence,
                arrived.received_at,
                arrived.asked_until,
                exchange.server_counter,
                arrived.fresh,
            )
        except RemoteProtocolError:
            progress.phase = SessionPhase.REQUEST  # the answer was no good; storage never saw it
            raise
        progress.phase = SessionPhase.REQUEST
        if receipt is None:
            return True
        self._context.metrics.count_receipt("profile", receipt)
        progress.stored += receipt.stored
        return False

    async def _hop(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write to storage in a worker thread, if the lease is still ours to write for."""
        self._guard.check_lease()
        return await self._context.outbound_threads.run(call, *args, **kwargs)


def _cause(result: DataAccessResult) -> str:
    return f"data-access-{result.name.lower().replace('_', '-')}"
