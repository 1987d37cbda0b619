"""Shapes of pushes that utilities send, each with the same two values; and what they cost."""

from __future__ import annotations

from functools import partial

import attrs
import pytest

from hes_protocol.axdr import (
    NULL,
    CompactArray,
    Data,
    DataTag,
    TypeDescription,
    array,
    structure,
)
from hes_protocol.cosem import Attribute, CosemDateTime, Obis
from hes_protocol.models import PushLayout, parse_model, push_layouts
from hes_protocol.push import PushValue, read_event, read_push
from hes_protocol.push.values import description, logical_name
from hes_protocol.xdlms import EventNotification
from tests.cost import assert_costs

pytestmark = pytest.mark.conformance("push-layouts", "client")

ENERGY, POWER = Obis.parse("1.0.1.8.0.255"), Obis.parse("1.0.1.7.0.255")
GAS, CLOCK = Obis.parse("0.1.24.2.1.255"), Obis.parse("0.0.1.0.0.255")
SETUP = Obis.parse("0.6.25.9.0.255")
NOON = CosemDateTime(2026, 7, 1, 3, 12, 0, 0, 0xFF, -120, 0x80)
ONE = CosemDateTime(2026, 7, 1, 3, 13, 0, 0, 0xFF, -120, 0x80)
WH = structure(Data(DataTag.INTEGER, 1), Data(DataTag.ENUM, 30))
W = structure(Data(DataTag.INTEGER, 0), Data(DataTag.ENUM, 27))
FLAT_WH, FLAT_W = WH.value, W.value


def name(obis: Obis) -> Data:
    return Data(DataTag.OCTET_STRING, obis.octets)


def written(text: str) -> Data:
    return Data(DataTag.VISIBLE_STRING, text.encode())


def u32(value: int) -> Data:
    return Data(DataTag.DOUBLE_LONG_UNSIGNED, value)


def u16(value: int) -> Data:
    return Data(DataTag.LONG_UNSIGNED, value)


def i8(value: int) -> Data:
    return Data(DataTag.INTEGER, value)


def clock(moment: CosemDateTime = NOON) -> Data:
    return Data(DataTag.OCTET_STRING, moment.to_octets())


def told(class_id: int, obis: Obis, index: int = 2, *more: Data) -> Data:
    return structure(u16(class_id), name(obis), i8(index), *more)


def listed(*entries: tuple[int, Obis, int]) -> Data:
    return array(*(told(*entry, u16(0)) for entry in entries))


REGISTERS = ((3, ENERGY, 2), (3, POWER, 2))
WITH_UNITS = (*REGISTERS, (3, ENERGY, 3), (3, POWER, 3))
ROWS = array(structure(clock(NOON), u32(7), u32(5)), structure(clock(ONE), u32(8), u32(6)))

