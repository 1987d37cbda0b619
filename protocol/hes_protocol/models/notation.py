"""
The short forms in which model files write values, sources, capture objects and access.

| form | example | read as |
|---|---|---|
| constant | `"enum 2"`, `"octet-string 0x0001"`, `"visible-string V1"` | `Data`, by its tag |
| structure | `["enum 1", "long-unsigned 5"]` | a STRUCTURE of constants |
| array | `{ array = ["enum 1"] }` | an ARRAY of constants |
| source | `"import_wh"`, `"average(import_w)"` | source and statistic |
| attribute | `"3/1.0.1.8.0.255/2/0"` | class_id, logical_name, attribute and data index |

Of an attribute's name class_id may be left out where the model has one object of that name, and
the indexes where they are 2 and 0. Everything raises ValueError; who calls says where it stood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hes_protocol.axdr import NULL, BitString, Data, DataTag, array, encode, structure
from hes_protocol.cosem import Obis
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models.objects import Statistic
from hes_protocol.models.tables import shown

_DEEPEST: Final = 8
_LONGEST_TEXT: Final = 2000
_SOURCE: Final = re.compile(r"(?:([a-z_]+)\()?([a-z][a-z0-9_]*)(\))?")
_TAGS: Final = {tag.name.lower().replace("_", "-"): tag for tag in DataTag}
_RANGES: Final[Mapping[DataTag, tuple[int, int]]] = {
    DataTag.DOUBLE_LONG: (-(1 << 31), (1 << 31) - 1),
    DataTag.DOUBLE_LONG_UNSIGNED: (0, (1 << 32) - 1),
    DataTag.BCD: (0, 255),
    DataTag.INTEGER: (-128, 127),
    DataTag.LONG: (-(1 << 15), (1 << 15) - 1),
    DataTag.UNSIGNED: (0, 255),
    DataTag.LONG_UNSIGNED: (0, 65535),
    DataTag.LONG64: (-(1 << 63), (1 << 63) - 1),
    DataTag.LONG64_UNSIGNED: (0, (1 << 64) - 1),
    DataTag.ENUM: (0, 255),
}
_STRINGS: Final = (DataTag.OCTET_STRING, DataTag.VISIBLE_STRING, DataTag.UTF8_STRING)
_TIMES: Final = (DataTag.DATE_TIME, DataTag.DATE, DataTag.TIME)


def read_tag(value: Any) -> DataTag:
    """A data type by its name in kebab case: "double-long-unsigned"."""
    tag = _TAGS.get(value) if isinstance(value, str) else None
    if tag is None:
        raise ValueError(f"{shown(value)} is no data type")
    return tag


def read_source(value: Any) -> tuple[str, Statistic] | None:
    """A source and its statistic; None for what has not the form of one."""
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    function, source, closed = match.groups()
    if (function is None) != (closed is None):
        raise ValueError(f"{shown(value)} is neither a source nor statistic(source)")
    try:
        return source, Statistic(function or "moment")
    except ValueError:
        names = ", ".join(Statistic)
        raise ValueError(f"{function!r} is none of {names}") from None


def read_constant(value: Any, depth: int = 0) -> Data:
    """A constant."""
    if depth > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST}")
    if isinstance(value, list):
        return structure(*(read_constant(one, depth + 1) for one in value))
    if isinstance(value, dict):
        if value.keys() != {"array"} or not isinstance(value["array"], list):
            raise ValueError("a table in a value is { array = [...] }")
        return array(*(read_constant(one, depth + 1) for one in value["array"]))
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError(f"{shown(value)} is no constant")
    name, _, text = value.partition(" ")
    tag = read_tag(name)
    data = _scalar(tag, text)
    try:
        encode(data)
    except LocalProtocolError as error:
        raise ValueError(f"{shown(value)} cannot be sent: {error}") from None
    return data


def read_attribute_name(text: Any) -> tuple[int | None, Obis, int, int]:
    """class_id (None: not said), logical_name, attribute_index, data_index."""
    if not isinstance(text, str):
        raise ValueError(f"{shown(text)} names no attribute")  # noqa: TRY004
    parts = text.split("/")
    class_id: int | None = None
    if "." not in parts[0]:
        class_id = _index(parts.pop(0), text)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{shown(text)} names no attribute")
    indexes = [_index(part, text) for part in parts[1:]]
    attribute_index, data_index = (*indexes, *(2, 0)[len(indexes) :])
    if not 1 <= attribute_index <= 127:
        raise ValueError(f"{shown(text)}: no attribute {attribute_index}")
    return class_id, Obis.parse(parts[0]), attribute_index, data_index


def read_access(value: Any, clients: Mapping[str, int]) -> Mapping[str, frozenset[int]]:
    """
    Who may what: SAPs by "r" (read), "w" (write what can be set), "x" (invoke), "-" (see only).

    Args: value: `{ management = "rw", public = "r" }`, or "r" for every client. clients: SAPs by
        name.
    """
    if isinstance(value, str):
        value = dict.fromkeys(clients, value)
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no access")  # noqa: TRY004
    rights: dict[str, set[int]] = {"r": set(), "w": set(), "x": set(), "-": set()}
    for name, letters in value.items():
        if name not in clients:
            raise ValueError(f"there is no client {name}; there are {', '.join(clients)}")
        if not isinstance(letters, str) or not letters or set(letters) - rights.keys():
            raise ValueError(f"{shown(letters)} of {name} is none of r, w, x, -")
        for letter in {*letters, "-"}:
            rights[letter].add(clients[name])
    return {letter: frozenset(saps) for letter, saps in rights.items()}


def _scalar(tag: DataTag, text: str) -> Data:
    if tag is DataTag.NULL_DATA:
        return NULL
    if tag in _RANGES:
        low, high = _RANGES[tag]
        number = _number(text)
        if not low <= number <= high:
            raise ValueError(f"{number} is not within {low}..{high}")
        return Data(tag, number)
    if tag is DataTag.BOOLEAN:
        if text not in ("true", "false"):
            raise ValueError(f"{shown(text)} is neither true nor false")
        return Data(tag, text == "true")
    if tag in _STRINGS or tag in _TIMES:
        return Data(tag, _octets(text))
    if tag is DataTag.BIT_STRING:
        if set(text) - set("01"):
            raise ValueError(f"{shown(text)} is no row of bits")
        octets = int(text.ljust(-(-len(text) // 8) * 8, "0") or "0", 2)
        return Data(tag, BitString(len(text), octets.to_bytes(-(-len(text) // 8), "big")))
    raise ValueError(f"a constant cannot be of {tag.name.lower().replace('_', '-')}")


def _octets(text: str) -> bytes:
    """Hexadecimal digits behind 0x, a logical name behind obis:, else the text itself."""
    if text.startswith("0x"):
        return bytes.fromhex(text[2:])
    if text.startswith("obis:"):
        return Obis.parse(text[5:]).octets
    return text.encode()


def _number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise ValueError(f"{shown(text)} is no whole number")
    return int(text)


def _index(text: str, whole: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 0xFFFF:
        raise ValueError(f"{shown(whole)} names no attribute")
    return int(text)
