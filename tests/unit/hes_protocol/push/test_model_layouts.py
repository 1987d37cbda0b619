"""The layouts in config/models, on rows of their shape; the numbers are ours."""

from __future__ import annotations

import pytest

from hes.models import model_push_layouts, models
from hes_protocol.axdr import Data, DataTag, array, structure
from hes_protocol.cosem import Obis
from hes_protocol.push import Push, read_push

pytestmark = pytest.mark.conformance("push-layouts", "client")

IMPORT, VOLTAGE, CURRENT = "1.0.1.7.0.255", "1.0.32.7.0.255", "1.0.31.7.0.255"


def text(value: str) -> Data:
    return Data(DataTag.OCTET_STRING, value.encode())


def raw(hexadecimal: str) -> Data:
    return Data(DataTag.OCTET_STRING, bytes.fromhex(hexadecimal))


def u32(*values: int) -> tuple[Data, ...]:
    return tuple(Data(DataTag.DOUBLE_LONG_UNSIGNED, value) for value in values)


def u16(*values: int) -> tuple[Data, ...]:
    return tuple(Data(DataTag.LONG_UNSIGNED, value) for value in values)


def found(push: Push) -> dict[str, tuple[int, int, int]]:
    return {str(v.obis): (v.data.value, v.scaler, v.unit) for v in push.values if v.obis}


def listed(setup: str, *registers: str) -> Data:
    entries = [(40, setup), (1, "0.0.42.0.0.255"), *((3, obis) for obis in registers)]
    return array(
        *(
            structure(
                Data(DataTag.LONG_UNSIGNED, class_id),
                Data(DataTag.OCTET_STRING, Obis.parse(obis).octets),
                Data(DataTag.INTEGER, 2),
                Data(DataTag.LONG_UNSIGNED, 0),
            )
            for class_id, obis in entries
        )
    )


@pytest.mark.parametrize("texts", [(raw(""), raw("")), ()])
def test_austrian_rows_of_am550_and_im350(texts: tuple[Data, ...]) -> None:
    row = (raw("0006190900ff"), text("1181000000001"), raw("0c000000"), raw("07ea070103"))
    push = read_push(
        structure(*row, *u32(11, 12, 13, 14, 15, 16), *texts), None, model_push_layouts()
    )
    assert push.layout == "iskraemeco-am550"
    assert found(push)["1.0.1.8.0.255"] == (11, 0, 30)
    assert found(push)["1.0.2.7.0.255"] == (16, 0, 27)
    assert push.identities == ((Obis.parse("0.0.96.1.0.255"), "1181000000001"),)


def test_slovenian_rows_of_am550() -> None:
    names = (text("ISK1030000000001"), text("16820000"))
    powers = structure(
        *names, *u32(1, 2, 3, 4), *u16(2379, 0, 0), *u16(103, 0, 0), *u32(1, 0, 0, 0, 0, 0)
    )
    push = read_push(powers, None, model_push_layouts())
    assert (found(push)[IMPORT], found(push)[VOLTAGE], found(push)[CURRENT]) == (
        (1, 0, 27), (2379, -1, 35), (103, -2, 33),
    )  # fmt: skip
    tariffs = (Data(DataTag.ENUM, 1), raw("0001"))
    energies = structure(*names, *tariffs, *u32(3, 1, 2, 6, 4, 2, 7, 8))
    assert found(read_push(energies, None, model_push_layouts()))["1.0.1.8.2.255"] == (2, 0, 30)


@pytest.mark.parametrize(
    ("setup", "device", "count", "volts", "amperes"),
    [
        ("0.6.25.9.0.255", "ISK1030000000001", 14, (2350, -1, 35), (12, -2, 33)),
        ("0.6.25.9.0.255", "LGZ1030000000001", 14, (2350, -1, 35), (12, -2, 33)),
        ("0.8.25.9.0.255", "LGZ1030000000001", 17, (2350, 0, 35), (12, -2, 33)),
        ("0.8.25.9.0.255", "LGZ1030000000001", 14, (2350, 0, 35), (12, 0, 255)),
        ("0.8.25.9.0.255", "XYZ1030000000001", 14, (2350, 0, 255), (12, 0, 255)),
        ("0.6.25.9.0.255", "LGZ1030000000001", 13, (2350, 0, 255), (12, 0, 255)),
    ],
)
def test_swiss_lists_leave_the_scalers_to_the_model(
    setup: str,
    device: str,
    count: int,
    volts: tuple[int, int, int],
    amperes: tuple[int, int, int],
) -> None:
    others = [f"1.0.{number}.8.0.255" for number in range(1, count - 3)]
    objects = listed(setup, *others, VOLTAGE, CURRENT)
    values = (*u32(*range(len(others))), *u16(2350, 12))
    push = read_push(structure(objects, text(device), *values), None, model_push_layouts())
    assert len(objects.value) == len(others) + 4
    assert (found(push)[VOLTAGE], found(push)[CURRENT]) == (volts, amperes)


def test_every_model_names_its_source_and_scales_what_it_names() -> None:
    for model in models():
        assert model.source
        for layout in model.push:
            named = {obis for obis in layout.objects if obis}
            if layout.push_setup is None and layout.marker.startswith("ISK"):
                assert set(layout.scalers) <= named