SHAPES = {
    "names and values in structures": array(
        structure(name(ENERGY), u32(7), WH), structure(name(POWER), u32(5), W)
    ),
    "flat": structure(name(ENERGY), u32(7), WH, name(POWER), u32(5), W),
    "flat, scalers without a structure": structure(
        name(ENERGY), u32(7), *FLAT_WH, name(POWER), u32(5), *FLAT_W
    ),
    "scaler_unit before the value": structure(name(ENERGY), WH, u32(7), name(POWER), W, u32(5)),
    "value and scaler_unit in a structure": structure(
        name(ENERGY), structure(u32(7), WH), name(POWER), structure(u32(5), W)
    ),
    "names as people write them": array(
        structure(written("1-0:1.8.0"), u32(7), WH), structure(written("1.0.1.7.0.255"), u32(5), W)
    ),
    "descriptions with their values": array(
        structure(told(3, ENERGY), u32(7), WH), structure(told(3, POWER), u32(5), W)
    ),
    "descriptions laid flat": array(
        structure(u16(3), name(ENERGY), i8(2), u32(7), WH),
        structure(u16(3), name(POWER), i8(2), u32(5), W),
    ),
    "a list of objects, units among them": structure(
        listed(*WITH_UNITS), u32(7), u32(5), WH, W
    ),
    "a list of objects that lists itself": structure(
        listed((40, SETUP, 2), *WITH_UNITS), u32(7), u32(5), WH, W
    ),
    "a list of objects that lists itself, values in a sequence": structure(
        listed((40, SETUP, 2), *WITH_UNITS), structure(u32(7), u32(5), WH, W)
    ),
    "a list of objects, values in a sequence": structure(
        listed(*WITH_UNITS), structure(u32(7), u32(5), WH, W)
    ),
    "a name before a list": structure(
        name(Obis.parse("0.0.21.0.6.255")),
        array(structure(name(ENERGY), u32(7), WH), structure(name(POWER), u32(5), W)),
    ),
    "nulls between": structure(NULL, name(ENERGY), u32(7), WH, NULL, name(POWER), u32(5), W, NULL),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_gives_values_with_their_units(shape: str) -> None:
    values = read_push(SHAPES[shape]).values
    assert [(v.obis, v.class_id, v.attribute_index, v.data) for v in values] == [
        (ENERGY, 3, 2, u32(7)),
        (POWER, 3, 2, u32(5)),
    ]
    assert [(v.scaler, v.unit) for v in values] == [(1, 30), (0, 27)]


def test_rows_of_a_profile_are_values_of_their_time() -> None:
    push = read_push(structure(listed((8, CLOCK, 2), *REGISTERS), ROWS))
    assert [(v.obis, v.data.value, v.captured_at) for v in push.values if v.obis != CLOCK] == [
        (ENERGY, 7, NOON), (POWER, 5, NOON), (ENERGY, 8, ONE), (POWER, 6, ONE),
    ]  # fmt: skip


def test_the_time_of_an_extended_register_is_its_own() -> None:
    payload = structure(
        listed((4, GAS, 2), (4, GAS, 5), (3, ENERGY, 2)), u32(9), clock(ONE), u32(7)
    )
    gas, _, energy = read_push(payload, NOON).values
    assert (gas.captured_at, energy.captured_at) == (ONE, None)
    named = structure(structure(name(GAS), u32(9), WH, clock(ONE)), structure(name(ENERGY), u32(7)))
    gas, energy = read_push(named, NOON).values
    assert (gas.obis, gas.captured_at, gas.unit) == (GAS, ONE, 30)
    assert energy.captured_at is None


def test_a_clock_in_a_row_belongs_to_no_value() -> None:
    push = read_push(structure(clock(), name(ENERGY), u32(7), name(CLOCK), clock(ONE)))
    assert push.captured_at == ONE
    assert [value.captured_at for value in push.values] == [None, None, None]


def test_a_compact_array_is_read_as_what_it_stands_for() -> None:
    types = TypeDescription(
        DataTag.STRUCTURE,
        (TypeDescription(DataTag.OCTET_STRING), TypeDescription(DataTag.DOUBLE_LONG_UNSIGNED)),
    )
    rows = (structure(name(ENERGY), u32(7)), structure(name(POWER), u32(5)))
    push = read_push(Data(DataTag.COMPACT_ARRAY, CompactArray(types, rows)))
    assert [(v.obis, v.data) for v in push.values] == [(ENERGY, u32(7)), (POWER, u32(5))]


def test_names_that_do_not_fit_their_values_name_nothing() -> None:
    push = read_push(structure(listed(*WITH_UNITS), u32(7), u32(5)))
    assert [(v.obis, v.data) for v in push.values] == [(None, u32(7)), (None, u32(5))]


def test_what_was_cut_is_named_as_far_as_it_came() -> None:
    cut = structure(listed(*REGISTERS), u32(7))
    assert [v.obis for v in read_push(cut).values] == [None]
    assert [v.obis for v in read_push(cut, count=3).values] == [ENERGY]
    own = structure(listed((40, SETUP, 2), *REGISTERS), u32(7))
    assert [v.obis for v in read_push(own, count=3).values] == [ENERGY]


@pytest.mark.parametrize(
    ("text", "obis"),
    [
        ("1-0:1.8.0", "1.0.1.8.0.255"),
        ("1-0:1.8.0*254", "1.0.1.8.0.254"),
        ("0-1:24.2.1.255", "0.1.24.2.1.255"),
        ("1.0.1.8.0.255", "1.0.1.8.0.255"),
        ("1-0:1.8", None),
        ("256.0.1.8.0.255", None),
        ("192.168.10.12", None),
        ("2026-07-01 12:00", None),
        ("1-0:1.8.0(7)", None),
    ],
)
def test_names_as_people_write_them(text: str, obis: str | None) -> None:
    found = logical_name(written(text))
    assert (found and str(found)) == obis


def test_what_is_no_description() -> None:
    assert description(structure(u16(3), name(ENERGY), i8(2), u32(7))) is None
    assert description(structure(u16(3), name(ENERGY))) is None
    assert description(structure(u32(3), name(ENERGY), i8(2))) is None
    assert description(told(3, ENERGY)) == (3, ENERGY, 2)


class TestLayouts:
    ROW = structure(name(SETUP), written("1181"), u32(7), u32(5))

    def test_a_bare_row_by_its_push_setup(self) -> None:
        layout = PushLayout("x", objects=(None, None, ENERGY, POWER), push_setup=SETUP)
        push = read_push(self.ROW, layouts=(layout,))
        assert [(v.obis, v.data) for v in push.values] == [
            (None, written("1181")),
            (ENERGY, u32(7)),
            (POWER, u32(5)),
        ]
        other = attrs.evolve(layout, push_setup=Obis.parse("0.8.25.9.0.255"))
        assert read_push(self.ROW, layouts=(other,)).layout is None

    def test_a_row_that_names_values_is_not_bare(self) -> None:
        layout = PushLayout("x", objects=(ENERGY, POWER, GAS, None), known_model_only=True)
        assert read_push(SHAPES["flat"], layouts=(layout,)).layout is None
        row = structure(name(ENERGY), u32(7), name(POWER), u32(5))
        assert read_push(row, layouts=(layout,)).layout is None

    def test_resolutions_by_push_setup_and_number_of_values(self) -> None:
        layout = PushLayout(
            "x", "LGZ", (), {ENERGY: (0, 30)}, Obis.parse("0.6.25.9.0.255"), elements=4
        )
        setup = listed((40, SETUP, 2), (1, Obis.parse("0.0.42.0.0.255"), 2), *REGISTERS)
        payload = structure(setup, written("LGZ1"), u32(7), u32(5))
        assert read_push(payload, layouts=(layout,)).values[1] == PushValue(
            ENERGY, 3, 2, u32(7), 0, 30
        )
        for wrong in (
            attrs.evolve(layout, elements=5),
            attrs.evolve(layout, marker="ISK"),
            attrs.evolve(layout, push_setup=CLOCK),
        ):
            assert read_push(payload, layouts=(wrong,)).layout is None

    def test_a_model_that_nothing_tells_apart_is_for_those_who_know_it(self) -> None:
        model = parse_model(
            'name = "a"\nmaker = "b"\nsource = "c"\n[[push]]\nknown_model_only = true\n'
            'objects = ["1.0.1.7.0.255"]'
        )
        assert push_layouts((model,)) == ()
        push = read_push(structure(u32(5)), layouts=model.push)
        assert [v.obis for v in push.values] == [POWER]


@pytest.mark.conformance("event-notification", "client")
def test_events_are_values_of_their_attribute() -> None:
    alarm = Attribute(1, Obis.parse("0.0.97.98.20.255"), 2)
    push = read_event(EventNotification(alarm, u32(4), NOON.to_octets()))
    assert push.values == (PushValue(alarm.obis, 1, 2, u32(4)),)
    assert push.captured_at == NOON
    log = Attribute(7, Obis.parse("0.0.99.98.0.255"), 2)
    row = array(structure(clock(ONE), Data(DataTag.UNSIGNED, 17)))
    push = read_event(EventNotification(log, row))
    assert push.captured_at == ONE
    assert [(v.obis, v.class_id) for v in push.values if v.class_id != 8] == [(log.obis, 7)]
    assert read_event(EventNotification(log, NULL)).values == ()


@pytest.mark.parametrize(
    "payload",
    [
        array(*[told(3, ENERGY, 2, u16(0))] * 9000),
        structure(array(*[told(3, ENERGY, 2, u16(0))] * 4000), *[u32(1)] * 4000),
        array(*[structure(name(ENERGY), u32(1), WH)] * 5000),
        array(*[structure(structure(structure(told(3, ENERGY))))] * 4000),
        structure(*[name(ENERGY)] * 9000),
        structure(*[u16(3), name(ENERGY), i8(2)] * 4000),
        structure(*[name(ENERGY), array(structure(name(POWER), u32(1)))] * 3000),
        structure(listed(*REGISTERS), array(*[structure(u32(1), u32(2))] * 9000)),
        structure(listed(*REGISTERS), array(*[structure(u32(1), u32(2))] * 9000, u32(1))),
    ],
    ids=range(9),
)  # fmt: skip
def test_the_worst_payload_costs_linear_time(payload: Data) -> None:
    """5 µs an element and 2.5 ms, twice that on a busy machine, whatever stands where."""
    elements = 0
    stack = [payload]
    while stack:
        data = stack.pop()
        elements += 1
        if data.tag in (DataTag.ARRAY, DataTag.STRUCTURE):
            stack.extend(data.value)
    layouts = tuple(PushLayout(str(n), f"M{n}") for n in range(50))
    assert_costs(partial(read_push, payload, None, layouts), 5e-6 * elements + 2.5e-3)


# --- nothing is guessed -----------------------------------------------------------------------


def readings(payload: Data, layouts: tuple[PushLayout, ...] = ()) -> dict[Obis, object]:
    return {v.obis: v.data.value for v in read_push(payload, None, layouts).values if v.obis}


OWN = (40, SETUP, 2)
ADDRESS = Data(DataTag.OCTET_STRING, bytes.fromhex("f8dc7a123456"))


@pytest.mark.parametrize(
    "payload",
    [
        structure(u32(7), name(ENERGY), u32(5), name(POWER)),
        structure(u32(7), name(ENERGY), u32(5), name(POWER), u32(3), name(GAS)),
        structure(listed(OWN, *REGISTERS), u32(7), u32(5), u32(3)),
        structure(listed(OWN, (8, CLOCK, 2), *REGISTERS), u32(7), clock(), u32(5)),
        structure(listed((8, CLOCK, 2), *REGISTERS), u32(7), u32(5), clock()),
        structure(listed((1, ENERGY, 1), (3, ENERGY, 2)), u32(7), name(ENERGY)),
        structure(listed((8, CLOCK, 2), *REGISTERS), array(structure(u32(7), u32(5), clock()))),
        structure(ADDRESS, u32(7)),
    ],
    ids=[
        "names behind values", "three names behind", "a value more than objects",
        "objects in another order", "clock at the end", "name and value swapped", "rows swapped",
        "hardware address",
    ],
)  # fmt: skip
def test_what_may_belong_to_another_name_has_none(payload: Data) -> None:
    assert readings(payload) == {}


def test_a_name_before_another_name_names_no_value() -> None:
    title = Obis.parse("0.1.94.31.0.255")
    row = structure(name(title), name(ENERGY), u32(7), name(POWER), u32(5))
    assert readings(row) == {ENERGY: 7, POWER: 5}
    alone = structure(name(title), name(ENERGY))
    assert readings(alone) == {title: ENERGY.octets}


def test_a_scaler_laid_flat_before_its_value_is_not_the_value() -> None:
    push = read_push(structure(name(ENERGY), *FLAT_WH, u32(7), name(POWER), *FLAT_W, u32(5)))
    assert [(v.obis, v.data.value, v.scaler, v.unit) for v in push.values] == [
        (ENERGY, 7, 1, 30),
        (POWER, 5, 0, 27),
    ]


def test_the_time_of_a_maximum_is_no_clock() -> None:
    maximum = structure(clock(ONE), name(ENERGY), u32(7), clock(NOON))
    assert read_push(maximum).captured_at is None
    assert read_push(maximum, NOON).captured_at == NOON
    same = structure(clock(ONE), name(ENERGY), u32(7), clock(ONE))
    assert read_push(same).captured_at == ONE


def test_a_demand_registers_time_is_that_of_its_last_average() -> None:
    demand = listed((5, POWER, 2), (5, POWER, 3), (5, POWER, 6))
    current, last, _ = read_push(structure(demand, u32(5), u32(4), clock())).values
    assert (current.captured_at, last.captured_at) == (None, NOON)


@pytest.mark.parametrize(
    ("elements", "fits"),
    [
        ((written("SN1"), clock(), u32(7)), True),
        ((NULL, NULL, u32(7)), True),
        ((u32(7), clock(), u32(7)), False),
        ((written("SN1"), u32(7), clock()), False),
        ((written("SN1"), clock(), written("7")), False),
    ],
)
def test_a_layout_reads_only_rows_whose_values_may_be_its_objects(
    elements: tuple[Data, ...], fits: bool
) -> None:
    serial = Obis.parse("0.0.96.1.0.255")
    layout = PushLayout("m", objects=(serial, CLOCK, ENERGY))
    assert (ENERGY in readings(structure(*elements), (layout,))) is fits
