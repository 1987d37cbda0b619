"""
Activity calendar (class_id 20), special days table (class_id 11), register monitor (class_id 21).

Owns what they show and take. The rates by which energy is counted are at first those of the
installation's `Tariff`, which the active calendar shows, and from the activation of another
calendar on those of that one. This meter knows workdays, Saturdays and Sundays, one season, and
switches at quarter-hours: a passive calendar that wants more is not activated. Nor does it know
special days: its table of them is empty, and nobody can put any in.
Source: IEC 62056-6-2, class_id 20, 11, 21, version 0 each.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, decode_all, structure
from hes_protocol.cosem import CosemDateTime
from hes_protocol.errors import EncodingError
from hes_protocol.models.notation import read_attribute_name
from hes_protocol.models.objects import ModelObject
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    TYPE_UNMATCHED,
    Refused,
    elements,
    invoking,
    long_unsigned,
    members,
    nothing,
    number,
    octet_string,
    octets,
    unsigned,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import microseconds
from hes_simulators.energy import Tariff
from hes_simulators.energy.tariff import Switches
from hes_simulators.local_time import NOT_SPECIFIED, instant
from hes_simulators.state import TariffChange

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_TARIFF_SCRIPTS: Final = bytes((0, 0, 10, 0, 100, 255))
_EVERY_YEAR: Final = bytes.fromhex("ffff0101ff000000008000ff")
_PASSIVE_BEHIND: Final = 4  # attribute 6 is the passive 2, and so on
_ACTIVATION: Final = 10
_WORKDAY, _SATURDAY, _SUNDAY = 1, 2, 3


class ActivityCalendar(Plain):
    """class_id 20. A living class: a passive calendar becomes active when it was told to."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """The calendar of the usual tariff, active and passive."""
        if index == _ACTIVATION:
            return octets(NOT_SPECIFIED)
        active = index if index <= 5 else index - _PASSIVE_BEHIND
        tariff = Tariff.of(meter.rates)
        match active:
            case 2:
                return octets(b"STANDARD")
            case 3:
                return array(structure(octets(b"1"), octets(_EVERY_YEAR), octets(b"1")))
            case 4:
                days = (_WORKDAY,) * 5 + (_SATURDAY, _SUNDAY)
                return array(structure(octets(b"1"), *map(unsigned, days)))
            case 5:
                return array(
                    _day(_WORKDAY, tariff.workday),
                    _day(_SATURDAY, tariff.saturday),
                    _day(_SUNDAY, tariff.sunday),
                )
            case _:
                return None

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """activate_passive_calendar."""
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        self._activate(meter, one)
        return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """The passive calendar, and when it becomes active: at once where that has passed."""
        if index != _ACTIVATION:
            super().take(meter, one, index, data, sap)
            return
        octet_string(data, 12, 12)
        if self._is_rewritten(meter, one):
            self._tariff(meter, one)
        at_us = _activation_us(meter, data)
        meter.keep(one, index, data)
        if at_us is not None and at_us <= meter.now_us:
            self._activate(meter, one)

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`."""
        written = meter.state.written.get((one.obis, _ACTIVATION))
        at_us = None if written is None else _activation_us(meter, written, after_us)
        return at_us if at_us is not None and after_us < at_us <= until_us else None

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`; a calendar that the meter cannot follow stays passive."""
        with suppress(Refused):
            self._activate(meter, one)

    def _activate(self, meter: Meter, one: ModelObject) -> None:
        """
        The passive calendar is the active one from now on.

        Raises: Refused: the meter cannot follow it; nothing has changed.
        """
        written = meter.state.written
        passive = {
            index: written[one.obis, index + _PASSIVE_BEHIND]
            for index in range(2, 6)
            if (one.obis, index + _PASSIVE_BEHIND) in written
        }
        if self._is_rewritten(meter, one):
            meter.state.tariffs.append(self._tariff(meter, one))
        for index, data in passive.items():
            meter.keep(one, index, data)
        meter.event("tariff_changed")

    def _is_rewritten(self, meter: Meter, one: ModelObject) -> bool:
        """Whether the passive calendar has weeks or days that a client wrote."""
        return any((one.obis, index + _PASSIVE_BEHIND) in meter.state.written for index in (4, 5))

    def _tariff(self, meter: Meter, one: ModelObject) -> TariffChange:
        weeks = elements(self._passive(meter, one, 8))
        days = {
            number(day.value[0], DataTag.UNSIGNED): _switches(meter, elements(day.value[1]))
            for day in elements(self._passive(meter, one, 9))
        }
        if len(weeks) != 1:
            raise Refused(OTHER_REASON)
        ids = [number(day, DataTag.UNSIGNED) for day in members(weeks[0], 8)[1:]]
        if len(set(ids[:5])) != 1 or not days.keys() >= set(ids):
            raise Refused(OTHER_REASON)
        return TariffChange(meter.now_us, days[ids[0]], days[ids[5]], days[ids[6]])

    def _passive(self, meter: Meter, one: ModelObject, index: int) -> Data:
        found = meter.value(one, index, 0)
        assert not isinstance(found, DataAccessResult)
        return decode_all(found) if isinstance(found, bytes) else found


def _activation_us(meter: Meter, data: Data, after_us: int | None = None) -> int | None:
    """
    activate_passive_calendar_time as true time by the clock as it goes now (or then).

    Raises: Refused: it is no date-time.
    """
    try:
        time = instant(CosemDateTime.from_octets(data.value), meter.face.zone, latest=False)
    except EncodingError:
        raise Refused(TYPE_UNMATCHED) from None
    if time is None:
        return None
    segment = meter.time.segment(meter.now_us if after_us is None else after_us)
    return segment.true_at(microseconds(time))


def _switches(meter: Meter, actions: Sequence[Data]) -> Switches:
    """
    A day's switching times.

    Raises: Refused: off the quarter-hours, out of order, or of a rate that the meter does not have.
    """
    found = []
    for action in actions:
        time, _, rate = members(action, 3)
        hour, minute = octet_string(time, 4, 4)[:2]
        if hour > 23 or minute > 59 or minute % 15:
            raise Refused(OTHER_REASON)
        found.append((hour + minute / 60, number(rate, DataTag.LONG_UNSIGNED, 1, meter.rates)))
    hours = [hour for hour, _ in found]
    if hours[:1] != [0] or hours != sorted(set(hours)):
        raise Refused(OTHER_REASON)
    return tuple(found)


def _day(day_id: int, switches: Switches) -> Data:
    actions = (
        structure(
            octets(bytes((int(hour), round(hour % 1 * 60), 0, 0))),
            octets(_TARIFF_SCRIPTS),
            long_unsigned(rate),
        )
        for hour, rate in switches
    )
    return structure(unsigned(day_id), array(*actions))


class SpecialDays(Plain):
    """class_id 11."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """entries: none."""
        return array() if index == 2 else None


class RegisterMonitor(Plain):
    """class_id 21: thresholds that are shown; no action is bound to them, and none can be."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """thresholds, monitored_value, actions."""
        thresholds = one.options.get("thresholds", ())
        match index:
            case 2:
                numbers = (Data(DataTag.DOUBLE_LONG_UNSIGNED, int(one)) for one in thresholds)
                return array(*numbers)
            case 3:
                monitored = one.options.get("monitored", "3/1.0.1.7.0.255/2")
                class_id, obis, attribute, _ = read_attribute_name(str(monitored))
                return structure(
                    long_unsigned(class_id or 3),
                    octets(obis.octets),
                    Data(DataTag.INTEGER, attribute),
                )
            case 4:
                none = structure(octets(bytes(6)), long_unsigned(0))
                return array(*(structure(none, none) for _ in thresholds))
            case _:
                return None
