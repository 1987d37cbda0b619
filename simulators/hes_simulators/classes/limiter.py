"""
Limiter (class_id 71): switches the load off when it draws too much for too long.

A living class. It looks at what the installation would draw, quarter-hour by quarter-hour, finds
the first moment at which that has been above the threshold for min_over_threshold_duration, and
lets the relay open by itself; after min_under_threshold_duration, a minute at least, the relay
closes by itself where its mode allows. In an emergency profile, for its duration, the emergency
threshold counts.
Source: IEC 62056-6-2, class_id 71 version 0.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis
from hes_protocol.errors import EncodingError
from hes_protocol.models.notation import read_attribute_name
from hes_protocol.models.objects import ModelAttribute, ModelObject
from hes_simulators.classes import disconnect
from hes_simulators.classes.answering import (
    OTHER_REASON,
    TYPE_UNMATCHED,
    Refused,
    double_long_unsigned,
    elements,
    long_unsigned,
    members,
    number,
    octet_string,
    octets,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.clock import SECOND_US, microseconds, moment
from hes_simulators.energy import QUANTITIES
from hes_simulators.local_time import NOT_SPECIFIED, instant
from hes_simulators.randomness import Int64Array
from hes_simulators.state import ELECTRICITY, Cut

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_SLOT_US: Final = 900 * SECOND_US
# A relay that opened under load rests so long at least, whatever a client has written.
_RESTS_US: Final = 60 * SECOND_US
_ARMED, _TRIPPED = "armed_us", "tripped_us"
_U32: Final = DataTag.DOUBLE_LONG_UNSIGNED
_DEFAULT_MONITORED: Final = "3/1.0.1.7.0.255/2"
_MOST_GROUPS: Final = 32
_SCRIPT_TABLE: Final = 9
_DISCONNECT_SCRIPTS: Final = Obis.parse("0.0.10.0.106.255")
_NO_PROFILE: Final = (0, 0, 0)
_LIMITER: Final = 71
_DRAWN: Final = frozenset({"import_w", "import_w_l1", "import_va"})
# So long an overload goes on after the limiter should have tripped.
_OVERLOAD_S: Final = 60
_LONGEST_OVERLOAD_S: Final = 3600


class Limiter(Plain):
    """class_id 71."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """All attributes but those that a client has written."""
        match index:
            case 2:
                monitored = _monitored(one)
                return structure(
                    long_unsigned(monitored.class_id),
                    octets(monitored.obis.octets),
                    Data(DataTag.INTEGER, monitored.attribute_index),
                )
            case 3:
                return double_long_unsigned(_threshold(meter, one, meter.now_us))
            case 4 | 5 | 6 | 7:
                return double_long_unsigned(_setting(meter, one, index))
            case 8:
                return structure(long_unsigned(0), octets(NOT_SPECIFIED), double_long_unsigned(0))
            case 9:
                return array()
            case 10:
                return Data(DataTag.BOOLEAN, _in_emergency(meter, one, meter.now_us))
            case 11:
                return structure(*(_script(meter, name) for name in ("disconnect", "reconnect")))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """Thresholds, durations, emergency profile; from now on the limiter counts anew."""
        match index:
            case 4 | 5 | 6 | 7:
                number(data, _U32)
            case 8:
                _profile(meter, data)
            case 9:
                for group in elements(data, _MOST_GROUPS):
                    number(group, DataTag.LONG_UNSIGNED)
            case _:
                raise Refused(OTHER_REASON)
        meter.keep(one, index, data)
        meter.state.of(one.obis)[_ARMED] = meter.now_us
        if index in (4, 5):
            meter.event("limiter_changed")

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`: when it trips, or when it lets the relay close."""
        tripped_us = meter.state.peek(one.obis, _TRIPPED)
        if tripped_us is not None:
            under_us = max(_setting(meter, one, 7) * SECOND_US, _RESTS_US)
            at_us = int(tripped_us) + under_us
            return at_us if after_us < at_us <= until_us else None
        if meter.state.cuts.get(ELECTRICITY) and meter.state.cuts[ELECTRICITY].reasons:
            return None  # nothing flows: nothing can be too much
        return _trips_us(meter, one, after_us, until_us)

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`."""
        kept = meter.state.of(one.obis)
        relay = disconnect.relay(meter)
        if kept.pop(_TRIPPED, None) is not None:
            kept[_ARMED] = at_us
            meter.event("limiter_released")
            if relay is not None:
                disconnect.move(meter, relay, disconnect.Cause.LOCAL_RECONNECT)
            return
        meter.event("over_limit")
        kept[_TRIPPED] = at_us
        if relay is not None:
            disconnect.move(meter, relay, disconnect.Cause.LOCAL_DISCONNECT, Cut.LIMITER)


def overload(meter: Meter) -> bool:
    """
    Draw a quarter more than the limiter lets through, until it has tripped, an hour at most.

    Returns: whether there is one that watches what is drawn.
    """
    for one in meter.kind.model.objects.values():
        if one.class_id == _LIMITER and _monitored_attribute(meter, one).source in _DRAWN:
            attribute = _monitored_attribute(meter, one)
            limit = _threshold(meter, one, meter.now_us)
            if not limit:
                return False
            scale = QUANTITIES[attribute.source or "import_w"].scaler - attribute.scaler
            watts = limit // 10**scale if scale >= 0 else limit * 10**-scale
            over_s = min(_setting(meter, one, 6) + _OVERLOAD_S, _LONGEST_OVERLOAD_S)
            now = moment(meter.now_us)
            # Whole Wh in each quarter-hour.
            more = watts + watts // 4 + 4
            meter.draw(more - more % 4, now, until=now + timedelta(seconds=over_s))
            return True
    return False


def _script(meter: Meter, name: str) -> Data:
    """
    What it does over and under the threshold, as a script of the meter's; none where it has none.

    A local switch, whatever the script's number: what the relay does follows its control_mode.
    """
    scripts = meter.kind.model.objects.get((_SCRIPT_TABLE, _DISCONNECT_SCRIPTS))
    names = () if scripts is None else tuple(map(str, scripts.options.get("scripts", ())))
    if name not in names or disconnect.relay(meter) is None:
        return structure(octets(bytes(6)), long_unsigned(0))
    return structure(octets(_DISCONNECT_SCRIPTS.octets), long_unsigned(names.index(name) + 1))


def _monitored(one: ModelObject) -> CaptureObject:
    return _named(str(one.options.get("monitored", _DEFAULT_MONITORED)))


@lru_cache(maxsize=64)
def _named(text: str) -> CaptureObject:
    class_id, obis, index, _ = read_attribute_name(text)
    return CaptureObject(3 if class_id is None else class_id, obis, index)


_OPTIONS: Final = {
    4: ("threshold_normal", 0),
    5: ("threshold_emergency", 0),
    6: ("min_over_s", 60),
    7: ("min_under_s", 60),
}


def _setting(meter: Meter, one: ModelObject, index: int) -> int:
    written = meter.state.written.get((one.obis, index))
    if written is not None:
        return int(written.value)
    name, default = _OPTIONS[index]
    return int(one.options.get(name, default))


def _threshold(meter: Meter, one: ModelObject, at_us: int) -> int:
    """The active one, in the unit of what is monitored; 0: nothing is too much."""
    return _setting(meter, one, 5 if _in_emergency(meter, one, at_us) else 4)


def _in_emergency(meter: Meter, one: ModelObject, at_us: int) -> bool:
    _, begins_us, ends_us = _emergency(meter, one)
    return begins_us <= at_us < ends_us


def _emergency(meter: Meter, one: ModelObject) -> tuple[int, int, int]:
    """Group, begin and end of the emergency profile, true time; 0 and 0 where there is none."""
    written = meter.state.written.get((one.obis, 8))
    if written is None:
        return _NO_PROFILE
    group, begins_us, duration_s = _profile(meter, written)
    groups = meter.state.written.get((one.obis, 9))
    listed = () if groups is None else tuple(entry.value for entry in groups.value)
    if begins_us is None or group not in listed:
        return _NO_PROFILE
    begins_us = meter.time.segment(meter.now_us).true_at(begins_us)
    return group, begins_us, begins_us + duration_s * SECOND_US


def _profile(meter: Meter, data: Data) -> tuple[int, int | None, int]:
    """
    emergency_profile: its id, activation (shown), duration in seconds.

    Raises: Refused.
    """
    group, activation, duration = members(data, 3)
    try:
        time = CosemDateTime.from_octets(octet_string(activation, 12, 12))
    except EncodingError:
        raise Refused(TYPE_UNMATCHED) from None
    found = instant(time, meter.face.zone, latest=False)
    return (
        number(group, DataTag.LONG_UNSIGNED),
        None if found is None else microseconds(found),
        number(duration, _U32),
    )


def _armed_us(meter: Meter, one: ModelObject) -> int:
    """
    From when on it counts: since it was set, or power was there again.

    One that nobody ever looked at begins with the first look: of ten thousand idle meters whose
    power fails, none must work out what it would have drawn before.
    """
    state = meter.state
    since_us = meter.kind.started_us if state.woken_us is None else state.woken_us
    armed_us = int(state.peek(one.obis, _ARMED, since_us))
    spans = state.cuts.get(ELECTRICITY)
    return max(armed_us, spans.closed[-1][1]) if spans and spans.closed else armed_us


def _trips_us(meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
    # Without a delay it still has to see it: a second.
    over_us = max(1, _setting(meter, one, 6)) * SECOND_US
    begin_us = max(_armed_us(meter, one), after_us - over_us)
    if begin_us + over_us > until_us or not (_setting(meter, one, 4) or _setting(meter, one, 5)):
        return None
    edges = _edges(meter, one, begin_us, until_us)
    over = _drawn(meter, one, edges[1:]) > _limits(meter, one, edges[:-1])
    run_us: int | None = None
    for start_us, end_us, is_over in zip(
        edges[:-1].tolist(), edges[1:].tolist(), over.tolist(), strict=True
    ):
        if not is_over:
            run_us = None
            continue
        run_us = start_us if run_us is None else run_us
        trips_us = run_us + over_us
        if after_us < trips_us <= end_us:
            return trips_us if trips_us <= until_us else None
    return None


def _edges(meter: Meter, one: ModelObject, begin_us: int, until_us: int) -> Int64Array:
    """Moments between which neither the power nor the threshold changes."""
    slots = np.arange(begin_us // _SLOT_US + 1, -(-until_us // _SLOT_US)) * _SLOT_US
    _, from_us, to_us = _emergency(meter, one)
    edges = [from_us, to_us]
    for load in meter.state.loads:
        edges += [load.from_us, load.to_us]
    inner = [at_us for at_us in edges if begin_us < at_us < until_us]
    ends = np.array([begin_us, until_us, *inner], np.int64)
    return np.unique(np.concatenate([slots[(slots > begin_us) & (slots < until_us)], ends]))


def _drawn(meter: Meter, one: ModelObject, ends_us: Int64Array) -> Int64Array:
    """What would be drawn in the spans that end there, in the unit of what is monitored."""
    attribute = _monitored_attribute(meter, one)
    quantity = attribute.source or "import_w"
    return _scaled(attribute, quantity, meter.measuring.wanted(quantity, ends_us))


def _monitored_attribute(meter: Meter, one: ModelObject) -> ModelAttribute:
    monitored = _monitored(one)
    objects = meter.kind.model.objects
    return objects[monitored.class_id, monitored.obis].attributes[monitored.attribute_index]


def _scaled(attribute: ModelAttribute, quantity: str, raw: Int64Array) -> Int64Array:
    power = QUANTITIES[quantity].scaler - attribute.scaler
    scaled: Int64Array = raw * 10**power if power >= 0 else raw // 10**-power
    return scaled


def _limits(meter: Meter, one: ModelObject, begins_us: Int64Array) -> Int64Array:
    limits = [_threshold(meter, one, at_us) or 1 << 40 for at_us in begins_us.tolist()]
    return np.array(limits, np.int64)
