"""
Tariffs: which rate counts when, by the local clock.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Tariff:
    """
    A week's switching times: `workday`, `saturday`, `sunday` are (local hour, rate) pairs.

    Each day begins with the pair of hour 0; hours are quarters (0.25 steps), rates count from 1.
    """

    rates: int
    workday: tuple[tuple[float, int], ...]
    saturday: tuple[tuple[float, int], ...]
    sunday: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, rates: int) -> Tariff:
        """The usual tariff of so many rates (1..8)."""
        raise NotImplementedError
