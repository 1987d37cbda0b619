"""
Which accepted rows lie in intervals that a change of the meter's clock has touched. Pure.

A clock that is moved from `before` to `after` makes the interval in which it happens shorter or
longer; of one that is set back further, some come twice. A row is of a touched interval if it was
captured at a time in [the earlier of both, the later + one period).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import attrs

from hes.domain.quality import Quality
from hes.domain.readings import microseconds
from hes.pipeline.group import Group

Touched = tuple[UUID, datetime, datetime]
"""A meter, and what its clock showed before and after a change."""


def mark(rows: Group, changes: Iterable[Touched]) -> Group:
    """The same rows, those of profiles that are touched flagged as `CLOCK_ADJUSTED`."""
    by_meter: dict[UUID, list[tuple[int, int]]] = {}
    for meter_id, before, after in changes:
        ends = sorted((microseconds(before), microseconds(after)))
        by_meter.setdefault(meter_id, []).append((ends[0], ends[1]))
    if not by_meter:
        return rows
    quality = rows.quality.copy()
    for index, series in enumerate(rows.series):
        channel = series.channel
        spans = by_meter.get(channel.meter_id)
        if spans is None or channel.source is None or not channel.capture_period_s:
            continue
        of_series = rows.series_index == index
        for first, last in spans:
            end = last + channel.capture_period_s * 1_000_000
            touched = of_series & (rows.captured_at >= first) & (rows.captured_at < end)
            quality[touched] |= Quality.CLOCK_ADJUSTED
    return attrs.evolve(rows, quality=quality)
