"""
Clock: class_id 8. Reading it, setting it, and the methods that adjust it.

A step is told by two events, stamped with the time before and after. Daylight saving can be
switched off, and then the zone be moved; the rule is the zone's, which the attributes show.
Source: IEC 62056-6-2, class_id 8, version 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

import attrs

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.date_time import ClockStatus
from hes_protocol.errors import EncodingError
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    TYPE_UNMATCHED,
    Refused,
    enum,
    invoking,
    members,
    nothing,
    number,
    octets,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import (
    DAY_S,
    FIRST_YEAR,
    LAST_YEAR,
    SECOND_US,
    Face,
    microseconds,
    moment,
    standard_zone,
    summer_changes,
)
from hes_simulators.local_time import NOT_SPECIFIED, instant

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_CLOCK: Final = Obis.parse("0.0.1.0.0.255")
_TIME_ZONE, _DST_ENABLED = 3, 8
_INTERNAL_CRYSTAL: Final = 1
_BEGINS, _ENDS = 5, 6
# Of dates that come again each year: any year, the last one in the month, on a Sunday.
_ANY_YEAR, _LAST, _SUNDAY, _ANY = 0xFFFF, 0xFE, 7, 0xFF
_WEEK: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
_MOST_SHIFT_S: Final = 900
_QUARTER_S: Final = 900
_MINUTE_S: Final = 60
_PRESET: Final = "preset"
_SUMMER, _BILLED = "daylight_saving", "billing_reset"


def face_of(meter: Meter) -> Face:
    """How a meter's clock shows the time: as its kind's, unless a client has set it otherwise."""
    fresh, written = meter.kind.face, meter.state.written
    zone, enabled = written.get((_CLOCK, _TIME_ZONE)), written.get((_CLOCK, _DST_ENABLED))
    if zone is not None and -zone.value != fresh.standard_offset_min(meter.now_us):
        return Face(timezone(timedelta(minutes=-zone.value)))
    if enabled is not None and not enabled.value and fresh.deviation:
        return Face(standard_zone(fresh.zone, meter.now_us))
    return fresh


class Clock(Plain):
    """class_id 8. A living class: what time itself brings, where the model has codes for it."""

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`: summer time begins or ends, a billing period is closed."""
        return min((at for _, at in _brought(meter, after_us, until_us)), default=None)

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`."""
        for name, _ in _brought(meter, at_us - 1, at_us):
            meter.event(name)

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """What the model does not say of the clock."""
        at_us = meter.now_us
        shown = meter.face.cosem(meter.time.shown_us(at_us), meter.state.clock_status)
        match index:
            case 2:
                return octets(shown.to_octets())
            case 3:
                offset_min = meter.face.standard_offset_min(meter.time.shown_us(at_us))
                return Data(DataTag.LONG, -offset_min)
            case 4:
                return Data(DataTag.UNSIGNED, shown.clock_status)
            case 5 | 6:
                rules = _rules(meter.kind.face, at_us)
                return octets(rules[index].octets if rules else NOT_SPECIFIED)
            case 7:
                rules = _rules(meter.kind.face, at_us)
                return Data(DataTag.INTEGER, rules[_BEGINS].gained_min if rules else 0)
            case 8:
                return Data(DataTag.BOOLEAN, bool(_rules(meter.face, at_us)))
            case 9:
                return enum(_INTERNAL_CRYSTAL)
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """time, time_zone, daylight_savings_enabled; no clock has the summer of another zone."""
        match index:
            case 2:
                step(meter, _instant(meter, data))
                meter.state.clock_status &= ~int(ClockStatus.INVALID | ClockStatus.DOUBTFUL)
            case 3:
                moved = -number(data, DataTag.LONG, -840, 720) != _own_offset_min(meter)
                if moved and _rules(meter.face, meter.now_us):
                    raise Refused(OTHER_REASON)
                meter.keep(one, index, data)
            case 8:
                if data.tag is not DataTag.BOOLEAN:
                    raise Refused(TYPE_UNMATCHED)
                moved = meter.face.standard_offset_min(meter.now_us) != _own_offset_min(meter)
                if data.value and (moved or not _rules(meter.kind.face, meter.now_us)):
                    raise Refused(OTHER_REASON)
                meter.keep(one, index, data)
            case _:
                raise Refused(OTHER_REASON)
        meter.refresh_face()

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """The six ways to adjust a clock."""
        match method_index:
            case 1:
                nothing(data)
                _round_to(meter, _QUARTER_S)
            case 2:
                nothing(data)
                _round_to(meter, meter.measuring_period_s)
            case 3:
                nothing(data)
                _round_to(meter, _MINUTE_S)
            case 4:
                nothing(data)
                _to_preset(meter, one)
            case 5:
                preset, start, end = members(data, 3)
                times = [_instant(meter, time) for time in (preset, start, end)]
                if times[1] > times[2]:
                    raise Refused(OTHER_REASON)
                meter.state.of(one.obis)[_PRESET] = times
            case 6:
                shift_s = number(data, DataTag.LONG, -_MOST_SHIFT_S, _MOST_SHIFT_S)
                step(meter, meter.time.shown_us(meter.now_us) + shift_s * SECOND_US)
            case _:
                raise Refused(OBJECT_UNDEFINED)
        return None


@attrs.frozen
class _Rule:
    """When summer time begins or ends, as a date-time, and by how much the clock gains then."""

    octets: bytes
    gained_min: int


def _rules(face: Face, at_us: int) -> dict[int, _Rule]:
    """daylight_savings_begin and _end (attributes 5 and 6) of this year; none without summer."""
    year = moment(at_us).year
    begin_us = microseconds(datetime(year, 1, 1, tzinfo=UTC))
    found = {}
    for change_us in summer_changes(face.zone, begin_us, begin_us + 366 * DAY_S * SECOND_US):
        after = moment(change_us).astimezone(face.zone)
        before = (moment(change_us) - _SECOND).astimezone(face.zone)
        gained_min = round((_offset(after) - _offset(before)).total_seconds() / 60)
        index, status = (_BEGINS, 0) if gained_min > 0 else (_ENDS, ClockStatus.DAYLIGHT_SAVING)
        found[index] = _Rule(_pattern(before.replace(tzinfo=None) + _SECOND, status), gained_min)
    return found if found.keys() == {_BEGINS, _ENDS} else {}


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


def _pattern(wall: datetime, status: int) -> bytes:
    """A local time as each year has it, where it is that of a month's last Sunday."""
    year, day, weekday = wall.year, wall.day, _ANY
    if wall.isoweekday() == _SUNDAY and (wall + _WEEK).month != wall.month:
        year, day, weekday = _ANY_YEAR, _LAST, _SUNDAY
    time = bytes((wall.hour, wall.minute, wall.second, 0))
    return year.to_bytes(2) + bytes((wall.month, day, weekday)) + time + bytes((0x80, 0, status))


def _own_offset_min(meter: Meter) -> int:
    return meter.kind.face.standard_offset_min(meter.now_us)


def _brought(meter: Meter, after_us: int, until_us: int) -> Iterator[tuple[str, int]]:
    told = meter.kind.served.told
    if _SUMMER in told:
        segment = meter.time.segment(after_us)
        shown = segment.shown_us(after_us), segment.shown_us(until_us)
        for shown_us in summer_changes(meter.face.zone, *shown):
            at_us = max(segment.true_at(shown_us), after_us + 1)
            if at_us <= until_us and not meter.state.dark.covers(at_us):
                yield _SUMMER, at_us
    if _BILLED in told:
        manual = frozenset(meter.state.billings)
        for at_us in meter.closings(until_us)[0].tolist():
            if at_us > after_us and at_us not in manual:
                yield _BILLED, at_us


def step(meter: Meter, shown_us: int) -> None:
    """The clock goes on from another time; events before and after."""
    meter.event("clock_adjusted_old")
    meter.time.set(meter.now_us, shown_us)
    meter.event("clock_adjusted_new")


def _instant(meter: Meter, data: Data) -> int:
    """
    A date-time in full that a client writes, as it shows.

    Raises: Refused.
    """
    if data.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
        raise Refused(TYPE_UNMATCHED)
    try:
        time = CosemDateTime.from_octets(data.value)
    except EncodingError:
        raise Refused(TYPE_UNMATCHED) from None
    if time.hour == 0xFF or time.minute == 0xFF or not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise Refused(OTHER_REASON)
    found = instant(time, meter.face.zone, latest=False)
    if found is None:
        raise Refused(OTHER_REASON)
    return microseconds(found)


def _round_to(meter: Meter, period_s: int) -> None:
    """To the nearest end of a period; of a minute, seconds below 30 are dropped."""
    shown_us, period_us = meter.time.shown_us(meter.now_us), period_s * SECOND_US
    step(meter, (shown_us + period_us // 2) // period_us * period_us)


def _to_preset(meter: Meter, one: ModelObject) -> None:
    """To the preset time, if the clock is within the interval that goes with it."""
    preset = meter.state.peek(one.obis, _PRESET)
    if preset is None or not preset[1] <= meter.time.shown_us(meter.now_us) <= preset[2]:
        raise Refused(OTHER_REASON)
    step(meter, preset[0])
