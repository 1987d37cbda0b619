"""Loads from outside: registers, rates, powers and the limiter agree about them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hes_protocol.axdr import Data, DataTag
from hes_simulators.clock import microseconds, moment
from hes_simulators.persistence import plain, state_of
from hes_simulators.state import Cut
from tests.unit.hes_simulators.living import START, Hands, hands

LIMITER = (71, "0.0.17.0.0.255")
RELAY = (70, "0.0.96.3.10.255")
POWER = (3, "1.0.1.7.0.255")
CURRENT = (3, "1.0.31.7.0.255")


def drawn(one: Hands, begin: datetime, end: datetime, quantity: str = "import_wh") -> int:
    edges = np.array([microseconds(begin), microseconds(end)])
    return int(np.diff(one.meter.totals(quantity, edges))[0])


def test_a_load_is_in_every_register_and_every_value() -> None:
    one, usual = hands(), hands()
    end = START + timedelta(hours=2)
    one.meter.draw(2000, START, until=end)
    for who in (one, usual):
        who.at(START + timedelta(minutes=40))
    assert one.value(POWER) == usual.value(POWER) + 2000
    volts = one.value((3, "1.0.32.7.0.255")) / 10
    assert one.value(CURRENT) - usual.value(CURRENT) == pytest.approx(200_000 / volts, abs=1.5)
    for quantity in ("import_wh", "import_wh_l1", "import_vah", "import_wh_r1"):
        assert drawn(one, START, end, quantity) == drawn(usual, START, end, quantity) + 4000
    for quantity in ("import_wh_r2", "import_varh", "export_wh"):
        assert drawn(one, START, end, quantity) == drawn(usual, START, end, quantity)
    factor, usually = (who.value((3, "1.0.13.7.0.255")) for who in (one, usual))
    assert usually < factor <= 1000
    after = one.at(end + timedelta(minutes=10)).value(POWER)
    assert after == usual.at(one.now).value(POWER)


def test_over_limit_raised_from_outside_trips_the_limiter() -> None:
    """It is told by the meter itself, when it has been too much for too long; then all is off."""
    one = hands()
    limit, over_s = one.value(LIMITER, 3), one.value(LIMITER, 6)
    one.meter.raise_event("over_limit", one.now)
    assert one.after(seconds=over_s - 1).value(POWER) > limit
    assert one.meter.is_connected
    one.after(seconds=2).value(POWER)
    assert not one.meter.is_connected
    told = [note for note in one.journal.of("event") if note.facts["name"] == "over_limit"]
    assert [note.at for note in told] == [START + timedelta(seconds=over_s)]
    used = drawn(one, START, told[0].at)
    assert used >= limit * over_s // 3600
    assert drawn(one, told[0].at, one.now) == 0
    one.after(seconds=over_s + 60).value(POWER)
    assert one.journal.of("event")[-1].facts["name"] != "over_limit"


def test_without_a_limiter_or_a_threshold_it_is_only_told() -> None:
    none, open_ = hands("hes-household"), hands()
    for index in (4, 5):
        open_.set(LIMITER, index, Data(DataTag.DOUBLE_LONG_UNSIGNED, 0))
    for one in (none, open_):
        one.meter.raise_event("over_limit", one.now)
        assert one.journal.of("event")[-1].facts["name"] == "over_limit"
        assert one.meter.state.loads == []


minutes = st.integers(0, 3000)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(minutes, st.integers(1, 200), st.integers(1, 9999)), max_size=4),
    st.lists(minutes, max_size=2).map(sorted),
)
def test_whatever_is_drawn_adds_up(loads: list[tuple[int, int, int]], cuts: list[int]) -> None:
    one = hands()
    deeds = [(minute, length, watts) for minute, length, watts in loads]
    deeds += [(minute, 0, 0) for minute in cuts]
    for minute, length, watts in sorted(deeds):
        one.at(START + timedelta(minutes=minute, seconds=7))
        if watts:
            one.meter.draw(watts, one.now, until=one.now + timedelta(minutes=length))
        elif one.meter.is_connected:
            one.meter.cut(Cut.CREDIT, one.now)
        else:
            one.meter.restore(Cut.CREDIT, one.now)
    one.at(START + timedelta(minutes=3300))
    times = np.arange(microseconds(START), microseconds(one.now), 131_000_000)
    whole, first, second, phase = (
        one.meter.totals(f"import_wh{part}", times) for part in ("", "_r1", "_r2", "_l1")
    )
    assert (first + second == whole).all()
    assert (phase == whole).all()
    for register in (whole, first, second):
        assert (np.diff(register) >= 0).all()
    again = hands(state=state_of(plain(one.meter.state)), at=one.now)
    assert (again.meter.totals("import_wh", times) == whole).all()
    assert one.meter.measuring.total("import_wh", int(times[-1])) == whole[-1]
    assert moment(int(times[-1])) <= one.now
