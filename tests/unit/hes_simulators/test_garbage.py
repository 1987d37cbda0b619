"""A fleet is seldom looked through for garbage, and only while it serves."""

from __future__ import annotations

import gc

import trio

from hes_simulators import Fleet, FleetSettings


async def test_while_a_fleet_serves_garbage_is_looked_for_less_often() -> None:
    before = gc.get_threshold()
    async with trio.open_nursery() as nursery:
        await nursery.start(Fleet(FleetSettings(meters=1, port=0), start_number=1).serve)
        assert gc.get_threshold()[0] > 10 * before[0]
        nursery.cancel_scope.cancel()
    assert gc.get_threshold() == before
