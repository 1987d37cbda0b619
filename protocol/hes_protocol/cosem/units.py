"""
DLMS unit codes and their symbols.

IEC 62056-6-2, class_id 3, scaler_unit, enum `unit` (Blue Book, table "Enumerated values for
physical units"). Corrected volumes (14, 16, 18) have the symbols of the uncorrected ones and
differ in `quantity`. A code that is not in the table, reserved or newer, stays readable as
`unit-<code>`: a meter may send any octet.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs


@attrs.frozen
class Unit:
    """
    A DLMS unit: its code, its symbol (None for a count), and what it measures.

    `known` is False for a code that the table does not have.
    """

    code: int
    symbol: str | None
    quantity: str
    known: bool = True

    def __str__(self) -> str:
        return self.symbol or ""

    @classmethod
    def of(cls, code: int) -> Unit:
        """
        The unit with this code; for a code outside the table one named `unit-<code>`.

        Source: IEC 62056-6-2, class_id 3, unit.
        """
        return UNITS.get(code) or cls(code, f"unit-{code}", "unknown", known=False)


_TABLE: Final[tuple[tuple[int, str | None, str], ...]] = (
    (1, "a", "time"),
    (2, "mo", "time"),
    (3, "wk", "time"),
    (4, "d", "time"),
    (5, "h", "time"),
    (6, "min", "time"),
    (7, "s", "time"),
    (8, "°", "phase angle"),
    (9, "°C", "temperature"),
    (10, "currency", "local currency"),
    (11, "m", "length"),
    (12, "m/s", "speed"),
    (13, "m³", "volume"),
    (14, "m³", "corrected volume"),
    (15, "m³/h", "volume flux"),
    (16, "m³/h", "corrected volume flux"),
    (17, "m³/d", "volume flux"),
    (18, "m³/d", "corrected volume flux"),
    (19, "l", "volume"),
    (20, "kg", "mass"),
    (21, "N", "force"),
    (22, "Nm", "energy"),
    (23, "Pa", "pressure"),
    (24, "bar", "pressure"),
    (25, "J", "energy"),
    (26, "J/h", "thermal power"),
    (27, "W", "active power"),
    (28, "VA", "apparent power"),
    (29, "var", "reactive power"),
    (30, "Wh", "active energy"),
    (31, "VAh", "apparent energy"),
    (32, "varh", "reactive energy"),
    (33, "A", "current"),
    (34, "C", "electrical charge"),
    (35, "V", "voltage"),
    (36, "V/m", "electric field strength"),
    (37, "F", "capacitance"),
    (38, "Ω", "resistance"),
    (39, "Ωm²/m", "resistivity"),
    (40, "Wb", "magnetic flux"),
    (41, "T", "magnetic flux density"),
    (42, "A/m", "magnetic field strength"),
    (43, "H", "inductance"),
    (44, "Hz", "frequency"),
    (45, "1/(Wh)", "active energy meter constant or pulse value"),
    (46, "1/(varh)", "reactive energy meter constant or pulse value"),
    (47, "1/(VAh)", "apparent energy meter constant or pulse value"),
    (48, "V²h", "volt-squared hours"),
    (49, "A²h", "ampere-squared hours"),
    (50, "kg/s", "mass flux"),
    (51, "S", "conductance"),
    (52, "K", "temperature"),
    (53, "1/(V²h)", "volt-squared-hour meter constant or pulse value"),
    (54, "1/(A²h)", "ampere-squared-hour meter constant or pulse value"),
    (55, "1/m³", "volume meter constant or pulse value"),
    (56, "%", "percentage"),
    (57, "Ah", "ampere-hours"),
    (60, "Wh/m³", "energy per volume"),
    (61, "J/m³", "calorific value, wobbe"),
    (62, "Mol %", "molar fraction of gas composition"),
    (63, "g/m³", "mass density"),
    (64, "Pa s", "dynamic viscosity"),
    (65, "J/kg", "specific energy"),
    (66, "g/cm²", "pressure"),
    (67, "atm", "pressure"),
    (70, "dBm", "signal strength"),
    (71, "dBµV", "signal strength"),
    (72, "dB", "logarithmic ratio"),
    (253, None, "extended table of units"),
    (254, None, "other unit"),
    (255, None, "count"),
)

UNITS: Final[Mapping[int, Unit]] = MappingProxyType(
    {code: Unit(code, symbol, quantity) for code, symbol, quantity in _TABLE}
)
COUNT: Final = UNITS[255]

_ASCII: Final = str.maketrans("²³µ", "23u")
# The lowest code wins where symbols are shared: volumes are uncorrected unless said otherwise.
_CODES: Final = {
    unit.symbol.translate(_ASCII): unit.code
    for unit in reversed(tuple(UNITS.values()))
    if unit.symbol is not None
}


def unit_code(symbol: str) -> int:
    """
    The code of a unit by its symbol, in which `m3` also stands for `m³`.

    Raises: ValueError: no unit has this symbol.
    """
    code = _CODES.get(symbol.translate(_ASCII))
    if code is None:
        raise ValueError(f"no DLMS unit: {symbol!r}")
    return code
