"""
Push setup (class_id 40): what is pushed where, as clients see it, and the push on demand.

Owns attributes and method, and the push as clients have changed it: its objects, the window in
which it begins, its repetitions (`current`), where it goes (`destination`); when it may, is
`windows`'. What else is sent and when stands in the model (`ModelPush`); who sends is `pushes`.

A destination is ASCII, `127.0.0.1:4059`, and one of the fleet's (`MeterKind.destinations`): whoever
may write to ten thousand meters must not turn them upon others.
Source: IEC 62056-6-2, class_id 40 versions 0 to 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    members,
    nothing,
    number,
    octet_string,
    octets,
    unsigned,
)
from hes_simulators.classes.columns import check_columns
from hes_simulators.classes.plain import Plain
from hes_simulators.classes.windows import WINDOWS, check_windows
from hes_simulators.reach import Target

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

# transport_service: TCP, UDP, HDLC, M-Bus.
_SERVICES: Final = {Transport.WRAPPER: 0, Transport.UDP: 1, Transport.HDLC: 5, Transport.MBUS: 6}
_XDLMS_APDU: Final = 0
_LONGEST_OCTETS: Final = 64
_OBJECTS, _DESTINATION, _WINDOW_S, _RETRIES, _DELAY_S = 2, 3, 5, 6, 7
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


def destination(
    written: Mapping[tuple[Obis, int], Data], obis: Obis, allowed: Sequence[Target]
) -> Target | None:
    """Where a client has turned a push to; None: nowhere else, or where none may go any more."""
    data = written.get((obis, _DESTINATION))
    if data is None:
        return None
    target = _target(data.value[1].value)
    return target if target in allowed else None


class PushSetup(Plain):
    """class_id 40."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """The model's push."""
        push = _push(meter, one)
        match index:
            case 2:
                return array(*(column.to_data() for column in (push.objects if push else ())))
            case 3:
                known = meter.kind.destinations
                where = str(known[0]) if known else str(one.options.get("destination", ""))
                return structure(enum(_service(push)), octets(where.encode()), enum(_XDLMS_APDU))
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
        """All of them."""
        if index == _OBJECTS:
            check_columns(meter, data)
        elif index == WINDOWS:
            check_windows(data)
        elif index == _DESTINATION:
            self._check_destination(meter, one, data)
        elif index in _NUMBERS:
            number(data, _NUMBERS[index])
        else:
            raise Refused(OTHER_REASON)
        meter.keep(one, index, data)

    def _check_destination(self, meter: Meter, one: ModelObject, data: Data) -> None:
        service, where, message = members(data, 3)
        if number(service, DataTag.ENUM) != _service(_push(meter, one)):
            raise Refused(OTHER_REASON)
        number(message, DataTag.ENUM, _XDLMS_APDU, _XDLMS_APDU)
        octet_string(where, most=_LONGEST_OCTETS)
        if data != self.own(meter, one, _DESTINATION, 0) and (
            _target(where.value) not in meter.kind.destinations
        ):
            raise Refused(OTHER_REASON)

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


def _service(push: ModelPush | None) -> int:
    return _SERVICES[push.transport] if push else 0


def _target(octets_: bytes) -> Target | None:
    """None: it is no address."""
    try:
        return Target.parse(octets_.decode("ascii"))
    except ValueError:
        return None


def _push(meter: Meter, one: ModelObject) -> ModelPush | None:
    for push in meter.kind.model.pushes:
        if push.obis == one.obis:
            return push
    return None
