"""
Script table (class_id 9) and single action schedule (class_id 22): things done on call or by time.

Owns the few scripts that models name, as actions that clients read and as what happens, and the
wildcards of execution times. Scripts of rates are the calendar's, which follows them by itself:
they are shown, and nobody runs them. A model's own push and billing schedules are data of
`ModelPush` and of `MeterTable.billing`: they show their times here, and no client changes them.
Source: IEC 62056-6-2, class_id 9 version 0, class_id 22 version 0; 4.1.6.1 for wildcards of dates.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import Obis
from hes_protocol.models.objects import CaptureOn, ModelObject
from hes_protocol.xdlms.results import ActionResultCode
from hes_simulators.classes import activation
from hes_simulators.classes.answering import (
    OBJECT_UNDEFINED,
    OTHER_REASON,
    READ_WRITE_DENIED,
    TYPE_UNMATCHED,
    Refused,
    elements,
    enum,
    invoking,
    long_unsigned,
    members,
    number,
    obis_of,
    octets,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import microseconds, moment
from hes_simulators.energy.calendar import falls_on

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_WRITE, _EXECUTE = 1, 2  # service_id: write an attribute, invoke a method
_SCRIPT_TABLE: Final = 9
_ANY: Final = 0xFF
_HOURS: Final = frozenset({*range(24), _ANY})
_ONE_WITH_WILDCARDS: Final = 1  # type: one execution_time, wildcards in its date allowed
_LOOK_AHEAD_DAYS: Final = 400
_PROFILE, _CAPTURE = 7, 2
_END_OF_BILLING: Final = "end_of_billing"
_RATE: Final = "rate:"
_ACTIVATION: Final = Obis.parse("0.0.14.0.1.255")
_DISCONNECTOR: Final = Obis.parse("0.0.96.3.10.255")
_IMAGE_TRANSFER: Final = Obis.parse("0.0.44.0.0.255")
# What a script of that name does: class_id, logical_name, method.
_ACTIONS: Final = {
    "disconnect": (70, _DISCONNECTOR, 1),
    "reconnect": (70, _DISCONNECTOR, 2),
    "activate_image": (18, _IMAGE_TRANSFER, 4),
}
_TIMES: Final = {
    "hour": (bytes((_ANY, 0, 0, 0)), bytes((_ANY,) * 5)),
    "day": (bytes(4), bytes((_ANY,) * 5)),
    "month": (bytes(4), bytes((_ANY, _ANY, _ANY, 1, _ANY))),
}


def run(meter: Meter, name: str) -> bool:
    """
    Do what a script of that name does, now.

    Returns: whether it was done.
    """
    if name == _END_OF_BILLING:
        meter.close_billing()
        return True
    action = _action(meter, name)
    if action is None:
        return False
    class_id, obis, method = action
    one = meter.kind.model.objects.get((class_id, obis))
    if one is None:
        return False
    result, _ = meter.invoke(one, method, Data(DataTag.INTEGER, 0), sap=0)
    return result is ActionResultCode.SUCCESS


def run_script(meter: Meter, table: Obis, selector: int) -> bool:
    """The script of that number (from 1) of a script table; False where there is none."""
    name = _script_name(meter, table, selector)
    return name is not None and run(meter, name)


def has_script(meter: Meter, table: Obis, selector: int) -> bool:
    """Whether there is one that others than the calendar may run."""
    name = _script_name(meter, table, selector)
    return name is not None and not name.startswith(_RATE)


def _script_name(meter: Meter, table: Obis, selector: int) -> str | None:
    one = meter.kind.model.objects.get((_SCRIPT_TABLE, table))
    names = () if one is None else one.options.get("scripts", ())
    return str(names[selector - 1]) if 1 <= selector <= len(names) else None


def _action(meter: Meter, name: str) -> tuple[int, Obis, int] | None:
    if name == _END_OF_BILLING:
        profiles = meter.kind.model.profiles.values()
        closed = (one.obis for one in profiles if one.on is CaptureOn.BILLING)
        return next(((_PROFILE, obis, _CAPTURE) for obis in closed), None)
    if name.startswith("push:"):
        return 40, Obis.parse(name.removeprefix("push:")), 1
    return _ACTIONS.get(name)


class ScriptTable(Plain):
    """class_id 9."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """scripts."""
        names = map(str, one.options.get("scripts", ()))
        scripts = array(*(_script(meter, number, name) for number, name in enumerate(names, 1)))
        return meter.kind.served.constant(one, index, scripts) if index == 2 else None

    @invoking
    def invoke(
        self, meter: Meter, one: ModelObject, method_index: int, data: Data | None, sap: int
    ) -> Data | None:
        """execute: the script of that number."""
        if method_index != 1:
            raise Refused(OBJECT_UNDEFINED)
        if not run_script(meter, one.obis, number(data, DataTag.LONG_UNSIGNED)):
            raise Refused(OTHER_REASON)
        return None


def _script(meter: Meter, number_: int, name: str) -> Data:
    specification = _specification(meter, name)
    actions = () if specification is None else (specification,)
    return structure(long_unsigned(number_), array(*actions))


def _specification(meter: Meter, name: str) -> Data | None:
    """What a script does, in the words of the standard; None: no object of the meter does it."""
    if name.startswith(_RATE):
        return _does(_WRITE, activation.CLASS_ID, _ACTIVATION, activation.ACTIVE_MASK,
                     activation.mask_name(int(name.removeprefix(_RATE))))  # fmt: skip
    action = _action(meter, name)
    return None if action is None else _does(_EXECUTE, *action, Data(DataTag.INTEGER, 0))


def _does(service: int, class_id: int, obis: Obis, index: int, parameter: Data) -> Data:
    return structure(
        enum(service),
        long_unsigned(class_id),
        octets(obis.octets),
        Data(DataTag.INTEGER, index),
        parameter,
    )


class SingleActionSchedule(Plain):
    """class_id 22. A living class: it runs its script at the times that a client has written."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """executed_script, type, execution_time."""
        match index:
            case 2:
                script = octets(obis_of(one.options["script"]).octets)
                return structure(script, long_unsigned(int(one.options.get("selector", 1))))
            case 3:
                return enum(_ONE_WITH_WILDCARDS)
            case 4:
                times = _TIMES.get(str(one.options.get("at", "")))
                return array(*([structure(*map(octets, times))] if times else []))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """execution_time."""
        if index != 4 or "at" in one.options:
            raise Refused(READ_WRITE_DENIED)
        for entry in elements(data, most=1):
            time, date_ = members(entry, 2)
            for part, length in ((time, 4), (date_, 5)):
                if part.tag is not DataTag.OCTET_STRING or len(part.value) != length:
                    raise Refused(TYPE_UNMATCHED)
            # Every hour at most: the standard has wildcards in dates only, IDIS also in the hour.
            hour, minute, second, _ = time.value
            if hour not in _HOURS or minute > 59 or (second > 59 and second != _ANY):
                raise Refused(OTHER_REASON)
        meter.keep(one, index, data)

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`."""
        written = meter.state.written.get((one.obis, 4))
        if written is None or not written.value:
            return None
        segment = meter.time.segment(after_us)
        shown = meter.time.shown_us(after_us)
        ends_us = segment.shown_us(until_us)
        time, date_ = (part.value for part in written.value[0].value)
        found = _match(meter, time, date_, shown, ends_us)
        return None if found is None else max(segment.true_at(found), after_us + 1)

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`; nothing is done in the dark."""
        if not meter.state.dark.covers(at_us):
            run_script(meter, obis_of(one.options["script"]), int(one.options.get("selector", 1)))


def _match(meter: Meter, time: bytes, date_: bytes, after_us: int, until_us: int) -> int | None:
    """The first shown moment, `after_us` < t <= `until_us`, that fits; wildcards fit everything."""
    zone = meter.face.zone
    begin = moment(after_us).astimezone(zone)
    day, first_hour = begin.date(), begin.hour
    last = min(moment(until_us).astimezone(zone).date(), day + timedelta(days=_LOOK_AHEAD_DAYS))
    while day <= last:
        if falls_on(day, date_):
            for hour in range(first_hour, 24) if time[0] == _ANY else (time[0],):
                second = 0 if time[2] == _ANY else time[2]
                local = datetime(day.year, day.month, day.day, hour, time[1], second, tzinfo=zone)
                at_us = microseconds(local)
                if at_us > after_us:
                    return at_us if at_us <= until_us else None
        day, first_hour = day + timedelta(days=1), 0
    return None
