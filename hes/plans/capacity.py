"""
Whether plans fit into what collectors do. Pure.

A run of m members that is to be through within its deadline of d seconds needs m/d sessions a
second, for as long: with less it cannot be, and where all plans together need less than collectors
do, all can be in time, because turns are spread over less than the deadline. Needs of several plans
are added, though one session serves all that is due on a meter: what is told is the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes.domain.kinds import profile_kind
from hes.domain.plans import Plan, Terms
from hes.domain.recurrence import Every
from hes.domain.work import ReadKind
from hes.storage.plan_load import Channels

ASSUMED_PER_S: Final = 100.0
"""Sessions a second that a collector does on one core with meters that answer at once."""
ASSUMED_VALUES_PER_DAY: Final = 4 * 96
"""Of a meter of which nothing is known yet: four values each quarter of an hour."""
HOURS: Final = 24

_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_SECOND: Final = timedelta(seconds=1)
_INTERVAL_KINDS: Final = (ReadKind.PROFILE, ReadKind.POWER_QUALITY)


@attrs.frozen
class Pace:
    """Sessions a second that collectors do; not `measured`: that one is taken to do."""

    per_s: float
    measured: bool


@attrs.frozen
class Load:
    """What a plan asks for: meters by zone, values a day."""

    plan: Plan
    meters: Mapping[str, int]
    values_per_day: int

    @property
    def members(self) -> int:
        """In all zones."""
        return sum(self.meters.values())


@attrs.frozen
class Hour:
    """An hour, and the sessions a second that are needed in its busiest second."""

    starts_at: datetime
    needed_per_s: float


@attrs.frozen
class PlanNeed:
    """What one plan needs at its busiest, within the hours that are looked at."""

    plan: Plan
    members: int
    values_per_day: int
    needed_per_s: float


@attrs.frozen
class Capacity:
    """What plans that are enabled need, one by one and hour by hour, against what there is."""

    pace: Pace
    plans: tuple[PlanNeed, ...]
    hours: tuple[Hour, ...]

    @property
    def peak_per_s(self) -> float:
        """What is needed at the busiest."""
        return max(hour.needed_per_s for hour in self.hours)

    @property
    def fits(self) -> bool:
        """Whether all can be in time."""
        return self.peak_per_s <= self.pace.per_s


def pace(busiest_minute: int) -> Pace:
    """
    What collectors do: the most that they have done, if that is more than what one is taken to do.

    How little they did says nothing: there may not have been more to do.
    """
    measured = busiest_minute / 60
    return Pace(max(measured, ASSUMED_PER_S), measured > ASSUMED_PER_S)


def values_per_day(
    terms: Terms, channels: Iterable[Channels], unknown_members: int, runs_per_day: float
) -> int:
    """
    How many values are expected of a plan's members in a day; logs and billing aside.

    Args: channels: those that are known of them. unknown_members: of which none is known.
    """
    kinds = {read.kind for read in terms.reads}
    total = 0.0
    if ReadKind.PROFILE in kinds:
        total += unknown_members * ASSUMED_VALUES_PER_DAY
    for each in channels:
        if each.source is None:
            total += each.count * runs_per_day * (ReadKind.REGISTERS in kinds)
        elif each.capture_period_s > 0:
            kind = profile_kind(each.source, each.capture_period_s)
            wanted = kind in _INTERVAL_KINDS and any(
                read.kind is kind and read.source in (None, each.source) for read in terms.reads
            )
            total += each.count * _DAY_S / each.capture_period_s * wanted
    return round(total)


def runs_per_day(terms: Terms, zone: str, now: datetime) -> int:
    """How many runs there are in the 24 hours from now on."""
    day = terms.recurrence.between(now, now + timedelta(seconds=_DAY_S), ZoneInfo(zone))
    return sum(1 for _ in day)


def needed(loads: Sequence[Load], available: Pace, now: datetime) -> Capacity:
    """What these plans need from the present hour on."""
    start = now.replace(minute=0, second=0, microsecond=0)
    curves = [(load, _curve(load, start)) for load in loads]
    total = np.sum([curve for _, curve in curves], axis=0) if curves else np.zeros(_HOUR_S * HOURS)
    peaks = total.reshape(HOURS, _HOUR_S).max(axis=1)
    return Capacity(
        available,
        tuple(
            PlanNeed(load.plan, load.members, load.values_per_day, float(curve.max()))
            for load, curve in curves
        ),
        tuple(Hour(start + timedelta(hours=hour), float(peak)) for hour, peak in enumerate(peaks)),
    )


def _curve(load: Load, start: datetime) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Sessions a second that a plan needs, second by second."""
    plan, length = load.plan, _HOUR_S * HOURS
    steps = np.zeros(length + 1)
    for zone, meters in _by_runs(load).items():
        density = meters / plan.deadline_s
        # A run that began before may still be under way.
        first = start - timedelta(seconds=plan.deadline_s)
        end = start + timedelta(seconds=length)
        for run_at in plan.recurrence.between(first, end, ZoneInfo(zone)):
            begins = (run_at - start) // _SECOND
            steps[max(0, begins)] += density
            steps[min(length, begins + plan.deadline_s)] -= density
    return np.maximum(np.cumsum(steps[:-1]), 0.0)


def _by_runs(load: Load) -> Mapping[str, int]:
    """Meters by zone, those whose runs are at the same instants together."""
    if isinstance(load.plan.recurrence, Every):
        return {"UTC": load.members}
    return load.meters
