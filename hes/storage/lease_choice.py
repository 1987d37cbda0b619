"""Which meters of those that are due are taken, where parts of the network have limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from hes.domain.ports import Limits


@attrs.frozen
class Candidate:
    """A meter that is due."""

    meter_id: UUID
    segment: str | None
    due_at: datetime


@attrs.define
class Room:
    """
    How many more leases each segment takes; not named: as many as anybody wants.

    `_default` is for segments that nobody has named.
    """

    _left: dict[str, int] = attrs.field(factory=dict)
    _default: int | None = None

    @classmethod
    def of(
        cls, limits: Limits, maxima: Mapping[str, int | None], running: Mapping[str, int]
    ) -> Room:
        """
        Room under limits.

        Args: maxima: what segments allow of themselves. running: leases there now.
        """
        room = cls({}, limits.per_segment)
        for name in {*maxima, *running, *limits.segments, *limits.shut}:
            told = (limits.per_segment, limits.segments.get(name), maxima.get(name))
            most = min((each for each in told if each is not None), default=None)
            if name in limits.shut:
                most = 0
            if most is not None:
                room._left[name] = max(0, most - running.get(name, 0))
        return room

    @property
    def unlimited(self) -> bool:
        """Whether no candidate is ever passed over."""
        return self._default is None and not any(self._left.values())

    @property
    def full(self) -> list[str]:
        """Segments that take no more, in order."""
        return sorted(name for name, left in self._left.items() if left == 0)

    def choose(self, candidates: Iterable[Candidate], limit: int) -> Sequence[Candidate]:
        """The first `limit` candidates for which there is room, which is taken up."""
        chosen: list[Candidate] = []
        for candidate in candidates:
            if len(chosen) == limit:
                break
            if candidate.segment is not None:
                left = self._left.get(candidate.segment, self._default)
                if left == 0:
                    continue
                if left is not None:
                    self._left[candidate.segment] = left - 1
            chosen.append(candidate)
        return chosen
