"""
What a meter says of what happens to it: logs, alarm registers, pushes, journal.

Owns where an event goes, by the tables of its model. What an event's row holds besides its code and
time is worked out when the log is read, as of any other profile.
Source: IEC 62056-6-1, event code objects 0.0.96.11.e.255, event logs 0.0.99.98.e.255, alarm
register 0.0.97.98.0.255, alarm filter 0.0.97.98.10.255, alarm descriptor 0.0.97.98.20.255; IS 15959
(Part 2), event status word 0.0.94.91.18.255 and its filter 0.0.94.91.26.255.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from hes_protocol.axdr import Data, DataTag
from hes_protocol.models import EVENTS, Model
from hes_protocol.models.objects import ModelAlarm, ModelObject, ModelProfile
from hes_simulators.captures import append
from hes_simulators.clock import moment
from hes_simulators.energy.voltage import with_event
from hes_simulators.state import LogRow
from hes_simulators.values import COUNTERS

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

BITS: Final = "bits"
_ALL: Final = -1
_NO_CODE: Final = 0
_CLASS_DATA, _CLASS_PROFILE = 1, 7
_COUNTED: Final = {
    "cover_opened": "tampers",
    "case_opened": "tampers",
    "strong_magnet": "tampers",
    "parameters_changed": "writes",
}


def shown_by(model: Model) -> frozenset[str]:
    """The events for which a model has a code, a bit or a push, or that change what it measures."""
    codes = [log.codes for log in model.events.logs.values()]
    bits = [alarm.bits for alarm in model.events.alarms]
    pushes = [push.on for push in model.pushes]
    measured = [name for name in EVENTS if with_event((), name, 0) is not None]
    return frozenset(chain(*codes, *bits, *pushes, measured))


def log_event(meter: Meter, name: str, at_us: int, facts: dict[str, Any]) -> None:
    """
    Put an event wherever the meter's model has a place for it.

    Args: facts: by name; whole numbers among them are kept with the rows of its logs.
    """
    events = meter.kind.model.events
    numbers = tuple((fact, value) for fact, value in facts.items() if type(value) is int)
    row = LogRow(at_us, meter.time.shown_us(at_us), 0, numbers)
    codes: dict[str, int] = {}
    lines: dict[str, int] = {}
    for log, code in events.of(name):
        profile = meter.kind.model.objects.get((_CLASS_PROFILE, log.obis))
        if isinstance(profile, ModelProfile):
            codes[log.name] = code
            lines[str(log.obis)] = code if log.code_obis is not None else _NO_CODE
            append(meter, profile, LogRow(row.at_us, row.shown_us, code, numbers))
    counted = _COUNTED.get(name)
    if counted is not None:
        kept = meter.state.of(COUNTERS)
        kept[counted] = kept.get(counted, 0) + 1
    for alarm in events.alarms:
        _raise_alarm(meter, alarm, name)
    noted: dict[str, Any] = {"logs": codes, **({"lines": lines} if lines else {}), **facts}
    if row.shown_us != at_us:
        noted["shown"] = moment(row.shown_us)
    meter.kind.journal.note("event", moment(at_us), meter.identity.serial, name=name, **noted)
    for push in meter.kind.model.pushes:
        if name in push.on:
            meter.push(push, name, at_us)


def _raise_alarm(meter: Meter, alarm: ModelAlarm, name: str) -> None:
    for gone in alarm.clears.get(name, ()):
        if meter.state.peek(alarm.obis, BITS, 0) >> gone & 1:
            meter.state.of(alarm.obis)[BITS] &= ~(1 << gone)
    bit = alarm.bits.get(name)
    if bit is None or not _filter(meter, alarm) >> bit & 1:
        return
    register = meter.state.of(alarm.obis)
    was = register.get(BITS, 0)
    register[BITS] = was | 1 << bit
    if alarm.descriptor_obis is not None and not was >> bit & 1:
        # The descriptor tells what came up since it was read and cleared.
        descriptor = meter.state.of(alarm.descriptor_obis)
        descriptor[BITS] = descriptor.get(BITS, 0) | 1 << bit


def _filter(meter: Meter, alarm: ModelAlarm) -> int:
    """Bits of the alarms that are let through."""
    if alarm.filter_obis is None:
        return _ALL
    written = meter.state.written.get((alarm.filter_obis, 2))
    if written is not None:
        return _number(written)
    one = meter.kind.model.objects.get((_CLASS_DATA, alarm.filter_obis))
    constant = None if one is None else one.attributes[2].constant
    return _ALL if constant is None else _number(constant)


def _number(bits: Data) -> int:
    return bits.value.number if bits.tag is DataTag.BIT_STRING else int(bits.value)


def clear_bits(meter: Meter, one: ModelObject, keep: Data) -> None:
    """A client writes an alarm register: bits that it writes as 0 are cleared, none are set."""
    register = meter.state.of(one.obis)
    register[BITS] = register.get(BITS, 0) & _number(keep)
