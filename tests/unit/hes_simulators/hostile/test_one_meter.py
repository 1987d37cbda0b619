"""A bug in what one meter does: that meter fails, and no other with it."""

from __future__ import annotations

from datetime import UTC, datetime

import trio
import trio.testing

from hes_simulators import Fleet, FleetSettings, SessionSummary
from hes_simulators.concentrator import ConcentratorSession
from hes_simulators.meter import Meter
from hes_simulators.reach import Reach
from tests.unit.hes_simulators.reader import Reader

NOW = datetime(2026, 11, 21, 9, 20, tzinfo=UTC)
CLOCK = "0.0.1.0.0.255"


def broken(meter: Meter) -> None:
    """As a bug might leave it."""
    meter.state.clock_steps.append("no step")  # type: ignore[arg-type]


async def test_behind_a_concentrator_the_other_meters_answer_on() -> None:
    settings = FleetSettings(meters=2, reach=Reach(meters_per_address=2))
    fleet = Fleet(settings, start_number=1, now=lambda: NOW)
    ours, theirs = trio.testing.memory_stream_pair()
    records, saps = list(fleet.meter_file()), {}
    for record, meter in zip(records, fleet.all_meters(), strict=True):
        saps[record["server_sap"]] = meter
    summary = SessionSummary()
    session = ConcentratorSession(theirs, saps.get, summary, 60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.serve)
        first, second = (Reader(record, ours) for record in records)
        await first.associate()
        await second.associate()
        broken(fleet.meter(0))
        with trio.move_on_after(0.2) as waited:
            await first.get(8, CLOCK, 2)
        assert waited.cancelled_caught
        assert await second.get(8, CLOCK, 2)
        assert summary.crashes == 1
        nursery.cancel_scope.cancel()
