"""
What attributes hold: the sources that model files name, at one moment or at many.

Owns the meaning of every source of `hes_protocol.models.METER_SOURCES` and of statistics of
quantities (averages, maxima, values at billing). Does not own attributes that a class makes by
itself (object lists, buffers, states), see `classes`.

Columns of numbers come as arrays, one element per row, so that a profile of any length costs few
calls. Numbers are in the scaler of the attribute: energy is cut off below (a register shows what
is complete), other values are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.axdr import BitString, Data, DataTag
from hes_protocol.cosem import Obis
from hes_protocol.cosem.date_time import ClockStatus
from hes_protocol.models.objects import ModelAttribute, ModelObject, Statistic
from hes_simulators.billed import minutes_with_power, power_factor_pm
from hes_simulators.billing import period_of
from hes_simulators.clock import DAY_S, SECOND_US, grid
from hes_simulators.energy import QUANTITIES
from hes_simulators.keys import client_counter, main_client
from hes_simulators.local_time import NOT_SPECIFIED
from hes_simulators.randomness import Int64Array
from hes_simulators.resets import NONE, Resets, cut_averages, last_reset, resets_of

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

# Bits of the AMR profile status of the IDIS companion standard, package 2, "AMR profile status".
STATUS_CLOCK_INVALID: Final = 0x02
STATUS_DAYLIGHT_SAVING: Final = 0x08
STATUS_CLOCK_ADJUSTED: Final = 0x20
STATUS_POWER_DOWN: Final = 0x80

_Numbers = TypeVar("_Numbers", int, Int64Array)
_DEFAULT_PERIOD_S: Final = 900
_MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 3600 * SECOND_US
_LOAD_PROFILE: Final = Obis.parse("1.0.99.1.0.255")
_NEVER: Final = Data(DataTag.OCTET_STRING, NOT_SPECIFIED)
COUNTERS: Final = Obis.parse("0.0.96.15.0.255")
"""Under this name the state keeps what is counted: tampers, writes."""


@attrs.frozen(eq=False)
class Rows:
    """
    Moments at which something was captured, in order: true, as shown, and codes of events if any.

    `period_s` is that of the profile, 0 for none.
    """

    at_us: Int64Array
    shown_us: Int64Array
    codes: Int64Array | None = None
    period_s: int = 0

    def __len__(self) -> int:
        return len(self.at_us)

    def __getitem__(self, which: slice | npt.NDArray[Any]) -> Rows:
        codes = None if self.codes is None else self.codes[which]
        return Rows(self.at_us[which], self.shown_us[which], codes, self.period_s)

    @classmethod
    def at(cls, meter: Meter, at_us: int) -> Rows:
        """One row, of a moment."""
        shown_us = meter.time.shown_us(at_us)
        return cls(np.array([at_us], np.int64), np.array([shown_us], np.int64))


# --- numbers ----------------------------------------------------------------------------------


def is_quantity(attribute: ModelAttribute) -> bool:
    """Whether an attribute is a number that `numbers` gives."""
    return attribute.source in QUANTITIES and attribute.statistic is not Statistic.MAXIMUM_AT


def numbers(
    meter: Meter, attribute: ModelAttribute, rows: Rows, resets: Resets = NONE
) -> Int64Array:
    """
    What a quantity's attribute holds at each row, in the attribute's scaler.

    Args: resets: of its object, where averages and maxima begin anew.
    A quantity that the installation lacks (a second phase, an export) is 0.
    """
    quantity = attribute.source
    assert quantity is not None
    if not meter.measuring.has(quantity):
        return np.zeros(len(rows), np.int64)
    return _scaled(_raw(meter, attribute, quantity, rows, resets), attribute, quantity)


def number_at(meter: Meter, attribute: ModelAttribute, rows: Rows, resets: Resets = NONE) -> int:
    """The same at the last row; of registers, which are read most, without arrays of one."""
    quantity, measuring = attribute.source, meter.measuring
    assert quantity is not None
    is_register = attribute.statistic is Statistic.MOMENT and QUANTITIES[quantity].cumulative
    if is_register and measuring.has(quantity) and not meter.heard_every_s(quantity):
        return _scaled(measuring.total(quantity, int(rows.at_us[-1])), attribute, quantity)
    return int(numbers(meter, attribute, rows[-1:], resets)[-1])


def _raw(
    meter: Meter, attribute: ModelAttribute, quantity: str, rows: Rows, resets: Resets
) -> Int64Array:
    measuring = meter.measuring
    match attribute.statistic:
        case Statistic.AVERAGE | Statistic.RUNNING_AVERAGE if resets:
            from_us, to_us = _last_period(meter, attribute, rows)
            edges = np.stack([from_us, to_us, rows.at_us], axis=1).tolist()
            running = attribute.statistic is Statistic.RUNNING_AVERAGE
            period_s = _period_s(attribute, rows)
            return cut_averages(measuring, quantity, resets, edges, period_s, running=running)
        case Statistic.MOMENT:
            at_us = heard_us(meter, quantity, rows)
            if QUANTITIES[quantity].cumulative:
                return measuring.totals(quantity, at_us)
            return measuring.measured(quantity, at_us)
        case Statistic.AVERAGE:
            from_us, to_us = _last_period(meter, attribute, rows)
            return measuring.averages(quantity, from_us, to_us)
        case Statistic.INTERVAL:
            from_us, to_us = _last_period(meter, attribute, rows)
            return measuring.growth(quantity, from_us, to_us)
        case Statistic.RUNNING_AVERAGE:
            return _running(meter, attribute, quantity, rows)
        case Statistic.AT_BILLING:
            closed_us, _ = meter.closings(int(rows.at_us[-1]) if len(rows) else 0)
            begins_us = period_of(rows.at_us + 1, meter.installed_us, closed_us)
            return measuring.totals(quantity, begins_us)
        case _:
            found = [extreme(meter, attribute, at, resets)[0] for at in rows.at_us.tolist()]
            return np.array(found, np.int64)


def heard_us(meter: Meter, quantity: str, rows: Rows) -> Int64Array:
    """When a row's value was measured: devices on M-Bus are heard on a period of their own."""
    period_s = meter.heard_every_s(quantity)
    if not period_s:
        return rows.at_us
    return meter.heard_us(quantity, rows.at_us, boundaries(meter, rows, period_s)[0])


