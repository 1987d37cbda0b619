"""
What attributes hold that are measured: quantities of the installation, and statistics of them.

Owns moments (`Rows`), averages, growth, maxima and minima, values at billing, and when what a
device on M-Bus measured was heard. Columns come as arrays, one element per row, so that a profile
of any length costs few calls. Numbers are in the scaler of the attribute: energy is cut off below
(a register shows what is complete), other values are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from hes_protocol.models.objects import ModelAttribute, Statistic
from hes_simulators.billing import period_of
from hes_simulators.clock import DAY_S, SECOND_US, grid
from hes_simulators.energy import QUANTITIES
from hes_simulators.randomness import Int64Array
from hes_simulators.resets import NONE, Resets, cut_averages, last_reset

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

_Numbers = TypeVar("_Numbers", int, Int64Array)
_DEFAULT_PERIOD_S: Final = 900


@attrs.frozen(eq=False)
class Rows:
    """
    Moments at which something was captured, in order: true, as shown, and codes of events if any.

    `period_s` is that of the profile, 0 for none.
    """

    at_us: Int64Array
    shown_us: Int64Array
    codes: Int64Array | None = None
    period_s: int = 0

    def __len__(self) -> int:
        return len(self.at_us)

    def __getitem__(self, which: slice | npt.NDArray[Any]) -> Rows:
        codes = None if self.codes is None else self.codes[which]
        return Rows(self.at_us[which], self.shown_us[which], codes, self.period_s)

    @classmethod
    def at(cls, meter: Meter, at_us: int) -> Rows:
        """One row, of a moment."""
        shown_us = meter.time.shown_us(at_us)
        return cls(np.array([at_us], np.int64), np.array([shown_us], np.int64))


def is_quantity(attribute: ModelAttribute) -> bool:
    """Whether an attribute is a number that `numbers` gives."""
    return attribute.source in QUANTITIES and attribute.statistic is not Statistic.MAXIMUM_AT


def numbers(
    meter: Meter, attribute: ModelAttribute, rows: Rows, resets: Resets = NONE
) -> Int64Array:
    """
    What a quantity's attribute holds at each row, in the attribute's scaler.

    Args: resets: of its object, where averages and maxima begin anew.
    A quantity that the installation lacks (a second phase, an export) is 0.
    """
    quantity = attribute.source
    assert quantity is not None
    if not meter.measuring.has(quantity):
        return np.zeros(len(rows), np.int64)
    return _scaled(_raw(meter, attribute, quantity, rows, resets), attribute, quantity)


def number_at(meter: Meter, attribute: ModelAttribute, rows: Rows, resets: Resets = NONE) -> int:
    """The same at the last row; of what holds now, which is read most, without arrays of one."""
    quantity, measuring = attribute.source, meter.measuring
    assert quantity is not None
    is_moment = attribute.statistic is Statistic.MOMENT
    if is_moment and measuring.has(quantity) and not meter.heard_every_s(quantity):
        at_us = int(rows.at_us[-1])
        cumulative = QUANTITIES[quantity].cumulative
        raw = (measuring.total if cumulative else measuring.measured_at)(quantity, at_us)
        return _scaled(raw, attribute, quantity)
    return int(numbers(meter, attribute, rows[-1:], resets)[-1])


def _raw(
    meter: Meter, attribute: ModelAttribute, quantity: str, rows: Rows, resets: Resets
) -> Int64Array:
    measuring = meter.measuring
    match attribute.statistic:
        case Statistic.AVERAGE | Statistic.RUNNING_AVERAGE if resets:
            from_us, to_us = _last_period(meter, attribute, rows)
            edges = np.stack([from_us, to_us, rows.at_us], axis=1).tolist()
            running = attribute.statistic is Statistic.RUNNING_AVERAGE
            period_s = _period_s(attribute, rows)
            return cut_averages(measuring, quantity, resets, edges, period_s, running=running)
        case Statistic.MOMENT:
            at_us = heard_us(meter, quantity, rows)
            if QUANTITIES[quantity].cumulative:
                return measuring.totals(quantity, at_us)
            return measuring.measured(quantity, at_us)
        case Statistic.AVERAGE:
            from_us, to_us = _last_period(meter, attribute, rows)
            return measuring.averages(quantity, from_us, to_us)
        case Statistic.INTERVAL:
            from_us, to_us = _last_period(meter, attribute, rows)
            return measuring.growth(quantity, from_us, to_us)
        case Statistic.RUNNING_AVERAGE:
            return _running(meter, attribute, quantity, rows)
        case Statistic.AT_BILLING:
            closed_us, _ = meter.closings(int(rows.at_us[-1]) if len(rows) else 0)
            begins_us = period_of(rows.at_us + 1, meter.installed_us, closed_us)
            return measuring.totals(quantity, begins_us)
        case _:
            found = [extreme(meter, attribute, at, resets)[0] for at in rows.at_us.tolist()]
            return np.array(found, np.int64)


def heard_us(meter: Meter, quantity: str, rows: Rows) -> Int64Array:
    """When a row's value was measured: devices on M-Bus are heard on a period of their own."""
    period_s = meter.heard_every_s(quantity)
    if not period_s:
        return rows.at_us
    return meter.heard_us(quantity, rows.at_us, boundaries(meter, rows, period_s)[0])


