"""
COSEM date-time: twelve octets of local time, deviation and clock status.

IEC 62056-6-2, "Date and time notations": local time + deviation = UTC, so Central European
Summer Time carries deviation -120 with the DST bit set; 0x8000 means that the meter does not
say. Wildcards (0xFF, 0xFFFF) stay as they came; what is not a full instant has no `local()`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import IntFlag
from typing import Final

import attrs

from hes_protocol.errors import EncodingError

DEVIATION_UNSPECIFIED: Final = -0x8000
LENGTH_OCTETS: Final = 12


class ClockStatus(IntFlag):
    """Bits of the twelfth octet; 0xFF as a whole means: not specified."""

    INVALID = 0x01
    DOUBTFUL = 0x02
    DIFFERENT_BASE = 0x04
    INVALID_STATUS = 0x08
    DAYLIGHT_SAVING = 0x80


STATUS_UNSPECIFIED: Final = 0xFF


@attrs.frozen
class CosemDateTime:
    """
    A COSEM date-time, field by field as sent.

    `deviation_min` is in minutes, -720..840 or `DEVIATION_UNSPECIFIED`; `clock_status` is the raw
    octet; `weekday` 1 is Monday; any field may hold its wildcard.
    """

    year: int
    month: int
    day: int
    weekday: int = 0xFF
    hour: int = 0xFF
    minute: int = 0xFF
    second: int = 0xFF
    hundredths: int = 0xFF
    deviation_min: int = DEVIATION_UNSPECIFIED
    clock_status: int = STATUS_UNSPECIFIED

    @classmethod
    def from_octets(cls, octets: bytes) -> CosemDateTime:
        """
        Read twelve octets.

        Raises: EncodingError: not twelve octets.
        """
        if len(octets) != LENGTH_OCTETS:
            raise EncodingError("bad-date-time", f"{len(octets)} octets where 12 are due")
        return cls(
            year=octets[0] << 8 | octets[1],
            month=octets[2],
            day=octets[3],
            weekday=octets[4],
            hour=octets[5],
            minute=octets[6],
            second=octets[7],
            hundredths=octets[8],
            deviation_min=int.from_bytes(octets[9:11], "big", signed=True),
            clock_status=octets[11],
        )

    @classmethod
    def from_datetime(cls, moment: datetime, *, clock_status: int | None = None) -> CosemDateTime:
        """
        The COSEM form of an aware (or, without deviation, a naive) datetime.

        `clock_status` is 0 with the DST bit from `moment.dst()` unless given.
        """
        offset = moment.utcoffset()
        if clock_status is None:
            clock_status = int(ClockStatus.DAYLIGHT_SAVING) if moment.dst() else 0
        return cls(
            year=moment.year,
            month=moment.month,
            day=moment.day,
            weekday=moment.isoweekday(),
            hour=moment.hour,
            minute=moment.minute,
            second=moment.second,
            hundredths=moment.microsecond // 10_000,
            deviation_min=(
                DEVIATION_UNSPECIFIED if offset is None else -int(offset.total_seconds()) // 60
            ),
            clock_status=clock_status,
        )

    def to_octets(self) -> bytes:
        """The twelve octets."""
        return (
            self.year.to_bytes(2, "big")
            + bytes(
                (
                    self.month,
                    self.day,
                    self.weekday,
                    self.hour,
                    self.minute,
                    self.second,
                    self.hundredths,
                )
            )
            + self.deviation_min.to_bytes(2, "big", signed=True)
            + bytes((self.clock_status,))
        )

    @property
    def utc_offset_min(self) -> int | None:
        """Minutes east of UTC, or None where the meter does not say."""
        if self.deviation_min == DEVIATION_UNSPECIFIED or abs(self.deviation_min) > 840:
            return None
        return -self.deviation_min

    @property
    def daylight_saving(self) -> bool | None:
        """The DST bit, or None where the status octet is not specified."""
        if self.clock_status == STATUS_UNSPECIFIED:
            return None
        return bool(self.clock_status & ClockStatus.DAYLIGHT_SAVING)

    def local(self) -> datetime | None:
        """Local time without zone; None where year, month, day, hour or minute is no number."""
        second = 0 if self.second == 0xFF else self.second
        hundredths = self.hundredths if self.hundredths < 100 else 0
        try:
            return datetime(  # noqa: DTZ001 - local by definition, the zone is the reader's to know
                self.year,
                self.month,
                self.day,
                self.hour,
                self.minute,
                second,
                hundredths * 10_000,
            )
        except ValueError:
            return None

    def isoformat(self) -> str | None:
        """RFC 3339 local time, with an offset only if the meter gave one; None if no instant."""
        local = self.local()
        if local is None:
            return None
        offset_min = self.utc_offset_min
        if offset_min is not None:
            local = local.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
        return local.isoformat()
