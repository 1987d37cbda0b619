"""
Pushes whose values stand beside their names, and those without any name.

Tried in order at each element of a sequence, one pass, never back:

- a description (class_id, logical_name, attribute_index), as a structure or laid flat, and a value;
- a logical name and a value, then perhaps a scaler_unit, as a structure or laid flat; some put the
  scaler_unit before the value;
- in a structure of its own, also the time at which the value was captured;
- a logical name before a list of named values names the list and no value, and so does one before
  another name, unless both are all there is;
- a sequence, which is read in its turn; any other value, which stays unnamed.

A row that has its names *behind* the values gives none: read as above each value would go to its
neighbour's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from hes_protocol.axdr.data import STRING_TAGS, Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.push.described import descriptions, read_described
from hes_protocol.push.values import (
    CLASS_CLOCK,
    NO_UNIT,
    PushValue,
    description,
    elements_of,
    guessed_value,
    instant,
    is_push_setup,
    logical_name,
    scaler_unit,
)

# name, value, scaler_unit, status, time: what one object may fill a structure with.
_MOST_OF_ONE: Final = 5
_FIRST_ATTRIBUTE, _LAST_ATTRIBUTE = 1, 32
_MAX_CLASS: Final = 0xFF


def read_values(payload: Data, count: int | None = None) -> Iterator[PushValue]:
    """
    All values of a payload, without recursion.

    Args: count: how many elements the payload was to have, where its end did not come.
    """
    stack: list[Iterator[PushValue | Data]] = [iter(_read((payload,), None))]
    first = True
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, PushValue):
            yield item
        else:
            inside = elements_of(item) or ()
            stack.append(iter(_read(inside, count if first else None, _is_one(item))))
            first = False


def _is_one(data: Data) -> bool:
    """Whether a structure is about one object: its name, then what belongs to it."""
    if data.tag is not DataTag.STRUCTURE or not 3 <= len(data.value) <= _MOST_OF_ONE:
        return False
    names = [element for element in data.value if logical_name(element) is not None]
    return len(names) == 1 and names[0] is data.value[0]


def _read(
    elements: tuple[Data, ...], count: int | None, one: bool = False
) -> list[PushValue | Data]:
    """One level of a payload: values found, and sequences that are still to be read."""
    described = read_described(elements, count)
    if described is not None:
        return list(described)
    found = _Row(elements, has_names=count is not None or not _names_behind(elements)).read()
    return _dated(found) if one else found


class _Row:
    """
    A cursor over one sequence; what it finds goes into `found`.

    Args: has_names: False where no name is to be believed.
    """

    def __init__(self, elements: tuple[Data, ...], *, has_names: bool) -> None:
        self.found: list[PushValue | Data] = []
        self._has_names = has_names
        self._elements = elements
        self._index = 0

    def read(self) -> list[PushValue | Data]:
        """Read to the end."""
        while self._index < len(self._elements):
            if not (self._has_names and (self._described() or self._named())):
                self._bare()
        return self.found

    def _peek(self, ahead: int = 0) -> Data | None:
        index = self._index + ahead
        return self._elements[index] if index < len(self._elements) else None

    def _described(self) -> bool:
        """A description and the value behind it."""
        first = self._elements[self._index]
        told, size = description(first), 1
        if told is None:
            told, size = self._flat_description(first), 3
        value = self._peek(size)
        if told is None or value is None:
            return False
        if description(value) is not None or logical_name(value) is not None:
            return False
        self._index += size + 1
        scaler, unit = self._scaler_unit() or (0, NO_UNIT)
        if value.tag is not DataTag.NULL_DATA:
            self.found.append(PushValue(told[1], told[0], told[2], value, scaler, unit))
        return True

    def _flat_description(self, first: Data) -> tuple[int, Obis, int] | None:
        name, index = self._peek(1), self._peek(2)
        if first.tag is not DataTag.LONG_UNSIGNED or name is None or index is None:
            return None
        obis = logical_name(name)
        if obis is None or index.tag is not DataTag.INTEGER or not 0 < first.value <= _MAX_CLASS:
            return None
        if not _FIRST_ATTRIBUTE <= index.value <= _LAST_ATTRIBUTE:
            return None
        return first.value, obis, index.value

    def _named(self) -> bool:
        """A logical name and the value behind it."""
        obis = logical_name(self._elements[self._index])
        value = self._peek(1)
        if obis is None or is_push_setup(obis) or value is None:
            return False
        if logical_name(value) is not None and len(self._elements) > 2:
            return False
        self._index += 2
        if _holds_names(value):
            self.found.append(value)  # the name of a list, which is read in its turn
            return True
        known, size = self._scaler_unit_before(value)
        behind = self._peek(size)
        if known is not None and behind is not None and _may_be_scaled(behind):
            self._index += size + 1
            value = behind
        elif (scaled := _scaled_inside(value)) is not None:
            value, known = scaled
        else:
            known = self._scaler_unit()
        if value.tag is not DataTag.NULL_DATA:
            self.found.append(guessed_value(obis, value, *(known or ())))
        return True

    def _scaler_unit_before(self, first: Data) -> tuple[tuple[int, int] | None, int]:
        """A scaler_unit that stands where the value should, and how much of it is at the cursor."""
        second = self._peek()
        if first.tag is DataTag.INTEGER and second is not None and second.tag is DataTag.ENUM:
            return (first.value, second.value), 1
        return scaler_unit(first), 0

    def _scaler_unit(self) -> tuple[int, int] | None:
        """A scaler_unit at the cursor, as a structure or laid flat."""
        first, second = self._peek(), self._peek(1)
        if first is None:
            return None
        told = scaler_unit(first)
        if told is not None:
            self._index += 1
            return told
        if first.tag is DataTag.INTEGER and second is not None and second.tag is DataTag.ENUM:
            self._index += 2
            return first.value, second.value
        return None

    def _bare(self) -> None:
        element = self._elements[self._index]
        self._index += 1
        if element.tag in STRING_TAGS:
            name = logical_name(element)
            if name is None or not is_push_setup(name):  # the name of the push itself is no value
                self.found.append(guessed_value(None, element))
            return
        if element.tag is DataTag.NULL_DATA or descriptions(element) or description(element):
            return  # names without values
        inside = elements_of(element)
        self.found.append(guessed_value(None, element) if inside is None else element)


def _names_behind(elements: tuple[Data, ...]) -> bool:
    """Whether values and names take turns and the names come second."""
    if len(elements) % 2 or len(elements) < 4:
        return False
    return all(
        (logical_name(element) is not None) is bool(place % 2)
        for place, element in enumerate(elements)
    )


def _holds_names(data: Data) -> bool:
    """Whether a sequence begins with a name, or with sequences that do."""
    for _ in range(2):
        inside = elements_of(data)
        if not inside:
            return False
        data = inside[0]
        if logical_name(data) is not None or description(data) is not None:
            return True
    return False


def _scaled_inside(data: Data) -> tuple[Data, tuple[int, int]] | None:
    """A value and its scaler_unit in a structure of their own."""
    if data.tag is not DataTag.STRUCTURE or len(data.value) != 2:
        return None
    known = scaler_unit(data.value[1])
    return (data.value[0], known) if known is not None and _may_be_scaled(data.value[0]) else None


def _may_be_scaled(data: Data) -> bool:
    return (
        elements_of(data) is None
        and data.tag not in STRING_TAGS
        and data.tag is not DataTag.NULL_DATA
    )


def _dated(found: list[PushValue | Data]) -> list[PushValue | Data]:
    """The time in a structure about one object belongs to its value."""
    named = [item for item in found if isinstance(item, PushValue) and item.obis is not None]
    times = [item for item in found if isinstance(item, PushValue) and _is_time(item)]
    if len(named) != 1 or len(times) != 1 or named[0].class_id == CLASS_CLOCK:
        return found
    moment: CosemDateTime | None = instant(times[0].data)
    dated = attrs.evolve(named[0], captured_at=moment)
    return [dated if item is named[0] else item for item in found if item is not times[0]]


def _is_time(value: PushValue) -> bool:
    return value.obis is None and instant(value.data) is not None
