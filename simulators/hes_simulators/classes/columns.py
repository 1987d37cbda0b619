"""
Lists of attributes that clients write: what a profile captures, what a push sends.

Source: IEC 62056-6-2, capture_objects of class_id 7, push_object_list of class_id 40.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data
from hes_protocol.cosem import CaptureObject
from hes_protocol.errors import EncodingError
from hes_protocol.models.objects import ModelAttribute, ModelProfile, Statistic
from hes_simulators.classes.answering import OTHER_REASON, TYPE_UNMATCHED, Refused, elements
from hes_simulators.quantities import is_quantity

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_MOST_COLUMNS: Final = 64
_PROFILE, _BUFFER = 7, 2
# A row is a few dozen numbers, not a calendar or an object list in each of a thousand.
_WIDEST_ROW: Final = 512
# What all rows may take to work out, microseconds. Quantities come in whole columns, at no cost
# that counts; other cells one by one; a maximum, or what is of a whole period, by its days.
_MOST_US: Final = 40_000
_CELL_US, _PERIOD_US = 5, 150
_OF_PERIODS: Final = (Statistic.MAXIMUM, Statistic.MAXIMUM_AT, Statistic.MINIMUM)
_OF_WHOLE_PERIODS: Final = ("billing_", "credit")


def check_columns(meter: Meter, data: Data) -> Sequence[CaptureObject]:
    """
    Only whole attributes that the meter has can be listed.

    Raises: Refused.
    """
    columns = []
    for element in elements(data, _MOST_COLUMNS):
        try:
            column = CaptureObject.from_data(element)
        except EncodingError:
            raise Refused(TYPE_UNMATCHED) from None
        one = meter.kind.model.objects.get((column.class_id, column.obis))
        if one is None or column.data_index:
            raise Refused(OTHER_REASON)
        if column.attribute_index != 1 and column.attribute_index not in one.attributes:
            raise Refused(OTHER_REASON)
        columns.append(column)
    return columns


def check_captured(meter: Meter, profile: ModelProfile, data: Data) -> None:
    """
    The same of what a profile captures: as much as a meter has room and time for in each row.

    No buffer goes into a buffer, its own least of all.
    Raises: Refused.
    """
    octets = cost_us = 0
    for column in check_columns(meter, data):
        if (column.class_id, column.attribute_index) == (_PROFILE, _BUFFER):
            raise Refused(OTHER_REASON)
        one = meter.kind.model.objects[column.class_id, column.obis]
        octets += len(meter.encoded(one, column.attribute_index, 0))
        cost_us += _cell_us(one.attributes.get(column.attribute_index))
    if octets > _WIDEST_ROW or cost_us * meter.kind.entries(profile) > _MOST_US:
        raise Refused(OTHER_REASON)


def _cell_us(attribute: ModelAttribute | None) -> int:
    if attribute is None or attribute.source is None:
        return 0
    if attribute.statistic in _OF_PERIODS or attribute.source.startswith(_OF_WHOLE_PERIODS):
        return _PERIOD_US
    return 0 if is_quantity(attribute) else _CELL_US
