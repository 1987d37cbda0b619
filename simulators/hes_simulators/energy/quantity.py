"""
What a source can be asked for: names, scalers and units of everything that is measured.

A cumulative quantity is a register that only grows, in whole `10^scaler` of its unit; every other
one is a momentary value. `import` is energy from the grid (+A), `export` energy into it (-A);
`_r1` is a rate (tariff), `_l1` a phase. Reactive quadrants as in IEC 62053-23: Q1 and Q4 while
energy is imported, Q1 and Q2 inductive (+R), Q3 and Q4 capacitive (-R).

Source: IEC 62056-6-2, class_id 3, scaler_unit, "Enumerated values for physical units".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

MAX_RATES: Final = 8  # IS 15959 knows eight zones of the day, the IDIS package four rates
PHASES: Final = (1, 2, 3)

_CUBIC_METRE, _WATT, _VOLT_AMPERE, _VAR, _WATT_HOUR, _VOLT_AMPERE_HOUR, _VAR_HOUR = (
    *(13, 27, 28, 29, 30, 31, 32),
)
_AMPERE, _VOLT, _HERTZ, _NO_UNIT = 33, 35, 44, 255


@attrs.frozen
class Quantity:
    """One quantity: its values are whole numbers of `10^scaler` of the DLMS unit `unit`."""

    name: str
    cumulative: bool
    scaler: int
    unit: int


def _quantities() -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}

    def add(name: str, scaler: int, unit: int, *, cumulative: bool = False) -> None:
        found[name] = Quantity(name, cumulative, scaler, unit)

    for direction in ("import", "export"):
        for name, unit in (("wh", _WATT_HOUR), ("varh", _VAR_HOUR), ("vah", _VOLT_AMPERE_HOUR)):
            add(f"{direction}_{name}", 0, unit, cumulative=True)
            for rate in range(1, MAX_RATES + 1):
                add(f"{direction}_{name}_r{rate}", 0, unit, cumulative=True)
        for name, unit in (("w", _WATT), ("var", _VAR), ("va", _VOLT_AMPERE)):
            add(f"{direction}_{name}", 0, unit)
        for phase in PHASES:
            add(f"{direction}_wh_l{phase}", 0, _WATT_HOUR, cumulative=True)
            add(f"{direction}_w_l{phase}", 0, _WATT)
    for quadrant in range(1, 5):
        add(f"reactive_q{quadrant}_varh", 0, _VAR_HOUR, cumulative=True)
    for phase in PHASES:
        add(f"voltage_l{phase}_dv", -1, _VOLT)
        add(f"current_l{phase}_ca", -2, _AMPERE)
    add("current_n_ca", -2, _AMPERE)
    add("power_factor_pm", -3, _NO_UNIT)
    add("frequency_mhz", -3, _HERTZ)
    add("gas_dm3", -3, _CUBIC_METRE, cumulative=True)
    add("water_dm3", -3, _CUBIC_METRE, cumulative=True)
    return found


QUANTITIES: Final[Mapping[str, Quantity]] = MappingProxyType(_quantities())
"""
By name: `import_wh`, `import_wh_r1` .. `_r8`, `import_wh_l1` .. `_l3`, the same of `export` and of
`varh` and `vah` (rates only), `reactive_q1_varh` .. `q4`, `import_w`, `import_w_l1`, `import_var`,
`import_va`, `voltage_l1_dv`, `current_l1_ca`, `current_n_ca`, `power_factor_pm`, `frequency_mhz`,
`gas_dm3`, `water_dm3`. Which of them a source has, its `quantities` say.
"""
