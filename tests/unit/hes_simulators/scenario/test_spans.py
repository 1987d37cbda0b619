"""Spans of time as people write them."""

from __future__ import annotations

import numpy as np
import pytest

from hes_simulators.scenario.spans import Lasting, span_us


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5min", 300),
        ("1h30min", 5400),
        ("1d", 86_400),
        ("0.5s", 0.5),
        ("250ms", 0.25),
        ("-15min", -900),
        ("+3h", 10_800),
    ],
)
def test_spans(text: str, seconds: float) -> None:
    assert span_us(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "5", "min", "5 min", "5m", "1e3s", "5min,", "--5s", "5s-3s"])
def test_no_spans(text: str) -> None:
    with pytest.raises(ValueError, match="no span"):
        span_us(text)


def test_a_range_is_drawn_between_its_bounds() -> None:
    lasting = Lasting.parse("2s..4s")
    drawn = lasting.drawn(np.array([0.0, 0.5, np.nextafter(1.0, 0.0)]))
    assert drawn.tolist() == [2_000_000, 3_000_000, 4_000_000]
    assert Lasting.parse("5min") == Lasting(300_000_000, 300_000_000)
    for text in ("4s..2s", "-1s", "2s..", "..2s"):
        with pytest.raises(ValueError, match="no span"):
            Lasting.parse(text)
