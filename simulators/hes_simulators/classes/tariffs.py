"""
Activity calendar (class_id 20), special days table (class_id 11), register monitor (class_id 21).

Owns what they show and take. The rates by which energy is counted are those of the installation's
`Tariff`, which the active calendar shows; a calendar that a client activates is shown from then on,
and does not change what is counted.
Source: IEC 62056-6-2, class_id 20, 11, 21, version 0 each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.notation import read_attribute_name
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
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
from hes_simulators.energy import Tariff
from hes_simulators.energy.tariff import Switches

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_TARIFF_SCRIPTS: Final = bytes((0, 0, 10, 0, 100, 255))
_EVERY_YEAR: Final = bytes.fromhex("ffff0101ff0000000080ffff")[:12]
_NEVER: Final = bytes.fromhex("ffffffffffffffffff8000ff")
_MOST_DAYS: Final = 64
_PASSIVE_BEHIND: Final = 4  # attribute 6 is the passive 2, and so on
_WORKDAY, _SATURDAY, _SUNDAY = 1, 2, 3


class ActivityCalendar(Plain):
    """class_id 20."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """The calendar of the usual tariff, active and passive."""
        if index == 10:
            return octets(_NEVER)
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
        for index in range(2, 6):
            passive = meter.state.written.get((one.obis, index + _PASSIVE_BEHIND))
            if passive is not None:
                meter.keep(one, index, passive)
        meter.event("tariff_changed")
        return None


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
        """entries: none in a fresh meter."""
        return array() if index == 2 else None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """entries."""
        for entry in elements(data, _MOST_DAYS):
            _check_entry(entry)
        meter.keep(one, index, data)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """insert an entry, which replaces the one of its index; delete the one of an index."""
        written = meter.state.written.get((one.obis, 2))
        entries = {} if written is None else {one.value[0].value: one for one in written.value}
        match method_index:
            case 1:
                assert data is None or isinstance(data, Data)
                entries[_check_entry(data)] = data
                if len(entries) > _MOST_DAYS:
                    raise Refused(OTHER_REASON)
            case 2:
                if entries.pop(number(data, DataTag.LONG_UNSIGNED), None) is None:
                    raise Refused(OTHER_REASON)
            case _:
                raise Refused(OBJECT_UNDEFINED)
        meter.keep(one, 2, array(*(entries[index] for index in sorted(entries))))
        return None


def _check_entry(entry: Data | None) -> int:
    index, date, day_id = members(entry, 3)
    octet_string(date, 5, 5)
    number(day_id, DataTag.UNSIGNED)
    return number(index, DataTag.LONG_UNSIGNED)


class RegisterMonitor(Plain):
    """class_id 21: thresholds that are shown and kept; no action is bound to them."""

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
