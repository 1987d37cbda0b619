"""Faults of a clock in a meter that lives: what it shows, and that setting it helps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hes_simulators.faults import Rule, fault
from tests.unit.hes_simulators.living import START, Hands, hands

HOUR = timedelta(hours=1)
MODEL = "idis-single-phase"


def wrong(meter: Hands, name: str, **parameters: Any) -> None:
    meter.meter.kind.faults.add(Rule(name=name, fault=fault(name, parameters)))


def off(meter: Hands) -> timedelta:
    """How far the clock is from the truth."""
    meter.meter.advance(meter.now)
    return meter.meter.clock(meter.now) - meter.now


def test_a_jump_is_seen_at_once_and_stays() -> None:
    meter = hands(MODEL)
    meter.at(START)
    assert off(meter) == timedelta(0)
    wrong(meter, "clock-jump", seconds=-7200)
    meter.at(START + timedelta(seconds=1))
    assert off(meter) == -2 * HOUR
    meter.at(START + 10 * HOUR)
    assert off(meter) == -2 * HOUR


def test_drift_grows_and_does_not_depend_on_how_often_one_looks() -> None:
    often, seldom = hands(MODEL), hands(MODEL)
    for meter in (often, seldom):
        meter.at(START)
        off(meter)
        wrong(meter, "clock-drift", seconds_per_day=48)
    for minutes in range(1, 12 * 60, 7):
        often.at(START + timedelta(minutes=minutes))
        off(often)
    for meter in (often, seldom):
        meter.at(START + 12 * HOUR)
    assert off(often) == off(seldom) == timedelta(seconds=24)
    assert len(often.meter.state.clock_steps) <= 24 * 10
    # Whoever sets the clock has peace for a while, until it has drifted again.
    seldom.meter.time.set(seldom.meter.now_us, seldom.meter.now_us)
    assert off(seldom) == timedelta(0)
    seldom.at(START + 24 * HOUR)
    assert off(seldom) == timedelta(seconds=24)
