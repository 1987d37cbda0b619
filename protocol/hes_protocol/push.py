"""
What a push says: values by object, recognised by the structure of the payload.

There is no one push layout. Utilities send, and this module tells apart by shape alone:

- *described*: an array of (class_id, logical_name, attribute_index, data_index), then the values
  in that order (the push_object_list of IEC 62056-6-2, class_id 40);
- *named*: structures of (logical_name, value), (logical_name, value, scaler_unit), in an array or
  a structure;
- *paired*: a flat row of logical_name, value, logical_name, value ..., each value perhaps followed
  by its scaler_unit;
- *bare*: values without any name. They stay unnamed unless a `PushLayout` of a meter model, passed
  in as data, knows them.

All of these may be mixed and nested. No value is dropped: what has no name is a `PushValue` with
`obis` None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from hes_protocol.axdr.data import STRING_TAGS, Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.models import PushLayout

_NO_UNIT: Final = 255
_SEQUENCES: Final = frozenset({DataTag.ARRAY, DataTag.STRUCTURE})
_CLASS_DATA, _CLASS_REGISTER, _CLASS_CLOCK, _CLASS_PUSH = 1, 3, 8, 40
# A text without a name counts as a meter's identity from this length on, if mostly digits.
_MIN_IDENTITY_CHARS: Final = 8
_MIN_IDENTITY_DIGITS: Final = 6


@attrs.frozen
class PushValue:
    """
    One value of a push.

    `obis` is None where nothing names the value; `scaler` and `unit` (DLMS code) are 0 and 255
    where neither frame nor layout gives them. `captured_at` is set only where the frame gives the
    value a time of its own.
    """

    obis: Obis | None
    class_id: int
    attribute_index: int
    data: Data
    scaler: int = 0
    unit: int = _NO_UNIT
    captured_at: CosemDateTime | None = None


@attrs.frozen
class Push:
    """
    A push taken apart.

    `identities` are texts that may name the meter, with the object they stand under (None: no
    name). `captured_at` is the clock in the payload, else the notification's own date-time, else
    None. `layout` names the meter model whose layout was used.
    """

    values: tuple[PushValue, ...]
    identities: tuple[tuple[Obis | None, str], ...]
    captured_at: CosemDateTime | None
    layout: str | None = None


def read_push(
    payload: Data,
    date_time: CosemDateTime | None = None,
    layouts: Sequence[PushLayout] = (),
) -> Push:
    """
    Take a push payload apart.

    Args:
        payload: the notification body of a data-notification.
        date_time: the notification's own date-time, if it has one.
        layouts: what is known of models that leave names or scalers out, best first.
    Returns: the values in the order of the payload.
    Raises: nothing: a payload that fits no shape yields unnamed values.
    Source: IEC 62056-5-3, DataNotification; IEC 62056-6-2, Push setup (class_id 40).
    """
    elements = payload.value if payload.tag in _SEQUENCES else (payload,)
    first_text = next((text for e in elements if (text := plain_text(e)) is not None), "")
    layout = next((known for known in layouts if known.applies(len(elements), first_text)), None)
    if layout is not None and layout.objects:
        values = [
            _value(obis, element)
            for obis, element in zip(layout.objects, elements, strict=False)
            if element.tag is not DataTag.NULL_DATA
        ]
    else:
        values = list(_walk(payload))
    if layout is not None:
        values = [_scaled(value, layout) for value in values]
    clock = next((t for v in values if v.class_id == _CLASS_CLOCK and (t := instant(v.data))), None)
    return Push(
        values=tuple(values),
        identities=tuple(_identities(values)),
        captured_at=clock or (date_time if date_time and date_time.local() else None),
        layout=None if layout is None else layout.model,
    )


def instant(data: Data) -> CosemDateTime | None:
    """
    The date-time in a DATE_TIME or in twelve octets that can only be one, else None.

    Twelve digits of a serial number are also twelve octets: a date-time names a full instant of
    this epoch and no printable text.
    """
    if data.tag not in (DataTag.DATE_TIME, DataTag.OCTET_STRING) or len(data.value) != 12:
        return None
    moment = CosemDateTime.from_octets(data.value)
    local = moment.local()
    if local is None or not 1970 <= local.year <= 2199:
        return None
    return moment


def plain_text(data: Data) -> str | None:
    """The text in a string that is printable ASCII (trailing NULs apart), else None."""
    if data.tag not in STRING_TAGS:
        return None
    octets: bytes = data.value.rstrip(b"\0")
    if not octets or not all(0x20 <= octet < 0x7F for octet in octets):
        return None
    return octets.decode("ascii")


def _walk(payload: Data) -> Iterator[PushValue]:
    """All values of a payload that no layout names, without recursion."""
    stack: list[Iterator[PushValue | Data]] = [iter(_read_elements((payload,)))]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, PushValue):
            yield item
        else:
            stack.append(iter(_read_elements(item.value)))


def _read_elements(elements: tuple[Data, ...]) -> list[PushValue | Data]:
    """One level of a payload: values found, and sequences that are still to be read."""
    described = _described(elements)
    if described is not None:
        return described
    found: list[PushValue | Data] = []
    index, count = 0, len(elements)
    while index < count:
        element = elements[index]
        index += 1
        obis = _logical_name(element)
        if obis is not None and _is_push_setup(obis):
            continue  # the name of the push itself, not of a value
        if obis is not None and index < count:
            value = elements[index]
            index += 1
            scaler_unit = _scaler_unit(elements[index]) if index < count else None
            if scaler_unit is not None:
                index += 1
            if value.tag is not DataTag.NULL_DATA:
                found.append(_value(obis, value, *(scaler_unit or ())))
        elif element.tag in _SEQUENCES:
            found.append(element)
        elif element.tag is not DataTag.NULL_DATA:
            found.append(_value(None, element))
    return found


def _described(elements: tuple[Data, ...]) -> list[PushValue | Data] | None:
    """Values behind a push_object_list, or None where there is none."""
    if not elements or elements[0].tag not in _SEQUENCES:
        return None
    descriptions = [_description(entry) for entry in elements[0].value]
    if not descriptions or any(description is None for description in descriptions):
        return None
    # The list may describe itself as the first of the values, or stand before all of them.
    if len(elements) == len(descriptions):
        values = elements
    elif len(elements) == len(descriptions) + 1:
        values = elements[1:]
    else:
        return None
    found: list[PushValue | Data] = []
    units: dict[Obis, tuple[int, int]] = {}
    for description, value in zip(descriptions, values, strict=True):
        assert description is not None
        class_id, obis, attribute_index = description
        if value is elements[0] or value.tag is DataTag.NULL_DATA:
            continue
        scaler_unit = _scaler_unit(value)
        if scaler_unit is not None:
            units[obis] = scaler_unit
            continue
        found.append(PushValue(obis, class_id, attribute_index, value))
    return [
        attrs.evolve(item, scaler=units[item.obis][0], unit=units[item.obis][1])
        if isinstance(item, PushValue) and item.obis in units
        else item
        for item in found
    ]


def _description(entry: Data) -> tuple[int, Obis, int] | None:
    """(class_id, logical_name, attribute_index) of one entry of a push_object_list."""
    if entry.tag is not DataTag.STRUCTURE or not 3 <= len(entry.value) <= 6:
        return None
    class_id, name, attribute_index = entry.value[:3]
    obis = _logical_name(name)
    if class_id.tag is not DataTag.LONG_UNSIGNED or attribute_index.tag is not DataTag.INTEGER:
        return None
    return None if obis is None else (class_id.value, obis, attribute_index.value)


def _logical_name(data: Data) -> Obis | None:
    if data.tag is not DataTag.OCTET_STRING or len(data.value) != 6:
        return None
    # Six printable octets are a short serial number or a tariff's name, not a logical name.
    if data.value[5] != 0xFF and plain_text(data) is not None:
        return None
    return Obis(data.value)


def _scaler_unit(data: Data) -> tuple[int, int] | None:
    if data.tag is not DataTag.STRUCTURE or len(data.value) != 2:
        return None
    scaler, unit = data.value
    if scaler.tag is not DataTag.INTEGER or unit.tag is not DataTag.ENUM:
        return None
    return scaler.value, unit.value


def _is_push_setup(obis: Obis) -> bool:
    a, _, c, d, _, _ = obis.octets
    return (a, c, d) == (0, 25, 9)


def _value(obis: Obis | None, data: Data, scaler: int = 0, unit: int = _NO_UNIT) -> PushValue:
    return PushValue(obis, _class_id(obis, data), 2, data, scaler, unit)


def _class_id(obis: Obis | None, data: Data) -> int:
    """The class that a push leaves out: clocks are clocks, numbers registers, the rest data."""
    if instant(data) is not None and (obis is None or obis.octets[2:4] in (b"\1\0", b"\0\0")):
        return _CLASS_CLOCK
    if obis is None or data.tag in STRING_TAGS or obis.octets[2] in (96, 97):
        return _CLASS_DATA
    return _CLASS_REGISTER


def _scaled(value: PushValue, layout: PushLayout) -> PushValue:
    known = None if value.obis is None else layout.scalers.get(value.obis)
    if known is None or value.unit != _NO_UNIT:
        return value
    return attrs.evolve(value, scaler=known[0], unit=known[1])


def _identities(values: Sequence[PushValue]) -> Iterator[tuple[Obis | None, str]]:
    for value in values:
        text = plain_text(value.data)
        if text is None or value.class_id == _CLASS_CLOCK:
            continue
        if value.obis is None:
            digits = sum(character.isdigit() for character in text)
            if len(text) >= _MIN_IDENTITY_CHARS and digits >= _MIN_IDENTITY_DIGITS:
                yield None, text
        elif names_meter(value.obis):
            yield value.obis, text


def names_meter(obis: Obis) -> bool:
    """
    True for objects whose value tells one meter from all others.

    Device IDs 1 to 10 (0.0.96.1.0..9), the logical device name (0.0.42.0.0) and the utility's ids
    (1.b.0.0.0..9). In other channels they name what hangs on the meter, e.g. the gas meter on its
    M-Bus (0.1.96.1.0). Aidon gives the meter's *type* as 0.0.96.1.7, Kamstrup as 1.1.96.1.1: those
    name many meters.
    Source: IEC 62056-6-1, general and service entry objects.
    """
    a, b, c, d, e, _ = obis.octets
    if a == 0:
        return b == 0 and (((c, d) == (96, 1) and e <= 9 and e != 7) or (c, d, e) == (42, 0, 0))
    return a <= 9 and (c, d) == (0, 0) and e <= 9
