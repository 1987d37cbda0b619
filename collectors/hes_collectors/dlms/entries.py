"""
Which entries of a profile to ask for, where a meter selects by entry. Pure.

Entries have numbers and no times, so the place of the mark must be found: the rows are in the order
of their capture, and a single row that is looked at tells whether it is committed, and with it all
before it; also where the clock was set back in between (`unread`). Places count from 1, the
oldest; where the newest row is entry 1 (sort methods LIFO and largest) they are turned round at
the edge.

Rule 1: a place is taken for old only if its row certainly is committed: a time that may mean either
pass of the repeated hour (no deviation, no DST bit) is not certain. So pieces begin at a row that
is known and whose time is certain, and the rows behind it are settled by their order. Rule 2: each
piece begins with a row that is known already. While a meter is read it captures; a full buffer then
drops its oldest row and all places move. If the first row is not the one that was expected, rows
would have been skipped: the piece is asked for again from further back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from hes_collectors.dlms.ranges import SPACING_S
from hes_collectors.dlms.unread import Unread
from hes_protocol.cosem.objects import EntrySelection

_GALLOP: Final = 4
_MOST_MOVES: Final = 8


@attrs.frozen
class RowTime:
    """When a row was captured, as far as it says; `certain` unless it may be an hour later."""

    at: datetime | None
    certain: bool


class EntrySearch:
    """
    Finds the last place whose row is certainly committed.

    Args: count: entries in use. new: what is not committed; it has a mark. now: when was asked.
        period_s: capture period, 0 without. near: how far from the mark a piece may begin.
    """

    def __init__(self, count: int, new: Unread, now: datetime, period_s: int, *, near: int) -> None:
        assert new.mark is not None, "without a mark there is nothing to find"
        self._count = count
        self._unread = new
        self._near = near
        self._old = 0  # the highest place that is known to be old; 0: none
        self._new = count + 1  # the lowest one that is not
        # One row more for what is captured meanwhile and one for a capture off the grid.
        elapsed_s = max((now - new.mark).total_seconds(), 0)
        missing = math.ceil(elapsed_s / (period_s or SPACING_S)) + 2
        self._step = missing
        self.known: datetime | None = None
        """When the row at `start` was captured; None where nothing is known of it."""

    @property
    def start(self) -> int:
        """Where the first piece begins."""
        return max(self._old, 1)

    def probe(self) -> int | None:
        """The place to look at; None once it is known where to begin."""
        if self._new - self._old <= 1:
            return None
        if self._old == 0:
            return max(1, self._new - self._step)
        if self._new - self._old <= self._near:
            return None
        return (self._old + self._new) // 2

    def found(self, place: int, row: RowTime) -> None:
        """Take what was seen there."""
        if row.certain and row.at is not None and self._unread.is_committed(row.at):
            self._old, self.known = place, row.at
        else:
            self._new = place
            self._step *= _GALLOP


class EntryPieces:
    """
    Cuts the entries from `start` on into pieces, oldest first, that overlap by a row.

    Args: start, known: what the search has found. count: entries in use. rows: new ones a piece.
        period_s: capture period, 0 without.
    """

    def __init__(
        self, start: int, known: datetime | None, count: int, *, rows: int, period_s: int
    ) -> None:
        self._start = start
        self._known = known
        self._count = count
        self._rows = rows
        self._period_s = period_s or SPACING_S
        self._moves = 0
        self._done = count == 0

    def fresh(self, times: Sequence[RowTime], new: Unread) -> tuple[bool, ...]:
        """
        Which rows of the current piece are new: not those that it begins with to be recognised.

        A row that is read twice may differ in what is known of its time, and would be taken for a
        correction. Args: new: what is not committed already.
        """
        old = self._known_rows(times, new)
        for place, row in enumerate(times):
            # Whatever was captured before a committed row is committed as well.
            if row.at is not None and row.certain and new.is_committed(row.at):
                old = max(old, place + 1)
        return tuple(place >= old for place in range(len(times)))

    def _known_rows(self, times: Sequence[RowTime], new: Unread) -> int:
        """How many rows the piece begins with that were seen in the one before, or committed."""
        known = self._known
        old = 0
        while old < len(times) and (at := times[old].at) is not None:
            seen = known is not None and (
                # Of a clock that was set back, what bears an earlier time may be new.
                at == known if old == 0 or new.again else at <= known
            )
            if not seen and not new.is_committed(at):
                break
            old += 1
        return old

    def current(self) -> tuple[int, int] | None:
        """First and last place to ask for; None at the end."""
        if self._done:
            return None
        return self._start, min(self._start + self._rows, self._count)

    def moved(self, first: RowTime) -> bool:
        """
        Whether rows have been skipped, because the buffer moved; the current piece is then another.

        Args: first: the first row of the answer.
        """
        if self._known is None or first.at in (None, self._known):
            return False
        if self._start == 1 or self._moves == _MOST_MOVES:
            return False  # older rows are gone from the buffer, or never stand still
        self._moves += 1
        by = math.ceil(abs(first.at - self._known) / timedelta(seconds=self._period_s))
        self._start = max(1, self._start - by)
        return True

    def advance(self, times: Sequence[RowTime]) -> None:
        """
        Go on behind the rows of the current piece, which are dealt with.

        The next piece begins at the last row whose time is certain, so that an hour that comes
        twice is seen with what stands before it.
        """
        piece = self.current()
        assert piece is not None, "there is no piece to go on from"
        first, last = piece
        reached = first + len(times) - 1
        if last == self._count or reached <= first:
            self._done = True
            return
        certain = [place for place in range(1, len(times)) if times[place].certain]
        place = certain[-1] if certain else len(times) - 1
        self._start, self._known = first + place, times[place].at


def entry_selection(first: int, last: int, count: int, *, newest_first: bool) -> EntrySelection:
    """The selective access for two places."""
    if newest_first:
        first, last = count - last + 1, count - first + 1
    return EntrySelection(first, last)
