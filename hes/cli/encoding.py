"""
The translator's JSON as octets again: what `hes dlms decode` shows can be changed and encoded.

`{"name": "get-request-normal", "value": {...}}` is an APDU, a member that is left out has its
default; `{"structure": [...]}` is COSEM data. What only explains (`text`, `date_time` beside a
string, names beside numbers) is passed over. Ciphers nothing: a ciphered APDU is encoded as it is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum, Flag, IntEnum
from typing import Any, Final, get_args, get_origin

import attrs

from hes.cli.names import kebab
from hes_protocol.axdr import BitString, Data, DataTag, encode
from hes_protocol.axdr.data import INTEGER_TAGS
from hes_protocol.cosem import Obis
from hes_protocol.errors import LocalProtocolError
from hes_protocol.xdlms import (
    AccessAction,
    AccessActionResult,
    AccessGet,
    AccessGetResult,
    AccessSet,
    AccessSetResult,
    Apdu,
    Ciphered,
    DataAccessResult,
    GetDataResult,
)

_MAX_DEPTH: Final = 40
_MAX_FLAGS: Final = 24
_TAGS: Final = {kebab(tag.name): tag for tag in DataTag}
_FLOATS: Final = (DataTag.FLOAT32, DataTag.FLOAT64)
_SEQUENCES: Final = (DataTag.ARRAY, DataTag.STRUCTURE)
_EMPTY: Final = (DataTag.NULL_DATA, DataTag.DONT_CARE)
_KINDS: Final = {
    AccessGet: "get",
    AccessSet: "set",
    AccessAction: "action",
    AccessGetResult: "get",
    AccessSetResult: "set",
    AccessActionResult: "action",
}


class TreeError(ValueError):
    """The tree is none that can be encoded; the text says where and why."""


def octets_of(document: Any) -> bytes:
    """
    The octets of an APDU, or of bare COSEM data.

    Args: document: as the translator's JSON has it, one of its `apdus` or the data within.
    Raises: TreeError: it is neither, or a value does not fit its type.
    """
    if not isinstance(document, dict):
        raise TreeError("an object is due")
    try:
        if "name" not in document:
            return encode(_data(document, "data", 0))
        value = document.get("value")
        if isinstance(value, dict) and {"tag", "content"} <= value.keys():
            built = _object(Ciphered, value, "value", 0)
        elif document["name"] == "data":
            return encode(_data(value, "value", 0))
        elif document["name"] in _APDUS:
            built = _object(_APDUS[document["name"]], value, "value", 0)
        else:
            raise TreeError(f"name: {document['name']!r} is no APDU")
        octets: bytes = built.encode()
    except LocalProtocolError as error:
        raise TreeError(str(error)) from None
    return octets


def _classes(union: Any) -> dict[str, type]:
    found: dict[str, type] = {}
    for member in get_args(union):
        found |= _classes(member) if get_args(member) else {kebab(member.__name__): member}
    return found


_APDUS: Final[Mapping[str, type]] = _classes(Apdu)


def _object(kind: type, node: Any, where: str, depth: int) -> Any:
    """An attrs object of its members."""
    if not isinstance(node, dict):
        raise TreeError(f"{where}: an object is due")
    hints = typing.get_type_hints(kind)
    members: dict[str, Any] = {}
    for field in attrs.fields(kind):
        if field.name in node and field.init and not field.name.endswith("_offset"):
            path = f"{where}.{field.name}"
            members[field.name] = _built(hints[field.name], node[field.name], path, depth + 1)
        elif field.default is attrs.NOTHING:
            raise TreeError(f"{where}.{field.name} is missing")
    return kind(**members)


def _built(kind: Any, node: Any, where: str, depth: int) -> Any:
    """A value of any type that APDUs have."""
    if depth > _MAX_DEPTH:
        raise TreeError(f"{where}: too deep")
    if get_origin(kind) in (typing.Union, types.UnionType):
        return _one_of(get_args(kind), node, where, depth)
    if get_origin(kind) is tuple:
        if not isinstance(node, list):
            raise TreeError(f"{where}: a list is due")
        inner = get_args(kind)[0]
        return tuple(_built(inner, item, f"{where}[{i}]", depth + 1) for i, item in enumerate(node))
    if kind is Data:
        return _data(node, where, depth)
    if kind is GetDataResult:
        return _data_result(node, where, depth)
    if kind is Obis:
        return _checked(Obis.parse, node, str, where)
    if kind is bytes:
        return _checked(bytes.fromhex, node, str, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enumerated(kind, node, where)
    if kind in (int, bool):
        if not isinstance(node, kind) or isinstance(node, bool) is not (kind is bool):
            raise TreeError(f"{where}: {kind.__name__} is due")
        return node
    return _object(kind, node, where, depth)


def _one_of(kinds: tuple[Any, ...], node: Any, where: str, depth: int) -> Any:
    if node is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if len(kinds) > 1:
        told = node.get("kind") if isinstance(node, dict) else None
        kinds = tuple(kind for kind in kinds if _KINDS.get(kind) == told)
    if len(kinds) != 1:
        raise TreeError(f"{where}.kind: get, set or action is due")
    return _built(kinds[0], node, where, depth)


def _enumerated(kind: type[Enum], node: Any, where: str) -> Any:
    if issubclass(kind, Flag):
        if not isinstance(node, list):
            raise TreeError(f"{where}: a list of names is due")
        flags = kind(0)
        for name in node:
            bit = str(name).removeprefix("bit-")
            if bit.isdecimal() and int(bit) < _MAX_FLAGS:
                flags |= kind(1 << int(bit))
            else:
                flags |= _enumerated_one(kind, name, where)
        return flags
    return _enumerated_one(kind, node, where)


def _enumerated_one(kind: type[Enum], node: Any, where: str) -> Any:
    for member in kind:
        if node in (kebab(member.name), member.value):
            return member
    number = str(node).rpartition("-")[2]
    if issubclass(kind, IntEnum) and number.isdecimal() and int(number) <= 0xFF:
        return _checked(kind, int(number), int, where)
    raise TreeError(f"{where}: {node!r} is none of its names")


def _data_result(node: Any, where: str, depth: int) -> GetDataResult:
    if not isinstance(node, dict):
        raise TreeError(f"{where}: an object is due")
    if "octets" in node:
        return GetDataResult(octets=_checked(bytes.fromhex, node["octets"], str, where))
    result = _enumerated_one(DataAccessResult, node.get("result", "success"), f"{where}.result")
    if "data" not in node:
        return GetDataResult(result)
    return GetDataResult(result, encode(_data(node["data"], f"{where}.data", depth)))


def _data(node: Any, where: str, depth: int) -> Data:
    """COSEM data: an object whose first member is the name of its type."""
    if depth > _MAX_DEPTH:
        raise TreeError(f"{where}: too deep")
    name, value = next(iter(node.items())) if isinstance(node, dict) and node else (None, None)
    tag = _TAGS.get(str(name))
    if tag is None:
        raise TreeError(f"{where}: {name!r} is no type of data")
    where = f"{where}.{name}"
    if tag in _SEQUENCES:
        if not isinstance(value, list):
            raise TreeError(f"{where}: a list is due")
        items = (_data(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
        return Data(tag, tuple(items))
    if tag is DataTag.COMPACT_ARRAY:
        raise TreeError(f"{where}: its type description is not shown; make it an array")
    return Data(tag, _leaf(tag, value, where))


def _leaf(tag: DataTag, value: Any, where: str) -> Any:
    if tag in _EMPTY:
        return None
    if tag is DataTag.BOOLEAN:
        return _built(bool, value, where, 0)
    if tag in INTEGER_TAGS:
        return _built(int, value, where, 0)
    if tag in _FLOATS:
        return _checked(float, value, (int, float), where)
    if tag is DataTag.BIT_STRING:
        return _checked(_bits, value, str, where)
    return _checked(bytes.fromhex, value, str, where)


def _bits(text: str) -> BitString:
    padded = text + "0" * (-len(text) % 8)
    octets = bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
    return BitString(len(text), octets)


def _checked(make: Callable[[Any], Any], node: Any, kind: Any, where: str) -> Any:
    if not isinstance(node, kind):
        raise TreeError(f"{where}: {node!r} does not fit")
    try:
        return make(node)
    except (ValueError, OverflowError, LocalProtocolError):
        raise TreeError(f"{where}: {node!r} does not fit") from None
