"""The types of attributes, as IEC 62056-6-2 gives them, of every object of every model."""

from __future__ import annotations

from typing import Final

import pytest

from hes_protocol.axdr import Data, DataTag, decode_all
from hes_protocol.cosem.objects import Attribute
from hes_protocol.server import GetRequested
from tests.attacker import MODELS, meter_of

_DEFINITION: Final = "{long-unsigned octet-string integer}"
_COLUMNS: Final = "[{long-unsigned octet-string integer long-unsigned}]"
_SCRIPT: Final = "{octet-string long-unsigned}"
_OBJECT_ID: Final = "{unsigned unsigned long-unsigned unsigned unsigned unsigned unsigned}"
_UNIT_CHARGE: Final = f"{{{{integer integer}} {_DEFINITION} [{{octet-string long}}]}}"
# By class_id, from attribute 2 on; "?": of several types. [] an array, {} a structure.
TYPES: Final = {
    3: "? | {integer enum}",
    4: "? | {integer enum} | unsigned | octet-string",
    5: "? | ? | {integer enum} | unsigned | octet-string | octet-string | double-long-unsigned"
    " | long-unsigned",
    6: "[{long-unsigned octet-string}] | [{octet-string [unsigned]}] | octet-string",
    7: f"? | {_COLUMNS} | double-long-unsigned | enum | {_COLUMNS[1:-1]} | double-long-unsigned"
    " | double-long-unsigned",
    8: "octet-string | long | unsigned | octet-string | octet-string | integer | boolean | enum",
    15: f"? | {{integer long-unsigned}} | {_OBJECT_ID}"
    " | {bit-string long-unsigned long-unsigned unsigned integer octet-string}"
    f" | {_OBJECT_ID} | ? | enum | octet-string",
    17: "[{long-unsigned octet-string}]",
    18: "double-long-unsigned | bit-string | double-long-unsigned | boolean | enum | ?",
    20: "octet-string | ? | ? | ? | octet-string | ? | ? | ? | octet-string",
    21: f"? | {_DEFINITION} | [{{{_SCRIPT} {_SCRIPT}}}]",
    22: f"{_SCRIPT} | enum | ?",
    40: f"{_COLUMNS} | {{enum octet-string enum}} | ? | long-unsigned | unsigned | long-unsigned",
    64: "enum | enum | octet-string | octet-string",
    70: "boolean | enum | enum",
    71: f"{_DEFINITION} | ? | ? | ? | double-long-unsigned | double-long-unsigned"
    " | {long-unsigned octet-string double-long-unsigned} | ? | boolean"
    f" | {{{_SCRIPT} {_SCRIPT}}}",
    72: "octet-string | [{octet-string octet-string}] | double-long-unsigned | unsigned"
    " | double-long-unsigned | long-unsigned | unsigned | unsigned | unsigned | unsigned"
    " | unsigned | long-unsigned | enum",
    74: "enum",
    111: "{enum enum} | unsigned | bit-string | double-long | double-long | double-long"
    " | double-long | [octet-string] | [octet-string] | [{octet-string octet-string bit-string}]"
    " | [{octet-string unsigned}] | octet-string | octet-string | {utf8-string integer enum}"
    " | double-long | double-long | long-unsigned | double-long",
    112: "double-long | enum | unsigned | double-long | double-long | bit-string | enum"
    " | double-long | double-long | octet-string",
    113: f"double-long | enum | unsigned | {_UNIT_CHARGE} | {_UNIT_CHARGE} | octet-string"
    " | double-long-unsigned | bit-string | octet-string | double-long | double-long"
    " | long-unsigned",
    115: "octet-string | octet-string | ? | enum | {enum bit-string}",
}


def shape(data: Data) -> str:
    """The type of a value; of an array that of its elements, which must have one."""
    if data.tag is DataTag.STRUCTURE:
        return "{" + " ".join(map(shape, data.value)) + "}"
    if data.tag is DataTag.ARRAY:
        shapes = {shape(element) for element in data.value}
        assert len(shapes) < 2, shapes
        return "[" + "".join(shapes) + "]"
    return data.tag.name.lower().replace("_", "-")


@pytest.mark.parametrize("name", MODELS)
def test_every_attribute_has_its_type(name: str) -> None:
    meter = meter_of(name)
    for one in meter.kind.model.objects.values():
        types = TYPES.get(one.class_id, "").split(" | ")
        for index, attribute in one.attributes.items():
            if one.class_id not in TYPES or not attribute.read or types[index - 2] == "?":
                continue
            wanted = Attribute(one.class_id, one.obis, index)
            answer = meter.get(GetRequested(1, wanted, None, min(attribute.read)))
            found = shape(decode_all(answer.octets))
            assert found in (types[index - 2], "[]"), (one.class_id, str(one.obis), index)
