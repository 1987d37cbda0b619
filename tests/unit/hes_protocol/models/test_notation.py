"""The short forms of values: what they mean, and that they mean nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.axdr import NULL, BitString, Data, DataTag, array, structure
from hes_protocol.cosem import Obis
from hes_protocol.models import Statistic
from hes_protocol.models.notation import (
    read_access,
    read_attribute_name,
    read_constant,
    read_source,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("enum 2", Data(DataTag.ENUM, 2)),
        ("integer -128", Data(DataTag.INTEGER, -128)),
        ("long64-unsigned 18446744073709551615", Data(DataTag.LONG64_UNSIGNED, 2**64 - 1)),
        ("boolean true", Data(DataTag.BOOLEAN, True)),
        ("null-data", NULL),
        ("octet-string", Data(DataTag.OCTET_STRING, b"")),
        ("octet-string 0x00ff", Data(DataTag.OCTET_STRING, b"\x00\xff")),
        (
            "octet-string obis:1.0.1.8.0.255",
            Data(DataTag.OCTET_STRING, bytes((1, 0, 1, 8, 0, 255))),
        ),
        ("visible-string V 1.0", Data(DataTag.VISIBLE_STRING, b"V 1.0")),
        ("utf8-string ä", Data(DataTag.UTF8_STRING, "ä".encode())),
        ("bit-string 101", Data(DataTag.BIT_STRING, BitString(3, b"\xa0"))),
        ("time 0x0c000000", Data(DataTag.TIME, bytes.fromhex("0c000000"))),
        (["enum 1", []], structure(Data(DataTag.ENUM, 1), structure())),
        ({"array": ["enum 1"]}, array(Data(DataTag.ENUM, 1))),
    ],
)
def test_constants(written: object, meant: Data) -> None:
    assert read_constant(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "enum", "enum 256", "enum -1", "enum 1.0", "enum ١", "integer 128", "boolean 1", "word 1",
        "octet-string 0x0", "octet-string obis:1", "time 0x00", "bit-string 2", "array 1",
        "float32 1", "dont-care", 1, None, {"array": 1}, {"list": []}, {"array": [], "x": 1},
    ],
)  # fmt: skip
def test_what_is_no_constant(written: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_constant(written)


@given(st.integers(-(2**70), 2**70), st.sampled_from(("unsigned", "long", "double-long")))
def test_integers_within_their_type_and_no_others(number: int, name: str) -> None:
    low, high = {"unsigned": (0, 255), "long": (-(2**15), 2**15 - 1)}.get(
        name, (-(2**31), 2**31 - 1)
    )
    if low <= number <= high:
        assert read_constant(f"{name} {number}").value == number
    else:
        with pytest.raises(ValueError, match=r"number|within"):
            read_constant(f"{name} {number}")


def test_sources() -> None:
    assert read_source("import_wh") == ("import_wh", Statistic.MOMENT)
    assert read_source("maximum_at(import_w)") == ("import_w", Statistic.MAXIMUM_AT)
    assert read_source("enum 1") is None
    assert read_source(["x"]) is None
    for broken in ("average(import_w", "import_w)", "middle(import_w)"):
        with pytest.raises(ValueError, match=r"none of|neither"):
            read_source(broken)


def test_names_of_attributes() -> None:
    energy = Obis.parse("1.0.1.8.0.255")
    assert read_attribute_name("1.0.1.8.0.255") == (None, energy, 2, 0)
    assert read_attribute_name("3/1.0.1.8.0.255/3") == (3, energy, 3, 0)
    assert read_attribute_name("4/1.0.1.8.0.255/5/1") == (4, energy, 5, 1)
    for broken in ("", "3", "1.0.1.8.0.255/0", "1.0.1.8.0.255/2/0/0", "-1/1.0.1.8.0.255", "3/4"):
        with pytest.raises(ValueError, match=r"."):
            read_attribute_name(broken)


def test_access() -> None:
    clients = {"public": 16, "management": 1}
    rights = read_access({"public": "-", "management": "rw"}, clients)
    assert rights == {"r": {1}, "w": {1}, "x": set(), "-": {16, 1}}
    assert read_access("r", clients)["r"] == {16, 1}
    for broken in ({"public": ""}, {"public": 1}, {"x": "r"}, 1, ["r"]):
        with pytest.raises(ValueError, match=r"."):
            read_access(broken, clients)
