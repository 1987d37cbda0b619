"""What one element of a push can be: a name, a scaler_unit, a clock, a text, a value."""

from __future__ import annotations

import re
from typing import Final

import attrs

from hes_protocol.axdr.data import STRING_TAGS, CompactArray, Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis

NO_UNIT: Final = 255
CLASS_DATA, CLASS_REGISTER, CLASS_CLOCK = 1, 3, 8
_SEQUENCES: Final = frozenset({DataTag.ARRAY, DataTag.STRUCTURE})
# 1-0:1.8.0, 1-0:1.8.0*255, 1-0:1.8.0.255, 1.0.1.8.0.255
_OBIS_TEXT: Final = re.compile(
    rb"(\d{1,3})[-.](\d{1,3})[:.](\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*](\d{1,3}))?"
)
_MAX_OBIS_TEXT: Final = 23
# Value group A, and value group F (billing periods): IEC 62056-6-1.
_LAST_MEDIUM, _LAST_PERIOD, _NO_PERIOD = 15, 126, 255


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
    unit: int = NO_UNIT
    captured_at: CosemDateTime | None = None


def elements_of(data: Data) -> tuple[Data, ...] | None:
    """The elements of an array, structure or compact array; None for a single value."""
    if data.tag in _SEQUENCES:
        elements: tuple[Data, ...] = data.value
        return elements
    return data.value.elements if isinstance(data.value, CompactArray) else None


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


def logical_name(data: Data) -> Obis | None:
    """The object that a string names, in six octets or as people write it, else None."""
    if data.tag not in STRING_TAGS:
        return None
    octets: bytes = data.value
    if len(octets) != 6:
        return _written_name(octets)
    # Six printable octets are a short serial number or a tariff's name, not a logical name; others
    # may be a hardware address: no medium is above 15, and value group F ends with 126 or is 255.
    if data.tag is not DataTag.OCTET_STRING or octets[0] > _LAST_MEDIUM:
        return None
    if octets[5] != _NO_PERIOD and (octets[5] > _LAST_PERIOD or plain_text(data) is not None):
        return None
    return Obis(octets)


def _written_name(octets: bytes) -> Obis | None:
    if not 7 <= len(octets) <= _MAX_OBIS_TEXT or (found := _OBIS_TEXT.fullmatch(octets)) is None:
        return None
    groups = [255 if group is None else int(group) for group in found.groups()]
    return Obis(bytes(groups)) if max(groups) <= 255 else None


def scaler_unit(data: Data) -> tuple[int, int] | None:
    """Scaler and unit code in a structure of an integer and an enum, else None."""
    if data.tag is not DataTag.STRUCTURE or len(data.value) != 2:
        return None
    scaler, unit = data.value
    if scaler.tag is not DataTag.INTEGER or unit.tag is not DataTag.ENUM:
        return None
    return scaler.value, unit.value


def description(data: Data) -> tuple[int, Obis, int] | None:
    """
    (class_id, logical_name, attribute_index) in an entry of a list of objects, else None.

    Source: IEC 62056-6-2, push_object_list and capture_objects: data_index may follow, and in later
    versions restriction and columns.
    """
    if data.tag is not DataTag.STRUCTURE or not 3 <= len(data.value) <= 6:
        return None
    class_id, name, attribute_index = data.value[:3]
    if class_id.tag is not DataTag.LONG_UNSIGNED or attribute_index.tag is not DataTag.INTEGER:
        return None
    if len(data.value) > 3 and data.value[3].tag is not DataTag.LONG_UNSIGNED:
        return None
    obis = logical_name(name)
    return None if obis is None else (class_id.value, obis, attribute_index.value)


def is_push_setup(obis: Obis) -> bool:
    """Whether this names the push itself (class_id 40), not a value."""
    a, _, c, d, _, _ = obis.octets
    return (a, c, d) == (0, 25, 9)


def guessed_class(obis: Obis | None, data: Data) -> int:
    """The class that a push leaves out: clocks are clocks, numbers registers, the rest data."""
    if instant(data) is not None and (obis is None or obis.octets[2:4] in (b"\1\0", b"\0\0")):
        return CLASS_CLOCK
    if obis is None or data.tag in STRING_TAGS or obis.octets[2] in (96, 97):
        return CLASS_DATA
    return CLASS_REGISTER


def guessed_value(
    obis: Obis | None,
    data: Data,
    scaler: int = 0,
    unit: int = NO_UNIT,
    captured_at: CosemDateTime | None = None,
) -> PushValue:
    """A value of which only the object is told, if that."""
    return PushValue(obis, guessed_class(obis, data), 2, data, scaler, unit, captured_at)
