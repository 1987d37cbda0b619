"""
Which part of a profile to ask for, in the meter's own time. Pure.

A mark is exclusive: its row was committed in the transaction that moved the mark, so asking for
it again could only yield a duplicate; the range begins one second later, the resolution of
meters' clocks. Long ranges are cut on the period grid, so that each piece is committed before the
next is asked for and a failure loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes.domain.meters import CaptureColumn, ProfileKnowledge
from hes_protocol.cosem import CosemDateTime
from hes_protocol.cosem.objects import CaptureObject, RangeSelection

_SECOND: Final = timedelta(seconds=1)
_TIME: Final = (8, 2)  # class_id and attribute_index of a clock's time


def pieces(
    mark: datetime | None, now: datetime, period_s: int, *, rows: int, first_days: float
) -> Iterator[tuple[datetime, datetime]]:
    """
    Cut what is not committed yet into ranges of at most `rows` rows, oldest first.

    Args: mark: the last committed instant, None for nothing yet. now: the end of the last range.
        period_s: the profile's capture period. first_days: how far back to go without a mark.
    Returns: closed ranges that do not overlap; the last one may be empty of rows.
    """
    now = now.replace(microsecond=0)
    if mark is None:
        start = now - timedelta(days=first_days)
        start -= timedelta(seconds=start.timestamp() % period_s)
    else:
        start = mark + _SECOND
    length = timedelta(seconds=rows * period_s)
    while start <= now:
        end = min(start + length - _SECOND, now)
        yield start, end
        start = end + _SECOND


def selection(
    profile: ProfileKnowledge, start: datetime, end: datetime, zone_name: str
) -> RangeSelection:
    """
    The selective access for `start`..`end`, both included, in the meter's local time.

    Many meters compare the local fields and ignore the deviation. When clocks go back within the
    range its local times run twice over one hour, and the range would hide rows from such a
    meter: both ends are then widened by that hour, and the doubles fall to the writer.
    """
    zone = ZoneInfo(zone_name)
    first, last = start.astimezone(zone), end.astimezone(zone)
    back = max(_offset(first) - _offset(last), timedelta(0))
    clock = next(column for column in profile.columns if is_time(capture_object(column)))
    return RangeSelection.between(
        capture_object(clock),
        _moved(first, -back),
        _moved(last, back),
    )


def capture_object(column: CaptureColumn) -> CaptureObject:
    """The protocol's view of a known column."""
    return CaptureObject(column.class_id, column.obis, column.attribute_index, column.data_index)


def is_time(column: CaptureObject) -> bool:
    """Whether a column is the time of capture."""
    return (column.class_id, column.attribute_index) == _TIME


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None  # aware
    return offset


def _moved(moment: datetime, by: timedelta) -> CosemDateTime:
    """The fields of `moment` moved by `by`, under the deviation and clock status it has itself."""
    own = CosemDateTime.from_datetime(moment)
    fields = CosemDateTime.from_datetime(
        moment.replace(tzinfo=None) + by, clock_status=own.clock_status
    )
    return attrs.evolve(fields, deviation_min=own.deviation_min)
