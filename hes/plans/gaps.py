"""
Which intervals are asked for again, and which are given up. Pure.

What is expected, was not held at its deadline and still is neither held nor lost, is a gap: the
plan's own runs have had their turn by then. A meter is asked for its gaps oldest first, as long as
its buffer reaches that far back; what is older can only be given up, and so can all that a meter
has that is gone for good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

import attrs
import numpy as np

from hes.domain.readings import Int64Array
from hes.domain.work import Gap
from hes.storage.completeness import OpenDay
from hes.storage.losses import LossReason, Lost

_DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1)


@attrs.frozen
class GapRules:
    """
    What the gap finder goes by.

    Args:
        reach: how far back a buffer holds of which nobody knows it.
        per_meter: the most gaps that one meter is asked for at a time.
        per_gap: the most intervals of one gap: as many as one request brings.
        join: gaps with no more held intervals between them than this are asked for as one.
        give_up: how long an asking may take before it is asked anew.
    """

    reach: timedelta = timedelta(days=40)
    per_meter: int = 32
    per_gap: int = 96
    join: int = 8
    give_up: timedelta = timedelta(days=1)


@attrs.frozen
class Found:
    """What is to be asked for again, by meter, oldest first; and what is to be given up."""

    gaps: tuple[tuple[UUID, Gap], ...]
    lost: tuple[Lost, ...]


def find(days: Sequence[OpenDay], now: datetime, rules: GapRules) -> Found:
    """
    Decide what becomes of lacking intervals.

    Args: days: all open ones of the meters that are looked at, in any order.
    """
    gaps: list[tuple[UUID, Gap]] = []
    lost: list[Lost] = []
    ordered = sorted(days, key=lambda day: (day.meter_id, day.source, day.capture_period_s))
    for meter_id, of_meter in groupby(ordered, key=lambda day: day.meter_id):
        wanted: list[Gap] = []
        profiles = groupby(of_meter, key=lambda day: (day.source, day.capture_period_s))
        for (source, period_s), of_profile in profiles:
            known = list(of_profile)
            places = _places(known)
            if known[-1].gone:
                reason, first = LossReason.METER_GONE, np.iinfo(np.int64).max
            else:
                reason = LossReason.BEYOND_BUFFER
                first = _first_reached(known[-1], now, rules)
            lost += [
                Lost(meter_id, source, start, end, reason)
                for start, end in _spans(places[places < first], period_s, join=0, most=None)
            ]
            wanted += [
                Gap(source, start, end)
                for start, end in _spans(
                    places[places >= first], period_s, join=rules.join, most=rules.per_gap
                )
            ]
        wanted.sort(key=lambda gap: gap.start)
        gaps += [(meter_id, gap) for gap in wanted[: rules.per_meter]]
    return Found(tuple(gaps), tuple(lost))


def _places(days: Sequence[OpenDay]) -> Int64Array:
    """The lacking slots, counted from 1970 on, in order."""
    found = [
        np.flatnonzero(np.frombuffer(day.lacking.encode("ascii"), np.uint8) == ord("1"))
        + (day.day - _EPOCH_DAY).days * (_DAY_S // day.capture_period_s)
        for day in days
    ]
    return np.unique(np.concatenate(found)).astype(np.int64)


def _first_reached(day: OpenDay, now: datetime, rules: GapRules) -> int:
    """The first slot that may still be in the buffer."""
    reach = rules.reach if day.reach_s is None else timedelta(seconds=day.reach_s)
    return (now - reach - _EPOCH) // timedelta(seconds=day.capture_period_s)


def _spans(
    places: Int64Array, period_s: int, *, join: int, most: int | None
) -> Iterator[tuple[datetime, datetime]]:
    """Runs of slots as spans of time, from the first slot to behind the last one."""
    start = end = None
    for place in places.tolist():
        if end is not None and start is not None:
            if place - end <= join and (most is None or place - start < most):
                end = place + 1
                continue
            yield _moment(start, period_s), _moment(end, period_s)
        start, end = place, place + 1
    if start is not None and end is not None:
        yield _moment(start, period_s), _moment(end, period_s)


def _moment(place: int, period_s: int) -> datetime:
    return _EPOCH + timedelta(seconds=place * period_s)
