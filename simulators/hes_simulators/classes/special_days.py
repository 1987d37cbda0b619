"""
Special days table (class_id 11): dates on which the tariff is that of another day.

Owns the entries. The day_id of an entry is one of the active calendar's day_profile_table; one that
is not in it has no effect until a calendar with it is activated.
Source: IEC 62056-6-2, class_id 11, version 0: entries, insert, delete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    elements,
    invoking,
    members,
    number,
    octet_string,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.classes.tariffs import follow, special_days, tariff_with
from hes_simulators.energy.calendar import is_date_pattern

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_ENTRIES: Final = 2
_MOST_ENTRIES: Final = 50


class SpecialDays(Plain):
    """class_id 11."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """entries: none at first."""
        return array() if index == _ENTRIES else None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """entries, all at once; no two with the same index or date."""
        entries = elements(data, _MOST_ENTRIES)
        for entry in entries:
            _check(entry)
        for member in (0, 1):
            if len({entry.value[member].value for entry in entries}) != len(entries):
                raise Refused(OTHER_REASON)
        _keep(meter, one, entries)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """insert in place of what has the same index or the same date; delete by index."""
        present = special_days(meter)
        match method_index:
            case 1:
                entry = _check(data)
                index, date = entry.value[0].value, entry.value[1].value
                kept = [
                    other
                    for other in present
                    if other.value[0].value != index and other.value[1].value != date
                ]
                if len(kept) >= _MOST_ENTRIES:
                    raise Refused(OTHER_REASON)
                kept.append(entry)
            case 2:
                index = number(data, DataTag.LONG_UNSIGNED)
                kept = [other for other in present if other.value[0].value != index]
                if len(kept) == len(present):
                    raise Refused(OTHER_REASON)
            case _:
                raise Refused(OBJECT_UNDEFINED)
        _keep(meter, one, kept)
        return None


def _check(entry: Data | None) -> Data:
    """
    A spec_day_entry: index, specialday_date, day_id.

    Raises: Refused.
    """
    index, date, day = members(entry, 3)
    number(index, DataTag.LONG_UNSIGNED)
    if not is_date_pattern(octet_string(date, 5, 5)):
        raise Refused(OTHER_REASON)
    number(day, DataTag.UNSIGNED)
    assert entry is not None
    return entry


def _keep(meter: Meter, one: ModelObject, entries: Sequence[Data]) -> None:
    tariff = tariff_with(meter, entries)
    if tariff is not None:
        follow(meter, tariff)
    meter.keep(one, _ENTRIES, array(*entries))
