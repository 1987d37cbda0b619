"""
Places: where on earth a zone lies, so that the sun rises where the meters are.

Source: zone.tab of the IANA time zone database (in the package tzdata), coordinates in ISO 6709.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

import attrs


@attrs.frozen
class Place:
    """Degrees north and east."""

    latitude: float
    longitude: float


# The middle of the country rather than its capital.
_BETTER: Final = {"Europe/Berlin": Place(51.0, 10.0)}
_MIDDLE_LATITUDE: Final = 51.0


def place_of(zone: ZoneInfo) -> Place:
    """The zone's principal place; one of Europe's latitude where the zone is no country's."""
    found = _places().get(zone.key)
    if found is not None:
        return found
    offset = datetime(1971, 1, 1, tzinfo=zone).utcoffset()
    return Place(_MIDDLE_LATITUDE, offset.total_seconds() / 240 if offset is not None else 0.0)


@lru_cache(maxsize=1)
def _places() -> dict[str, Place]:
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return {row[2]: _parsed(row[1]) for row in rows} | _BETTER


def _parsed(coordinates: str) -> Place:
    """`+5230+01322`, or with seconds: degrees of two and of three digits."""
    split = max(coordinates.rfind("+"), coordinates.rfind("-"))
    return Place(_degrees(coordinates[:split], 2), _degrees(coordinates[split:], 3))


def _degrees(text: str, digits: int) -> float:
    sign = -1 if text[0] == "-" else 1
    whole, rest = text[1 : 1 + digits], text[1 + digits :]
    minutes, seconds = rest[:2], rest[2:] or "0"
    return sign * (int(whole) + int(minutes) / 60 + int(seconds) / 3600)
