"""What one request of a client with all rights may cost, however it was prepared."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import count, cycle

import attrs
import numpy as np
import pytest

from hes_protocol.axdr import array, structure
from hes_protocol.cosem import CaptureObject, Obis
from hes_protocol.cosem.objects import Attribute
from hes_protocol.models.objects import ModelObject
from hes_protocol.server import GetRequested, SetRequested
from hes_protocol.xdlms.results import DataAccessResult
from hes_simulators.classes.answering import double_long_unsigned, long_unsigned, octets
from hes_simulators.classes.scripts import run_script
from hes_simulators.clock import microseconds, moment
from hes_simulators.meter import Meter
from hes_simulators.quantities import is_quantity
from hes_simulators.state import ELECTRICITY, Cut, Spans
from tests.attacker import MODELS, NOW, kind_of, meter_of
from tests.cost import assert_costs

LOAD_PROFILE = Attribute(7, Obis.parse("1.0.99.1.0.255"), 2)
MONITOR = Obis.parse("0.0.16.1.0.255")
SWITCH = Obis.parse("0.0.10.0.106.255")
SUCCESS = DataAccessResult.SUCCESS
DAY_US = 86_400_000_000
CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2, 0)
# A first look at a meter opens the days of its installation; this is about what comes after.
BUDGET_S = 0.06


def get(meter: Meter, attribute: Attribute) -> tuple[DataAccessResult, bytes]:
    sap = meter.kind.main_client.sap
    got = meter.get(GetRequested(1, attribute, None, sap))
    return got.result, bytes(got.octets)


def capture(meter: Meter, *columns: CaptureObject) -> DataAccessResult:
    sap = meter.kind.main_client.sap
    objects = array(*(column.to_data() for column in (CLOCK, *columns)))
    where = Attribute(7, LOAD_PROFILE.obis, 3)
    return meter.set(SetRequested(1, where, objects, None, sap)).result


def column(one: ModelObject, index: int) -> CaptureObject:
    return CaptureObject(one.class_id, one.obis, index, 0)


WRITABLE = [
    name
    for name in MODELS
    for profile in kind_of(name).model.profiles.values()
    if profile.obis == LOAD_PROFILE.obis
    and kind_of(name).main_client.sap in profile.attributes[3].write
]


@pytest.mark.parametrize("name", WRITABLE)
def test_what_would_fill_each_row_is_not_captured(name: str) -> None:
    """A buffer, least of all its own, and lists of hundreds of octets."""
    meter = meter_of(name)
    objects = meter.kind.model.objects.values()
    whole = [column(one, 2) for one in objects if one.class_id == 7]
    whole.append(CaptureObject(15, Obis.parse("0.0.40.0.0.255"), 2, 0))
    assert CaptureObject(7, LOAD_PROFILE.obis, 2, 0) in whole
    for one in whole:
        assert capture(meter, one) is DataAccessResult.OTHER_REASON, str(one)
    assert meter.state.is_fresh


@pytest.mark.parametrize("name", ["is-15959-single-phase", "prepayment"])
def test_whatever_may_be_captured_is_soon_read(name: str) -> None:
    """Of each source that is no quantity as many columns as there may be, and the buffer full."""
    taken = 0
    for where in sources(meter_of(name)):
        meter = meter_of(name)
        count = 63
        while count and capture(meter, *(where,) * count):
            count //= 2
        if not count:
            continue
        taken += 1
        meter.kind = attrs.evolve(meter.kind, now=lambda: NOW + timedelta(days=36))
        assert_costs(partial(get, meter, LOAD_PROFILE), BUDGET_S)
    assert taken > 8


def sources(meter: Meter) -> list[CaptureObject]:
    """An attribute of each source."""
    found = {
        attribute.source: column(one, index)
        for one in meter.kind.model.objects.values()
        for index, attribute in one.attributes.items()
        if attribute.source is not None and not is_quantity(attribute)
    }
    return list(found.values())


@pytest.mark.parametrize("name", ["idis-solar", "is-15959-single-phase"])
@pytest.mark.parametrize("throw_us", [10**9, 10**15])
def test_a_clock_that_was_thrown_about_costs_no_profile_more(name: str, throw_us: int) -> None:
    """A step costs whoever goes through the periods; so many steps back and forth, so many ends."""
    meter = meter_of(name)
    meter.advance(NOW)
    at_us = microseconds(NOW)
    for step in range(3000):
        at_us += 5_000_000
        meter.advance_us(at_us)
        meter.time.set(at_us, at_us + throw_us * (step % 7 - 3))
    meter.kind = attrs.evolve(meter.kind, now=lambda: NOW + timedelta(days=1))
    for profile in meter.kind.model.profiles.values():
        if meter.kind.main_client.sap in profile.attributes[2].read:
            attribute = Attribute(7, profile.obis, 2)
            assert_costs(partial(get, meter, attribute), 3 * BUDGET_S)


def test_a_load_that_is_switched_each_minute_costs_the_same_after_weeks() -> None:
    """A register monitor switches off above 1 W, and on below."""
    meter = meter_of("idis-single-phase")
    meter.advance(NOW)
    sap = meter.kind.main_client.sap
    off, on = (structure(octets(SWITCH.octets), long_unsigned(script)) for script in (1, 2))
    thresholds = array(double_long_unsigned(1))
    for index, data in ((2, thresholds), (4, array(structure(off, on)))):
        where = Attribute(21, MONITOR, index)
        assert meter.set(SetRequested(1, where, data, None, sap)).result is SUCCESS
    spans = meter.state.cuts.setdefault(ELECTRICITY, Spans())
    ends_us = range(meter.now_us - DAY_US * 14, meter.now_us, 120_000_000)
    spans.closed += [(end_us - 60_000_000, end_us) for end_us in ends_us]

    assert run_script(meter, SWITCH, 1)

    def an_hour() -> None:
        meter.advance(moment(meter.now_us) + timedelta(hours=1))

    before = len(spans.closed)
    assert_costs(an_hour, BUDGET_S)
    assert len(spans.closed) - before >= 29


def test_what_was_cut_off_in_thousands_of_spans_is_added_up_once() -> None:
    """A meter that a client makes switch again and again is asked for its registers in between."""
    meter, asked_late = meter_of("idis-single-phase"), meter_of("idis-single-phase")
    now_us, minute_us = microseconds(NOW), 60_000_000
    begins_us = range(now_us - 100_000 * minute_us, now_us, minute_us)
    spans = Spans([(begin_us, begin_us + minute_us // 2) for begin_us in begins_us])
    meter.state.cuts[ELECTRICITY] = asked_late.state.cuts[ELECTRICITY] = spans
    moments = np.array([now_us, now_us + DAY_US])
    # The second begins where the first ends: joined with it.
    lasts_us = cycle((minute_us, minute_us // 3, minute_us // 2))
    starts_us = count(now_us, minute_us)

    def switched() -> None:
        begin_us = next(starts_us)
        spans.begin(Cut.DISCONNECT, begin_us)
        meter.totals("import_wh", moments)
        spans.end(Cut.DISCONNECT, begin_us + next(lasts_us))
        meter.totals("import_wh", moments)

    switched()
    assert_costs(switched, BUDGET_S / 10)
    for _ in range(5):
        switched()
    late = asked_late.totals("import_wh", moments)
    assert meter.totals("import_wh", moments).tolist() == late.tolist()


def test_periods_that_are_closed_out_of_turn_are_kept_as_far_as_they_show() -> None:
    meter = meter_of("idis-single-phase")
    meter.advance(NOW)
    for _ in range(1000):
        meter.advance_us(meter.now_us + 60_000_000)
        meter.close_billing()
    assert len(meter.state.billings) == len(meter.closings(meter.now_us)[0]) == 400
