"""
The read-success board: of what was expected, how much came in time, late, never; and why.

Counts bits; never asks the readings. Pure: what it counts is brought by `hes.readings.boards`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from hes.domain.readings import BoolArray, Int64Array
from hes.readings.completeness import DAY_S, Expected
from hes.storage.board import KEY_OCTETS, DayBlock, ExpectedRow, LossRow

_LENGTH_OCTETS: Final = 4
_HOURS: Final = 24
Counts = npt.NDArray[np.int64]


@attrs.frozen
class Cell:
    """
    What has become of intervals that were expected.

    `expected` = `on_time` + `late` + `lost` + `missing` + `pending`. `pending` are those whose
    deadline has not passed; `missing` those that may still come, late. `causes` say why intervals
    are lost or missing.
    """

    expected: int = 0
    on_time: int = 0
    late: int = 0
    lost: int = 0
    missing: int = 0
    pending: int = 0
    causes: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def share(self) -> float | None:
        """Per cent of those whose deadline has passed that came in time; None: there are none."""
        due = self.expected - self.pending
        return 100 * self.on_time / due if due else None


@attrs.frozen(eq=False)
class Tally:
    """
    Counts for each row of what is expected and each UTC hour from `start` on.

    int64 arrays, rows x hours. `lost_by` are lost intervals by row and reason.
    """

    start: datetime
    expected: Counts
    on_time: Counts
    late: Counts
    lost: Counts
    missing: Counts
    lost_by: Mapping[tuple[int, str], int]

    @property
    def hours(self) -> int:
        """How many there are."""
        return int(self.expected.shape[1])

    def cell(
        self,
        rows: Int64Array | slice = slice(None),
        hours: slice = slice(None),
        causes: Mapping[str, int] | None = None,
    ) -> Cell:
        """Everything of some rows and hours together."""
        expected, on_time, late, lost, missing = (
            int(array[rows, hours].sum())
            for array in (self.expected, self.on_time, self.late, self.lost, self.missing)
        )
        pending = expected - on_time - late - lost - missing
        return Cell(expected, on_time, late, lost, missing, pending, causes or {})


def tally(
    rows: Sequence[ExpectedRow],
    blocks: Iterable[DayBlock],
    losses: Iterable[LossRow],
    from_: datetime,
    to: datetime,
) -> Tally:
    """
    Count what has become of intervals that begin in [from_, to), both whole hours.

    Args: rows: what is expected, in the order of keys. blocks, losses: of all days within, both
        ends included; what is not there was never held.
    """
    start_day = from_.astimezone(UTC).date()
    days = ((to - timedelta(microseconds=1)).astimezone(UTC).date() - start_day).days + 1
    shape = (len(rows), days * _HOURS)
    arrays = [np.zeros(shape, np.int64) for _ in range(5)]
    keys = np.array([row.key for row in rows], f"S{KEY_OCTETS}").view(f"V{KEY_OCTETS}").ravel()
    lost_by: Counter[tuple[int, str]] = Counter()
    by_day: dict[tuple[date, int], list[LossRow]] = {}
    for loss in losses:
        by_day.setdefault((loss.from_at.astimezone(UTC).date(), loss.capture_period_s), []).append(
            loss
        )
    found = {(block.day, block.capture_period_s): block for block in blocks}
    for period_s in sorted({row.capture_period_s for row in rows}):
        places = np.array([i for i, row in enumerate(rows) if row.capture_period_s == period_s])
        spans = [rows[place] for place in places.tolist()]
        for number in range(days):
            day = start_day + timedelta(days=number)
            wanted = _wanted(spans, period_s, day, from_, to)
            held, overdue, gone = _bits(found.get((day, period_s)), keys[places], period_s)
            gone &= wanted
            taken = held & wanted
            parts = (
                wanted,
                taken & ~overdue,
                taken & overdue,
                gone,
                wanted & overdue & ~held & ~gone,
            )
            hours = slice(number * _HOURS, (number + 1) * _HOURS)
            for array, part in zip(arrays, parts, strict=True):
                array[places, hours] = _by_hour(part, period_s)
            for loss in by_day.get((day, period_s), ()):
                slots = Expected(period_s, loss.from_at, loss.to_at).slots(day)
                for place in np.flatnonzero(keys[places] == np.void(loss.key)).tolist():
                    count = int(gone[place, slots.start : slots.stop].sum())
                    if count:
                        lost_by[int(places[place]), loss.reason] += count
    start = datetime.combine(start_day, time(), UTC)
    expected, on_time, late, lost, missing = arrays
    return Tally(start, expected, on_time, late, lost, missing, lost_by)


def _wanted(
    rows: Sequence[ExpectedRow], period_s: int, day: date, from_: datetime, to: datetime
) -> BoolArray:
    """Which slots of a day are expected and begin in [from_, to): rows x slots."""
    count = DAY_S // period_s
    within = range(max(_slot(from_, day, period_s), 0), min(_slot(to, day, period_s), count))
    wanted = np.zeros((len(rows), count), np.bool_)
    midnight = datetime.combine(day, time(), UTC)
    tomorrow = midnight + timedelta(days=1)
    for place, row in enumerate(rows):
        if row.since <= midnight and (row.until is None or row.until >= tomorrow):
            wanted[place, within.start : within.stop] = True
            continue
        slots = Expected(period_s, row.since, row.until).slots(day)
        first, last = max(slots.start, within.start), min(slots.stop, within.stop)
        wanted[place, first : max(first, last)] = True
    return wanted


def _slot(moment: datetime, day: date, period_s: int) -> int:
    """The first slot of a day that begins at or after a moment."""
    return -(-(moment - datetime.combine(day, time(), UTC)) // timedelta(seconds=period_s))


def _bits(
    block: DayBlock | None, keys: npt.NDArray[np.void], period_s: int
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """What is held, overdue and lost of these keys in a day: keys x slots each."""
    count = DAY_S // period_s
    found = [np.zeros((len(keys), count), np.bool_) for _ in range(3)]
    if block is not None:
        there = np.frombuffer(block.keys, f"V{KEY_OCTETS}")
        order = np.argsort(there.view(f"S{KEY_OCTETS}"), kind="stable")
        place = np.searchsorted(there.view(f"S{KEY_OCTETS}")[order], keys.view(f"S{KEY_OCTETS}"))
        place = order[np.minimum(place, len(order) - 1)]
        known = there[place] == keys
        size = _LENGTH_OCTETS + -(-count // 8)
        for array, octets in zip(found, (block.held, block.overdue, block.lost), strict=True):
            records = np.frombuffer(octets, np.uint8).reshape(-1, size)[:, _LENGTH_OCTETS:]
            array[known] = np.unpackbits(records[place[known]], axis=1, count=count).view(np.bool_)
    return found[0], found[1], found[2]


def _by_hour(slots: BoolArray, period_s: int) -> Counts:
    """How many of a day's slots begin in each hour: rows x 24."""
    count = slots.shape[1]
    if count % _HOURS == 0:
        summed: Counts = slots.reshape(len(slots), _HOURS, count // _HOURS).sum(axis=2)
        return summed
    hours: Counts = np.zeros((len(slots), _HOURS), np.int64)
    for slot in range(count):
        hours[:, slot * period_s // 3600] += slots[:, slot]
    return hours
