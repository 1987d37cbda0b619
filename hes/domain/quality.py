"""Our own flags on a reading; the meter's own status word is a channel of its own."""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """
    What is known against a reading. Zero means: nothing.

    Stored as int4; values never change meaning.
    """

    UNAUTHENTICATED = 1 << 0
    """Came in a frame without a verified tag, as the meter's policy allows."""
    TIME_OF_RECEIPT = 1 << 1
    """The frame held no clock: `captured_at` is when we received it."""
    CLOCK_INVALID = 1 << 2
    """The meter's clock status says invalid."""
    CLOCK_DOUBTFUL = 1 << 3
    """The meter's clock status says doubtful."""
    TIME_AMBIGUOUS = 1 << 4
    """Local time fell into the repeated hour and neither deviation nor DST bit settles it."""
    CLOCK_INFERRED = 1 << 5
    """The row's clock was null and was filled in on the profile's period grid."""
    TIME_NONEXISTENT = 1 << 6
    """Local time fell into the hour that summer time skips; read as the meter's standard time."""
    MISSING = 1 << 7
    """The meter gave a null for this interval."""
    OFF_GRID = 1 << 8
    """`captured_at` is not on the profile's period grid (a short or long interval)."""
    CLOCK_ADJUSTED = 1 << 9
    """The meter's clock was set within this interval: it is shorter or longer than its period."""
    POWER_FAILED = 1 << 10
    """The meter was without power within this interval."""
