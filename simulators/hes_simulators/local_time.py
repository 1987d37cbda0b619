"""
The clock on the wall: UTC <-> COSEM local time in a zone.

Owns what clients mean by a date-time; how a meter shows many of them is `clock.Face`'s.

A fixed offset (`standard_clock`) is the zone of a clock that stays on standard time all year, and
that leaves the deviation out: users-ask, point 13.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import attrs

from hes_protocol.cosem import CosemDateTime

NOT_SPECIFIED: Final = bytes.fromhex("ffffffffffffffffff8000ff")
"""The date-time of what has no time: never, not yet."""

_WILDCARD: Final = 0xFF
_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 2199
_BEFORE_ALL: Final = datetime(_FIRST_YEAR - 1, 1, 2, tzinfo=UTC)
_AFTER_ALL: Final = datetime(_LAST_YEAR + 1, 1, 2, tzinfo=UTC)


def standard_clock(zone: ZoneInfo) -> timezone:
    """The zone of a clock that knows no summer time, where the summer time rule is the European."""
    offset = datetime(_FIRST_YEAR, 1, 1, tzinfo=zone).utcoffset()
    assert offset is not None  # an IANA zone has one
    return timezone(offset)


def cosem_time(at: datetime, zone: tzinfo) -> CosemDateTime:
    """The moment as the meter shows it: local, with deviation and DST bit if it knows them."""
    local = at.astimezone(zone)
    if isinstance(zone, timezone):
        return CosemDateTime.from_datetime(local.replace(tzinfo=None), clock_status=0)
    return CosemDateTime.from_datetime(local)


def instant(time: CosemDateTime, zone: tzinfo, *, latest: bool) -> datetime | None:
    """
    The UTC moment that a client means.

    Args:
        time: with a deviation it is exact; without one it is the meter's local time.
        zone: the meter's.
        latest: which of two moments to take where the hour comes twice and the DST bit does not
            say: the end of a range is the later one, its start the earlier.
    Returns: None where the date is not specified.
    """
    hours_known = time.hour != _WILDCARD
    local = attrs.evolve(
        time,
        hour=time.hour if hours_known else (23 if latest else 0),
        minute=time.minute if time.minute != _WILDCARD else (59 if latest else 0),
        second=time.second if time.second != _WILDCARD else (59 if latest else 0),
    ).local()
    if local is None:
        return None
    if not _FIRST_YEAR <= local.year <= _LAST_YEAR:
        # No meter holds rows of such a year, and near year 1 or 9999 shifting would overflow.
        return _BEFORE_ALL if local.year < _FIRST_YEAR else _AFTER_ALL
    if time.utc_offset_min is not None:
        return (local - timedelta(minutes=time.utc_offset_min)).replace(tzinfo=UTC)
    summer = time.daylight_saving
    fold = int(latest) if summer is None else int(not summer)
    return local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
