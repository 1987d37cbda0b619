"""
The read-success board: of what was expected, how much came in time, late, never; and why.

Counts bits; never asks the readings. Pure: what it counts is brought by `hes.readings.boards`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from hes.domain.readings import Int64Array
from hes.readings.completeness import DAY_S, Expected
from hes.storage.board import KEY_OCTETS, DayBlock, ExpectedRow, LossRow

_LENGTH_OCTETS: Final = 4
_HOURS: Final = 24
Counts = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


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
    Counts of what is expected, by its rows and by the UTC hours from `start` on.

    Both are int64 arrays, 5 x rows and 5 x hours: expected, on time, late, lost, missing. `lost_by`
    are lost intervals by row and reason.
    """

    start: datetime
    by_row: Counts
    by_hour: Counts
    lost_by: Mapping[tuple[int, str], int]

    @property
    def hours(self) -> int:
        """How many there are."""
        return int(self.by_hour.shape[1])

    def of_rows(
        self, rows: Int64Array | slice = slice(None), causes: Mapping[str, int] | None = None
    ) -> Cell:
        """Some rows together."""
        return _cell(self.by_row[:, rows], causes or {})

    def of_hours(self, hours: slice) -> Cell:
        """All rows in some hours."""
        return _cell(self.by_hour[:, hours], {})

    @property
    def missing(self) -> Counts:
        """Missing intervals by row."""
        found: Counts = self.by_row[-1]
        return found


def tally(
    rows: Sequence[ExpectedRow],
    blocks: Iterable[DayBlock],
    losses: Iterable[LossRow],
    from_: datetime,
    to: datetime,
    *,
    hours: bool = True,
) -> Tally:
    """
    Count what has become of intervals that begin in [from_, to); `from_` is a whole hour.

    Args: rows: what is expected. blocks, losses: of all days within, both ends included; what is
        not there was never held. hours: count by the hour, too; else these are all zero.
    """
    start_day = from_.astimezone(UTC).date()
    days = ((to - timedelta(microseconds=1)).astimezone(UTC).date() - start_day).days + 1
    by_row = np.zeros((5, len(rows)), np.int64)
    by_hour = np.zeros((5, days * _HOURS), np.int64)
    lost_by: Counter[tuple[int, str]] = Counter()
    of_losses: dict[tuple[date, int], list[LossRow]] = {}
    for loss in losses:
        on = loss.from_at.astimezone(UTC).date()
        of_losses.setdefault((on, loss.capture_period_s), []).append(loss)
    found = {(block.day, block.capture_period_s): block for block in blocks}
    for profiles in _by_period(rows):
        for number in range(days):
            day = start_day + timedelta(days=number)
            wanted = profiles.wanted(day, from_, to)
            held, overdue, gone = profiles.bits(found.get((day, profiles.period_s)))
            gone &= wanted
            held &= wanted
            for kind, part in enumerate(
                (wanted, held & ~overdue, held & overdue, gone, wanted & overdue & ~held & ~gone)
            ):
                by_row[kind, profiles.rows] += np.bitwise_count(part).sum(axis=1, dtype=np.int64)
                if hours:
                    of_day = slice(number * _HOURS, (number + 1) * _HOURS)
                    by_hour[kind, of_day] += profiles.by_hour(part)
            for loss in of_losses.get((day, profiles.period_s), ()):
                for row, count in profiles.lost(gone, loss, day):
                    lost_by[row, loss.reason] += count
    return Tally(datetime.combine(start_day, time(), UTC), by_row, by_hour, lost_by)


