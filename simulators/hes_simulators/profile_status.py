"""
The status octet of a profile's rows: what befell the meter since the row before.

Source: IDIS companion standard, package 2, "AMR profile status".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hes_protocol.cosem.date_time import ClockStatus
from hes_simulators.clock import grid
from hes_simulators.quantities import Rows
from hes_simulators.randomness import Int64Array

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

STATUS_CLOCK_INVALID: Final = 0x02
STATUS_DAYLIGHT_SAVING: Final = 0x08
STATUS_CLOCK_ADJUSTED: Final = 0x20
STATUS_POWER_DOWN: Final = 0x80


def profile_status(meter: Meter, rows: Rows) -> Int64Array:
    """The status octet of each row: summer time, and what befell the meter since the row before."""
    state = meter.state
    summer = (
        meter.face.octets(rows.shown_us, state.clock_status)[:, -1] & ClockStatus.DAYLIGHT_SAVING
    )
    status = np.where(summer, STATUS_DAYLIGHT_SAVING, 0)
    if state.clock_status & 0x03:
        status |= STATUS_CLOCK_INVALID
    if len(rows) and (state.clock_steps or state.dark):
        _flag(
            meter, status, rows, [step.at_us for step in state.clock_steps], STATUS_CLOCK_ADJUSTED
        )
        _flag(meter, status, rows, [to_us for _, to_us in state.dark.closed], STATUS_POWER_DOWN)
    return status.astype(np.int64)


def _flag(meter: Meter, status: Int64Array, rows: Rows, moments: list[int], bit: int) -> None:
    """
    Set a bit in the first row after each of the moments.

    Whoever asks for a range may get neighbours that were not captured one after the other: what a
    row says must not depend on which others are asked for.
    """
    happened = np.array(moments, np.int64)
    place = np.searchsorted(rows.at_us, happened, side="left")
    for row in np.unique(place[place < len(rows)]).tolist():
        latest_us = int(happened[place == row][-1])
        if not _captured_between(meter, rows.period_s, latest_us, int(rows.at_us[row])):
            status[row] |= bit


def _captured_between(meter: Meter, period_s: int, after_us: int, before_us: int) -> bool:
    """Whether a row was captured at `after_us` < t < `before_us`, by the period or at billing."""
    if period_s:
        on, dark = grid(period_s, meter.face), meter.state.dark
        at_us, _ = meter.time.captures(on, after_us, before_us - 1, 1, dark)
    else:
        at_us, _ = meter.closings(before_us - 1)
    return bool((at_us > after_us).any())
