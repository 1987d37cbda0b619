"""
Dirty hours -> roll-ups, a bounded number of values per transaction.

Several rollers may run at once, in one process or many. What is taken off the list and what comes
of it are one transaction: whatever ends a roller, the marks are there again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from types import TracebackType
from typing import Final, Self

import attrs
import structlog

from hes.domain.calendar import Stretch
from hes.domain.errors import StorageUnavailableError
from hes.domain.readings import ValueKind
from hes.storage import buckets, rollups
from hes.storage.buckets import RolledChannel, Work
from hes.storage.database import Connection, Database, StatementTimeoutError
from hes.storage.rollups import HOUR_US, Place, Taken

_log = structlog.get_logger(__name__)

_ROWS_TAKEN: Final = 32
_VALUES_PER_RUN: Final = 100_000
_VALUES_PER_HOUR_WITHOUT_PERIOD: Final = 4
_HOURS_OF_A_MARK: Final = 24  # a writer's: a UTC day, and the hour that its midnight ends
_STATEMENT_TIMEOUT_S: Final = 120.0

_Hours = dict[tuple[int, Stretch], tuple[int, int]]


@attrs.frozen
class Rolled:
    """What one run did: marked places taken in, and how many values were read for it."""

    places: int
    values: int


class Roller:
    """
    Keeps the roll-ups up to date; `start` does so in a thread of its own until `close`.

    Args:
        database: with the schema of `hes migrate`.
        every_s: how long to wait when there is nothing to do; what comes in meanwhile is taken
            in together, so a longer pause spares work and a shorter one shows values earlier.
    """

    def __init__(self, database: Database, *, every_s: float = 10.0) -> None:
        self._database = database
        self._every_s = every_s
        self._oldest: datetime | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def oldest(self) -> datetime | None:
        """Since when the marks have waited that were taken last; None: none were left."""
        return self._oldest

    def run_once(self) -> Rolled:
        """
        Take in the oldest marks, up to a bounded number of values.

        Returns:
            No places: nothing is left to be done.

        Raises:
            StorageUnavailableError: the database is away; nothing has happened.
        """
        # The second time the marks of one transaction alone: what cannot be rolled up is to hold up
        # nobody else.
        for rows in (_ROWS_TAKEN, 1):
            try:
                return self._run(rows)
            except Exception as exc:
                if _is_outage(exc):
                    raise
                _log.exception("rollup_failed", rows=rows)
        with self._database.connection() as connection:
            taken = rollups.take(connection, 1)
            # Halved, until what is at fault is alone.
            half = len(taken.places) // 2
            for places in (taken.places[:half], taken.places[half:]):
                rollups.put_back(connection, places, taken.marked_at)
        return Rolled(0, 0)

    def start(self) -> None:
        """Run in a thread until `close`."""
        self._thread = threading.Thread(target=self._loop, name="hes-roller", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after the run that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _loop(self) -> None:
        away = False
        while not self._ended.is_set():
            try:
                while not self._ended.is_set() and self.run_once().places:
                    away = False
                away = False
            except StorageUnavailableError as exc:
                if not away:
                    _log.warning("rollup_postponed", error=str(exc))
                away = True
            except Exception:  # noqa: BLE001 - a roller that ended would leave all roll-ups behind
                _log.exception("rollup_failed")
            self._ended.wait(self._every_s)

    def _run(self, rows: int) -> Rolled:
        with self._database.connection(statement_timeout_s=_STATEMENT_TIMEOUT_S) as connection:
            taken = rollups.take(connection, rows)
            self._oldest = taken.marked_at
            if not taken.places:
                return Rolled(0, 0)
            return _roll(connection, taken)


def _is_outage(error: Exception) -> bool:
    """Whether it says nothing of what was to be rolled up; what takes too long may be too much."""
    is_slow = isinstance(error, StatementTimeoutError)
    return isinstance(error, StorageUnavailableError) and not is_slow


def _roll(connection: Connection, taken: Taken) -> Rolled:
    known = {
        series_id: channel
        for channel in buckets.channels(connection, {place.series_id for place in taken.places})
        for series_id in channel.series_ids
    }
    # Of series that are gone, and of texts, there is nothing to roll up.
    places = [place for place in taken.places if place.series_id in known]
    now, later = _within_budget(places, known)
    rollups.put_back(connection, later, taken.marked_at)
    if not now:
        return Rolled(len(taken.places), 0)
    hours: _Hours = {}
    for place in now:
        # A stretch that migration 0059 has marked begins with the hour of the first value, which
        # may end the hour before.
        is_stretch = place.last_hour - place.first_hour > _HOURS_OF_A_MARK
        _add(
            hours,
            known[place.series_id],
            (place.first_hour - is_stretch) * HOUR_US,
            (place.last_hour + 1) * HOUR_US,
        )
    channels = {channel.channel_id: channel for channel in known.values()}
    _add_following(connection, hours, channels)
    return Rolled(len(taken.places) - len(later), buckets.roll(connection, _works(hours, channels)))


def _within_budget(
    places: Sequence[Place], known: Mapping[int, RolledChannel]
) -> tuple[list[Place], list[Place]]:
    """Split places into what one transaction takes, which is something, and the rest."""
    now: list[Place] = []
    later: list[Place] = []
    left = float(_VALUES_PER_RUN)
    for place in sorted(set(places), key=lambda one: (one.series_id, one.first_hour)):
        if left <= 0:
            later.append(place)
            continue
        channel = known[place.series_id]
        per_hour = _VALUES_PER_HOUR_WITHOUT_PERIOD
        period_s = channel.capture_period_s
        hours = place.last_hour - place.first_hour + 1
        values_per_hour = max(3600 / period_s if period_s else per_hour, 0.1)
        taken = min(hours, max(24, int(left / values_per_hour)))
        left -= taken * values_per_hour
        now.append(attrs.evolve(place, last_hour=place.first_hour + taken - 1))
        if taken < hours:
            later.append(attrs.evolve(place, first_hour=place.first_hour + taken))
    return now, later


def _add(hours: _Hours, channel: RolledChannel, start: int, end: int) -> None:
    """Add the hours of local days that [start, end) touches."""
    position = start
    while position < end:
        day = channel.calendar.day(position)
        first = day.start + (position - day.start) // HOUR_US * HOUR_US
        last = min(day.end, day.start - (day.start - min(end, day.end)) // HOUR_US * HOUR_US)
        key = channel.channel_id, day
        before = hours.get(key, (first, last))
        hours[key] = min(first, before[0]), max(last, before[1])
        position = day.end


def _add_following(
    connection: Connection, hours: _Hours, channels: Mapping[int, RolledChannel]
) -> None:
    """Add the hours whose sums begin where these end: those with the next value of a register."""
    ends = [
        (channel_id, last)
        for channel_id, _, (_, last), after in _sorted(hours)
        if last != after and channels[channel_id].kind is ValueKind.CUMULATIVE
    ]
    if not ends:
        return
    for channel_id, starts in buckets.following(connection, ends).items():
        for start in starts:
            _add(hours, channels[channel_id], start, start + 1)


def _works(hours: _Hours, channels: Mapping[int, RolledChannel]) -> list[Work]:
    works: list[Work] = []
    for channel_id, day, (first, last), _ in _sorted(hours):
        before = works[-1] if works and works[-1].channel.channel_id == channel_id else None
        works.append(Work(channels[channel_id], day, first, last, before.to if before else None))
    return works


def _sorted(hours: _Hours) -> Iterator[tuple[int, Stretch, tuple[int, int], int | None]]:
    """By channel and time: channel, day, hours, and where the next of the channel begins."""
    order = sorted(hours, key=lambda key: (key[0], key[1].start))
    for key, following in pairwise([*order, None]):
        assert key is not None
        is_same = following is not None and following[0] == key[0]
        yield key[0], key[1], hours[key], hours[following][0] if following and is_same else None
