"""
What roll-ups must come to, in plain Python, one value at a time.

Of the module under test it uses nothing: local days come from zoneinfo by walking over hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

import attrs

from hes.domain.readings import StampedAt, ValueKind

HOUR = timedelta(hours=1)
_RANK = {"profile": 2, "spot": 1, "push": 0}


@attrs.frozen
class Said:
    """One statement, in the order in which they were made; `series` is (scaler, unit)."""

    series: tuple[int, int]
    at: datetime
    value: int | None
    quality: int
    source: str


@attrs.frozen
class Bucket:
    """A row of a roll-up, values raw."""

    first: Decimal | None
    last: Decimal | None
    min: Decimal | None
    max: Decimal | None
    sum: Decimal | None
    samples: int
    expected: int | None
    falls: int
    quality: int


@attrs.frozen
class Model:
    """A channel whose roll-ups are computed; `period_s` divides the day."""

    zone: str
    kind: ValueKind
    stamped_at: StampedAt
    period_s: int

    def current(self, said: Sequence[Said]) -> Mapping[datetime, Said]:
        """Per instant the statement from the best source, of these the latest."""
        best: dict[datetime, Said] = {}
        for one in said:
            held = best.get(one.at)
            if held is None or _RANK[one.source] >= _RANK[held.source]:
                best[one.at] = one
        return dict(sorted(best.items()))

    def buckets(
        self, said: Sequence[Said], width: str
    ) -> dict[tuple[tuple[int, int], datetime], Bucket]:
        """By series and start of the bucket; `width`: hour, day or month."""
        rows: dict[tuple[tuple[int, int], datetime], list[tuple[Said, Decimal | None]]]
        rows = defaultdict(list)
        before: Said | None = None
        for one in self.current(said).values():
            step = None
            if one.value is not None:
                step = self._step(one, before)
                before = one
            rows[one.series, self.bounds(one.at, width)[0]].append((one, step))
        return {
            (series, start): self._bucket(told, *self.bounds(told[0][0].at, width), width)
            for (series, start), told in rows.items()
        }

    def _step(self, one: Said, before: Said | None) -> Decimal | None:
        assert one.value is not None
        if self.kind is ValueKind.STATUS:
            return None
        if self.kind is not ValueKind.CUMULATIVE:
            return Decimal(one.value)
        if before is None or before.series[1] != one.series[1]:
            return None
        assert before.value is not None
        shift = before.series[0] - one.series[0]
        return Decimal(one.value) - Decimal(before.value).scaleb(shift)

    def _bucket(
        self,
        told: Sequence[tuple[Said, Decimal | None]],
        start: datetime,
        end: datetime,
        width: str,
    ) -> Bucket:
        values = [Decimal(one.value) for one, _ in told if one.value is not None]
        steps = [step for _, step in told if step is not None]
        quality = 0
        for one, _ in told:
            quality |= one.quality
        cumulative = self.kind is ValueKind.CUMULATIVE
        return Bucket(
            first=values[0] if values else None,
            last=values[-1] if values else None,
            min=min(values, default=None),
            max=max(values, default=None),
            sum=sum(steps, Decimal(0)) if steps else None,
            samples=len(values),
            expected=self._expected(start, end, width),
            falls=sum(step < 0 for step in steps) if cumulative else 0,
            quality=quality,
        )

    def _expected(self, start: datetime, end: datetime, width: str) -> int | None:
        if not self.period_s or self.period_s > (3600 if width == "hour" else 86400):
            return None
        # Instants on the grid, each asked whether it belongs here.
        period = timedelta(seconds=self.period_s)
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC) - 2 * HOUR * 24
        count, at = 0, midnight
        while at <= end + period:
            count += self.bounds(at, width)[0] == start
            at += period
        return count

    def bounds(self, at: datetime, width: str) -> tuple[datetime, datetime]:
        """Start and end of the bucket that an instant's value belongs to."""
        inside = at - timedelta(microseconds=self.stamped_at is StampedAt.END)
        local = inside.astimezone(ZoneInfo(self.zone)).date()
        if width == "month":
            first = local.replace(day=1)
            return _begin(self.zone, first), _begin(
                self.zone, (first + timedelta(days=31)).replace(day=1)
            )
        start, end = _begin(self.zone, local), _begin(self.zone, local + timedelta(days=1))
        if width == "day":
            return start, end
        while start + HOUR <= inside:
            start += HOUR
        return start, min(end, start + HOUR)


@cache
def _begin(zone: str, day: date) -> datetime:
    """The first instant with this date or a later one, searched for in quarters of an hour."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - 26 * HOUR
    while at.astimezone(ZoneInfo(zone)).date() < day:
        at += timedelta(minutes=15)
    return at
