"""A meter of every model is explored and read; what it tells of itself is what its file says."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.kinds import profile_kind
from hes.domain.ports import SessionOutcome
from hes.models import models
from hes_collectors.dlms.session import Session
from hes_protocol.cosem import CaptureObject
from hes_protocol.models import CaptureOn, Model
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind, network
from tests.unit.hes_collectors.support import context, wall_clock

LISTENING = [model for model in models() if model.meter is not None and model.meter.listens]


def known(asked: SimulatedMeter, model: Model) -> FakeStorage:
    """What a head-end knows of it: the client that is authenticated best."""
    inventory = attrs.evolve(asked.inventory(), model=model.name)
    best = max(model.clients.values(), key=lambda client: client.mechanism)
    association = attrs.evolve(inventory.association, client_sap=best.sap)
    storage = FakeStorage(wall_clock)
    storage.add_meter(attrs.evolve(inventory, association=association), asked.secrets())
    storage.own_counters[asked.meter_id] = 0
    return storage


@pytest.mark.parametrize("model", LISTENING, ids=lambda model: model.name)
async def test_a_meter_of_it_is_read_and_tells_what_its_file_says(
    model: Model, autojump_clock: MockClock
) -> None:
    kind = attrs.evolve(meter_kind(sim.Security.GMAC), model=model, quirks=model.quirks)
    asked = SimulatedMeter(sim.Meter.of(kind, 0))
    storage = known(asked, model)
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(asked) as reached:
        surroundings = attrs.evolve(
            context(storage, reached.connect), models={one.name: one for one in models()}
        )
        result = await Session(surroundings, lease, trio.current_time() + 180).run()
    assert result.report.outcome is SessionOutcome.OK
    assert result.stored > 0
    learnt = storage.knowledge[asked.meter_id]
    alike = model.name in ("hes-household", "hes-household-entry")  # in all that they show
    assert learnt.model == (None if alike else model.name)
    assert (learnt.device_name or "").startswith(model.device_name or "")
    told = {profile.obis: profile for profile in storage.knowledge[asked.meter_id].profiles}
    of_use = {
        one.obis
        for one in model.profiles.values()
        if profile_kind(one.obis, one.capture_period_s if one.on is CaptureOn.PERIOD else 0)
    }
    assert told.keys() == of_use
    for obis, profile in told.items():
        file = model.profiles[obis]
        assert profile.capture_period_s == file.capture_period_s
        assert profile.entries == kind.entries(file)
        columns = [
            CaptureObject(c.class_id, c.obis, c.attribute_index, c.data_index)
            for c in profile.columns
        ]
        assert columns == list(file.capture_objects)
        for column in profile.columns:
            scaler_unit = model.scaler_units.get((column.class_id, column.obis))
            if scaler_unit is not None and column.attribute_index == 2:
                assert (column.scaler, column.unit) == (scaler_unit.scaler, scaler_unit.unit.code)
    assert {(o.class_id, o.obis) for o in storage.knowledge[asked.meter_id].objects} <= set(
        model.objects
    )
