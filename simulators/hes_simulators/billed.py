"""
What a billing period comes to, beside the registers: minutes with power, power factor.

Column-wise: for many moments at once, each with the period that is under way there, or ends there.
When periods end is `billing`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hes_simulators.billing import period_of
from hes_simulators.clock import SECOND_US
from hes_simulators.randomness import Int64Array

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_MINUTE_US: Final = 60 * SECOND_US
_UNITY: Final = 1000


def minutes_with_power(meter: Meter, at_us: Int64Array) -> Int64Array:
    """
    How long the meter had power.

    Args: at_us: true time, sorted.
    """
    begins_us = _begins_us(meter, at_us)
    return (_powered_us(meter, at_us) - _powered_us(meter, begins_us)) // _MINUTE_US


def power_factor_pm(meter: Meter, at_us: Int64Array) -> Int64Array:
    """
    Active by apparent energy that was imported, per mille; 1000 where none was.

    Args: at_us: true time, sorted.
    """
    begins_us = _begins_us(meter, at_us)
    active, apparent = (
        meter.totals(quantity, at_us) - meter.totals(quantity, begins_us)
        for quantity in ("import_wh", "import_vah")
    )
    share = np.minimum(active * _UNITY // np.maximum(apparent, 1), _UNITY)
    found: Int64Array = np.where(apparent > 0, share, _UNITY)
    return found


def _begins_us(meter: Meter, at_us: Int64Array) -> Int64Array:
    closed_us, _ = meter.closings(int(at_us[-1]) if len(at_us) else 0)
    return period_of(at_us, meter.installed_us, closed_us)


def _powered_us(meter: Meter, at_us: Int64Array) -> Int64Array:
    """How long it had power since the installation, in microseconds."""
    powered = at_us - meter.installed_us
    dark = meter.state.dark
    for from_us, to_us in dark.closed:
        powered = powered - np.maximum(np.minimum(at_us, to_us) - from_us, 0)
    if dark.since_us is not None:
        powered = powered - np.maximum(at_us - dark.since_us, 0)
    return powered
