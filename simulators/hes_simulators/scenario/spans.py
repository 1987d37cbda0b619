"""
Spans of time as people write them: `90s`, `5min`, `1h30min`, `1d`; `-15min`; `2min..20min`.

Owns their grammar and the drawing of a span from a range.
"""

from __future__ import annotations

import re
from typing import Final, Self

import attrs
import numpy as np

from hes_simulators.randomness import FloatArray, Int64Array

SECOND_US: Final = 1_000_000
_UNITS_US: Final = {
    "ms": 1_000,
    "s": SECOND_US,
    "min": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
}
_PART: Final = r"\d{1,9}(?:\.\d{1,6})?(?:ms|s|min|h|d)"
_SPAN: Final = re.compile(rf"([+-]?)((?:{_PART})+)")
_PARTS: Final = re.compile(r"([\d.]+)([a-z]+)")


def span_us(text: str) -> int:
    """
    Microseconds of a span.

    Raises: ValueError: it is none.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no span of time as 90s, 5min, 1h30min")
    sign, parts = found.groups()
    total = sum(round(float(number) * _UNITS_US[unit]) for number, unit in _PARTS.findall(parts))
    return -total if sign == "-" else total


@attrs.frozen
class Lasting:
    """How long something lasts: microseconds between two bounds, or exactly so long."""

    least_us: int
    most_us: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        `5min`, or `2min..20min`.

        Raises: ValueError: it is neither, is negative, or ends before it begins.
        """
        least, dots, most = text.partition("..")
        least_us = span_us(least)
        most_us = span_us(most) if dots else least_us
        if not 0 <= least_us <= most_us:
            raise ValueError(f"{text!r} is no span from a shorter to a longer one")
        return cls(least_us, most_us)

    def drawn(self, uniform: FloatArray) -> Int64Array:
        """One length for each number in [0, 1)."""
        width_us = self.most_us - self.least_us
        return self.least_us + np.floor(uniform * (width_us + 1)).astype(np.int64)
