"""Structures that describe objects, and access parameters, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from hes_protocol.axdr import NULL, Data, DataTag, array, decode_all, encode, structure
from hes_protocol.cosem import (
    Attribute,
    CaptureObject,
    CosemDateTime,
    EntrySelection,
    Obis,
    ObjectListEntry,
    RangeSelection,
    ScalerUnit,
    Unit,
)
from hes_protocol.errors import EncodingError

CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2)
IMPORT = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2)

BOTH_WAYS = [
    (CLOCK, "0204 120008 09060000010000ff 0f02 120000"),
    (ScalerUnit(-3, Unit.of(30)), "0202 0ffd 161e"),
    (
        ObjectListEntry(3, 0, Obis.parse("1.0.1.8.0.255")),
        "0204 120003 1100 09060100010800ff 0202 0100 0100",
    ),
    (
        RangeSelection.between(
            CLOCK,
            CosemDateTime(2026, 11, 1, 7, 0, 0, 0, 0),
            CosemDateTime(2026, 11, 2, 1, 0, 0, 0, 0),
        ),
        (
            "0204 0204120008 09060000010000ff 0f02120000"
            "090c07ea0b010700000000 8000ff 090c07ea0b020100000000 8000ff 0100"
        ),
    ),
    (
        RangeSelection(
            IMPORT,
            Data(DataTag.DOUBLE_LONG_UNSIGNED, 1),
            Data(DataTag.DOUBLE_LONG_UNSIGNED, 2),
            (IMPORT,),
        ),
        (
            "0204 0204120003 09060100010800ff 0f02120000 0600000001 0600000002"
            "0101 0204120003 09060100010800ff 0f02120000"
        ),
    ),
    (EntrySelection(1, 96), "0204 0600000001 0600000060 120001 120000"),
]


@pytest.mark.parametrize(("value", "octets"), BOTH_WAYS)
def test_both_ways(value: Any, octets: str) -> None:
    coded = bytes.fromhex(octets)
    assert encode(value.to_data()) == coded
    assert type(value).from_data(decode_all(coded)) == value


def test_selectors() -> None:
    assert RangeSelection.selector == 1
    assert EntrySelection.selector == 2


def test_any_integer_type_will_do() -> None:
    data = decode_all(bytes.fromhex("0204 1108 09060000010000ff 1102 1100"))
    assert CaptureObject.from_data(data) == CLOCK


def test_object_list_entry_without_access_rights() -> None:
    data = decode_all(bytes.fromhex("0203 120003 1100 09060100010800ff"))
    assert ObjectListEntry.from_data(data) == ObjectListEntry(3, 0, Obis.parse("1.0.1.8.0.255"))


NAME = Data(DataTag.OCTET_STRING, bytes(6))
ONE = Data(DataTag.UNSIGNED, 1)


@pytest.mark.parametrize(
    "kind", [CaptureObject, ScalerUnit, ObjectListEntry, RangeSelection, EntrySelection]
)
@pytest.mark.parametrize(
    "data",
    [
        NULL,
        ONE,
        array(ONE, ONE),
        structure(),
        structure(ONE),
        structure(ONE, NULL),
        structure(Data(DataTag.BOOLEAN, True), ONE),
        structure(ONE, Data(DataTag.FLOAT32, 1.0)),
        structure(Data(DataTag.LONG, 200), Data(DataTag.LONG, 300)),
        structure(ONE, NAME, ONE, NULL),
        structure(ONE, Data(DataTag.OCTET_STRING, bytes(5)), ONE, ONE),
        structure(Data(DataTag.DOUBLE_LONG, -1), NAME, ONE, ONE),
        structure(CLOCK.to_data(), ONE, ONE, ONE),
        structure(CLOCK.to_data(), ONE, ONE, array(ONE)),
    ],
)
def test_wrong_shapes(kind: Any, data: Data) -> None:
    with pytest.raises(EncodingError) as caught:
        kind.from_data(data)
    assert caught.value.code == "bad-structure"


def test_out_of_range_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="class_id"):
        Attribute(0x10000, IMPORT.obis, 2)
    with pytest.raises(ValueError, match="index"):
        Attribute(3, IMPORT.obis, 200)
