"""The unit table."""

from __future__ import annotations

import pytest

from hes_protocol.cosem import COUNT, UNITS, Unit, unit_code


@pytest.mark.parametrize(
    ("code", "symbol"),
    [
        (9, "°C"),
        (13, "m³"),
        (25, "J"),
        (27, "W"),
        (28, "VA"),
        (29, "var"),
        (30, "Wh"),
        (31, "VAh"),
        (32, "varh"),
        (33, "A"),
        (35, "V"),
        (44, "Hz"),
        (56, "%"),
        (71, "dBµV"),
    ],
)
def test_symbols(code: int, symbol: str) -> None:
    assert Unit.of(code).symbol == symbol
    assert str(Unit.of(code)) == symbol
    assert unit_code(symbol) == code


def test_a_count_has_no_symbol() -> None:
    assert Unit.of(255) is COUNT
    assert COUNT.symbol is None
    assert str(COUNT) == ""


@pytest.mark.parametrize("code", [0, 58, 200])
def test_an_unknown_code_stays_readable(code: int) -> None:
    unit = Unit.of(code)
    assert unit.symbol == f"unit-{code}"
    assert not unit.known
    assert code not in UNITS


def test_corrected_volumes_differ_by_quantity_and_are_not_found_by_symbol() -> None:
    assert Unit.of(14).symbol == Unit.of(13).symbol
    assert Unit.of(14) != Unit.of(13)
    assert unit_code("m3/h") == 15


def test_no_unit() -> None:
    with pytest.raises(ValueError, match="furlong"):
        unit_code("furlong")
