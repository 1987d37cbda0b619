"""Registers read by name or as the object list has them: values, times, refusals, requests."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from trio.testing import MockClock

import hes_simulators as sim
from hes.domain.ports import SessionOutcome
from hes.domain.quality import Quality
from hes.domain.readings import ChannelKey
from hes.domain.work import Attribute, Read, ReadKind
from hes.models import models
from hes_protocol.cosem import Obis
from tests.unit.hes_collectors.fakes import FakeStorage, StoredValue
from tests.unit.hes_collectors.reads import served, storage_with
from tests.unit.hes_collectors.simulated import SimulatedMeter, meter_kind
from tests.unit.hes_collectors.support import START

REGISTERS = Read(ReadKind.REGISTERS)
IMPORT = Attribute(3, Obis.parse("1.0.1.8.0.255"), 2)
VOLTAGE = Attribute(3, Obis.parse("1.0.32.7.0.255"), 2)
NOT_THERE = Attribute(3, Obis.parse("1.0.77.7.0.255"), 2)


def spot(storage: FakeStorage) -> dict[ChannelKey, StoredValue]:
    """What single reads have stored, by channel; one value each."""
    found = [(key, value) for (key, _), value in storage.values.items() if key.source is None]
    assert len(found) == len({key for key, _ in found})
    return dict(found)


def modelled(name: str) -> tuple[SimulatedMeter, FakeStorage]:
    [model] = [one for one in models() if one.name == name]
    kind = attrs.evolve(meter_kind(sim.Security.GMAC), model=model, quirks=model.quirks)
    meter = SimulatedMeter(sim.Meter.of(kind, 0))
    return meter, storage_with(meter, model)


async def test_named_registers_come_with_scaler_unit_and_time_of_receipt(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    read = attrs.evolve(REGISTERS, attributes=(IMPORT, VOLTAGE))
    result = await served(storage, meter, [read])
    assert result.report.outcome is SessionOutcome.OK
    assert [outcome.refused for _, outcome in result.served] == [None]
    values = {key.obis: value for key, value in spot(storage).items()}
    assert set(values) == {IMPORT.obis, VOLTAGE.obis}
    voltage = values[VOLTAGE.obis]
    assert isinstance(voltage.value, int)
    assert 200 < voltage.value * 10**voltage.scaler < 260
    assert voltage.unit == 35
    assert voltage.quality & Quality.TIME_OF_RECEIPT
    [(_, at), *_] = storage.values
    assert START <= at <= START + timedelta(seconds=10)


async def test_what_is_not_there_harms_no_other_and_is_not_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    read = attrs.evolve(REGISTERS, attributes=(NOT_THERE, IMPORT))
    [(_, outcome)] = (await served(storage, meter, [read])).served
    assert (outcome.refused, outcome.note) == (None, "data-access-object-undefined")
    assert {key.obis for key in spot(storage)} == {IMPORT.obis}
    only = attrs.evolve(REGISTERS, attributes=(NOT_THERE,))
    [(_, outcome)] = (await served(storage, meter, [only])).served
    assert outcome.refused == "data-access-object-undefined"
    assert not [one for one in meter.gets(3) if one.attribute.obis == NOT_THERE.obis]


async def test_scaler_units_are_asked_for_once(autojump_clock: MockClock) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    await served(storage, meter, [REGISTERS])
    assert {one.attribute.index for one in meter.gets(3)} == {2, 3}
    kept = storage.knowledge[meter.meter_id]
    assert {scale.attribute for scale in kept.scales} >= {IMPORT, VOLTAGE}
    storage.values.clear()
    await served(storage, meter, [REGISTERS])
    assert {one.attribute.index for one in meter.gets(3)} == {2}
    assert storage.knowledge[meter.meter_id] == kept
    assert spot(storage)[next(iter(spot(storage)))].unit != 255


@pytest.mark.parametrize("name", ["idis-three-phase", "dsmr-smr5"])
async def test_all_registers_of_a_meter_in_few_requests(
    name: str, autojump_clock: MockClock
) -> None:
    """Extended and demand registers at the time that they say themselves."""
    meter, storage = modelled(name)
    result = await served(storage, meter, [REGISTERS])
    assert result.report.outcome is SessionOutcome.OK
    known = storage.knowledge[meter.meter_id]
    shown = {
        Attribute(one.class_id, one.obis, index)
        for one in known.objects
        for index in {3: (2,), 4: (2,), 5: (2, 3)}.get(one.class_id, ())
    }
    refused = {scale.attribute for scale in known.scales if scale.refused}
    read = {Attribute(key.class_id, key.obis, key.attribute_index) for key in spot(storage)}
    assert read == shown - refused
    assert len(read) > 10
    own_time = [
        at
        for (key, at), value in storage.values.items()
        if key.class_id == 4 and not value.quality & Quality.TIME_OF_RECEIPT
    ]
    if any(one.class_id == 4 for one in shown):
        assert own_time
        assert all(at <= START for at in own_time)


async def test_power_quality_is_of_voltages_currents_and_frequency_only(
    autojump_clock: MockClock,
) -> None:
    meter = SimulatedMeter.of()
    storage = storage_with(meter)
    result = await served(storage, meter, [Read(ReadKind.POWER_QUALITY)])
    assert [outcome.refused for _, outcome in result.served] == [None]
    groups = {key.obis.octets[2] for key in spot(storage)}
    assert 32 in groups
    assert groups <= {11, 12, 13, 14, 31, 32, 33, 51, 52, 53, 71, 72, 73, 90, 91, 92}
