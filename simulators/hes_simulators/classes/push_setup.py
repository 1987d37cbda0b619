"""
Push setup (class_id 40): what is pushed where, as clients see it, and the push on demand.

Owns attributes and method; what is sent and when stands in the model (`ModelPush`), who sends is
`pushes`. What a client writes is kept and shown.
Source: IEC 62056-6-2, class_id 40 versions 0 to 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.objects import ModelObject, ModelPush, Transport
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    enum,
    invoking,
    long_unsigned,
    nothing,
    octets,
    unsigned,
)
from hes_simulators.classes.plain import Plain, check_shape

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

# transport_service: TCP, UDP, HDLC, M-Bus.
_SERVICES: Final = {Transport.WRAPPER: 0, Transport.UDP: 1, Transport.HDLC: 4, Transport.MBUS: 5}
_XDLMS_APDU: Final = 0
_WINDOWS: Final = 4
_WINDOW: Final = structure(octets(bytes(12)), octets(bytes(12)))


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
                random_s = one.options.get("random_s", push.window_s if push else 0)
                return long_unsigned(int(random_s))
            case 6:
                return unsigned(int(one.options.get("retries", push.retries if push else 0)))
            case 7:
                delay_s = push.retry_delay_s if push else 0
                return long_unsigned(int(one.options.get("repetition_delay_s", delay_s)))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """See `Plain`; an empty list of windows does not say of what shape one is."""
        if index == _WINDOWS and data.tag is DataTag.ARRAY:
            for window in data.value:
                check_shape(_WINDOW, window, one)
        super().take(meter, one, index, data, sap)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """push."""
        push = _push(meter, one)
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        if data is None or data.tag is not DataTag.NULL_DATA:
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
