"""Demands and maxima that clients begin anew; energy that nobody does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import CosemDateTime, Obis
from hes_protocol.xdlms.results import ActionResultCode
from hes_simulators.clock import microseconds
from hes_simulators.persistence import plain, state_of
from tests.unit.hes_simulators.living import IMPORT, START, Hands, hands

DEMAND = (5, "1.0.1.4.0.255")
MAXIMUM = (4, "1.0.1.6.0.255")
BILLING = (7, "0.0.98.1.0.255")
NOTHING = Data(DataTag.INTEGER, 0)
SUCCESS = ActionResultCode.SUCCESS
CURRENT, LAST, CAPTURED, BEGUN = 2, 3, 6, 7
RESET, NEXT_PERIOD = 1, 2


def used(one: Hands, begin: datetime, end: datetime) -> int:
    edges = np.array([microseconds(begin), microseconds(end)])
    return int(np.diff(one.meter.totals("import_wh", edges))[0])


def when(one: Hands, what: tuple[int, str], index: int) -> datetime:
    text = CosemDateTime.from_octets(one.value(what, index)).isoformat()
    assert text is not None
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize("method", [RESET, NEXT_PERIOD])
def test_a_demand_period_that_is_ended_begins_anew(method: int) -> None:
    one = hands().after(minutes=5)
    cut, boundary = one.now, START + timedelta(minutes=15)
    before = one.value(DEMAND, CURRENT)
    assert abs(before - used(one, START, cut) * 4) <= 4
    assert one.act(DEMAND, method, NOTHING) is SUCCESS
    assert one.value(DEMAND, CURRENT) == 0
    assert one.value(DEMAND, LAST) == (before if method == NEXT_PERIOD else 0)
    assert when(one, DEMAND, CAPTURED) == when(one, DEMAND, BEGUN) == cut
    one.at(START + timedelta(minutes=12))
    assert abs(one.value(DEMAND, CURRENT) - used(one, cut, one.now) * 4) <= 4
    # The period that began ends with the clock's, and the one after is whole again.
    one.at(boundary)
    assert abs(one.value(DEMAND, LAST) - used(one, cut, boundary) * 4) <= 4
    assert when(one, DEMAND, BEGUN) == boundary
    one.after(minutes=15)
    assert one.value(DEMAND, LAST) == used(one, boundary, one.now) * 4
    usual = hands(at=one.now)
    assert usual.value(DEMAND, LAST) == one.value(DEMAND, LAST)
    assert usual.value(IMPORT) == one.value(IMPORT)


def test_a_maximum_begins_anew_and_what_was_billed_stays() -> None:
    one = hands(at=datetime(2026, 11, 20, 7, 20, tzinfo=UTC))
    before, at = one.value(MAXIMUM), one.value(MAXIMUM, 5)
    billed = one.rows(BILLING)
    assert one.act(MAXIMUM, RESET, NOTHING) is SUCCESS
    assert one.value(MAXIMUM) == 0
    assert when(one, MAXIMUM, 5) == one.now
    reset = one.now
    one.after(minutes=55)
    ends = [datetime(2026, 11, 20, 7, minute, tzinfo=UTC) for minute in (30, 45)]
    ends += [end + timedelta(minutes=30) for end in ends]
    quarters = [used(one, end - timedelta(minutes=15), end) * 4 for end in ends]
    quarters[0] = used(one, reset, ends[0]) * 6  # the ten minutes that are left of it
    assert abs(one.value(MAXIMUM) - max(quarters)) <= 6
    assert when(one, MAXIMUM, 5) in ends
    assert one.value(MAXIMUM) < before
    assert one.value(MAXIMUM, 5) != at
    assert one.rows(BILLING) == billed
    # The month's row holds the maximum since the reset, the next month's another.
    one.at(datetime(2026, 12, 1, 6, tzinfo=UTC))
    columns = one.meter.kind.model.profiles[Obis.parse(BILLING[1])].capture_objects
    place = [str(column.obis) for column in columns].index(MAXIMUM[1])
    [*_, row] = one.rows(BILLING)
    usual = hands(at=one.now)
    assert row[place] <= usual.rows(BILLING)[-1][place]
    again = hands(at=one.now, state=state_of(plain(one.meter.state)))
    assert again.rows(BILLING) == one.rows(BILLING)


def test_energy_is_not_reset() -> None:
    one = hands()
    total = one.value(IMPORT)
    assert one.act(IMPORT, RESET, NOTHING) is ActionResultCode.READ_WRITE_DENIED
    assert one.value(IMPORT) == total
    assert one.act(MAXIMUM, RESET, Data(DataTag.OCTET_STRING, b"")) is (
        ActionResultCode.TYPE_UNMATCHED
    )
    assert one.meter.state.is_fresh