def heard_shown_us(meter: Meter, quantity: str, rows: Rows) -> Int64Array:
    """What the clock showed then: capture_time of class_id 4."""
    period_s = meter.heard_every_s(quantity)
    if not period_s:
        return rows.shown_us
    on_time_us, shown_us = boundaries(meter, rows, period_s)
    heard = meter.heard_us(quantity, rows.at_us, on_time_us)
    late = np.flatnonzero(heard != on_time_us)
    if len(late):
        shown_us = shown_us.copy()
        shown_us[late] = [meter.time.shown_us(at_us) for at_us in heard[late].tolist()]
    return shown_us


def boundaries(meter: Meter, rows: Rows, period_s: int) -> tuple[Int64Array, Int64Array]:
    """The last ends of a period at or before each row: true and shown moments."""
    shown_us = rows.shown_us
    if period_s >= DAY_S:
        first = int(shown_us.min(initial=0)) - 32 * DAY_S * SECOND_US
        ends = grid(period_s, meter.face).between(first, int(shown_us.max(initial=0)), 1 << 20)
        ends_us = ends[np.searchsorted(ends, shown_us, side="right") - 1]
    else:
        phase_us = int(grid(period_s, meter.face).between(0, period_s * SECOND_US, 1)[0])
        period_us = period_s * SECOND_US
        ends_us = (shown_us - phase_us) // period_us * period_us + phase_us
    past_us = shown_us - ends_us
    if not past_us.any():
        return rows.at_us, shown_us
    return meter.time.back(rows.at_us, shown_us, past_us), ends_us


def _period_s(attribute: ModelAttribute, rows: Rows) -> int:
    return attribute.period_s or rows.period_s or _DEFAULT_PERIOD_S


def _last_period(
    meter: Meter, attribute: ModelAttribute, rows: Rows
) -> tuple[Int64Array, Int64Array]:
    """Begin and end, true time, of the last whole period at each row."""
    period_s = _period_s(attribute, rows)
    to_us, shown_us = boundaries(meter, rows, period_s)
    if period_s >= DAY_S:
        before = Rows(to_us - 1, shown_us - 1)
        return boundaries(meter, before, period_s)[0], to_us
    return meter.time.back(to_us, shown_us, period_s * SECOND_US), to_us


