"""
Lists of attributes that clients write: what a profile captures, what a push sends.

Source: IEC 62056-6-2, capture_objects of class_id 7, push_object_list of class_id 40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data
from hes_protocol.cosem import CaptureObject
from hes_protocol.errors import EncodingError
from hes_simulators.classes.answering import OTHER_REASON, TYPE_UNMATCHED, Refused, elements

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_MOST_COLUMNS: Final = 64


def check_columns(meter: Meter, data: Data) -> None:
    """
    Only whole attributes that the meter has can be listed.

    Raises: Refused.
    """
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
