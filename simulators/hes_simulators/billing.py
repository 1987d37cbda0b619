"""
Billing periods: when they ended by the meter's clock, or out of turn.

Owns the moments; registers and demands at them are worked out as of any other moment. A period
ends at the local midnight of the model's month or day, when the clock shows or passes it; in the
dark, when power is back; and when somebody closes it (script of the end of a billing period).
Source: IEC 62056-6-1, 0.0.10.0.1.255 (end of billing period 1), 0.0.98.1.0.255 (its profile).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from hes_simulators.clock import EveryDay, EveryMonth, Face, Grid, MeterClock
from hes_simulators.randomness import Int64Array
from hes_simulators.state import MeterState

_MOST: Final = 400


def billing_grid(period: str, face: Face) -> Grid | None:
    """The grid of a model's billing periods: "month", "day"; None for "" (never)."""
    match period:
        case "month":
            return EveryMonth(face.zone)
        case "day":
            return EveryDay(face.zone)
        case _:
            return None


ClosingsKey: TypeAlias = tuple[object, ...]


def close_now(state: MeterState, at_us: int) -> None:
    """Close the period out of turn; of more than are ever shown the oldest are forgotten."""
    state.billings.append(at_us)
    del state.billings[:-_MOST]


def closings_key(state: MeterState) -> ClosingsKey:
    """As long as it is the same, what was closed until a moment is the same."""
    dark, steps, billings = state.dark, state.clock_steps, state.billings
    return (
        len(steps),
        steps[-1] if steps else None,
        len(billings),
        billings[-1] if billings else None,
        dark.closed[-1] if dark.closed else None,
        dark.since_us,
    )


def closings(
    on: Grid | None, clock: MeterClock, state: MeterState, until_us: int
) -> tuple[Int64Array, Int64Array]:
    """
    When billing periods were closed, `until_us` included.

    Returns: true and shown moments, in order; the last 400 of them.
    """
    at, shown = np.empty(0, np.int64), np.empty(0, np.int64)
    if on is not None:
        at, shown = _by_clock(on, clock, state, until_us)
    manual = [at_us for at_us in state.billings if at_us <= until_us]
    if manual:
        at = np.concatenate([at, np.array(manual, np.int64)])
        shown = np.concatenate([shown, np.array([clock.shown_us(m) for m in manual], np.int64)])
        order = np.argsort(at, kind="stable")
        at, shown = at[order], shown[order]
    return at[-_MOST:], shown[-_MOST:]


def _by_clock(
    on: Grid, clock: MeterClock, state: MeterState, until_us: int
) -> tuple[Int64Array, Int64Array]:
    """A clock set forward over an end closes then; one set back over it closes it once more."""
    if not clock.steps and not state.dark:
        segment = clock.segment(until_us)
        ends = on.between(clock.origin_us, segment.shown_us(until_us), _MOST)
        return segment.true_us(ends), ends
    moments: list[tuple[int, int]] = []
    before_us = clock.origin_us
    for segment in reversed(list(clock.segments())):
        end_us = until_us if segment.to_us is None else min(segment.to_us, until_us)
        if end_us < segment.from_us:
            break
        after_us = min(before_us, segment.shown_us(segment.from_us))
        before_us = segment.shown_us(end_us)
        ends = on.between(after_us, before_us, _MOST)
        # Of hundreds that a step has jumped over, one is left.
        at, first = np.unique(np.maximum(segment.true_us(ends), segment.from_us), return_index=True)
        for at_us, end in zip(at.tolist(), ends[first].tolist(), strict=True):
            lit_us = state.dark.lit_from(at_us)
            if lit_us is not None and lit_us <= until_us:
                moments.append((lit_us, clock.shown_us(lit_us) if lit_us > at_us else end))
    # Ends that passed in the dark, or under a step, are closed together: as one.
    moments = sorted(dict(reversed(moments)).items())
    at = np.array([moment[0] for moment in moments], np.int64)
    return at, np.array([moment[1] for moment in moments], np.int64)


def period_of(at_us: Int64Array, origin_us: int, closed_us: Int64Array) -> Int64Array:
    """The begin of the period that each moment lies in; a moment that ends one belongs to it."""
    place = np.searchsorted(closed_us, at_us, side="left")
    begins = np.concatenate([np.array([origin_us], np.int64), closed_us])
    found: Int64Array = begins[place]
    return found
