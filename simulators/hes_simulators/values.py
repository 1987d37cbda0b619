"""
What attributes hold that have a source of the meter's own: serial number, counters, states, times.

Owns the meaning of every source of `hes_protocol.models.METER_SOURCES`; sources that are quantities
of the installation are in `quantities`. Does not own attributes that a class makes by itself
(object lists, buffers, states), see `classes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from hes_protocol.axdr import BitString, Data, DataTag
from hes_protocol.cosem import Obis
from hes_protocol.models.objects import ModelAttribute, ModelObject
from hes_simulators.billed import minutes_with_power, power_factor_pm
from hes_simulators.clock import SECOND_US
from hes_simulators.energy import QUANTITIES
from hes_simulators.keys import client_counter, main_client
from hes_simulators.local_time import NOT_SPECIFIED
from hes_simulators.profile_status import (
    STATUS_CLOCK_ADJUSTED,
    STATUS_POWER_DOWN,
    profile_status,
)
from hes_simulators.quantities import Rows, extreme, is_quantity, number_at
from hes_simulators.randomness import Int64Array
from hes_simulators.resets import resets_of

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 3600 * SECOND_US
_LOAD_PROFILE: Final = Obis.parse("1.0.99.1.0.255")
_NEVER: Final = Data(DataTag.OCTET_STRING, NOT_SPECIFIED)
COUNTERS: Final = Obis.parse("0.0.96.15.0.255")
"""Under this name the state keeps what is counted: tampers, writes."""


def value(meter: Meter, one: ModelObject, attribute: ModelAttribute, rows: Rows) -> Data:
    """What an attribute with a source holds at the last of `rows`."""
    if is_quantity(attribute):
        return number(attribute, number_at(meter, attribute, rows, resets_of(meter, one)))
    at_us, shown_us = int(rows.at_us[-1]), int(rows.shown_us[-1])
    if attribute.source in QUANTITIES:
        _, when_us = extreme(meter, attribute, at_us, resets_of(meter, one))
        return date_time(meter, attribute, when_us) if when_us else _NEVER
    assert attribute.source is not None
    return _SOURCES[attribute.source](meter, one, attribute, at_us, shown_us)


def number(attribute: ModelAttribute, found: int) -> Data:
    """A number in the type of its attribute; registers that are full begin anew."""
    tag = attribute.tag or DataTag.DOUBLE_LONG_UNSIGNED
    return Data(tag, wrapped(found, tag))


_SIZES: Final = {
    DataTag.UNSIGNED: (8, False),
    DataTag.ENUM: (8, False),
    DataTag.INTEGER: (8, True),
    DataTag.LONG_UNSIGNED: (16, False),
    DataTag.LONG: (16, True),
    DataTag.DOUBLE_LONG_UNSIGNED: (32, False),
    DataTag.DOUBLE_LONG: (32, True),
    DataTag.LONG64_UNSIGNED: (64, False),
    DataTag.LONG64: (64, True),
}


def wrapped(found: int, tag: DataTag) -> int:
    """As much of a number as its type holds."""
    bits, signed = _SIZES[tag]
    found &= (1 << bits) - 1
    return found - (1 << bits) if signed and found >> (bits - 1) else found


def date_time(meter: Meter, attribute: ModelAttribute, shown_us: int) -> Data:
    """A shown moment as twelve octets."""
    octets = meter.face.cosem(shown_us, meter.state.clock_status).to_octets()
    tag = DataTag.DATE_TIME if attribute.tag is DataTag.DATE_TIME else DataTag.OCTET_STRING
    return Data(tag, octets)


def operating_us(meter: Meter, at_us: int) -> int:
    """How long the meter had power so far."""
    return at_us - meter.installed_us - outage_us(meter, at_us)


def code_of(meter: Meter, one: ModelObject) -> int:
    """The code of the last event of the log whose code object this is."""
    for log in meter.kind.model.events.logs.values():
        if log.code_obis == one.obis:
            rows = meter.state.logs.get(log.obis)
            return rows[-1].code if rows else 0
    return 0


_Column = Callable[["Meter", Int64Array], Int64Array]
BILLED: Final[Mapping[str, _Column]] = {
    "billing_operating_min": minutes_with_power,
    "billing_power_factor_pm": power_factor_pm,
}
"""Sources of numbers that cost less for all rows at once than one by one."""

_Getter = Callable[["Meter", ModelObject, ModelAttribute, int, int], Data]


def _octets(find: Callable[[Meter], bytes]) -> _Getter:
    def get(meter: Meter, _: ModelObject, attribute: ModelAttribute, *__: int) -> Data:
        return Data(attribute.tag or DataTag.OCTET_STRING, find(meter))

    return get


def _number(find: Callable[[Meter, int], int], tag: DataTag) -> _Getter:
    def get(meter: Meter, _: ModelObject, attribute: ModelAttribute, at_us: int, __: int) -> Data:
        used = attribute.tag or tag
        found = find(meter, at_us)
        return Data(used, bool(found) if used is DataTag.BOOLEAN else wrapped(found, used))

    return get


def _last(find: _Column) -> Callable[[Meter, int], int]:
    return lambda meter, at_us: int(find(meter, np.array([at_us], np.int64))[-1])


def outage_us(meter: Meter, at_us: int) -> int:
    """How long the meter had no power so far."""
    spans = meter.state.dark
    total = sum(min(to_us, at_us) - from_us for from_us, to_us in spans.closed if from_us < at_us)
    return total + (max(at_us - spans.since_us, 0) if spans.since_us is not None else 0)


def last_outage_us(meter: Meter, at_us: int) -> int:
    """How long the last power failure took that was over by then; 0 where there was none."""
    ended = [(from_us, to_us) for from_us, to_us in meter.state.dark.closed if to_us <= at_us]
    return ended[-1][1] - ended[-1][0] if ended else 0


def _client_counter(meter: Meter, one: ModelObject, attribute: ModelAttribute, *_: int) -> Data:
    """Of the client that the object's options name, else of the one that head-ends use."""
    name = one.options.get("client")
    clients = meter.clients.values()
    client = next((found for found in clients if found.name == name), None) or main_client(clients)
    return Data(attribute.tag or _U32, client_counter(meter, client.sap))


