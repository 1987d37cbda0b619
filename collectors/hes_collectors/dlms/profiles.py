"""
Reading a meter's profiles in one session: what is asked for, in which way, and how it is kept.

Owns the way to ask (by range, with or without deviation, or by entry) and what a refused one
means, the pieces, and the commit of each before the next is asked for. A meter's model says which
way it takes; where it does not, the standard's range is tried first, and what the meter took after
a refusal is kept with its profile, so that it is asked rightly the next time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from hes.domain.kinds import profile_kind
from hes.domain.meters import ProfileAccess, ProfileKnowledge
from hes.domain.readings import Receipt
from hes.domain.work import ReadKind
from hes_collectors.dlms.buffers import Buffer, Keep
from hes_collectors.dlms.entries import EntryPieces, EntrySearch, RowTime, entry_selection
from hes_collectors.dlms.exchange import AnswerTooLongError
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.outcomes import CLOCK_BEHIND
from hes_collectors.dlms.ranges import Pieces, first_mark, selection
from hes_collectors.dlms.reading import Arrived
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.unread import Unread, unread, unread_lines
from hes_collectors.dlms.work import Step, StepOutcome
from hes_protocol.client import Get
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import EntrySelection, RangeSelection
from hes_protocol.quirks import Deviation, Quirks, SelectionBy
from hes_protocol.xdlms.results import DataAccessResult

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
# What a meter noted before it was commissioned is stored only this far back: `WindowPolicy`, with
# a day for its clock.
_DAYS_BEFORE_COMMISSIONING: Final = 59
_CLASS_PROFILE: Final = 7
# A piece that was grown over an empty stretch is broken off above this, at the end of a block.
_GROWN_PIECE_OCTETS: Final = 16_384
# What a meter answers to an access selection that it does not take.
_REFUSED: Final = frozenset(
    {DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, DataAccessResult.TYPE_UNMATCHED}
)


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
    profile = known(talk, step)
    if profile is None:
        return StepOutcome(refused="profile-unknown")
    mark = dict(talk.lease.marks).get(profile.obis)
    new = (
        unread(mark, talk.lease.read_at, talk.clock)
        if profile.capture_period_s
        else unread_lines(mark, talk.clock)
    )
    return await ProfileReader(talk, profile, talk.answers.store).read(new)


async def read_gap(talk: Talk, step: Step) -> StepOutcome:
    """
    Read intervals of a profile once more; complete: the meter has answered the gap whole.

    No mark moves: between it and the gap may be what nobody has asked for yet. A meter whose clock
    is behind the gap has not captured it, and cannot be said to lack it.
    Raises: as `Exchange.ask`, and what storage raises.
    """
    profile, gap = known(talk, step), step.gap
    if profile is None or gap is None:
        return StepOutcome(refused="profile-unknown")
    last = gap.end - timedelta(seconds=profile.capture_period_s)
    if talk.clock is not None and talk.clock.shown < last:
        return StepOutcome(refused=CLOCK_BEHIND)

    def keep(profile: ProfileKnowledge, arrived: Arrived) -> Receipt | None:
        return talk.answers.store(profile, attrs.evolve(arrived, beside_mark=True))

    reader = ProfileReader(talk, profile, keep)
    return await reader.read(Unread(gap.start - _SECOND), gap.end - _SECOND)


def known(talk: Talk, step: Step) -> ProfileKnowledge | None:
    """What is known of the profile that a step is about."""
    return next((one for one in talk.knowledge.profiles if one.obis == step.source), None)


class ProfileReader:
    """
    One profile of one meter, in one session.

    Args: talk: with whom. profile: as it was learnt. keep: where its rows go.
    """

    def __init__(self, talk: Talk, profile: ProfileKnowledge, keep: Keep) -> None:
        self._talk = talk
        self._buffer = Buffer(talk, profile, keep)
        self._is_log = profile_kind(profile.obis, profile.capture_period_s) is ReadKind.EVENTS

    async def read(self, new: Unread, until: datetime | None = None) -> StepOutcome:
        """
        Read what is not committed, up to `until` (included), None: up to now.

        Raises: as `Exchange.ask`, and what storage raises.
        """
        result, complete = DataAccessResult.SUCCESS, True
        possible = ways(self._talk.quirks, self._buffer.profile.access)
        for way in possible:
            if way is ProfileAccess.ENTRY:
                result, complete = await self._by_entry(new, until)
            else:
                deviation = way is ProfileAccess.RANGE
                result, complete = await self._by_range(new, until, deviation=deviation)
            if result in _REFUSED:
                continue
            if result is DataAccessResult.SUCCESS and way is not possible[0]:
                await self._remember(self._buffer.profile.obis, way)
            break
        refused = None if result is DataAccessResult.SUCCESS else cause(result)
        return StepOutcome(refused, complete=complete)

    async def _remember(self, obis: Obis, access: ProfileAccess) -> None:
        knowledge = self._talk.knowledge
        profiles = tuple(
            attrs.evolve(profile, access=access) if profile.obis == obis else profile
            for profile in knowledge.profiles
        )
        await self._talk.keep(attrs.evolve(knowledge, profiles=profiles))

    def _first_days(self, now: datetime) -> float:
        """How far back a profile is read of which nothing is committed yet."""
        if self._buffer.profile.capture_period_s:
            return self._talk.context.settings.first_read_days
        # Few rows, each worth having: all that storage takes.
        return (now - self._talk.meter.commissioned_at) / _DAY + _DAYS_BEFORE_COMMISSIONING

    def first_by_range(self, new: Unread, until: datetime) -> Get | None:
        """What `read` would ask for first; None where it does not go by range."""
        way = ways(self._talk.quirks, self._buffer.profile.access)[0]
        piece = self._cut(new.mark, until).current()
        if piece is None or way is ProfileAccess.ENTRY:
            return None
        return self._buffer.part(self._range(piece, deviation=way is ProfileAccess.RANGE))

    # --- by range ---------------------------------------------------------------------------

    async def _by_range(
        self, new: Unread, until: datetime | None, *, deviation: bool
    ) -> tuple[DataAccessResult, bool]:
        spans = [(new.mark, until or self._talk.context.now())]
        if new.again is not None:
            spans.insert(0, new.again)
        for since, to in spans:
            pieces = self._cut(since, to)
            result = await self._pieces(pieces, deviation=deviation)
            if result is not DataAccessResult.SUCCESS or pieces.current() is not None:
                return result, False
        return DataAccessResult.SUCCESS, True

    def _cut(self, since: datetime | None, until: datetime) -> Pieces:
        return Pieces(
            since,
            until,
            self._buffer.profile.capture_period_s,
            rows=self._talk.context.settings.rows_per_request,
            first_days=self._first_days(until),
        )

    def _range(self, piece: tuple[datetime, datetime], *, deviation: bool) -> RangeSelection:
        return selection(
            self._buffer.profile,
            *piece,
            self._talk.meter.timezone,
            deviation=deviation,
            standard_time=self._talk.quirks.standard_time,
        )

    async def _pieces(self, pieces: Pieces, *, deviation: bool) -> DataAccessResult:
        """Ask for the pieces and commit them, as many as there is time for."""
        while (piece := pieces.current()) is not None and self._talk.go_on():
            try:
                answer = await self._buffer.ask(
                    self._range(piece, deviation=deviation),
                    _GROWN_PIECE_OCTETS if pieces.grown else None,
                )
            except AnswerTooLongError:
                pieces.shrink()
                continue
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result
            pieces.advance(empty=await self._buffer.store(answer.octets, piece[1]))
        return DataAccessResult.SUCCESS

    # --- by entry ---------------------------------------------------------------------------

    async def _by_entry(self, new: Unread, until: datetime | None) -> tuple[DataAccessResult, bool]:
        settings, now = self._talk.context.settings, self._talk.context.now()
        profile = self._buffer.profile
        if new.mark is None:
            days = self._first_days(now)
            new = Unread(first_mark(now, profile.capture_period_s, first_days=days))
        used = await read(self._talk.exchange, _CLASS_PROFILE, profile.obis, 7)
        if used is None or not isinstance(used.value, int):
            return DataAccessResult.OBJECT_UNAVAILABLE, False
        count = used.value
        # Lines of one instant are told apart by their order: a log is not cut within one.
        rows = count if self._is_log else settings.rows_per_request
        search = EntrySearch(count, new, now, profile.capture_period_s, near=rows)
        while (place := search.probe()) is not None:
            answer = await self._buffer.ask(self._entries(place, place, count))
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result, False
            times = await self._buffer.times(answer.octets)
            search.found(place, times[0] if times else RowTime(None, certain=False))
        pieces = EntryPieces(
            search.start, search.known, count, rows=rows, period_s=profile.capture_period_s
        )
        while (piece := pieces.current()) is not None:
            if not self._talk.go_on():
                return DataAccessResult.SUCCESS, False
            answer = await self._buffer.ask(self._entries(*piece, count))
            if answer.result is not DataAccessResult.SUCCESS:
                return answer.result, False
            times = await self._buffer.times(answer.octets)
            if times and pieces.moved(times[0]):
                continue
            fresh = pieces.fresh(times, new)
            if until is not None:
                late = [row.at is not None and row.at > until for row in times]
                fresh = tuple(a and not b for a, b in zip(fresh, late, strict=True))
            await self._buffer.store(answer.octets, min(until or now, now), fresh)
            if until is not None and any(late):
                break
            pieces.advance(times)
        return DataAccessResult.SUCCESS, True

    def _entries(self, first: int, last: int, count: int) -> EntrySelection:
        newest_first = self._buffer.profile.newest_first
        return entry_selection(first, last, count, newest_first=newest_first)


def cause(result: DataAccessResult) -> str:
    """A refused attribute as a cause code."""
    return f"data-access-{result.name.lower().replace('_', '-')}"
