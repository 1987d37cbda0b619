"""
Below which `due_at` no live row of `due_work` can be. Pure.

Leased rows leave dead entries behind in the index by which due rows are found. While somebody
holds a snapshot open (a backup, a long report) nothing removes them, and whoever asks for the most
overdue rows walks over all of them first. A row that becomes due gets a `due_at` that is not past,
so what was looked at once need not be looked at again; but for rows of a segment that was passed
over, and for those that were locked just then, which are found when somebody looks without a floor.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import attrs

SLACK: Final = timedelta(seconds=5)
"""How long a transaction may take from its beginning, whose time a row gets, to its COMMIT."""

_WHOLE_EVERY_S: Final = 60.0


@attrs.define
class Floor:
    """
    The floor of one priority. Not thread-safe.

    `_passed` are segments that were passed over, with the floor from before they were.
    """

    _at: datetime | None = None
    _passed: dict[str, datetime | None] = attrs.field(factory=dict)
    _whole_at: float = 0.0

    def ask(self, monotonic: float, shut: Collection[str]) -> datetime | None:
        """
        From which `due_at` on to look now; None: from the first.

        Args: shut: segments that are passed over, however much is due there.
        """
        if self._at is None or monotonic - self._whole_at >= _WHOLE_EVERY_S:
            self._at, self._whole_at = None, monotonic
            self._passed.clear()
            return None
        asked = [self._at]
        for segment, floor in self._passed.items():
            if segment not in shut:
                if floor is None:
                    return None
                asked.append(floor)
        return min(asked)

    def found(
        self, asked: datetime | None, last: datetime | None, now: datetime, shut: Collection[str]
    ) -> None:
        """
        Note what was found.

        Args:
            asked: what `ask` said.
            last: the `due_at` of the last row, all before it being looked at; None: of all rows.
            now: when the transaction began, by the database.
            shut: segments of which not all rows were looked at.
        """
        reached = now - SLACK
        if last is not None:
            reached = min(reached, last)
        self._passed = {segment: self._passed.get(segment, asked) for segment in shut}
        # It may fall, too: the database's clock was set back.
        self._at = reached
