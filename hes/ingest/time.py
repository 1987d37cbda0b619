"""
Local meter time to UTC, a whole column at once.

IEC 62056-6-2: local time + deviation = UTC. Many meters leave the deviation unspecified (0x8000);
then the meter's IANA zone decides. The repeated hour of autumn is settled by the DST bit of the
clock status, otherwise the quality says ambiguous; the hour that spring skips is read as standard
time and flagged. Whatever the meter says against its own clock goes into the quality too.

Some clocks stay on standard time all year (users-ask, point 13): of those whose model says so,
local times without deviation and DST bit are standard time, with no hour skipped or repeated.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np

from hes.domain.quality import Quality
from hes.domain.readings import BoolArray, Int32Array, Int64Array
from hes_protocol.cosem import DEVIATION_UNSPECIFIED, STATUS_UNSPECIFIED, ClockStatus

_MINUTE_US: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Deviations beyond +-14 h name no place on earth; meters that send them do not know theirs.
_MAX_DEVIATION_MIN: Final = 840


@attrs.frozen(eq=False)
class _Transitions:
    """
    The UTC offsets of one zone over some years, as arrays for `searchsorted`.

    `wall_before[i]` and `wall_after[i]` are transition i in the wall time that ends and in the
    one that begins; `offset[i]` holds before transition i, `offset[-1]` after the last.
    """

    wall_before: Int64Array
    wall_after: Int64Array
    offset: Int64Array


def _microseconds(delta: timedelta) -> int:
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@lru_cache(maxsize=4096)
def _transitions(zone_name: str, first_year: int, last_year: int) -> _Transitions:
    zone = ZoneInfo(zone_name)

    def offset_at(moment: datetime) -> timedelta:
        offset = moment.astimezone(zone).utcoffset()
        assert offset is not None  # an aware datetime has one
        return offset

    moment = datetime(first_year, 1, 1, tzinfo=UTC) - timedelta(days=2)
    end = datetime(last_year, 12, 31, tzinfo=UTC) + timedelta(days=2)
    before = offset_at(moment)
    walls_before: list[int] = []
    walls_after: list[int] = []
    offsets = [_microseconds(before)]
    while moment < end:
        later = moment + timedelta(days=1)
        if offset_at(later) == before:
            moment = later
            continue
        low, high = moment, later
        while high - low > timedelta(minutes=1):
            middle = low + (high - low) / 2
            if offset_at(middle) == before:
                low = middle
            else:
                high = middle
        # Transitions of our time stand on whole minutes.
        instant = high.replace(second=0, microsecond=0)
        after = offset_at(instant)
        at = _microseconds(instant - _EPOCH)
        walls_before.append(at + _microseconds(before))
        walls_after.append(at + _microseconds(after))
        offsets.append(_microseconds(after))
        before = after
        moment = later
    return _Transitions(
        np.array(walls_before, np.int64),
        np.array(walls_after, np.int64),
        np.array(offsets, np.int64),
    )


@lru_cache(maxsize=4096)
def standard_offset(zone_name: str, year: int) -> timedelta:
    """
    How far a zone's standard time is ahead of UTC: winter time, in the south that of July.

    Not what `dst()` leaves: Ireland's law calls its summer time the standard one.
    Raises: ZoneInfoNotFoundError: no such zone.
    """
    zone = ZoneInfo(zone_name)
    offsets = [datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)]
    return min(offset for offset in offsets if offset is not None)


def to_utc(
    local_us: Int64Array,
    deviation_min: Int32Array,
    status: Int32Array,
    zone_name: str,
    *,
    in_order: bool = False,
    standard_time: bool = False,
) -> tuple[Int64Array, Int32Array]:
    """
    Local times to UTC.

    Args:
        local_us: int64, civil time as if it were UTC, microseconds since 1970.
        deviation_min: minutes, `DEVIATION_UNSPECIFIED` where the meter does not say.
        status: clock status octets, 0xFF where not specified.
        zone_name: IANA zone of the meter, used where there is no deviation.
        in_order: the rows follow each other in time, as in a profile: where local time steps back
            within the repeated hour, the second pass has begun.
        standard_time: the clock stays on standard time all year, unless its status says otherwise.
    Returns: int64 microseconds since 1970 UTC and int32 `Quality` flags, one per row.
    Raises: ZoneInfoNotFoundError: no such zone.
    Source: IEC 62056-6-2, date and time notations; clock (class_id 8).
    """
    status = status.astype(np.int32)
    given = (deviation_min != DEVIATION_UNSPECIFIED) & (
        np.abs(deviation_min.astype(np.int64)) <= _MAX_DEVIATION_MIN
    )
    has_status = status != STATUS_UNSPECIFIED
    quality = np.zeros(len(local_us), np.int32)
    for bit, flag in (
        (ClockStatus.INVALID, Quality.CLOCK_INVALID),
        (ClockStatus.DOUBTFUL, Quality.CLOCK_DOUBTFUL),
    ):
        quality[has_status & ((status & bit) != 0)] |= flag

    utc_us = local_us + deviation_min.astype(np.int64) * _MINUTE_US
    daylight = has_status & ((status & ClockStatus.DAYLIGHT_SAVING) != 0)
    by_zone = ~given
    if standard_time:
        standard = by_zone & ~daylight
        utc_us[standard] = _by_standard_time(local_us[standard], zone_name)
        by_zone &= daylight
    if by_zone.any():
        utc_us[by_zone], flags = _by_zone(
            local_us[by_zone], has_status[by_zone], daylight[by_zone], zone_name, in_order
        )
        quality[by_zone] |= flags
    return utc_us, quality


def _by_standard_time(local_us: Int64Array, zone_name: str) -> Int64Array:
    years, row_year = np.unique(_years(local_us), return_inverse=True)
    offsets = [_microseconds(standard_offset(zone_name, year)) for year in years.tolist()]
    return local_us - np.array(offsets, np.int64)[row_year]


def _years(local_us: Int64Array) -> Int64Array:
    """
    The year of each row, of those that have plausible ones.

    Years that no meter can mean would cost a walk through the calendar: they keep the zone's
    standard offset of a plausible year, and the writer's window refuses them anyway.
    """
    years = local_us.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    return np.clip(years, 1990, 2100)


def _by_zone(
    local_us: Int64Array,
    has_status: BoolArray,
    daylight: BoolArray,
    zone_name: str,
    in_order: bool,
) -> tuple[Int64Array, Int32Array]:
    years = _years(local_us)
    table = _transitions(zone_name, int(years.min()), int(years.max()))
    first_pass = np.searchsorted(table.wall_before, local_us, side="right")
    second_pass = np.searchsorted(table.wall_after, local_us, side="right")
    repeated = second_pass > first_pass
    skipped = first_pass > second_pass
    # In the repeated hour the first pass is summer time; where nothing says which, it is taken
    # to be the first and flagged. In the skipped hour the second index is the standard offset.
    index = np.where(repeated & has_status & ~daylight, second_pass, first_pass)
    index = np.where(skipped, second_pass, index)
    flags = np.zeros(len(local_us), np.int32)
    unsettled = repeated & ~has_status
    if in_order:
        unsettled = _settle_by_order(local_us, unsettled, index, second_pass)
    flags[unsettled] |= Quality.TIME_AMBIGUOUS
    flags[skipped] |= Quality.TIME_NONEXISTENT
    return local_us - table.offset[index], flags


def _settle_by_order(
    local_us: Int64Array, unsettled: BoolArray, index: Int64Array, second_pass: Int64Array
) -> BoolArray:
    """
    Move rows behind a step back of local time to the second pass, in place.

    Returns: what is still unsettled: a repeated hour in which no step back was seen.
    """
    left = unsettled.copy()
    rows = np.flatnonzero(unsettled)
    # Runs of neighbouring rows: each is one repeated hour.
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        if not len(run):
            continue
        before = local_us[np.maximum(run - 1, 0)]
        steps = np.flatnonzero((local_us[run] < before) & (run > 0))
        if len(steps) == 1:
            second = run[steps[0] :]
            index[second] = second_pass[second]
            left[run] = False
    return left
