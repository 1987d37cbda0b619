"""
Setting a meter's clock at the end of a session, once all that was due of it is read.

Each change is noted before the meter is told: whatever becomes of the answer, the interval in which
it happened is marked (`hes.storage.clock_changes`). What the meter says is not believed; its clock
is read again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog
import trio

from hes.domain.clock import ClockChange, ClockHow, ClockOutcome
from hes.domain.meters import Role
from hes_collectors.dlms.clock_steps import ClockStep, decide
from hes_collectors.dlms.reading import instant
from hes_collectors.dlms.talk import Talk
from hes_collectors.dlms.unread import ClockSeen
from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.client import Action, ActionCompleted, Get, GetCompleted, Set, SetCompleted
from hes_protocol.cosem import (
    DEVIATION_UNSPECIFIED,
    STATUS_UNSPECIFIED,
    ClockStatus,
    CosemDateTime,
    Obis,
)
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.xdlms.results import ActionResultCode, Conformance, DataAccessResult

_CLASS_CLOCK: Final = 8
_CLOCK: Final = Obis.parse("0.0.1.0.0.255")
_TIME: Final = Attribute(_CLASS_CLOCK, _CLOCK, 2)
_SHIFT_TIME: Final = Method(_CLASS_CLOCK, _CLOCK, 6)
_MOST_SHIFT_S: Final = 900
_HOUR_S: Final = 3600
# Reading it, moving it, and reading it again: so many must fit before the session's deadline.
_REQUESTS: Final = 3
# Its resolution is a second, and one more may pass before it is read.
_SURE_S: Final = 2.5

_log = structlog.get_logger(__name__)


async def set_if_due(talk: Talk) -> ClockOutcome | None:
    """
    Move the meter's clock by one step, if it is off by more than the rules allow.

    Returns: what came of it; None: nothing was done.
    Raises: as `Exchange.ask`; what storage raises.
    """
    rules, seen = talk.context.settings.clock, talk.clock
    if seen is None or not rules.sets or abs(seen.drift_s) <= rules.above_s:
        return None
    if talk.meter.association.role is not Role.MANAGEMENT or not _in_time(talk):
        return None
    clocks, meter_id = talk.context.ports.clocks, talk.meter.meter_id
    far = abs(seen.drift_s) > rules.ordered_s
    if not await talk.hop(clocks.ordered if far else clocks.may_try, meter_id):
        if far:
            _log.warning("clock_far_off", drift_s=round(seen.drift_s))
        return None
    if far:
        if (looked := await _look(talk)) is None:
            return None
        return await _move(talk, *looked, ClockStep(round(-looked[0].drift_s)))
    periods = [profile.capture_period_s for profile in talk.knowledge.profiles]
    for _ in range(2):
        if (looked := await _look(talk)) is None:
            return None
        seen, shown = looked
        local = shown.local()
        step = None if local is None else decide(seen.drift_s, local, periods, rules)
        if step is None:
            return None
        if not step.wait_s:
            return await _move(talk, seen, shown, step)
        if not _in_time(talk, step.wait_s):
            return None
        await trio.sleep(step.wait_s)
    return None


def _in_time(talk: Talk, wait_s: float = 0.0) -> bool:
    """Whether all of it fits before the session's deadline: clocks are set when there is time."""
    most_s = wait_s + _REQUESTS * talk.context.settings.deadlines.request_s
    return trio.current_time() + most_s <= talk.progress.until


async def _look(talk: Talk) -> tuple[ClockSeen, CosemDateTime] | None:
    """What the clock shows now, as the meter writes it, too; None where it shows nothing."""
    asked_at = talk.context.now()
    answer = await talk.exchange.ask(Get(_TIME))
    answered_at = talk.context.now()
    await talk.store_pushes()
    assert isinstance(answer, GetCompleted)  # what completes a Get
    if answer.result is not DataAccessResult.SUCCESS:
        return None
    data = answer.data()
    at = instant(data, talk.meter, standard_time=talk.quirks.standard_time)
    if at is None:
        return None
    return ClockSeen(at, asked_at, answered_at), CosemDateTime.from_octets(data.value)


