"""
Communication windows of a push setup: the times of each day at which pushes may begin.

Owns attribute 4 of class_id 40. A window is a start and an end, each a date-time of which only the
time is said; one that ends before it begins lasts over midnight. Without any, the time is always
right.
Source: IEC 62056-6-2, class_id 40, communication_window.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from hes_protocol.axdr import Data
from hes_protocol.cosem import Obis
from hes_simulators.classes.answering import OTHER_REASON, Refused, elements, members, octet_string
from hes_simulators.clock import microseconds, moment

if TYPE_CHECKING:
    from hes_simulators.meter import Meter

WINDOWS: Final = 4
_MOST: Final = 8
_EVERY_DAY: Final = b"\xff" * 5
_ANY: Final = 0xFF


def check_windows(data: Data) -> None:
    """
    Times of every day, to the second.

    Raises: Refused.
    """
    for window in elements(data, _MOST):
        for edge in members(window, 2):
            octets = octet_string(edge, 12, 12)
            hour, minute, second = octets[5:8]
            if octets[:5] != _EVERY_DAY or hour > 23 or minute > 59:
                raise Refused(OTHER_REASON)
            if second > 59 and second != _ANY:
                raise Refused(OTHER_REASON)


def opens_in_us(meter: Meter, push: Obis) -> int:
    """How long until a push may begin, by the meter's clock; 0: now."""
    written = meter.state.written.get((push, WINDOWS))
    if written is None or not written.value:
        return 0
    shown_us = meter.time.shown_us(meter.now_us)
    now = moment(shown_us).astimezone(meter.face.zone)
    waits = []
    for window in written.value:
        start, end = (_of_day(now, edge.value) for edge in window.value)
        is_open = start <= now < end if start <= end else not end <= now < start
        if is_open:
            return 0
        opens = start if start > now else _of_day(now + timedelta(days=1), window.value[0].value)
        waits.append(microseconds(opens) - shown_us)
    return min(waits)


def _of_day(day: datetime, edge: bytes) -> datetime:
    hour, minute, second = edge[5:8]
    second = 0 if second == _ANY else second
    return day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
