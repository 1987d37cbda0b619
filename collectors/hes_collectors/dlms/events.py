"""
Event logs in a session: lines since the last one that is held, and what is gone before we came.

A log is asked for from the instant of the last line on, which is answered once more: several lines
may bear one second, and some of them may have come since. That line tells, too, whether anything
was lost in between: where it is gone from the log, lines behind it may be gone as well, overwritten
by newer ones or cleared by somebody. Lines that are there already add nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from hes.domain.meters import ProfileKnowledge
from hes.domain.quality import Quality
from hes.domain.readings import LogEntry, LogGap, Receipt
from hes_collectors.dlms.asking import Asker
from hes_collectors.dlms.learning import read
from hes_collectors.dlms.profiles import ProfileReader, known
from hes_collectors.dlms.reading import AnswerStore, Arrived
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.unread import unread_lines
from hes_collectors.dlms.work import Step, StepKind, StepOutcome, steps

_CLASS_PROFILE: Final = 7
_ENTRIES_IN_USE: Final = 7
# Of the range's beginning before the last line that is held: one may take it for excluded.
_BEFORE: Final = timedelta(seconds=2)
_HOUR: Final = timedelta(hours=1)
_MOST_OCTETS_AHEAD: Final = 32_768
_CLOCK_OCTETS: Final = 14
_CELL_OCTETS: Final = 6


async def read_events(talk: Talk, step: Step) -> StepOutcome:
    """
    Read what is new of one event log; of all that are due by one request where a meter takes it.

    Raises: as `Exchange.ask`, and what storage raises.
    """
    log = known(talk, step)
    if log is None:
        return StepOutcome(refused="profile-unknown")
    if not talk.progress.logs_asked:
        talk.progress.logs_asked = True
        await _ask_ahead(talk)
    reading = _Reading(talk, log)
    outcome = await reading.reader.read(reading.new, reading.until)
    mark, keeper = reading.mark, reading.keeper
    if outcome.refused is None and outcome.complete and mark is not None and not keeper.held:
        await _tell_gap(talk, log, keeper, mark)
    return outcome


async def _ask_ahead(talk: Talk) -> None:
    """
    Ask for the news of all logs that are due, by one request.

    Only as many logs as, were they full of news, still make an answer that need not be broken off.
    """
    names = {
        step.source
        for step in steps(talk.lease.items, talk.knowledge)
        if step.kind is StepKind.EVENTS
    }
    parts, left = [], _MOST_OCTETS_AHEAD
    for log in talk.knowledge.profiles:
        if log.obis in names and log.entries is not None:
            left -= log.entries * (_CLOCK_OCTETS + _CELL_OCTETS * len(log.columns))
            one = _Reading(talk, log)
            if left >= 0 and (part := one.reader.first_by_range(one.new, one.until)) is not None:
                parts.append(part)
    if len(parts) > 1:
        talk.ahead |= await Asker(talk.exchange, talk.knowledge.link).read_parts(parts)
        await talk.store_pushes()


class _Reading:
    """What is new of one log: the same whoever asks, and when in a session."""

    def __init__(self, talk: Talk, log: ProfileKnowledge) -> None:
        self.mark = dict(talk.lease.marks).get(log.obis)
        self.new = unread_lines(self.mark and self.mark - _BEFORE, talk.clock)
        self.until = talk.context.now() if talk.clock is None else talk.clock.answered_at
        self.keeper = LogKeeper(talk.answers, self.mark)
        self.reader = ProfileReader(talk, log, self.keeper.keep)


@attrs.define
class LogKeeper:
    """
    Takes the lines of one log to storage, in worker threads.

    Args: answers: the way there. mark: when the last line was noted that is held.
    """

    answers: AnswerStore
    mark: datetime | None
    held: bool = attrs.field(default=False, init=False)
    """Whether the log still has that line, or older ones."""
    oldest: datetime | None = attrs.field(default=None, init=False)
    """When the oldest line was noted of those that came."""

    def keep(self, profile: ProfileKnowledge, arrived: Arrived) -> Receipt | None:
        """
        Commit a part of the log; None: it says nothing new.

        Raises: RemoteProtocolError: it is not what the profile says. StorageUnavailableError.
        """
        lines = self.answers.lines(profile, arrived)
        if lines and self.oldest is None:
            self.oldest = lines[0].occurred_at
        self.held = self.held or any(map(self._is_held, lines))
        fresh = arrived.fresh
        if fresh is not None:
            lines = tuple(line for line, new in zip(lines, fresh, strict=True) if new)
        if not lines or (len(lines) == 1 and lines[0].occurred_at == self.mark):
            return None
        return self.answers.store_log(lines, (), arrived)

    def _is_held(self, line: LogEntry) -> bool:
        if self.mark is None:
            return False
        detail = line.detail if isinstance(line.detail, dict) else {}
        # Of an hour that comes twice a line may be read as an hour later than it was before.
        twice = detail.get("quality", 0) & Quality.TIME_AMBIGUOUS
        return line.occurred_at <= self.mark + (_HOUR if twice else timedelta(0))


async def _tell_gap(talk: Talk, log: ProfileKnowledge, keeper: LogKeeper, mark: datetime) -> None:
    """Keep that lines behind the mark are gone, and why."""
    used = await read(talk.exchange, _CLASS_PROFILE, log.obis, _ENTRIES_IN_USE)
    full = (
        used is not None
        and isinstance(used.value, int)
        and log.entries is not None
        and used.value >= log.entries
    )
    reason = "overwritten" if full else "cleared"
    gap = LogGap(talk.meter.meter_id, log.obis, mark, keeper.oldest, reason)
    now = talk.context.now()
    arrived = Arrived(b"", talk.exchange.evidence, now, now, talk.exchange.server_counter)
    await talk.hop(keeper.answers.store_log, (), (gap,), arrived)