def heard_shown_us(meter: Meter, quantity: str, rows: Rows) -> Int64Array:
    """What the clock showed then: capture_time of class_id 4."""
    period_s = meter.heard_every_s(quantity)
    if not period_s:
        return rows.shown_us
    on_time_us, shown_us = boundaries(meter, rows, period_s)
    heard = meter.heard_us(quantity, rows.at_us, on_time_us)
    late = np.flatnonzero(heard != on_time_us)
    if len(late):
        shown_us = shown_us.copy()
        shown_us[late] = [meter.time.shown_us(at_us) for at_us in heard[late].tolist()]
    return shown_us


def boundaries(meter: Meter, rows: Rows, period_s: int) -> tuple[Int64Array, Int64Array]:
    """The last ends of a period at or before each row: true and shown moments."""
    shown_us = rows.shown_us
    if period_s >= DAY_S:
        first = int(shown_us.min(initial=0)) - 32 * DAY_S * SECOND_US
        ends = grid(period_s, meter.face).between(first, int(shown_us.max(initial=0)), 1 << 20)
        ends_us = ends[np.searchsorted(ends, shown_us, side="right") - 1]
    else:
        phase_us = int(grid(period_s, meter.face).between(0, period_s * SECOND_US, 1)[0])
        period_us = period_s * SECOND_US
        ends_us = (shown_us - phase_us) // period_us * period_us + phase_us
    past_us = shown_us - ends_us
    if not past_us.any():
        return rows.at_us, shown_us
    return meter.time.back(rows.at_us, shown_us, past_us), ends_us


def _period_s(attribute: ModelAttribute, rows: Rows) -> int:
    return attribute.period_s or rows.period_s or _DEFAULT_PERIOD_S


def _last_period(
    meter: Meter, attribute: ModelAttribute, rows: Rows
) -> tuple[Int64Array, Int64Array]:
    """Begin and end, true time, of the last whole period at each row."""
    period_s = _period_s(attribute, rows)
    to_us, shown_us = boundaries(meter, rows, period_s)
    if period_s >= DAY_S:
        before = Rows(to_us - 1, shown_us - 1)
        return boundaries(meter, before, period_s)[0], to_us
    return meter.time.back(to_us, shown_us, period_s * SECOND_US), to_us


def _running(meter: Meter, attribute: ModelAttribute, quantity: str, rows: Rows) -> Int64Array:
    """The average over a whole period as if nothing more came in the one under way."""
    period_s = _period_s(attribute, rows)
    from_us, _ = boundaries(meter, rows, period_s)
    elapsed_us = np.maximum(rows.at_us - from_us, 1)
    average = meter.measuring.averages(quantity, from_us, from_us + elapsed_us)
    share_ms = np.minimum(elapsed_us // 1000, period_s * 1000)
    running: Int64Array = average * share_ms // (period_s * 1000)
    return running


def extreme(
    meter: Meter, attribute: ModelAttribute, at_us: int, resets: Resets = NONE
) -> tuple[int, int]:
    """
    The greatest average (or smallest value) since the billing before a moment, and when it was.

    Args: resets: of the object, since the last of which it is.
    Returns: the value, native scaler, and the shown moment at the end of its period; where none has
        ended since, 0 and the moment of the reset, or 0. The first of equal ones counts.
    """
    quantity = attribute.source
    assert quantity is not None
    closed_us, _ = meter.closings(at_us)
    closing_us = int(period_of(np.array([at_us]), meter.installed_us, closed_us)[0])
    begin_us = last_reset(resets, closing_us, at_us)
    period_s = attribute.period_s or _DEFAULT_PERIOD_S
    at, shown = meter.time.captures(
        grid(period_s, meter.face), begin_us, at_us, 1 << 20, meter.state.dark
    )
    if not len(at):
        return 0, meter.time.shown_us(begin_us) if begin_us > closing_us else 0
    smallest = attribute.statistic is Statistic.MINIMUM
    key = (quantity, smallest, period_s, begin_us, int(at[-1]))
    kept = meter.kind.extremes.get(meter, key)
    if kept is None:
        rows = Rows(at, shown, period_s=period_s)
        if smallest:
            values = meter.measuring.measured(quantity, at)
            best = int(np.argmin(values))
        else:
            from_us, to_us = _last_period(meter, attribute, rows)
            values = meter.measuring.averages(quantity, np.maximum(from_us, begin_us), to_us)
            best = int(np.argmax(values))
        kept = int(values[best]), int(shown[best])
        meter.kind.extremes.keep(meter, key, kept)
    return kept


def _scaled(raw: _Numbers, attribute: ModelAttribute, quantity: str) -> _Numbers:
    known = QUANTITIES[quantity]
    power = known.scaler - attribute.scaler
    if not power:
        return raw
    divisor = 10 ** max(-power, 0)
    half = 0 if known.cumulative else divisor // 2
    scaled: _Numbers = raw * 10**power if power >= 0 else (raw + half) // divisor
    return scaled
