"""
What a push says: the data-notification of a meter's push setup at this moment.

Owns the forms of the body (`PushForm`); the values are the meter's. IEC 62056-5-3,
DataNotification; IEC 62056-6-2, Push setup (class_id 40), attribute 2, push_object_list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models import ModelPush, PushForm, Transport
from hes_protocol.security.control import Protection
from hes_protocol.xdlms import DataNotification
from hes_simulators.meter import Meter, microseconds

LOGICAL_DEVICE_NAME: Final = Obis.parse("0.0.42.0.0.255")
# IDIS packages 2 and 3: the push setup of a meter that has just connected.
ON_CONNECTIVITY: Final = Obis.parse("0.0.25.9.0.255")
_CLASS_PUSH_SETUP: Final = 40
_OBJECT_LIST: Final = 2
_CLASS_CLOCK: Final = 8
_REGISTERS: Final = frozenset({3, 4})
_CONFIRMED: Final = 1 << 30
_LONG_INVOKE_ID: Final = 0xFFFFFF


def identity_push(client_sap: int, protection: Protection, transport: Transport) -> ModelPush:
    """Who the meter is and no more: what it says when it has dialled in, and as its heartbeat."""
    return ModelPush(
        obis=ON_CONNECTIVITY,
        name="identity",
        objects=(CaptureObject(1, LOGICAL_DEVICE_NAME, 2),),
        form=PushForm.NAMED,
        transport=transport,
        protection=protection,
        client_sap=client_sap,
    )


def data_notification(
    meter: Meter, push: ModelPush, at: datetime, long_invoke_id: int
) -> DataNotification:
    """
    What the push setup makes the meter say.

    The notification has a date-time of its own where the model says so, else where no value is the
    clock.

    Args: at: true time; the meter says what its clock shows then.
    """
    invoke = push.invoke_bits | (_CONFIRMED if push.confirmed else 0)
    if push.numbered:
        invoke |= long_invoke_id & _LONG_INVOKE_ID
    dated = push.date_time
    if dated is None:
        dated = not any(one.class_id == _CLASS_CLOCK for one in push.objects)
    date_time: bytes | None = None
    if dated:
        date_time = meter.face.cosem(
            microseconds(meter.clock(at)), meter.state.clock_status
        ).to_octets()
    tagged = meter.kind.quirks.tagged_push_time
    return DataNotification(invoke, date_time, body(meter, push), tagged=tagged)


def body(meter: Meter, push: ModelPush) -> Data:
    """The body: values of the push's objects as the meter holds them, in the push's form."""
    before = () if push.preamble is None else (push.preamble,)
    match push.form:
        case PushForm.BARE:
            return structure(*before, *_values(meter, push.objects))
        case PushForm.DESCRIBED:
            told = array(*(one.to_data() for one in push.objects))
            return structure(*before, told, *_values(meter, push.objects))
        case PushForm.NAMED:
            return array(*before, *(_named(meter, one) for one in push.objects))
        case PushForm.FLAT:
            return structure(*before, *_by_turns(meter, push.objects))
        case PushForm.FLAT_SCALED:
            return structure(*before, *_scaled(meter, push.objects))


def _values(meter: Meter, objects: Sequence[CaptureObject]) -> Iterator[Data]:
    for one in objects:
        if one.class_id == _CLASS_PUSH_SETUP and one.attribute_index == _OBJECT_LIST:
            # The list itself, as its own first value.
            yield array(*(other.to_data() for other in objects))
        else:
            yield meter.capture(one)


def _named(meter: Meter, one: CaptureObject) -> Data:
    members = [_name(one), meter.capture(one)]
    if one.class_id in _REGISTERS and one.attribute_index == 2:
        members.append(meter.capture(CaptureObject(one.class_id, one.obis, 3)))
    return structure(*members)


def _by_turns(meter: Meter, objects: Sequence[CaptureObject]) -> Iterator[Data]:
    for one in objects:
        yield _name(one)
        yield meter.capture(one)


def _scaled(meter: Meter, objects: Sequence[CaptureObject]) -> Iterator[Data]:
    for one in objects:
        if one.class_id in _REGISTERS:
            yield from _named(meter, one).value
        else:
            yield meter.capture(one)


def _name(one: CaptureObject) -> Data:
    return Data(DataTag.OCTET_STRING, one.obis.octets)
