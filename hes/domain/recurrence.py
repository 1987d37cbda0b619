"""
When something recurs: `every 900s`, on a grid, or `cron 0 1 * * *`, by a place's local time.

`every` runs on a grid that has a point at each midnight UTC (whole days: counted from 1970), so
that it never depends on when somebody began. Units are s, m, h, d.

`cron` has the five fields of crontab(5): minute, hour, day of month, month, day of week. Where the
hour is named, a run belongs to a local time: one that does not exist because clocks are set forward
runs at the instant of the change, one that exists twice runs the first time. Where the hour field
begins with `*`, it runs as time passes, through a repeated hour as through any other; local times
that do not exist are then passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

import attrs
from cronsim import CronSim, CronSimError

from hes.domain.errors import PermanentError

MAX_LENGTH: Final = 120
MIN_EVERY_S: Final = 10
_DAY_S: Final = 86_400
_MAX_EVERY_S: Final = 366 * _DAY_S
_EVERY: Final = re.compile(r"every ([1-9][0-9]{0,8}) ?([smhd])", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S}
_CRON: Final = re.compile(r"cron((?: [0-9A-Za-z*,/#-]+){5})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What is looked at to see that a schedule ever runs: cronsim looks 50 years ahead.
_REFERENCE: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - a local time
_SECOND: Final = timedelta(seconds=1)
_WEEK: Final = timedelta(weeks=1)


class BadRecurrenceError(PermanentError):
    """A text that names no recurrence, or one that never comes."""


class Recurrence(Protocol):
    """When something recurs; `str` of it is the text that `parse` takes."""

    def next(self, after: datetime, zone: ZoneInfo) -> datetime:
        """
        The first run after an instant, in UTC.

        Raises: BadRecurrenceError: none comes within 50 years.
        """

    def between(self, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The runs in [start, end), in order, in UTC; as many as there are."""


def parse(text: str) -> Recurrence:
    """
    A recurrence from its text.

    Raises: BadRecurrenceError: it is none.
    """
    words = " ".join(text[: MAX_LENGTH + 1].split())
    if len(text) > MAX_LENGTH:
        raise BadRecurrenceError(f"a recurrence has at most {MAX_LENGTH} characters")
    if match := _EVERY.fullmatch(words.lower()):
        return Every(int(match[1]) * _UNITS_S[match[2]])
    if match := _CRON.fullmatch(words):
        return Cron(match[1].strip().upper())
    raise BadRecurrenceError(
        "expected `every 900s` (units s, m, h, d) or `cron` and five fields: `cron 0 1 * * *`"
    )


def _check_period(_: object, __: object, period_s: int) -> None:
    if not MIN_EVERY_S <= period_s <= _MAX_EVERY_S:
        raise BadRecurrenceError(
            f"`every` takes {MIN_EVERY_S} s to {_MAX_EVERY_S // _DAY_S} days, not {period_s} s"
        )
    if _DAY_S % period_s and period_s % _DAY_S:
        raise BadRecurrenceError(
            f"`every` takes what divides a day, or whole days, not {period_s} s: "
            "otherwise it would begin at another time each day"
        )


@attrs.frozen
class Every:
    """
    Each `period_s` seconds, on a grid that has a point at midnight UTC.

    Raises: BadRecurrenceError: too often, too seldom, or at another time each day.
    """

    period_s: int = attrs.field(validator=_check_period)

    def next(self, after: datetime, zone: ZoneInfo) -> datetime:  # noqa: ARG002 - zones are alike
        """See `Recurrence`."""
        # Whole seconds as integers: floats would lose the microseconds that decide.
        return _EPOCH + timedelta(seconds=self._point(after) * self.period_s)

    def between(self, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:  # noqa: ARG002
        """See `Recurrence`."""
        period = timedelta(seconds=self.period_s)
        run = _EPOCH - ((_EPOCH - start) // period) * period  # the first not before start
        while run < end:
            yield run
            run += period

    def __str__(self) -> str:
        return f"every {self.period_s}s"

    def _point(self, after: datetime) -> int:
        return (after - _EPOCH) // timedelta(seconds=self.period_s) + 1


@attrs.frozen
class Cron:
    """
    The five fields of crontab(5), local time.

    Raises: BadRecurrenceError: they are none, or no day fulfils them.
    """

    fields: str

    def __attrs_post_init__(self) -> None:
        self._first(_REFERENCE)

    def next(self, after: datetime, zone: ZoneInfo) -> datetime:
        """See `Recurrence`."""
        hour = self.fields.split()[1]
        after = after.astimezone(UTC).replace(microsecond=0)
        return self._elapsed(after, zone) if hour.startswith("*") else self._local(after, zone)

    def between(self, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """See `Recurrence`."""
        run = self.next(start - timedelta(microseconds=1), zone)
        while run < end:
            yield run
            run = self.next(run, zone)

    def __str__(self) -> str:
        return f"cron {self.fields}"

    def _local(self, after: datetime, zone: ZoneInfo) -> datetime:
        """The next local time that fulfils the fields, at the first instant that it can have."""
        local = after.astimezone(zone).replace(tzinfo=None)
        while True:
            local = self._first(local)
            # Of a repeated hour the second pass shows local times whose instant is over.
            if (run := _instant(local, zone)) > after:
                return run

    def _elapsed(self, after: datetime, zone: ZoneInfo) -> datetime:
        """The next instant whose local time fulfils the fields."""
        since, offset = after, _offset(after, zone)
        while True:
            local = self._first((after + offset).replace(tzinfo=None))
            run = local.replace(tzinfo=UTC) - offset
            if (change := _change(zone, since, run)) is None:
                return run
            # A run at the very instant of the change counts.
            after, since, offset = change - _SECOND, change, _offset(change, zone)

    def _first(self, local: datetime) -> datetime:
        """
        The first local time after another that fulfils the fields; both without a zone.

        Raises: BadRecurrenceError: see the class.
        """
        try:
            return next(CronSim(self.fields, local))
        # The assertion is cronsim's own, on what it cannot take for a step.
        except (CronSimError, AssertionError) as exc:
            raise BadRecurrenceError(f"cron {self.fields}: {exc or 'not understood'}") from exc
        except StopIteration:
            raise BadRecurrenceError(f"cron {self.fields}: no day fulfils this") from None


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """When a local time comes first; of one that does not exist, the change that skips it."""
    first = local.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == local:
        return first
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    change = _change(zone, before, first)
    assert change is not None
    return change


def _change(zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """The first change of a zone's UTC offset in (after, until]; to the second."""
    while after < until:
        # No zone changes twice in a week.
        end = min(after + _WEEK, until)
        offset = _offset(after, zone)
        if _offset(end, zone) == offset:
            after = end
            continue
        seconds = range(1, int((end - after) / _SECOND) + 1)
        step = bisect_left(
            seconds, True, key=lambda s: _offset(after + s * _SECOND, zone) != offset
        )
        return after + seconds[step] * _SECOND
    return None
