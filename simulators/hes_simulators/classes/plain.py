"""
What every interface class does alike: attributes that the model gives, or that a client wrote.

Owns class_id 1 (data), and the ways of the others with attributes that are plain values. A value is
what a client wrote; else the model's constant; else what its source says; else what the class
knows (`own`). A client may write another value of the same type and shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, decode_all
from hes_protocol.models.objects import ModelObject
from hes_protocol.server import Selection
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.classes.answering import (
    OTHER_REASON,
    SCOPE_VIOLATED,
    TYPE_UNMATCHED,
    Done,
    Refused,
    writing,
)
from hes_simulators.classes.interface import Answer
from hes_simulators.events import clear_bits
from hes_simulators.quantities import Rows
from hes_simulators.values import value

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_STRINGS: Final = frozenset({DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING})
_LONGEST_OCTETS: Final = 256
_MOST_ELEMENTS: Final = 256
_BIT_SOURCES: Final = frozenset({"alarm", "alarm_descriptor", "error"})
# What is measured, or follows from what happened, is not a client's to say.
_WRITABLE_SOURCES: Final = frozenset({"message", "metering_point"})


class Plain:
    """A class whose attributes are all plain; others inherit and know some by themselves."""

    def read(
        self, meter: Meter, one: ModelObject, index: int, selection: Selection | None, sap: int
    ) -> Answer:
        """See `InterfaceClass`."""
        if selection is not None:
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        attribute = one.attributes[index]
        written = meter.state.written.get((one.obis, index))
        if written is not None:
            return written
        if attribute.constant is not None:
            return meter.kind.served.constant(one, index, attribute.constant)
        if attribute.source is not None:
            return value(meter, one, attribute, Rows.at(meter, meter.now_us))
        own = self.own(meter, one, index, sap)
        return DataAccessResult.OBJECT_UNAVAILABLE if own is None else own

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """What the class itself knows of an attribute, None for nothing."""
        return None

    @writing
    def write(
        self,
        meter: Meter,
        one: ModelObject,
        index: int,
        data: Data,
        selection: Selection | None,
        sap: int,
    ) -> None:
        """See `InterfaceClass`."""
        if selection is not None:
            raise Refused(SCOPE_VIOLATED)
        self.take(meter, one, index, data, sap)

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """
        Take what a client writes.

        Raises: Refused: it is not taken, and nothing has changed.
        """
        attribute = one.attributes[index]
        present = meter.value(one, index, sap)
        if not isinstance(present, DataAccessResult):
            whole = decode_all(present) if isinstance(present, bytes) else present
            check_shape(whole, data, one)
        if attribute.source in _BIT_SOURCES:
            clear_bits(meter, one, data)
            meter.event("alarms_cleared")
            return
        if attribute.source is not None and attribute.source not in _WRITABLE_SOURCES:
            raise Refused(OTHER_REASON)
        meter.keep(one, index, data)

    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Done:
        """See `InterfaceClass`; here nothing can be invoked."""
        return ActionResultCode.READ_WRITE_DENIED, None


def check_shape(present: Data, data: Data, one: ModelObject) -> None:
    """
    Another value must be of the present one's type, members and all, and not too long.

    Raises: Refused: type_unmatched, or other_reason where it is too long.
    """
    if data.tag is not present.tag:
        raise Refused(TYPE_UNMATCHED)
    match present.tag:
        case DataTag.ARRAY:
            if len(data.value) > _MOST_ELEMENTS:
                raise Refused(OTHER_REASON)
            if present.value:
                for element in data.value:
                    check_shape(present.value[0], element, one)
        case DataTag.STRUCTURE:
            if len(data.value) != len(present.value):
                raise Refused(TYPE_UNMATCHED)
            for was, becomes in zip(present.value, data.value, strict=True):
                check_shape(was, becomes, one)
        case tag if tag in _STRINGS:
            if len(data.value) > one.options.get("longest_octets", _LONGEST_OCTETS):
                raise Refused(OTHER_REASON)
        case DataTag.BIT_STRING:
            if data.value.length != present.value.length:
                raise Refused(TYPE_UNMATCHED)
