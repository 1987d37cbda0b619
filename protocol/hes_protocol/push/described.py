"""
Pushes that tell what they hold in a list of objects before the values (IEC 62056-6-2, class_id 40).

The list may be the first of its own values or stand before all of them; the values follow it in the
same sequence, in one of their own, or row by row as a profile's buffer has them.

Rule 1: a list that is one longer or shorter than its values would book each under its neighbour's
name. So one value that cannot be of the object that it falls to (`_may_be`) leaves all unnamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from hes_protocol.axdr.data import Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.push.values import (
    CLASS_CLOCK,
    CLASS_REGISTER,
    NO_UNIT,
    PushValue,
    description,
    elements_of,
    instant,
    is_push_setup,
    logical_name,
    scaler_unit,
)

_EXTENDED_REGISTER, _DEMAND_REGISTER = 4, 5
_PUSH_SETUP, _REGISTERS = 40, (CLASS_REGISTER, _EXTENDED_REGISTER, _DEMAND_REGISTER)
# class_id -> attribute that holds when a value was captured, and the one whose time that is: of a
# demand register the last average.
_CAPTURE_TIMES: Final = {_EXTENDED_REGISTER: (5, 2), _DEMAND_REGISTER: (6, 3)}
_LOGICAL_NAME = 1

Description = tuple[int, Obis, int]


def descriptions(data: Data) -> list[Description]:
    """The objects of a list of objects; none where `data` is anything else."""
    found: list[Description] = []
    for entry in elements_of(data) or ():
        told = description(entry)
        if told is None:
            return []
        found.append(told)
    return found


def read_described(elements: Sequence[Data], count: int | None = None) -> list[PushValue] | None:
    """
    Values behind a list of objects, or None where there is none, or they do not fit it.

    Args: elements: of one sequence. count: how many it was to have, where its end did not come.
    """
    told = descriptions(elements[0]) if elements else []
    if not told:
        return None
    # A list of one that is cut may be any; a whole one has as many values as objects.
    expected = len(elements) if count is None else count
    own = is_push_setup(told[0][1])
    if expected == len(told) and own:
        return _values(told[1:], elements[1:])  # the list is its own first value
    if expected == len(told) + 1:
        return _values(told, elements[1:])
    if expected == 2:
        inner = elements_of(elements[1]) if len(elements) == 2 else ()
        return _inside(told[1:] if own else told, told, inner or ())
    return None


def _inside(
    behind: list[Description], told: list[Description], inner: Sequence[Data]
) -> list[PushValue] | None:
    """Values in a sequence of their own: several rows of all objects, or one."""
    cells = elements_of(inner[0]) if inner else None
    if cells is None or len(cells) != len(told):
        if len(inner) in (len(told), len(behind)):
            return _values(told if len(inner) == len(told) else behind, inner)
        return None
    found: list[PushValue] = []
    for row in inner:
        cells = elements_of(row)
        if cells is None or len(cells) != len(told):
            return None
        values = _values(told, cells)
        if values is None:
            return None
        clock = next((instant(v.data) for v in values if v.class_id == CLASS_CLOCK), None)
        found += [_at(value, clock) for value in values]
    return found


def _values(told: Iterable[Description], elements: Iterable[Data]) -> list[PushValue] | None:
    """
    One value for each object, with scalers and times that stand among the values.

    None where a value cannot be its object's.
    """
    units: dict[Obis, tuple[int, int]] = {}
    times: dict[tuple[Obis, int], CosemDateTime] = {}
    found: list[PushValue] = []
    for (class_id, obis, index), element in zip(told, elements, strict=False):
        if not _may_be(element, class_id, index):
            return None
        if element.tag is DataTag.NULL_DATA or descriptions(element):
            continue
        known = scaler_unit(element)
        if known is not None:
            units[obis] = known
            continue
        time_at, value_at = _CAPTURE_TIMES.get(class_id, (None, 0))
        if time_at == index and (moment := instant(element)) is not None:
            times[obis, value_at] = moment
        found.append(PushValue(obis, class_id, index, element))
    return [_completed(value, units, times) for value in found] if units or times else found


def _may_be(element: Data, class_id: int, index: int) -> bool:
    """Whether a value may be an object's attribute: null may stand for any."""
    if element.tag is DataTag.NULL_DATA:
        return True
    if index == _LOGICAL_NAME:
        return logical_name(element) is not None
    if class_id == CLASS_CLOCK and index == 2:
        return element.tag in (DataTag.DATE_TIME, DataTag.OCTET_STRING) and len(element.value) == 12
    if class_id == _PUSH_SETUP and index == 2:
        return elements_of(element) is not None
    return not (class_id in _REGISTERS and index == 2 and instant(element) is not None)


def _completed(
    value: PushValue,
    units: dict[Obis, tuple[int, int]],
    times: dict[tuple[Obis, int], CosemDateTime],
) -> PushValue:
    if value.obis is None or value.attribute_index not in (2, 3):
        return value
    scaler, unit = units.get(value.obis, (0, NO_UNIT))
    moment = times.get((value.obis, value.attribute_index))
    return attrs.evolve(value, scaler=scaler, unit=unit, captured_at=moment)


def _at(value: PushValue, moment: CosemDateTime | None) -> PushValue:
    if moment is None or value.class_id == CLASS_CLOCK or value.captured_at is not None:
        return value
    return attrs.evolve(value, captured_at=moment)
