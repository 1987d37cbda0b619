"""Billing profiles of simulated meters: each closed period once, stamped by the row's own clock."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.kinds import profile_kind
from hes.domain.ports import SessionOutcome
from hes.domain.work import Read, ReadKind
from hes.models import models
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.reads import served, storage_with
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind
from tests.unit.hes_collectors.support import wall_clock

BILLING = Read(ReadKind.BILLING)
# By range; two profiles at once; without a clock among the columns, and by entry.
BILLED = ["idis-single-phase", "dsmr-smr5", "is-15959-single-phase"]


def truth(asked: SimulatedMeter, profile: Obis) -> dict[tuple[object, str], int]:
    """What the meter has captured since 60 days before it was commissioned."""
    since = asked.inventory().commissioned_at - timedelta(days=59)
    return {
        (row.captured_at, name): value
        for row in sim.rows(asked.meter, since, wall_clock(), profile)
        for name, value in row.values.items()
    }


def kept(storage: FakeStorage, profile: Obis) -> dict[tuple[object, str], object]:
    """What is stored of it, columns named as the truth does."""
    return {
        (at, str(key.obis) if key.attribute_index == 2 else f"{key.obis}/{key.attribute_index}"): (
            value.value
        )
        for (key, at), value in storage.values.items()
        if key.source == profile
    }


@pytest.mark.parametrize("name", BILLED)
async def test_what_was_billed_is_stored_once(name: str, autojump_clock: MockClock) -> None:
    [model] = [one for one in models() if one.name == name]
    kind = attrs.evolve(meter_kind(sim.Security.GMAC), model=model, quirks=model.quirks)
    asked = SimulatedMeter(sim.Meter.of(kind, 0))
    storage = storage_with(asked, model)
    result = await served(storage, asked, [BILLING])
    assert result.report.outcome is SessionOutcome.OK
    profiles = [obis for obis in model.profiles if profile_kind(obis, 0) is ReadKind.BILLING]
    for profile in profiles:
        true = truth(asked, profile)
        assert true
        assert true.items() <= kept(storage, profile).items()
        assert {at for at, _ in kept(storage, profile)} == {at for at, _ in true}
    before = dict(storage.values)
    await trio.sleep(10)
    await served(storage, asked, [BILLING])
    assert storage.values == before
    assert storage.revisions == []
    asked.meter.advance(kind.now())
    asked.meter.close_billing()
    await trio.sleep(10)
    await served(storage, asked, [BILLING])
    new = [key for key in storage.values if key not in before]
    assert {key.source for key, _ in new} >= set(profiles[:1])
    assert len({at for _, at in new}) == 1
