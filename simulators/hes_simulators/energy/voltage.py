"""
Sags and swells of the voltage that something outside a source imposes.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class VoltageEvent:
    """
    A sag or swell: from `from_us` <= t < `to_us` the voltage of `phases` is `per_mille` of normal.

    Moments are microseconds since 1970 UTC. Loads draw the same power, so the current rises in a
    sag. Source: EN 50160, supply voltage dips and swells.
    """

    from_us: int
    to_us: int
    per_mille: int
    phases: tuple[int, ...] = (1, 2, 3)
