"""
Profile generic: class_id 7. The buffer in whole or in part, columns, period, reset, capture.

Owns the attributes and methods; rows are `captures`', selective access `selection`'s.
Source: IEC 62056-6-2, class_id 7, version 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.objects import CaptureOn, ModelObject, ModelProfile
from hes_protocol.server import Selection
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators import captures
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    double_long_unsigned,
    enum,
    invoking,
    long_unsigned,
    nothing,
    number,
    octets,
)
from hes_simulators.classes.columns import check_captured
from hes_simulators.classes.interface import Answer
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import DAY_S
from hes_simulators.selection import select
from hes_simulators.state import LogRow

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_BUFFER: Final = 2
_LEAST_PERIOD_S: Final = 60
_UNSORTED: Final = structure(
    long_unsigned(0), octets(bytes(6)), Data(DataTag.INTEGER, 0), long_unsigned(0)
)


class ProfileGeneric(Plain):
    """class_id 7."""

    def read(
        self, meter: Meter, one: ModelObject, index: int, selection: Selection | None, sap: int
    ) -> Answer:
        """See `InterfaceClass`."""
        assert isinstance(one, ModelProfile)
        if index != _BUFFER:
            return super().read(meter, one, index, selection, sap)
        rows = captures.held(meter, one)
        columns = captures.capture_objects(meter, one)
        if selection is None:
            return captures.encode_rows(meter, rows, columns)
        selected = select(selection, rows, columns, meter.face.zone, meter.kind.quirks)
        if isinstance(selected, DataAccessResult):
            return selected
        return captures.encode_rows(meter, selected.rows, selected.columns)

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """capture_objects, capture_period, sort_method, sort_object, entries_in_use, entries."""
        assert isinstance(one, ModelProfile)
        served = meter.kind.served
        match index:
            case 3:
                columns = array(*(column.to_data() for column in one.capture_objects))
                return served.constant(one, index, columns)
            case 4:
                return double_long_unsigned(captures.capture_period_s(meter, one))
            case 5:
                return enum(one.sort.code)
            case 6:
                by = _UNSORTED if one.sort_object is None else one.sort_object.to_data()
                return served.constant(one, index, by)
            case 7:
                return double_long_unsigned(len(captures.held(meter, one)))
            case 8:
                return double_long_unsigned(meter.kind.entries(one))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """capture_objects, capture_period; either empties the buffer, as the standard has it."""
        assert isinstance(one, ModelProfile)
        match index:
            case 3:
                check_captured(meter, one, data)
                meter.keep(one, index, data)
            case 4 if one.on is CaptureOn.PERIOD:
                period_s = number(data, DataTag.DOUBLE_LONG_UNSIGNED, 0, DAY_S)
                if period_s and (period_s < _LEAST_PERIOD_S or DAY_S % period_s):
                    raise Refused(OTHER_REASON)
                captures.set_period(meter, one, period_s)
                meter.event("parameters_changed")
            case _:
                raise Refused(OTHER_REASON)
        captures.clear(meter, one, meter.now_us)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """reset (1) empties the buffer, capture (2) adds a row now."""
        assert isinstance(one, ModelProfile)
        nothing(data)
        if method_index == 1:
            captures.clear(meter, one, meter.now_us)
            is_log = "log" in one.options
            meter.event("events_cleared" if is_log else "profile_cleared")
        elif method_index == 2:
            shown_us = meter.time.shown_us(meter.now_us)
            captures.append(meter, one, LogRow(meter.now_us, shown_us))
        else:
            raise Refused(OBJECT_UNDEFINED)
        return None
