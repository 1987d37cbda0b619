"""
Push setup (class_id 40): what is pushed where, as clients see it, and the push on demand.

Owns attributes and method, and the push as clients have changed it (`current`): its objects, the
window in which it begins, its repetitions. What else is sent and when stands in the model
(`ModelPush`), where to in the fleet's settings; who sends is `pushes`.
Source: IEC 62056-6-2, class_id 40 versions 0 to 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models.objects import ModelObject, ModelPush, Transport
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    enum,
    invoking,
    long_unsigned,
    nothing,
    number,
    octets,
    unsigned,
)
from hes_simulators.classes.columns import check_columns
from hes_simulators.classes.plain import Plain

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

# transport_service: TCP, UDP, HDLC, M-Bus.
_SERVICES: Final = {Transport.WRAPPER: 0, Transport.UDP: 1, Transport.HDLC: 5, Transport.MBUS: 6}
_XDLMS_APDU: Final = 0
_OBJECTS, _WINDOW_S, _RETRIES, _DELAY_S = 2, 5, 6, 7
_NUMBERS: Final = {
    _WINDOW_S: DataTag.LONG_UNSIGNED,
    _RETRIES: DataTag.UNSIGNED,
    _DELAY_S: DataTag.LONG_UNSIGNED,
}


def current(written: Mapping[tuple[Obis, int], Data], push: ModelPush) -> ModelPush:
    """A push as clients have changed it by what a meter has `written`."""
    changes: dict[str, Any] = {}
    if (objects := written.get((push.obis, _OBJECTS))) is not None:
        changes["objects"] = tuple(map(CaptureObject.from_data, objects.value))
    for index, name in (
        (_WINDOW_S, "window_s"),
        (_RETRIES, "retries"),
        (_DELAY_S, "retry_delay_s"),
    ):
        if (data := written.get((push.obis, index))) is not None:
            changes[name] = data.value
    return attrs.evolve(push, **changes) if changes else push


class PushSetup(Plain):
    """class_id 40."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """The model's push."""
        push = _push(meter, one)
        match index:
            case 2:
                return array(*(column.to_data() for column in (push.objects if push else ())))
            case 3:
                service = _SERVICES[push.transport] if push else 0
                destination = str(one.options.get("destination", "")).encode()
                return structure(enum(service), octets(destination), enum(_XDLMS_APDU))
            case 4:
                return array()
            case 5:
                return long_unsigned(int(push.window_s if push else 0))
            case 6:
                return unsigned(push.retries if push else 0)
            case 7:
                return long_unsigned(int(push.retry_delay_s if push else 0))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """push_object_list, randomisation_start_interval, number_of_retries, repetition_delay."""
        if index == _OBJECTS:
            check_columns(meter, data)
        elif index in _NUMBERS:
            number(data, _NUMBERS[index])
        else:
            raise Refused(OTHER_REASON)
        meter.keep(one, index, data)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """push."""
        push = _push(meter, one)
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        nothing(data)
        if push is None:
            raise Refused(OTHER_REASON)
        meter.push(push, "", meter.now_us)
        return None


def _push(meter: Meter, one: ModelObject) -> ModelPush | None:
    for push in meter.kind.model.pushes:
        if push.obis == one.obis:
            return push
    return None
