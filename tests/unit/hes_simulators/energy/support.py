"""What tests of energy share."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hes_simulators.energy import QUANTITIES, Source
from hes_simulators.energy.grid import SLOT_S

BERLIN = ZoneInfo("Europe/Berlin")
SLOT_US = SLOT_S * 1_000_000
DAY_US = 96 * SLOT_US


def us(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Microseconds since 1970 of a moment, UTC."""
    at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000


def cumulative(one: Source) -> list[str]:
    """The names of its registers."""
    return sorted(name for name in one.quantities if QUANTITIES[name].cumulative)
