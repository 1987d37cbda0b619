"""
What people do at a meter: switch it and what hangs on it, change thresholds, calendars and prices,
put in firmware.

Owns doing these through the same interface classes that a client reaches, past the access rights
that only clients have: whatever follows from a write or a method follows here, too. A meter that
has no such object stays as it is. To the journal the client's SAP is `LOCAL_SAP`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.models.objects import ModelObject
from hes_simulators.classes import CLASSES, disconnect
from hes_simulators.classes.tariffs import day_profile
from hes_simulators.energy.tariff import Switches
from hes_simulators.meter import Meter, microseconds

LOCAL_SAP: Final = 0
_DISCONNECT, _RECONNECT = 1, 2
_DISCONNECT_CONTROL, _LIMITER, _CHARGE = 70, 71, 113
_THRESHOLD_NORMAL: Final = 4
_CHARGE_TYPE, _UNIT_CHARGE_ACTIVE, _UNIT_CHARGE_PASSIVE = 3, 5, 6
_ACTIVATE_PASSIVE: Final = 2
_CALENDAR, _WEEKS_PASSIVE, _DAYS_PASSIVE, _ACTIVATE_CALENDAR = 20, 8, 9, 1
_WORKDAY, _WEEKEND = 1, 2
_CONSUMPTION: Final = 0
_NOTHING: Final = Data(DataTag.INTEGER, 0)
_RESTART: Final = timedelta(seconds=60)


def switch(meter: Meter, at: datetime, *, on: bool) -> None:
    """
    Switch the load (class_id 70, methods remote_disconnect and remote_reconnect).

    Where the control_mode leaves the last step of a reconnection to the customer, he does it.
    """
    method = _RECONNECT if on else _DISCONNECT
    for one in _objects(meter, _DISCONNECT_CONTROL, at):
        CLASSES[_DISCONNECT_CONTROL].invoke(meter, one, method, _NOTHING, LOCAL_SAP)
        if on:
            disconnect.move(meter, one, disconnect.Cause.MANUAL_RECONNECT)
        _tell(meter, at, "switch", on=on)


def threshold(meter: Meter, at: datetime) -> int | None:
    """The limiter's threshold_normal (class_id 71, attribute 4); None: there is no limiter."""
    for one in _objects(meter, _LIMITER, at):
        return int(_read(meter, one, _THRESHOLD_NORMAL).value)
    return None


def limit(meter: Meter, at: datetime, watts: int) -> None:
    """Set that threshold, in the type that it has."""
    for one in _objects(meter, _LIMITER, at):
        tag = _read(meter, one, _THRESHOLD_NORMAL).tag
        data = Data(tag, watts)
        CLASSES[_LIMITER].write(meter, one, _THRESHOLD_NORMAL, data, None, LOCAL_SAP)
        _tell(meter, at, "limit", watts=watts)


def set_tariff(meter: Meter, at: datetime, workday: Switches, weekend: Switches) -> None:
    """
    Let another calendar be the active one; a meter that has no such rates stays as it is.

    Source: IEC 62056-6-2, class_id 20, passive tables and activate_passive_calendar.
    """
    week = [Data(DataTag.UNSIGNED, day) for day in (_WORKDAY,) * 5 + (_WEEKEND,) * 2]
    for one in _objects(meter, _CALENDAR, at):
        if max(rate for _, rate in (*workday, *weekend)) > meter.rates:
            continue
        weeks = array(structure(Data(DataTag.OCTET_STRING, b"1"), *week))
        days = array(day_profile(_WORKDAY, workday), day_profile(_WEEKEND, weekend))
        calendar = CLASSES[_CALENDAR]
        calendar.write(meter, one, _WEEKS_PASSIVE, weeks, None, LOCAL_SAP)
        calendar.write(meter, one, _DAYS_PASSIVE, days, None, LOCAL_SAP)
        result, _ = calendar.invoke(meter, one, _ACTIVATE_CALENDAR, _NOTHING, LOCAL_SAP)
        _tell(meter, at, "tariff", result=result)


def set_price(meter: Meter, at: datetime, price: int) -> None:
    """
    Let every unit of energy cost so much, at every rate.

    Source: IEC 62056-6-2, class_id 113, unit_charge_passive and activate_passive_unit_charge.
    """
    for one in _objects(meter, _CHARGE, at):
        if int(_read(meter, one, _CHARGE_TYPE).value) != _CONSUMPTION:
            continue
        scaling, commodity, table = _read(meter, one, _UNIT_CHARGE_ACTIVE).value
        rows = tuple(
            Data(row.tag, (row.value[0], Data(row.value[1].tag, price))) for row in table.value
        )
        priced = Data(DataTag.STRUCTURE, (scaling, commodity, Data(DataTag.ARRAY, rows)))
        CLASSES[_CHARGE].write(meter, one, _UNIT_CHARGE_PASSIVE, priced, None, LOCAL_SAP)
        CLASSES[_CHARGE].invoke(meter, one, _ACTIVATE_PASSIVE, _NOTHING, LOCAL_SAP)
        _tell(meter, at, "price", price=price)


def step_clock(meter: Meter, at: datetime, by_us: int) -> None:
    """The clock jumps, and the meter does not know."""
    meter.advance(at)
    at_us = microseconds(at)
    meter.time.set(at_us, meter.time.shown_us(at_us) + by_us)
    _tell(meter, at, "clock", by_us=by_us)


def install(meter: Meter, at: datetime, version: str) -> None:
    """Another firmware, put in on site: the meter starts anew with it."""
    meter.advance(at)
    meter.state.firmware = version
    meter.reboot(at, until=at + _RESTART)
    meter.raise_event("firmware_activated", at)
    _tell(meter, at, "firmware", version=version)


def _tell(meter: Meter, at: datetime, what: str, **facts: object) -> None:
    serial = meter.identity.serial
    meter.kind.journal.note("executed", at, serial, what=what, sap=LOCAL_SAP, **facts)


def _objects(meter: Meter, class_id: int, at: datetime) -> Iterator[ModelObject]:
    """The meter's objects of a class, once it has come to the moment."""
    found = [one for one in meter.kind.model.objects.values() if one.class_id == class_id]
    if found and class_id in CLASSES:
        meter.advance(at)
        yield from found


def _read(meter: Meter, one: ModelObject, index: int) -> Data:
    """
    An attribute as a value.

    Raises: LookupError: the class does not give it.
    """
    answer = CLASSES[one.class_id].read(meter, one, index, None, LOCAL_SAP)
    if isinstance(answer, Data):
        return answer
    raise LookupError(f"{one.obis} attribute {index}: {answer!r}")
