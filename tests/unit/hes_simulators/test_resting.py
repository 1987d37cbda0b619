"""Meters at which nobody looks give back what was worked out for them, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio
import trio.testing

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import Attribute, Obis
from hes_protocol.server import GetRequested, SetRequested
from hes_simulators import Fleet, FleetSettings
from hes_simulators.fleet import REST_AFTER_S
from hes_simulators.meter import Meter
from hes_simulators.scenario import MockedPace
from hes_simulators.state import Cut

START = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)


def everything(meter: Meter) -> list[bytes]:
    """All that the main client may read."""
    sap = meter.kind.main_client.sap
    return [
        bytes(meter.get(GetRequested(1, Attribute(*key, index), None, sap)).octets)
        for key, one in meter.kind.model.objects.items()
        for index, attribute in one.attributes.items()
        if sap in attribute.read
    ]


def lived(meter: Meter, at: datetime) -> None:
    """Something has happened to it."""
    meter.raise_event("voltage_sag_l1", at)
    meter.cut(Cut.DISCONNECT, at)
    meter.time.set(meter.now_us, meter.now_us - 40_000_000)
    meter.close_billing()
    name = Data(DataTag.OCTET_STRING, b"AT-1")
    where = Attribute(1, Obis.parse("0.0.96.1.10.255"), 2)
    meter.set(SetRequested(1, where, name, None, meter.kind.main_client.sap))


@pytest.mark.parametrize("model", ["idis-solar", "prepayment", "is-15959-single-phase"])
async def test_who_has_rested_answers_as_one_that_has_not(
    model: str, autojump_clock: trio.testing.MockClock
) -> None:
    pace = MockedPace(START)
    pace.now()
    settings = FleetSettings(meters=2, model=model)
    resting, other = (Fleet(settings, start_number=1, pace=pace) for _ in range(2))
    async with trio.open_nursery() as nursery:
        await nursery.start(resting.let_rest)
        for _ in range(2):
            for fleet in (resting, other):
                lived(fleet.meter(0), pace.now())
                everything(fleet.meter(0))
            assert resting.meter(0).rest()  # there is something to give back
            everything(resting.meter(0))
            await trio.sleep(2 * REST_AFTER_S)
            assert not resting.meter(0).rest()  # it was
            assert everything(resting.meter(0)) == everything(other.meter(0))
            await trio.sleep(REST_AFTER_S / 2)
            everything(resting.meter(0))
            await trio.sleep(REST_AFTER_S / 2)
            assert resting.meter(0).rest()  # but not while somebody asks
        nursery.cancel_scope.cancel()
