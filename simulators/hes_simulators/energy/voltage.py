"""
Sags and swells of the voltage that something outside a source imposes.

Owns what the events of models (`voltage_sag_l1`, `voltage_swell_l1`, `voltage_normal_l1` ...) make
of the voltage, so that what a meter measures agrees with what it logs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

_NAMED: Final = re.compile(r"voltage_(sag|swell|normal)_l([123])")
# Beyond the 10 % that a source's own voltage stays within.
_PER_MILLE: Final = {"sag": 750, "swell": 1250}
# EN 50160: what lasts longer is no sag; unless the voltage is said to be normal again before.
_LONGEST_US: Final = 60_000_000
_MOST: Final = 256


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


def with_event(events: Sequence[VoltageEvent], name: str, at_us: int) -> list[VoltageEvent] | None:
    """
    Sags and swells after an event of that name; None: it says nothing about the voltage.

    The last 256 are kept.
    """
    found = _NAMED.fullmatch(name)
    if found is None:
        return None
    what, phase = found[1], int(found[2])
    kept = [
        attrs.evolve(one, to_us=at_us) if one.phases == (phase,) and one.to_us > at_us else one
        for one in events
    ]
    if what in _PER_MILLE:
        kept.append(VoltageEvent(at_us, at_us + _LONGEST_US, _PER_MILLE[what], (phase,)))
    return [one for one in kept if one.to_us > one.from_us][-_MOST:]
