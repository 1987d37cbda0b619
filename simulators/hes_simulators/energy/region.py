"""
Regions: the place, the weather and the grid that the meters of one town share.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import attrs


@attrs.frozen
class Storm:
    """
    Bad weather on the UTC days `first_day` <= day < `end_day` (days since 1970-01-01).

    `darkness` of the clear sky's yield is lost (0..1); it is `chill_k` colder than it would be.
    """

    first_day: int
    end_day: int
    darkness: float = 0.9
    chill_k: float = 6.0


@attrs.frozen
class Region:
    """
    What all meters of a region share.

    `name` tells regions of one seed apart, which have weathers of their own; `storms` come on top.
    """

    seed: int
    zone: ZoneInfo
    name: str = ""
    storms: tuple[Storm, ...] = ()
    nominal_dv: int = 2300
    nominal_mhz: int = 50_000
