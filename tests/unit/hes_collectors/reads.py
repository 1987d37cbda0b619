"""One session with one simulated meter, for given reads: what the tests of steps have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import trio

from hes.domain.ports import Lease
from hes.domain.work import DueItem, Gap, Read, WorkKind
from hes.models import models
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.models import Model
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, network
from tests.unit.hes_collectors.support import context, wall_clock


def storage_with(meter: SimulatedMeter, model: Model | None = None) -> FakeStorage:
    """A head-end that knows the meter and has counted under its key; `model` by its name."""
    storage = FakeStorage(wall_clock)
    inventory = meter.inventory()
    if model is not None:
        best = max(model.clients.values(), key=lambda client: client.mechanism)
        association = attrs.evolve(inventory.association, client_sap=best.sap)
        inventory = attrs.evolve(inventory, model=model.name, association=association)
    storage.add_meter(inventory, meter.secrets())
    storage.own_counters[meter.meter_id] = 0
    return storage


async def served(
    storage: FakeStorage,
    meter: SimulatedMeter,
    reads: Sequence[Read] = (),
    *,
    gap: Gap | None = None,
    **changes: Any,
) -> SessionResult:
    """What becomes of one session for these reads, or for a gap."""
    now = wall_clock()
    kind = WorkKind.PLAN if gap is None else WorkKind.GAP
    deadline = now + timedelta(hours=1)
    item = DueItem(7, kind, now, now, deadline, deadline, reads=tuple(reads), gap=gap)
    marks = tuple((source, at) for (_, source), at in storage.marks.items())
    known = storage.meters[meter.meter_id]
    lease = Lease(known, 1, now, 180, marks, items=(item,))
    async with network(meter) as reached:
        surroundings = attrs.evolve(
            context(storage, reached.connect, **changes),
            models={one.name: one for one in models()},
        )
        result = await Session(surroundings, lease, trio.current_time() + 180).run()
        assert await reached.all_closed()
    return result
