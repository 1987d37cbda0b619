"""
A `Translation` as JSON, tree or XML.

JSON is the contract (contracts.md, `hes dlms decode`); the tree and the XML show the same. COSEM
data is an object with one member, the name of its type: `{"long-unsigned": 2308}`; octet strings
are hex, with what they mean beside them where it can only be that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from xml.etree import ElementTree as ET

import attrs

from hes.cli.names import kebab, names_of
from hes_protocol.axdr import BitString, CompactArray, Data, DataTag
from hes_protocol.axdr.data import INTEGER_TAGS, STRING_TAGS
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.cosem.units import UNITS
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.push import instant, plain_text
from hes_protocol.translator import TranslatedApdu, TranslatedReading, Translation
from hes_protocol.xdlms import Ciphered, GetDataResult

_GENERAL = {0xDB: "general-glo-ciphering", 0xDC: "general-ded-ciphering"}
_SERVICES = {
    0x01: "initiate-request", 0x08: "initiate-response", 0x0E: "confirmed-service-error",
    0xC0: "get-request", 0xC1: "set-request", 0xC2: "event-notification-request",
    0xC3: "action-request", 0xC4: "get-response", 0xC5: "set-response", 0xC7: "action-response",
}  # fmt: skip


def as_json(translation: Translation, *, compact: bool = False) -> str:
    """The contract's JSON object."""
    return json.dumps(document(translation), indent=None if compact else 2, ensure_ascii=False)


def as_tree(translation: Translation) -> str:
    """An indented tree for people."""
    return "\n".join(_tree_lines(document(translation)))


def as_xml(translation: Translation) -> str:
    """The same as XML."""
    root = ET.Element("translation")
    _fill(root, document(translation))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def document(translation: Translation) -> dict[str, Any]:
    """The contract's object, as Python values that JSON knows."""
    return {
        "transport": translation.transport.value,
        "frames": translation.frames,
        "complete": translation.complete,
        "apdus": [_apdu(apdu) for apdu in translation.apdus],
        "readings": [_reading(reading) for reading in translation.readings],
        "error": None if translation.error is None else _error(translation.error),
    }


def _error(error: RemoteProtocolError) -> dict[str, Any]:
    return {"code": error.code, "offset": error.offset, "detail": error.detail}


def _apdu(apdu: TranslatedApdu) -> dict[str, Any]:
    control = apdu.security_control
    return {
        "name": _name(apdu.content),
        "octets": apdu.octets,
        "system_title": None if apdu.system_title is None else apdu.system_title.hex(),
        "invocation_counter": apdu.invocation_counter,
        "security_control": None if control is None else f"0x{control:02x}",
        "tag_verified": apdu.tag_verified,
        "plain": None if apdu.plain is None else apdu.plain.hex(),
        "value": _value(apdu.content),
    }


def _name(content: Any) -> str:
    if isinstance(content, Ciphered):
        if content.tag in _GENERAL:
            return _GENERAL[content.tag]
        kind = "ded" if content.dedicated else "glo"
        return f"{kind}-{_SERVICES[content.plain_tag or 0]}"
    if isinstance(content, Data):
        return "data"
    return kebab(type(content).__name__)


def _reading(reading: TranslatedReading) -> dict[str, Any]:
    data = reading.data
    raw: Any
    if data.tag in INTEGER_TAGS or data.tag is DataTag.BOOLEAN:
        raw = data.value
        value = str(raw).lower() if isinstance(raw, bool) else _decimal(raw, reading.scaler)
    elif data.tag in (DataTag.FLOAT32, DataTag.FLOAT64):
        raw, value = data.value, _decimal(Decimal(repr(data.value)), reading.scaler)
    else:
        raw = value = _text(data)
    unit = UNITS.get(reading.unit)
    return {
        "obis": None if reading.obis is None else str(reading.obis),
        "class_id": reading.class_id,
        "attribute_index": reading.attribute_index,
        "raw": raw,
        "scaler": reading.scaler,
        "unit": f"unit-{reading.unit}" if unit is None else unit.symbol,
        "value": value,
        "captured_at": None if reading.captured_at is None else reading.captured_at.isoformat(),
    }


def _decimal(raw: int | Decimal, scaler: int) -> str:
    """`raw * 10^scaler`, exact, never in exponent notation."""
    return format(Decimal(raw).scaleb(scaler), "f")


def _text(data: Data) -> str:
    moment = instant(data)
    if moment is not None:
        return moment.isoformat() or data.value.hex()
    if data.tag in STRING_TAGS:
        return plain_text(data) or data.value.hex()
    if isinstance(data.value, BitString):
        return "".join("01"[data.value[index]] for index in range(data.value.length))
    return json.dumps(_data(data)) if isinstance(data.value, tuple) else str(_leaf(data.value))


def _value(content: Any) -> Any:
    """Any value of the protocol, as JSON knows it."""
    if isinstance(content, Data):
        return _data(content)
    if isinstance(content, GetDataResult):
        # An answer whose octets are no data stays readable as octets.
        if not content.octets:
            return {"result": _leaf(content.result)}
        try:
            return {"result": _leaf(content.result), "data": _data(content.data())}
        except RemoteProtocolError as error:
            return {"octets": content.octets.hex(), "error": _error(error)}
    if isinstance(content, tuple | list):
        return [_value(item) for item in content]
    if isinstance(content, Enum | Obis) or not attrs.has(type(content)):
        return _leaf(content)
    members = {
        field.name: _value(getattr(content, field.name))
        for field in attrs.fields(type(content))
        if not field.name.endswith("_offset")
    }
    return members | names_of(content)


def _data(data: Data) -> dict[str, Any]:
    """COSEM data; its depth is bounded by the decoder."""
    name = data.tag.name.lower().replace("_", "-")
    if isinstance(data.value, CompactArray):
        return {name: [_data(element) for element in data.value.elements]}
    if isinstance(data.value, tuple):
        return {name: [_data(element) for element in data.value]}
    shown: dict[str, Any] = {name: _leaf(data.value)}
    moment = instant(data)
    if moment is not None:
        shown["date_time"] = moment.isoformat()
    elif data.tag is DataTag.OCTET_STRING and len(data.value) == 6:
        shown["obis"] = str(Obis(data.value))
    if data.tag in STRING_TAGS and (text := plain_text(data)) is not None:
        shown["text"] = text
    return shown


def _leaf(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Flag):
        return _flags(value)
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    if isinstance(value, BitString):
        return "".join("01"[value[index]] for index in range(value.length))
    if isinstance(value, CosemDateTime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _flags(value: Flag) -> list[str]:
    """Names of the bits that are set; `bit-N` for those without one, 0 being the lowest."""
    names = [kebab(member.name) for member in value if member.name]
    rest = value.value & ~sum(member.value for member in value if member.name)
    return names + [f"bit-{bit}" for bit in range(rest.bit_length()) if rest >> bit & 1]


def _tree_lines(node: Any, depth: int = 0) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, dict | list) and value:
                yield f"{indent}{key}"
                yield from _tree_lines(value, depth + 1)
            else:
                yield f"{indent}{key}: {'-' if value in (None, [], {}) else value}"
    else:
        for item in node:
            if isinstance(item, dict | list):
                yield f"{indent}-"
                yield from _tree_lines(item, depth + 1)
            else:
                yield f"{indent}- {item}"


def _fill(element: ET.Element, node: Any) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            _fill(ET.SubElement(element, key), value)
    elif isinstance(node, list):
        for item in node:
            _fill(ET.SubElement(element, "item"), item)
    elif node is not None:
        element.text = str(node)