def _running(meter: Meter, attribute: ModelAttribute, quantity: str, rows: Rows) -> Int64Array:
    """The average over a whole period as if nothing more came in the one under way."""
    period_s = _period_s(attribute, rows)
    from_us, _ = boundaries(meter, rows, period_s)
    elapsed_us = np.maximum(rows.at_us - from_us, 1)
    average = meter.measuring.averages(quantity, from_us, from_us + elapsed_us)
    share_ms = np.minimum(elapsed_us // 1000, period_s * 1000)
    running: Int64Array = average * share_ms // (period_s * 1000)
    return running


def extreme(
    meter: Meter, attribute: ModelAttribute, at_us: int, resets: Resets = NONE
) -> tuple[int, int]:
    """
    The greatest average (or smallest value) since the billing before a moment, and when it was.

    Args: resets: of the object, since the last of which it is.
    Returns: the value, native scaler, and the shown moment at the end of its period; where none has
        ended since, 0 and the moment of the reset, or 0. The first of equal ones counts.
    """
    quantity = attribute.source
    assert quantity is not None
    closed_us, _ = meter.closings(at_us)
    closing_us = int(period_of(np.array([at_us]), meter.installed_us, closed_us)[0])
    begin_us = last_reset(resets, closing_us, at_us)
    period_s = attribute.period_s or _DEFAULT_PERIOD_S
    at, shown = meter.time.captures(
        grid(period_s, meter.face), begin_us, at_us, 1 << 20, meter.state.dark
    )
    if not len(at):
        return 0, meter.time.shown_us(begin_us) if begin_us > closing_us else 0
    smallest = attribute.statistic is Statistic.MINIMUM
    key = (quantity, smallest, period_s, begin_us, int(at[-1]))
    kept = meter.kind.extremes.get(meter, key)
    if kept is None:
        rows = Rows(at, shown, period_s=period_s)
        if smallest:
            values = meter.measuring.measured(quantity, at)
            best = int(np.argmin(values))
        else:
            from_us, to_us = _last_period(meter, attribute, rows)
            values = meter.measuring.averages(quantity, np.maximum(from_us, begin_us), to_us)
            best = int(np.argmax(values))
        kept = int(values[best]), int(shown[best])
        meter.kind.extremes.keep(meter, key, kept)
    return kept


def _scaled(raw: _Numbers, attribute: ModelAttribute, quantity: str) -> _Numbers:
    known = QUANTITIES[quantity]
    power = known.scaler - attribute.scaler
    divisor = 10 ** max(-power, 0)
    half = 0 if known.cumulative else divisor // 2
    scaled: _Numbers = raw * 10**power if power >= 0 else (raw + half) // divisor
    return scaled


# --- everything else --------------------------------------------------------------------------


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


def profile_status(meter: Meter, rows: Rows) -> Int64Array:
    """The status octet of each row: summer time, and what befell the meter since the row before."""
    state = meter.state
    summer = (
        meter.face.octets(rows.shown_us, state.clock_status)[:, -1] & ClockStatus.DAYLIGHT_SAVING
    )
    status = np.where(summer, STATUS_DAYLIGHT_SAVING, 0)
    if state.clock_status & 0x03:
        status |= STATUS_CLOCK_INVALID
    if len(rows) and (state.clock_steps or state.dark):
        _flag(
            meter, status, rows, [step.at_us for step in state.clock_steps], STATUS_CLOCK_ADJUSTED
        )
        _flag(meter, status, rows, [to_us for _, to_us in state.dark.closed], STATUS_POWER_DOWN)
    return status.astype(np.int64)


def _flag(meter: Meter, status: Int64Array, rows: Rows, moments: list[int], bit: int) -> None:
    """
    Set a bit in the first row after each of the moments.

    Whoever asks for a range may get neighbours that were not captured one after the other: what a
    row says must not depend on which others are asked for.
    """
    happened = np.array(moments, np.int64)
    place = np.searchsorted(rows.at_us, happened, side="left")
    for row in np.unique(place[place < len(rows)]).tolist():
        latest_us = int(happened[place == row][-1])
        if not _captured_between(meter, rows.period_s, latest_us, int(rows.at_us[row])):
            status[row] |= bit


def _captured_between(meter: Meter, period_s: int, after_us: int, before_us: int) -> bool:
    """Whether a row was captured at `after_us` < t < `before_us`, by the period or at billing."""
    if period_s:
        on, dark = grid(period_s, meter.face), meter.state.dark
        at_us, _ = meter.time.captures(on, after_us, before_us - 1, 1, dark)
    else:
        at_us, _ = meter.closings(before_us - 1)
    return bool((at_us > after_us).any())


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
    "message": _octets(lambda _: b""),
    "metering_point": _octets(lambda _: b""),
    "credit": _number(lambda meter, at_us: meter.credit_left(at_us), DataTag.DOUBLE_LONG),
}
