"""
How the large tables are cut by time: the one width of chunks and partitions, and their numbers.

A chunk is a stretch of `CHUNK_US` microseconds, counted from 1970-01-01 UTC, as TimescaleDB counts
them too. Everybody who sorts or makes chunks uses these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import numpy as np

from hes.domain.readings import Int64Array

# Chosen by measurement: docs/reference/chunks.md.
CHUNK_DAYS: Final = 7
CHUNK_US: Final = CHUNK_DAYS * 86_400 * 1_000_000

# The tables that are cut, and by which column.
TABLES: Final[Mapping[str, str]] = {
    "reading": "captured_at",
    "reading_float": "captured_at",
    "reading_text": "captured_at",
    "event": "occurred_at",
    "session": "ended_at",
}
READINGS: Final = ("reading", "reading_float", "reading_text")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Chunk:
    """A part of a table, whole: rows in [since, until); `name` is that of its own table."""

    name: str
    since: datetime
    until: datetime


def numbers(instants: Int64Array) -> Sequence[int]:
    """Tell in which chunks these instants (µs since 1970 UTC) lie: each number once, ascending."""
    return [int(number) for number in np.unique(instants // CHUNK_US)]


def number_of(instant: datetime) -> int:
    """Tell in which chunk an instant lies."""
    return (instant - _EPOCH) // timedelta(days=CHUNK_DAYS)


def since(number: int) -> datetime:
    """The first instant of a chunk; that of the next is its end."""
    return _EPOCH + number * timedelta(days=CHUNK_DAYS)