async def _move(
    talk: Talk, seen: ClockSeen, shown: CosemDateTime, step: ClockStep
) -> ClockOutcome | None:
    conformance = talk.accepted.conformance
    outcome = None
    if Conformance.ACTION in conformance and abs(step.step_s) <= _MOST_SHIFT_S:
        outcome = await _changed(talk, seen, shown, step, ClockHow.SHIFT)
    refused = outcome in (None, ClockOutcome.REFUSED)
    if refused and Conformance.SET in conformance and _in_time(talk):
        outcome = await _changed(talk, seen, shown, step, ClockHow.SET)
    return outcome


async def _changed(
    talk: Talk, seen: ClockSeen, shown: CosemDateTime, step: ClockStep, how: ClockHow
) -> ClockOutcome:
    clocks = talk.context.ports.clocks
    now = talk.context.now()
    before = now + timedelta(seconds=seen.drift_s)
    change = ClockChange(
        meter_id=talk.meter.meter_id,
        at=now,
        before_at=before,
        after_at=before + timedelta(seconds=step.step_s),
        how=how,
        session_id=talk.answers.session_id,
    )
    number = await talk.hop(clocks.changing, change)
    if how is ClockHow.SHIFT:
        taken = await _shift(talk, step.step_s)
    else:
        taken = await _set(talk, _to_write(talk, shown, seen, step.step_s))
    outcome, drift_s = ClockOutcome.REFUSED, None
    if taken:
        looked = await _look(talk)
        drift_s = None if looked is None else looked[0].drift_s
        expected_s = seen.drift_s + step.step_s
        done = drift_s is not None and abs(drift_s - expected_s) <= _SURE_S
        outcome = ClockOutcome.DONE if done else ClockOutcome.WITHOUT_EFFECT
    await talk.hop(clocks.changed, number, outcome, drift_s)
    _log.info(
        "clock_set", how=how.value, step_s=step.step_s, outcome=outcome.value, drift_s=drift_s
    )
    return outcome


async def _shift(talk: Talk, step_s: int) -> bool:
    answer = await talk.exchange.ask(Action(_SHIFT_TIME, Data(DataTag.LONG, step_s)))
    await talk.store_pushes()
    assert isinstance(answer, ActionCompleted)  # what completes an Action
    return answer.result is ActionResultCode.SUCCESS


async def _set(talk: Talk, time: CosemDateTime) -> bool:
    answer = await talk.exchange.ask(Set(_TIME, Data(DataTag.OCTET_STRING, time.to_octets())))
    await talk.store_pushes()
    assert isinstance(answer, SetCompleted)  # what completes a confirmed Set
    return answer.result is DataAccessResult.SUCCESS


def _to_write(talk: Talk, shown: CosemDateTime, seen: ClockSeen, step_s: int) -> CosemDateTime:
    """
    The time to set, in the form in which this meter shows its own: with its deviation or without.

    A small step leaves the meter its own offset from UTC; a large one may lead into or out of
    summer time, so there the zone decides. Status bits that say that the clock is not to be trusted
    are not written back.
    """
    local = shown.local()
    assert local is not None  # or it had shown nothing
    now = talk.context.now()
    passed = now - (seen.asked_at + (seen.answered_at - seen.asked_at) / 2)
    local += passed + timedelta(seconds=step_s)
    deviation_min, status = shown.deviation_min, shown.clock_status
    if abs(step_s) > _HOUR_S and not talk.quirks.standard_time:
        at = now + timedelta(seconds=seen.drift_s + step_s)
        zoned = CosemDateTime.from_datetime(at.astimezone(ZoneInfo(talk.meter.timezone)))
        there = zoned.local()
        assert there is not None  # a whole time was given
        local = there
        if deviation_min != DEVIATION_UNSPECIFIED:
            deviation_min = zoned.deviation_min
        if status != STATUS_UNSPECIFIED:
            status = (status & ~int(ClockStatus.DAYLIGHT_SAVING)) | zoned.clock_status
    if status != STATUS_UNSPECIFIED:
        status &= ~int(ClockStatus.INVALID | ClockStatus.DOUBTFUL)
    return CosemDateTime(
        year=local.year,
        month=local.month,
        day=local.day,
        weekday=0xFF if shown.weekday == 0xFF else local.isoweekday(),
        hour=local.hour,
        minute=local.minute,
        second=local.second,
        hundredths=0xFF if shown.hundredths == 0xFF else 0,
        deviation_min=deviation_min,
        clock_status=status,
    )
