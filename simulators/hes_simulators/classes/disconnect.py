"""
Disconnect control (class_id 70): the relay of the meter, or the valve of a device on M-Bus.

Owns the states and which transitions a control_mode allows, to clients, to the customer's button
and to the meter itself. What the relay does to energy is `Meter.cut`.
Where the mode reconnects at once, remote_reconnect does so from both other states: the method
"forces into connected" in modes 2 and 4, whoever switched off.
Source: IEC 62056-6-2, class_id 70 version 0, tables "control mode" and "state transitions".
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    Refused,
    enum,
    invoking,
    nothing,
    number,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import moment
from hes_simulators.state import ELECTRICITY, Cut

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

CLASS_ID: Final = 70
_STATE: Final = "state"
_MODE: Final = 4
_LAST_MODE: Final = 6


class ControlState(IntEnum):
    """control_state."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2


class Cause(Enum):
    """Who moves the relay; each has transitions of its own."""

    REMOTE_DISCONNECT = "remote_disconnect"
    REMOTE_RECONNECT = "remote_reconnect"
    MANUAL_DISCONNECT = "manual_disconnect"
    MANUAL_RECONNECT = "manual_reconnect"
    LOCAL_DISCONNECT = "local_disconnect"
    LOCAL_RECONNECT = "local_reconnect"


_OFF, _ON, _READY = ControlState
_ALWAYS_CONNECTED: Final = 0
# By cause: from which states to which; and in which modes. remote_reconnect is in `_after`.
_TRANSITIONS: Final = {
    Cause.REMOTE_DISCONNECT: (((_ON, _OFF), (_READY, _OFF)), (1, 2, 3, 4, 5, 6)),
    Cause.MANUAL_DISCONNECT: (((_ON, _READY),), (1, 2, 5)),
    Cause.LOCAL_DISCONNECT: (((_ON, _READY),), (1, 2, 3, 4, 5, 6)),
    Cause.MANUAL_RECONNECT: (((_READY, _ON),), (1, 2, 3, 4, 5, 6)),
    Cause.LOCAL_RECONNECT: (((_READY, _ON),), (5, 6)),
}
# remote_reconnect switches on at once in these modes; in the others the customer must do it.
_RECONNECTS_AT_ONCE: Final = (2, 4)
_EVENTS: Final = {
    (Cause.REMOTE_DISCONNECT, _OFF): "disconnected_remotely",
    (Cause.REMOTE_RECONNECT, _ON): "connected_remotely",
    (Cause.REMOTE_RECONNECT, _READY): "ready_for_reconnection",
    (Cause.MANUAL_DISCONNECT, _READY): "disconnected_manually",
    (Cause.MANUAL_RECONNECT, _ON): "connected_manually",
    (Cause.LOCAL_DISCONNECT, _READY): "disconnected_locally",
    (Cause.LOCAL_RECONNECT, _ON): "connected_locally",
}
_METHODS: Final = {1: Cause.REMOTE_DISCONNECT, 2: Cause.REMOTE_RECONNECT}
_VALVE_EVENTS: Final = {_OFF: "mbus_valve_closed", _ON: "mbus_valve_opened"}


def control_state(meter: Meter, one: ModelObject) -> ControlState:
    """The state of a relay or valve; a fresh one is connected."""
    return ControlState(meter.state.peek(one.obis, _STATE, int(_ON)))


def control_mode(meter: Meter, one: ModelObject) -> int:
    """Which transitions there are: the model's, or what a client wrote."""
    written = meter.state.written.get((one.obis, _MODE))
    return int(one.options.get("control_mode", 1) if written is None else written.value)


def move(meter: Meter, one: ModelObject, cause: Cause, why: Cut = Cut.DISCONNECT) -> bool:
    """
    Let a relay follow a cause, now.

    Args: why: what the cut counts as.
    Returns: whether the mode has such a transition from the present state.
    """
    state, mode = control_state(meter, one), control_mode(meter, one)
    becomes = _after(state, cause, mode)
    if becomes is None:
        return False
    meter.state.of(one.obis)[_STATE] = int(becomes)
    medium = meter.medium_of(one)
    at = moment(meter.now_us)
    if medium != ELECTRICITY:
        why = Cut.VALVE
    if state is _ON:
        meter.cut(why, at, medium)
    elif becomes is _ON:
        for reason in (Cut.DISCONNECT, Cut.LIMITER, Cut.VALVE):
            meter.restore(reason, at, medium)
    if medium == ELECTRICITY:
        meter.event(_EVENTS[cause, becomes])
    elif becomes in _VALVE_EVENTS:
        meter.event(_VALVE_EVENTS[becomes])
    return True


def _after(state: ControlState, cause: Cause, mode: int) -> ControlState | None:
    if cause is Cause.REMOTE_RECONNECT:
        if mode in _RECONNECTS_AT_ONCE:
            return None if state is _ON else _ON
        return _READY if state is _OFF and mode != _ALWAYS_CONNECTED else None
    pairs, modes = _TRANSITIONS[cause]
    return dict(pairs).get(state) if mode in modes else None


def relay(meter: Meter) -> ModelObject | None:
    """The object of the meter's own relay; None: it has none."""
    for (class_id, _), one in meter.kind.model.objects.items():
        if class_id == CLASS_ID and meter.medium_of(one) == ELECTRICITY:
            return one
    return None


class DisconnectControl(Plain):
    """class_id 70."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """output_state, control_state, control_mode."""
        state = control_state(meter, one)
        match index:
            case 2:
                spans = meter.state.cuts.get(meter.medium_of(one))
                others = set() if spans is None else spans.reasons - {Cut.OUTAGE}
                return Data(DataTag.BOOLEAN, state is _ON and not others)
            case 3:
                return enum(int(state))
            case 4:
                return enum(control_mode(meter, one))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """control_mode."""
        if index != _MODE:
            raise Refused(OTHER_REASON)
        mode = number(data, DataTag.ENUM, 0, _LAST_MODE)
        if mode == _ALWAYS_CONNECTED and control_state(meter, one) is not _ON:
            raise Refused(OTHER_REASON)
        meter.keep(one, index, data)

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """remote_disconnect, remote_reconnect; what is so already is done."""
        nothing(data)
        if method_index not in _METHODS:
            raise Refused(OBJECT_UNDEFINED)
        cause = _METHODS[method_index]
        if not move(meter, one, cause) and not _is_so(meter, one, cause):
            raise Refused(OTHER_REASON)
        return None


def _is_so(meter: Meter, one: ModelObject, cause: Cause) -> bool:
    """Whether a relay is already where a client wants it."""
    state = control_state(meter, one)
    return state is _OFF if cause is Cause.REMOTE_DISCONNECT else state is not _OFF
