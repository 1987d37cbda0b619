"""
The grid on which energy is divided: quarter-hours of UTC, numbered since 1970.

Slot k covers `k * 900` <= seconds since 1970 < `(k + 1) * 900`. UTC days have 96 slots always;
local days have 92 or 100 twice a year.
"""

from __future__ import annotations

from typing import Final

SLOT_S: Final = 900
DAY_S: Final = 86_400
SLOTS_PER_DAY: Final = DAY_S // SLOT_S
