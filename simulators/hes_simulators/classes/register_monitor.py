"""
Register monitor (class_id 21): runs a script when a momentary value crosses a threshold.

Owns thresholds and actions. A living class: it knows on which side of each threshold the value was
when it last looked, and finds the first moment at which that has changed; without actions it looks
at nothing. Powers change at quarter-hours, and when the load is cut off, comes back, or is more
than usual. After an action it rests for a minute: one that switches the very load that it watches
switches it no more often than that.
Source: IEC 62056-6-2, class_id 21, version 0: thresholds, monitored_value, actions (action_up,
action_down); actions has as many elements as thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.models.notation import read_attribute_name
from hes_protocol.models.objects import ModelAttribute, ModelObject
from hes_simulators.classes.answering import (
    OTHER_REASON,
    Refused,
    elements,
    long_unsigned,
    members,
    number,
    octet_string,
    octets,
)
from hes_simulators.classes.plain import Plain
from hes_simulators.classes.scripts import has_script, run_script
from hes_simulators.clock import SECOND_US
from hes_simulators.quantities import Rows, numbers
from hes_simulators.randomness import Int64Array

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_THRESHOLDS, _ACTIONS = 2, 4
_ABOVE, _RESTS_UNTIL = "above", "rests_until_us"
_NO_SCRIPT: Final = bytes(6)
_MOST_THRESHOLDS: Final = 8
_REST_US: Final = 60 * SECOND_US
_SLOT_US: Final = 900 * SECOND_US
_DEFAULT_MONITORED: Final = "3/1.0.1.7.0.255/2"


class RegisterMonitor(Plain):
    """class_id 21."""

    def own(self, meter: Meter, one: ModelObject, index: int, sap: int) -> Data | bytes | None:
        """thresholds, monitored_value, actions."""
        match index:
            case 2:
                tag = _monitored(meter, one)[1].tag or DataTag.DOUBLE_LONG_UNSIGNED
                return array(*(Data(tag, int(at)) for at in one.options.get("thresholds", ())))
            case 3:
                column, _ = _monitored(meter, one)
                return structure(
                    long_unsigned(column.class_id),
                    octets(column.obis.octets),
                    Data(DataTag.INTEGER, column.attribute_index),
                )
            case 4:
                none = structure(octets(_NO_SCRIPT), long_unsigned(0))
                return array(*(structure(none, none) for _ in _thresholds(meter, one)))
            case _:
                return None

    def take(self, meter: Meter, one: ModelObject, index: int, data: Data, sap: int) -> None:
        """
        thresholds, of the monitored value's type, and actions, as many and of scripts that exist.

        More or fewer thresholds come with no actions: they are written after them.
        """
        if index == _THRESHOLDS:
            tag = _monitored(meter, one)[1].tag or DataTag.DOUBLE_LONG_UNSIGNED
            thresholds = elements(data, _MOST_THRESHOLDS)
            for threshold in thresholds:
                number(threshold, tag)
            if len(thresholds) != len(_thresholds(meter, one)):
                meter.state.written.pop((one.obis, _ACTIONS), None)
        elif index == _ACTIONS:
            if len(elements(data)) != len(_thresholds(meter, one)):
                raise Refused(OTHER_REASON)
            for action_set in data.value:
                for item in members(action_set, 2):
                    _check(meter, item)
        else:
            raise Refused(OTHER_REASON)
        meter.keep(one, index, data)
        kept = meter.state.of(one.obis)
        kept[_ABOVE] = _sides(meter, one, np.array([meter.now_us], np.int64))[0].tolist()

    def due_us(self, meter: Meter, one: ModelObject, after_us: int, until_us: int) -> int | None:
        """See `LivingClass`: the value is on the other side of a threshold than it was."""
        above = meter.state.peek(one.obis, _ABOVE)
        if above is None or (one.obis, _ACTIONS) not in meter.state.written:
            return None
        since_us = max(after_us, meter.state.peek(one.obis, _RESTS_UNTIL, 0) - 1) + 1
        if since_us > until_us:
            return None
        at_us = _looks(meter, since_us, until_us)
        crossed = (_sides(meter, one, at_us) != np.array(above, bool)).any(axis=1)
        found = np.flatnonzero(crossed)
        return int(at_us[found[0]]) if len(found) else None

    def happen(self, meter: Meter, one: ModelObject, at_us: int) -> None:
        """See `LivingClass`."""
        kept = meter.state.of(one.obis)
        before = kept[_ABOVE]
        above = kept[_ABOVE] = _sides(meter, one, np.array([at_us], np.int64))[0].tolist()
        kept[_RESTS_UNTIL] = at_us + _REST_US
        action_sets = meter.state.written[one.obis, _ACTIONS].value
        for was, is_, action_set in zip(before, above, action_sets, strict=True):
            if was != is_:
                up, down = action_set.value
                script, selector = (up if is_ else down).value
                if script.value != _NO_SCRIPT:
                    run_script(meter, Obis(script.value), selector.value)


def _check(meter: Meter, item: Data) -> None:
    """
    An action_item: a script that there is, or none.

    Raises: Refused.
    """
    name, selector = members(item, 2)
    logical_name = octet_string(name, 6, 6)
    found = number(selector, DataTag.LONG_UNSIGNED)
    if logical_name != _NO_SCRIPT and not has_script(meter, Obis(logical_name), found):
        raise Refused(OTHER_REASON)


def _monitored(meter: Meter, one: ModelObject) -> tuple[CaptureObject, ModelAttribute]:
    column = _named(str(one.options.get("monitored", _DEFAULT_MONITORED)))
    monitored = meter.kind.model.objects[column.class_id, column.obis]
    return column, monitored.attributes[column.attribute_index]


@lru_cache(maxsize=64)
def _named(text: str) -> CaptureObject:
    class_id, obis, index, _ = read_attribute_name(text)
    return CaptureObject(class_id or 3, obis, index)


def _thresholds(meter: Meter, one: ModelObject) -> Sequence[Any]:
    """As numbers."""
    written = meter.state.written.get((one.obis, _THRESHOLDS))
    if written is None:
        return tuple(one.options.get("thresholds", ()))
    return [threshold.value for threshold in written.value]


def _sides(meter: Meter, one: ModelObject, at_us: Int64Array) -> Any:
    """Whether the monitored value is above each threshold at each moment: moments x thresholds."""
    attribute = _monitored(meter, one)[1]
    found = numbers(meter, attribute, Rows(at_us, at_us))
    return found[:, None] > np.array(_thresholds(meter, one), np.int64)[None, :]


def _looks(meter: Meter, since_us: int, until_us: int) -> Int64Array:
    """Moments, from `since_us` on, after which the value can be another; none in the dark."""
    changes = _changes(meter, since_us, until_us)
    found = np.array([since_us, *(at for at in changes if since_us < at <= until_us)])
    slots = np.arange(since_us // _SLOT_US + 1, until_us // _SLOT_US + 1) * _SLOT_US + 1
    looks = np.unique(np.concatenate([found, slots[slots <= until_us]]))
    dark = meter.state.dark
    return looks[~dark.covering(looks)] if dark else looks


def _changes(meter: Meter, since_us: int, until_us: int) -> Iterator[int]:
    """
    Begins and ends of what cuts the load off, adds to it, or turns the voltage.

    Those between the two moments are among them, and few others: cuts can be thousands.
    """
    for load in meter.state.loads:
        yield load.from_us + 1
        yield load.to_us + 1
    for spans in (meter.state.dark, *meter.state.cuts.values()):
        for span in spans.between(since_us, until_us):
            yield from span
        if spans.since_us is not None:
            yield spans.since_us
    for event in meter.state.voltages or ():
        yield event.from_us
        yield event.to_us
