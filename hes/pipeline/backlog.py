"""
What waits to be written: a queue bounded in rows and octets, that takes what is urgent for longer.

When storage is slower than collection, publishers wait here and read no further. What may wait
longer elsewhere gives way first: each priority may fill the queue up to a share of its own and
waits no longer than a time of its own. A push may not come again; what a meter keeps for weeks can
be asked for later.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from enum import IntEnum
from typing import Final

import attrs

from hes.domain.errors import OverloadedError, StorageUnavailableError
from hes.domain.readings import ReadingBatch, Receipt, SourceKind, microseconds

_OCTETS_PER_ROW: Final = 25
_BACKFILL_AGE_US: Final = timedelta(days=1) // timedelta(microseconds=1)


class Priority(IntEnum):
    """How urgent a batch is, the most urgent first."""

    PUSH = 0
    SPOT = 1
    PROFILE = 2
    BACKFILL = 3


@attrs.frozen
class Terms:
    """Up to which share of the queue a priority is taken, and how long it waits for a place."""

    share: float
    wait_s: float


@attrs.frozen
class Limits:
    """How much waits at most, and on which terms; a batch that is too large alone is taken."""

    rows: int = 100_000
    octets: int = 32 * 1024 * 1024
    terms: Mapping[Priority, Terms] = {
        Priority.PUSH: Terms(1.0, 30.0),
        Priority.SPOT: Terms(0.9, 20.0),
        Priority.PROFILE: Terms(0.75, 15.0),
        Priority.BACKFILL: Terms(0.5, 5.0),
    }


@attrs.frozen(eq=False)
class Published:
    """A batch on its way, and where its publisher waits."""

    batch: ReadingBatch
    outcome: Future[Receipt] = attrs.field(factory=Future)


def priority(batch: ReadingBatch) -> Priority:
    """
    Tell how urgent a batch is.

    A backfill is a stretch of a profile that ends a day or more before it was read.
    """
    kind = batch.provenance.kind
    if kind is SourceKind.PUSH:
        return Priority.PUSH
    if kind is SourceKind.SPOT:
        return Priority.SPOT
    latest = max(
        int(batch.integers.captured_at.max(initial=-(2**63))),
        max((row.captured_at for row in batch.others), default=-(2**63)),
        max((microseconds(line.occurred_at) for line in batch.events), default=-(2**63)),
    )
    is_old = latest < microseconds(batch.provenance.received_at) - _BACKFILL_AGE_US
    return Priority.BACKFILL if is_old else Priority.PROFILE


def octets(batch: ReadingBatch) -> int:
    """About how much memory a batch takes."""
    texts = sum(len(row.value) for row in batch.others if isinstance(row.value, str))
    return len(batch) * _OCTETS_PER_ROW + len(batch.provenance.evidence) + texts


class Backlog:
    """A queue of batches, first in, first out. Thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[Published] = deque()
        self._rows = 0
        self._octets = 0
        self._closed = False
        self._shed: Counter[Priority] = Counter()

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return self._rows

    @property
    def shed(self) -> Mapping[Priority, int]:
        """How many batches of each priority were not taken for want of room."""
        return self._shed

    def __len__(self) -> int:
        """How many batches wait."""
        return len(self._waiting)

    def put(self, published: Published) -> None:
        """
        Queue a batch, or wait until there is room for one of its priority.

        Raises:
            OverloadedError: there was none in time.
            StorageUnavailableError: the queue is closed.
        """
        urgency = priority(published.batch)
        terms = self._limits.terms[urgency]
        rows, size = len(published.batch), octets(published.batch)
        deadline = time.monotonic() + terms.wait_s
        with self._changed:
            while not (self._closed or self._has_room(rows, size, terms.share)):
                left = deadline - time.monotonic()
                if left <= 0:
                    self._shed[urgency] += 1
                    raise OverloadedError(
                        f"{urgency.name.lower()} of {rows} rows not taken for {terms.wait_s} s"
                    )
                self._changed.wait(left)
            if self._closed:
                raise StorageUnavailableError("the bus is closed")
            self._waiting.append(published)
            self._count(rows, size)

    def take(self, max_rows: int) -> Sequence[Published]:
        """
        Wait for a batch and take along what else is there, until there are `max_rows` or more.

        Returns: none, once the queue is closed and empty.
        """
        with self._changed:
            while not (self._waiting or self._closed):
                self._changed.wait()
            taken: list[Published] = []
            rows = 0
            while self._waiting and rows < max_rows:
                published = self._waiting.popleft()
                taken.append(published)
                rows += len(published.batch)
                self._count(-len(published.batch), -octets(published.batch))
            return taken

    def close(self) -> None:
        """Take nothing any more; what waits can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, rows: int, size: int, share: float) -> bool:
        return not self._waiting or (
            self._rows + rows <= share * self._limits.rows
            and self._octets + size <= share * self._limits.octets
        )

    def _count(self, rows: int, size: int) -> None:
        self._rows += rows
        self._octets += size
        self._changed.notify_all()
