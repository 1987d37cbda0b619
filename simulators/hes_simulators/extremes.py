"""
Maxima and minima of billing periods that were worked out lately: each has cost a month's work.

Owns how many are remembered, of which meters: those that are being read now, some 10 kB each. An
idle meter has none, and what is forgotten is worked out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

MOST_EXTREMES: Final = 64
"""So many of one meter."""
MOST_METERS: Final = 64

Extreme: TypeAlias = tuple[int, int]
"""The value, native scaler, and the shown moment at the end of its period."""


class Extremes:
    """Of the meters of one kind; who was put in first goes first."""

    def __init__(self) -> None:
        self._of: dict[Meter, dict[tuple[Any, ...], Extreme]] = {}

    def get(self, meter: Meter, key: tuple[Any, ...]) -> Extreme | None:
        """What was kept under a key, which says of what, since when and until when it is."""
        return self._of.get(meter, {}).get(key)

    def keep(self, meter: Meter, key: tuple[Any, ...], found: Extreme) -> None:
        """Keep it, in place of the oldest of this meter or of the meter asked longest ago."""
        kept = self._of.pop(meter, {})
        if len(kept) >= MOST_EXTREMES:
            kept.pop(next(iter(kept)))
        if len(self._of) >= MOST_METERS:
            self._of.pop(next(iter(self._of)))
        kept[key] = found
        self._of[meter] = kept
