"""
Resets: when clients ended what an average or a maximum was being taken over.

Owns the moments, kept with the object's state, and averages whose periods they cut short. Energy is
never reset: it is what has flowed.
Source: IEC 62056-6-2, class_id 4, reset; class_id 5, reset and next_period.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from hes_simulators.randomness import Int64Array

if TYPE_CHECKING:
    from hes_protocol.models.objects import ModelObject
    from hes_simulators.measuring import Measuring
    from hes_simulators.meter import Meter

Resets: TypeAlias = Sequence[tuple[int, bool]]
"""In order: the true moment, and whether what was averaged until then is shown (next_period)."""

NONE: Final[Resets] = ()
_RESETS: Final = "resets"
# Of more in one billing period none but the last ones can be seen.
_MOST: Final = 256


def resets_of(meter: Meter, one: ModelObject) -> Resets:
    """Those of an object."""
    found: Resets = meter.state.peek(one.obis, _RESETS, NONE)
    return found


def add_reset(meter: Meter, one: ModelObject, *, shows: bool) -> None:
    """A client ends what an object is measuring, now."""
    kept: list[tuple[int, bool]] = meter.state.of(one.obis).setdefault(_RESETS, [])
    kept.append((meter.now_us, shows))
    del kept[:-_MOST]


def last_reset(resets: Resets, begin_us: int, until_us: int) -> int:
    """The last one after `begin_us` and not after `until_us`; else `begin_us`."""
    return max((at for at, _ in resets if begin_us < at <= until_us), default=begin_us)


def cut_averages(
    measuring: Measuring,
    quantity: str,
    resets: Resets,
    edges_us: Iterable[tuple[int, int, int]],
    period_s: int,
    *,
    running: bool,
) -> Int64Array:
    """
    current_average_value (`running`) or last_average_value where resets have cut periods short.

    What was measured since a period began is taken over a whole one, as if no more had come.
    Args: edges_us: of each row the begin and end of the last whole period by the clock, and now.
    """
    shows, period_ms = dict(resets), period_s * 1000
    found = []
    for before_us, end_us, now_us in edges_us:
        begins = sorted({before_us, end_us, *(at for at, _ in resets if before_us < at <= now_us)})
        span = (begins[-1], now_us) if running else (begins[-2], begins[-1])
        if span[0] == span[1] or not (running or shows.get(span[1], True)):
            found.append(0)
            continue
        begin, end = (np.array([edge], np.int64) for edge in span)
        average = int(measuring.averages(quantity, begin, end)[0])
        whole = span == (before_us, end_us)
        share_ms = period_ms if whole else min((span[1] - span[0]) // 1000, period_ms)
        found.append(average * share_ms // period_ms)
    return np.array(found, np.int64)
