"""A meter that answers, but tells nothing of itself: read whole by what its model file says."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.ports import SessionOutcome
from hes_collectors.dlms.session import Session, SessionResult
from hes_protocol.models import Model, parse_models
from tests.unit.hes_collectors.fakes import FakeStorage
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind, network
from tests.unit.hes_collectors.support import context, wall_clock

pytestmark = pytest.mark.conformance("model-tables", "client")

# No object list, no columns, no period, no scalers.
SECRETS = """
name = "secretive"
maker = "b"
source = "c"
inherits = "hes-household"
[[object]]
class_id = 15
obis = "0.0.40.0.0.255"
hidden = [2]
[[profile]]
obis = "1.0.99.1.0.255"
hidden = [3, 4]
[[object]]
class_id = 3
hidden = [3]
[object.list]
"1.0.1.8.0.255" = {}
"1.0.2.8.0.255" = {}
"1.0.1.27.0.255" = {}
"1.0.32.7.0.255" = {}
"""


def secretive() -> Model:
    parent = Path("config/models/hes-household.toml").read_text(encoding="utf-8")
    return parse_models([SECRETS, parent])[0]


def meter() -> SimulatedMeter:
    kind = attrs.evolve(meter_kind(sim.Security.GMAC), model=secretive())
    return SimulatedMeter(sim.Meter.of(kind, 0))


async def session(
    storage: FakeStorage, asked: SimulatedMeter, model: Model | None
) -> SessionResult:
    """One session of a collector that has, or has not, the meter's model file."""
    storage.add_meter(attrs.evolve(asked.inventory(), model="secretive"), asked.secrets())
    storage.own_counters[asked.meter_id] = 0
    [lease] = storage.ports().leases.take(holder="test", limit=1, lease_s=180)
    async with network(asked) as reached:
        surroundings = attrs.evolve(
            context(storage, reached.connect),
            models={} if model is None else {"secretive": model},
        )
        return await Session(surroundings, lease, trio.current_time() + 180).run()


async def test_its_model_tells_what_it_refuses(autojump_clock: MockClock) -> None:
    asked, storage = meter(), FakeStorage(wall_clock)
    result = await session(storage, asked, secretive())
    assert result.report.outcome is SessionOutcome.OK
    kept = {(at, str(key.obis)): value.value for (key, at), value in storage.values.items()}
    truth = {
        (row.captured_at, obis): value
        for row in asked.truth()
        for obis, value in row.values.items()
    }
    assert truth
    assert kept.items() >= truth.items()
    [profile] = storage.knowledge[asked.meter_id].profiles
    scales = {str(column.obis): (column.scaler, column.unit) for column in profile.columns}
    assert scales["1.0.1.8.0.255"] == (0, 30)
    assert scales["1.0.32.7.0.255"] == (-1, 35)


async def test_without_a_model_there_is_nothing_to_read(autojump_clock: MockClock) -> None:
    asked, storage = meter(), FakeStorage(wall_clock)
    result = await session(storage, asked, None)
    assert result.report.outcome is SessionOutcome.OK
    assert not storage.values
