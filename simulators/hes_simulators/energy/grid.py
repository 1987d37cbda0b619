"""
The grid on which meters measure: quarter-hours of UTC, numbered since 1970.

Slot k covers `k * 900` <= seconds since 1970 < `(k + 1) * 900`; its row is captured at its end.
UTC days have 96 slots always; local days have 92 or 100 twice a year.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

SLOT_S: Final = 900
DAY_S: Final = 86_400
SLOTS_PER_DAY: Final = DAY_S // SLOT_S


def captured_slots(at: datetime) -> int:
    """The first slot whose row is not captured yet at a moment."""
    return int(at.timestamp() // SLOT_S)


def first_slot_at(moment: datetime) -> int:
    """The first slot whose row is captured at `moment` or later."""
    return math.ceil(moment.timestamp() / SLOT_S) - 1