def _counted(name: str) -> Callable[[Meter, int], int]:
    return lambda meter, _: meter.state.peek(COUNTERS, name, 0)


def _load_profile_period_s(meter: Meter, _: int) -> int:
    """What a client wrote, else the model's."""
    profile = meter.kind.model.profiles.get(_LOAD_PROFILE)
    usual = 0 if profile is None else profile.capture_period_s
    period_s: int = meter.state.peek(_LOAD_PROFILE, "period_s", usual)
    return period_s


def _billing_at(
    meter: Meter, _: ModelObject, attribute: ModelAttribute, at_us: int, __: int
) -> Data:
    closed, shown = meter.closings(at_us)
    return date_time(meter, attribute, int(shown[-1])) if len(closed) else _NEVER


def _alarm(meter: Meter, one: ModelObject, attribute: ModelAttribute, *_: int) -> Data:
    bits = meter.state.peek(one.obis, "bits", 0)
    if attribute.tag is DataTag.BIT_STRING:
        return Data(attribute.tag, BitString.of(bits, int(one.options["bits"])))
    return Data(attribute.tag or DataTag.DOUBLE_LONG_UNSIGNED, bits)


def _event_code(meter: Meter, one: ModelObject, attribute: ModelAttribute, *_: int) -> Data:
    return Data(attribute.tag or DataTag.UNSIGNED, code_of(meter, one))


def _clock(meter: Meter, _: ModelObject, attribute: ModelAttribute, __: int, shown: int) -> Data:
    return date_time(meter, attribute, shown)


def _status(meter: Meter, _: ModelObject, attribute: ModelAttribute, at: int, shown: int) -> Data:
    row = Rows(np.array([at]), np.array([shown]))
    found = int(profile_status(meter, row)[0])
    # Since when something is flagged is for rows; now it is what lasts.
    lasting = found & ~(STATUS_CLOCK_ADJUSTED | STATUS_POWER_DOWN)
    return Data(attribute.tag or DataTag.UNSIGNED, lasting)


def _clock_status(
    meter: Meter, _: ModelObject, attribute: ModelAttribute, __: int, shown_us: int
) -> Data:
    found = meter.face.cosem(shown_us, meter.state.clock_status).clock_status
    return Data(attribute.tag or DataTag.UNSIGNED, found)


def _time_zone(meter: Meter, _: ModelObject, attribute: ModelAttribute, __: int, at: int) -> Data:
    return Data(attribute.tag or DataTag.LONG, -meter.face.standard_offset_min(at))


_U32: Final = DataTag.DOUBLE_LONG_UNSIGNED
_SOURCES: Final[dict[str, _Getter]] = {
    "clock": _clock,
    "clock_status": _clock_status,
    "time_zone": _time_zone,
    "serial": _octets(lambda meter: meter.identity.serial.encode()),
    "logical_device_name": _octets(lambda meter: meter.identity.logical_device_name),
    "system_title": _octets(lambda meter: meter.identity.system_title),
    "client_counter": _client_counter,
    "own_counter": _number(lambda meter, _: meter.next_counter, _U32),
    "firmware_version": _octets(lambda meter: meter.firmware.encode()),
    "firmware_signature": _octets(
        lambda meter: blake2b(meter.firmware.encode(), digest_size=16).digest()
    ),
    "profile_status": _status,
    "event_code": _event_code,
    "alarm": _alarm,
    "alarm_descriptor": _alarm,
    "error": _alarm,
    "tariff": _number(lambda meter, at_us: meter.measuring.rate(at_us), DataTag.UNSIGNED),
    "disconnect_state": _number(lambda meter, _: meter.is_connected, DataTag.BOOLEAN),
    "billing_count": _number(lambda meter, at_us: len(meter.closings(at_us)[0]), DataTag.UNSIGNED),
    "billing_at": _billing_at,
    "outage_count": _number(
        lambda meter, at_us: sum(from_us <= at_us for from_us, _ in meter.state.dark.closed), _U32
    ),
    "outage_s": _number(lambda meter, at_us: outage_us(meter, at_us) // SECOND_US, _U32),
    "last_outage_s": _number(lambda meter, at_us: last_outage_us(meter, at_us) // SECOND_US, _U32),
    "operating_s": _number(lambda meter, at_us: operating_us(meter, at_us) // SECOND_US, _U32),
    "operating_min": _number(lambda meter, at_us: operating_us(meter, at_us) // _MINUTE_US, _U32),
    "billing_operating_min": _number(_last(minutes_with_power), _U32),
    "billing_power_factor_pm": _number(_last(power_factor_pm), DataTag.LONG_UNSIGNED),
    "load_profile_period_s": _number(_load_profile_period_s, DataTag.LONG_UNSIGNED),
    "tamper_count": _number(_counted("tampers"), _U32),
    "programming_count": _number(_counted("writes"), _U32),
    "battery_hours": _number(lambda meter, at_us: outage_us(meter, at_us) // _HOUR_US, _U32),
    "credit": _number(lambda meter, at_us: meter.credit_left(at_us), DataTag.DOUBLE_LONG),
}
