"""
Reading a meter's profiles in one session: what is asked for, in which way, and how it is kept.

Owns the way to ask (by range, with or without deviation, or by entry) and what a refused one
means, the pieces, and the commit of each before the next is asked for. A meter's model says which
way it takes; where it does not, the standard's range is tried first, and what the meter took after
a refusal is kept with its profile, so that it is asked rightly the next time.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

import attrs

from hes.domain.meters import ProfileAccess, ProfileKnowledge
from hes.domain.ports import SessionPhase
from hes_collectors.dlms.entries import EntryPieces, EntrySearch, RowTime, entry_selection
from hes_collectors.dlms.exchange import AnswerTooLongError
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.ranges import Pieces, first_mark, selection
from hes_collectors.dlms.reading import row_times
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.unread import Unread, unread
from hes_collectors.dlms.work import Step, StepOutcome
from hes_protocol.client import Get, GetCompleted, Selection
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.errors import RemoteProtocolError, SecurityError
from hes_protocol.quirks import Deviation, Quirks, SelectionBy
from hes_protocol.xdlms.results import DataAccessResult

_CLASS_PROFILE: Final = 7
# A piece that was grown over an empty stretch is broken off above this, at the end of a block.
_GROWN_PIECE_OCTETS: Final = 16_384
# What a meter answers to an access selection that it does not take.
_REFUSED: Final = frozenset(
    {DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, DataAccessResult.TYPE_UNMATCHED}
)


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


async def read_profile(talk: Talk, step: Step) -> StepOutcome:
    """
    Read what is new of one profile.

    Raises: as `Exchange.ask`, and what storage raises.
    """
    known = next((one for one in talk.knowledge.profiles if one.obis == step.source), None)
    if known is None:
        return StepOutcome(refused="profile-unknown")
    mark = dict(talk.lease.marks).get(known.obis)
    refused = await ProfileReader(talk).read(known, unread(mark, talk.lease.read_at, talk.clock))
    return StepOutcome(refused, complete=not talk.progress.backlog)


class ProfileReader:
    """The profiles of one meter, in one session."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def read(self, profile: ProfileKnowledge, new: Unread) -> str | None:
        """
        Read what is not committed of a profile.

        Returns: the meter's refusal as a cause code. Raises: as `Exchange.ask`, and what storage
            raises.
        """
        result = DataAccessResult.SUCCESS
        possible = ways(self._talk.quirks, profile.access)
        for way in possible:
            if way is ProfileAccess.ENTRY:
                result = await self._by_entry(profile, new)
            else:
                deviation = way is ProfileAccess.RANGE
                result = await self._by_range(profile, new, deviation=deviation)
            if result in _REFUSED:
                continue
            if result is DataAccessResult.SUCCESS and way is not possible[0]:
                await self._remember(profile.obis, way)
            break
        return None if result is DataAccessResult.SUCCESS else _cause(result)

    async def _remember(self, obis: Obis, access: ProfileAccess) -> None:
        known = self._talk.knowledge
        profiles = tuple(
            attrs.evolve(profile, access=access) if profile.obis == obis else profile
            for profile in known.profiles
        )
        await self._talk.keep(attrs.evolve(known, profiles=profiles))

    # --- by range ---------------------------------------------------------------------------

    async def _by_range(
        self,
        profile: ProfileKnowledge,
        new: Unread,
        *,
        deviation: bool,
    ) -> DataAccessResult:
        spans = [(new.mark, self._talk.context.now())]
        if new.again is not None:
            spans.insert(0, new.again)
        result = DataAccessResult.SUCCESS
        for since, until in spans:
            pieces = Pieces(
                since,
                until,
                profile.capture_period_s,
                rows=self._talk.context.settings.rows_per_request,
                first_days=self._talk.context.settings.first_read_days,
            )
            result, profile = await self._pieces(profile, pieces, deviation=deviation)
            if result is not DataAccessResult.SUCCESS:
                break
        return result

    async def _pieces(
        self, profile: ProfileKnowledge, pieces: Pieces, *, deviation: bool
    ) -> tuple[DataAccessResult, ProfileKnowledge]:
        """Ask for the pieces and commit them; returns also the profile as it is known now."""
        zone = self._talk.meter.timezone
        while (piece := pieces.current()) is not None:
            if not self._talk.go_on():
                break
            start, end = piece
            wanted = selection(
                profile,
                start,
                end,
                zone,
                deviation=deviation,
                standard_time=self._talk.quirks.standard_time,
            )
            try:
                answer = await self._ask(
                    profile, wanted, _GROWN_PIECE_OCTETS if pieces.grown else None
                )
            except AnswerTooLongError:
                pieces.shrink()
                continue
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result, profile
            profile, empty = await self._store(profile, answer.octets, end)
            pieces.advance(empty=empty)
        return DataAccessResult.SUCCESS, profile

    # --- by entry ---------------------------------------------------------------------------

    async def _by_entry(self, profile: ProfileKnowledge, new: Unread) -> DataAccessResult:
        settings = self._talk.context.settings
        now = self._talk.context.now()
        if new.mark is None:
            days = settings.first_read_days
            new = Unread(first_mark(now, profile.capture_period_s, first_days=days))
        used = await read(self._talk.exchange, _CLASS_PROFILE, profile.obis, 7)
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
            answer = await self._ask(profile, wanted)
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result
            profile, times = await self._times(profile, answer.octets)
            search.found(place, times[0] if times else RowTime(None, certain=False))
        pieces = EntryPieces(
            search.start,
            search.known,
            count,
            rows=settings.rows_per_request,
            period_s=profile.capture_period_s,
        )
        while (piece := pieces.current()) is not None:
            if not self._talk.go_on():
                break
            wanted = entry_selection(*piece, count, newest_first=profile.newest_first)
            answer = await self._ask(profile, wanted)
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result
            profile, times = await self._times(profile, answer.octets)
            if times and pieces.moved(times[0]):
                continue
            fresh = pieces.fresh(times, new)
            profile, _ = await self._store(
                profile,
                answer.octets,
                self._talk.context.now(),
                fresh,
            )
            pieces.advance(times)
        return DataAccessResult.SUCCESS

    async def _times(
        self, profile: ProfileKnowledge, octets: bytes
    ) -> tuple[ProfileKnowledge, tuple[RowTime, ...]]:
        """When the rows were captured, the oldest first, and the profile as it is known now."""
        hop, meter = self._talk.context.outbound_threads.run, self._talk.meter
        times_of = partial(row_times, standard_time=self._talk.quirks.standard_time)
        try:
            times = await hop(times_of, profile, octets, meter)
        except RemoteProtocolError:
            profile = await self._changed(profile)
            times = await hop(times_of, profile, octets, meter)
        return profile, times[::-1] if profile.newest_first else times

    # --- both -------------------------------------------------------------------------------

    async def _ask(
        self,
        profile: ProfileKnowledge,
        wanted: Selection,
        break_off_octets: int | None = None,
    ) -> GetCompleted:
        answer = await self._talk.exchange.ask(
            Get(Attribute(_CLASS_PROFILE, profile.obis, 2), wanted),
            break_off_octets=break_off_octets,
        )
        await self._talk.store_pushes()
        assert isinstance(answer, GetCompleted)  # what completes a Get
        return answer

    async def _store(
        self,
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
        arrived = _Arrived(
            octets, self._talk.exchange.evidence, self._talk.context.now(), asked_until, fresh
        )
        try:
            return profile, await self._commit(profile, arrived)
        except SecurityError:
            raise
        except RemoteProtocolError:
            changed = await self._changed(profile)
            return changed, await self._commit(changed, arrived)

    async def _changed(self, profile: ProfileKnowledge) -> ProfileKnowledge:
        """
        The profile after learning anew, called where a buffer does not fit what was learnt.

        Raises: the error that is being handled: the meter was explored in this session already,
            or the profile is as it was known.
        """
        if self._talk.progress.learnt:
            raise
        await self._talk.explore()
        known = self._talk.knowledge.profiles
        changed = next((p for p in known if p.obis == profile.obis), None)
        if changed is None or changed == attrs.evolve(profile, access=None):
            raise
        return changed

    async def _commit(self, profile: ProfileKnowledge, arrived: _Arrived) -> bool:
        """Commit one piece as `profile` reads it; returns whether it was empty."""
        progress = self._talk.progress
        progress.phase = SessionPhase.STORE
        try:
            receipt = await self._talk.hop(
                self._talk.answers.store,
                profile,
                arrived.octets,
                arrived.evidence,
                arrived.received_at,
                arrived.asked_until,
                self._talk.exchange.server_counter,
                arrived.fresh,
            )
        except RemoteProtocolError:
            progress.phase = SessionPhase.REQUEST  # the answer was no good; storage never saw it
            raise
        progress.phase = SessionPhase.REQUEST
        if receipt is None:
            return True
        self._talk.context.metrics.count_receipt("profile", receipt)
        progress.stored += receipt.stored
        return False


def _cause(result: DataAccessResult) -> str:
    return f"data-access-{result.name.lower().replace('_', '-')}"