@attrs.frozen(eq=False)
class _Profiles:
    """
    All rows of one period; sets of intervals of a day are packed bits, rows x octets.

    `rows` are their places among all; `since_s` and `until_s` seconds since 1970.
    """

    period_s: int
    rows: Int64Array
    known: Sequence[ExpectedRow]
    keys: npt.NDArray[np.bytes_]
    since_s: npt.NDArray[np.float64]
    until_s: npt.NDArray[np.float64]

    @property
    def slots(self) -> int:
        """Intervals of a day."""
        return DAY_S // self.period_s

    def wanted(self, day: date, from_: datetime, to: datetime) -> Octets:
        """Which intervals of a day are expected and begin in [from_, to)."""
        midnight = datetime.combine(day, time(), UTC)
        first = max(_slot(from_ - midnight, self.period_s), 0)
        last = min(_slot(to - midnight, self.period_s), self.slots)
        wanted = np.empty((len(self.rows), -(-self.slots // 8)), np.uint8)
        wanted[:] = self._packed(first, last)
        begins_s = midnight.timestamp()
        whole = (self.since_s <= begins_s) & (self.until_s >= begins_s + DAY_S)
        for place in np.flatnonzero(~whole).tolist():
            row = self.known[place]
            slots = Expected(self.period_s, row.since, row.until).slots(day)
            wanted[place] = self._packed(max(slots.start, first), min(slots.stop, last))
        return wanted

    def bits(self, block: DayBlock | None) -> tuple[Octets, Octets, Octets]:
        """What of a day is held, overdue and lost."""
        size = -(-self.slots // 8)
        held, overdue, lost = (np.zeros((len(self.rows), size), np.uint8) for _ in range(3))
        if block is not None:
            there = np.frombuffer(block.keys, f"S{KEY_OCTETS}")
            order = np.argsort(there, kind="stable")
            place = np.searchsorted(there, self.keys, sorter=order)
            place = order[np.minimum(place, len(order) - 1)]
            known = there[place] == self.keys
            parts = ((held, block.held), (overdue, block.overdue), (lost, block.lost))
            for array, octets in parts:
                records = np.frombuffer(octets, np.uint8).reshape(-1, _LENGTH_OCTETS + size)
                array[known] = records[place[known], _LENGTH_OCTETS:]
        return held, overdue, lost

    def by_hour(self, part: Octets) -> Counts:
        """How many intervals of a set begin in each hour of the day."""
        slots = np.unpackbits(part, axis=1, count=self.slots).sum(axis=0, dtype=np.int64)
        hours = np.arange(self.slots) * self.period_s // 3600
        found: Counts = np.bincount(hours, slots, minlength=_HOURS).astype(np.int64)
        return found

    def lost(self, gone: Octets, loss: LossRow, day: date) -> Iterator[tuple[int, int]]:
        """Yield the rows with how many of their lost intervals are of this loss."""
        slots = Expected(self.period_s, loss.from_at, loss.to_at).slots(day)
        mask = self._packed(slots.start, slots.stop)
        for place in np.flatnonzero(self.keys == np.bytes_(loss.key)).tolist():
            if count := int(np.bitwise_count(gone[place] & mask).sum()):
                yield int(self.rows[place]), count

    def _packed(self, first: int, last: int) -> Octets:
        slots = np.zeros(self.slots, np.uint8)
        slots[first : max(first, last)] = 1
        return np.packbits(slots)


def _by_period(rows: Sequence[ExpectedRow]) -> Iterator[_Profiles]:
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.capture_period_s, []).append(place)
    for period_s, chosen in places.items():
        known = [rows[place] for place in chosen]
        yield _Profiles(
            period_s,
            np.array(chosen, np.int64),
            known,
            np.array([row.key for row in known], f"S{KEY_OCTETS}"),
            np.array([row.since.timestamp() for row in known]),
            np.array([math.inf if r.until is None else r.until.timestamp() for r in known]),
        )


def _slot(after_midnight: timedelta, period_s: int) -> int:
    """The first slot of a day that begins then or later."""
    return -(-after_midnight // timedelta(seconds=period_s))


def _cell(counts: Counts, causes: Mapping[str, int]) -> Cell:
    expected, on_time, late, lost, missing = counts.sum(axis=1).tolist()
    pending = expected - on_time - late - lost - missing
    return Cell(expected, on_time, late, lost, missing, pending, causes)
