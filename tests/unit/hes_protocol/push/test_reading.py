"""Push layouts are told apart by shape; what has no name keeps none; nothing is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given

from hes_protocol.axdr.data import NULL, Data, DataTag, array, structure
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.errors import LocalProtocolError
from hes_protocol.models import PushLayout, parse_model
from hes_protocol.push import PushValue, read_push
from tests.strategies import trees

ENERGY = Obis.parse("1.0.1.8.0.255")
POWER = Obis.parse("1.0.1.7.0.255")
SERIAL = Obis.parse("0.0.96.1.0.255")
CLOCK = Obis.parse("0.0.1.0.0.255")
NOON = CosemDateTime(2026, 7, 1, 3, 12, 0, 0, 0xFF, -120, 0x80)
WH = structure(Data(DataTag.INTEGER, 0), Data(DataTag.ENUM, 30))


def name(obis: Obis) -> Data:
    return Data(DataTag.OCTET_STRING, obis.octets)


def u32(value: int) -> Data:
    return Data(DataTag.DOUBLE_LONG_UNSIGNED, value)


def text(value: str) -> Data:
    return Data(DataTag.OCTET_STRING, value.encode())


def clock(moment: CosemDateTime = NOON) -> Data:
    return Data(DataTag.OCTET_STRING, moment.to_octets())


def described(class_id: int, obis: Obis) -> Data:
    return structure(
        Data(DataTag.LONG_UNSIGNED, class_id),
        name(obis),
        Data(DataTag.INTEGER, 2),
        Data(DataTag.LONG_UNSIGNED, 0),
    )


PUSH_SETUP = Obis.parse("0.6.25.9.0.255")
OBJECT_LIST = array(described(40, PUSH_SETUP), described(1, SERIAL), described(3, ENERGY))

LAYOUTS = {
    "named, in an array": array(
        structure(name(SERIAL), text("1KFM0000000001")), structure(name(ENERGY), u32(7), WH)
    ),
    "named, mixed with a pair": structure(
        name(CLOCK),
        clock(),
        structure(name(SERIAL), text("1KFM0000000001")),
        structure(name(ENERGY), u32(7), WH),
    ),
    "paired": structure(
        text("Label_V1"), name(SERIAL), text("1KFM0000000001"), name(ENERGY), u32(7)
    ),
    "paired, with scalers behind the values": structure(
        clock(), name(SERIAL), text("1KFM0000000001"), name(ENERGY), u32(7), WH
    ),
    "described, the list is its own first value": structure(
        OBJECT_LIST, text("1KFM0000000001"), u32(7)
    ),
    "described, the list stands before all": structure(
        array(described(1, SERIAL), described(3, ENERGY)), text("1KFM0000000001"), u32(7)
    ),
    "nested": structure(
        structure(array(structure(name(SERIAL), text("1KFM0000000001")))),
        structure(structure(name(ENERGY), u32(7), WH)),
    ),
}


@pytest.mark.conformance("push-layouts", "client")
@pytest.mark.parametrize("shape", LAYOUTS)
def test_every_shape_gives_the_same_value_and_identity(shape: str) -> None:
    push = read_push(LAYOUTS[shape])
    energy = [value for value in push.values if value.obis == ENERGY]
    assert [(v.class_id, v.attribute_index, v.data) for v in energy] == [(3, 2, u32(7))]
    assert push.identities == ((SERIAL, "1KFM0000000001"),)
    with_unit = "scalers" in shape or "named" in shape or shape == "nested"
    assert (energy[0].scaler, energy[0].unit) == ((0, 30) if with_unit else (0, 255))


def test_the_payload_clock_goes_before_the_notifications_own() -> None:
    header = CosemDateTime(2026, 7, 1, 3, 11, 0, 0, 0xFF, -120, 0x80)
    assert (
        read_push(structure(name(CLOCK), clock(), name(ENERGY), u32(1)), header).captured_at == NOON
    )
    assert read_push(structure(name(ENERGY), u32(1)), header).captured_at == header
    assert read_push(structure(name(ENERGY), u32(1))).captured_at is None


def test_twelve_digits_are_a_serial_number_and_no_date() -> None:
    push = read_push(structure(clock(), name(ENERGY), u32(1), text("181220002177")))
    assert push.captured_at == NOON
    assert push.identities == ((None, "181220002177"),)


def test_what_hangs_on_the_meter_does_not_name_it() -> None:
    gas = Obis.parse("0.1.96.1.0.255")
    push = read_push(structure(name(gas), text("GAS0000001"), name(ENERGY), u32(1)))
    assert push.identities == ()
    assert [value.obis for value in push.values] == [gas, ENERGY]


def test_nulls_in_a_row_of_pairs_shift_nothing() -> None:
    push = read_push(structure(name(POWER), u32(5), NULL, NULL, name(ENERGY), u32(7), NULL, NULL))
    assert [(v.obis, v.data.value) for v in push.values] == [(POWER, 5), (ENERGY, 7)]


def test_a_null_value_is_no_value() -> None:
    assert read_push(structure(name(POWER), NULL, name(ENERGY), u32(7))).values == (
        PushValue(ENERGY, 3, 2, u32(7)),
    )


@pytest.mark.conformance("push-layouts", "client")
def test_bare_values_stay_unnamed_without_a_layout_and_are_named_by_one() -> None:
    payload = structure(text("XYZ_001"), u32(5), u32(7))
    assert [value.obis for value in read_push(payload).values] == [None, None, None]
    layout = PushLayout(
        "xyz", "XYZ_", (Obis.parse("1.1.0.2.129.255"), POWER, ENERGY), {ENERGY: (1, 30)}
    )
    push = read_push(payload, None, (layout,))
    assert push.layout == "xyz"
    assert push.values[2] == PushValue(ENERGY, 3, 2, u32(7), 1, 30)
    # One element more or less, or another mark, is another layout.
    assert read_push(structure(text("XYZ_001"), u32(5)), None, (layout,)).layout is None
    assert read_push(structure(text("ABC_001"), u32(5), u32(7)), None, (layout,)).layout is None


def test_a_scaler_in_the_frame_goes_before_the_layouts() -> None:
    layout = PushLayout("xyz", "XYZ_", (), {ENERGY: (1, 30)})
    payload = structure(text("XYZ_1"), name(ENERGY), u32(7), WH)
    assert read_push(payload, None, (layout,)).values[1].scaler == 0


@pytest.mark.conformance("push-layouts", "client")
@given(trees())
def test_any_payload_is_read_and_no_number_is_lost(payload: Data) -> None:
    def numbers(data: Data) -> int:
        if data.tag in (DataTag.ARRAY, DataTag.STRUCTURE):
            return sum(map(numbers, data.value))
        return data.tag is DataTag.DOUBLE_LONG_UNSIGNED

    found = [value.data for value in read_push(payload).values]
    assert sum(map(numbers, found)) == numbers(payload)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "x",
        'name = "a"\nmaker = "b"',
        'name = "a"\nmaker = "b"\nsource = ""',
        'name = "a"\nmaker = "b"\nsource = "c"\n[[push]]\n',
        'name = "a"\nmaker = "b"\nsource = "c"\n[[push]]\nmarker = "m"\nfoo = 1',
        'name = "a"\nmaker = "b"\nsource = "c"\n[[push]]\nmarker = "m"\nobjects = ["1-0"]',
        (
            'name = "a"\nmaker = "b"\nsource = "c"\n[[push]]\nmarker = "m"\n'
            '[push.scalers]\n"1.0.1.8.0.255" = [0, "furlong"]'
        ),
    ],
)
def test_a_broken_model_says_so(document: str) -> None:
    with pytest.raises(LocalProtocolError):
        parse_model(document)
