"""Exploring a meter that will not tell everything: what its model says stands in, and when not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from hes.domain.meters import MeterKnowledge
from hes_collectors.dlms.exchange import Exchange
from hes_collectors.dlms.learning import learn
from hes_protocol.axdr import Data, DataTag, array, encode
from hes_protocol.client import Get, GetCompleted
from hes_protocol.cosem import CaptureObject, Obis, ObjectListEntry, ScalerUnit, Unit
from hes_protocol.cosem.objects import Attribute
from hes_protocol.models import Model, parse_model
from hes_protocol.xdlms.results import DataAccessResult

pytestmark = pytest.mark.conformance("model-tables", "client")

CLOCK, ENERGY = Obis.parse("0.0.1.0.0.255"), Obis.parse("1.0.1.8.0.255")
FIRST, SECOND = Obis.parse("1.0.99.1.0.255"), Obis.parse("1.0.99.2.0.255")
LIST = Attribute(15, Obis.parse("0.0.40.0.0.255"), 2)
PERIOD, COLUMNS, SCALE = Attribute(7, FIRST, 4), Attribute(7, FIRST, 3), Attribute(3, ENERGY, 3)
DENIED, UNDEFINED = DataAccessResult.READ_WRITE_DENIED, DataAccessResult.OBJECT_UNDEFINED
WH, KWH = (0, 30), (3, 30)
MODEL = parse_model(
    """
    name = "m"
    maker = "b"
    source = "c"
    [[object]]
    class_id = 8
    obis = "0.0.1.0.0.255"
    [[object]]
    class_id = 3
    obis = "1.0.1.8.0.255"
    scaler = 3
    unit = "Wh"
    [[profile]]
    obis = "1.0.99.1.0.255"
    period_s = 1800
    days = 1
    capture = ["0.0.1.0.0.255", "1.0.1.8.0.255"]
    [[profile]]
    obis = "1.0.99.2.0.255"
    period_s = 86400
    days = 1
    capture = ["0.0.1.0.0.255", "1.0.1.8.0.255"]
    """
)
EVERYTHING: Mapping[Attribute, Data] = {
    LIST: array(
        *(ObjectListEntry(*one).to_data() for one in ((8, 0, CLOCK), (3, 0, ENERGY), (7, 1, FIRST)))
    ),
    PERIOD: Data(DataTag.DOUBLE_LONG_UNSIGNED, 900),
    COLUMNS: array(
        CaptureObject(8, CLOCK, 2, 0).to_data(), CaptureObject(3, ENERGY, 2, 0).to_data()
    ),
    SCALE: ScalerUnit(0, Unit.of(30)).to_data(),
    Attribute(7, FIRST, 8): Data(DataTag.DOUBLE_LONG_UNSIGNED, 960),
}


class TalkingMeter:
    """Answers what it has; refuses what it is told to refuse; has nothing else."""

    agreed = None
    evidence = b""

    def __init__(self, refused: Mapping[Attribute, DataAccessResult]) -> None:
        self._refused = refused
        self.asked: list[Attribute] = []

    async def ask(self, get: Get) -> GetCompleted:
        self.asked.append(get.attribute)
        refusal = self._refused.get(get.attribute)
        found = EVERYTHING.get(get.attribute)
        if refusal is not None or found is None:
            return GetCompleted(0, refusal or UNDEFINED)
        return GetCompleted(0, DataAccessResult.SUCCESS, encode(found))


async def explored(
    refused: Mapping[Attribute, DataAccessResult] | None = None, model: Model | None = MODEL
) -> MeterKnowledge:
    return await learn(cast("Exchange", TalkingMeter(refused or {})), model)


def first(knowledge: MeterKnowledge) -> tuple[Any, ...]:
    profile = knowledge.profiles[0]
    energy = profile.columns[-1]
    return profile.obis, profile.capture_period_s, energy.obis, (energy.scaler, energy.unit)


async def test_what_a_meter_says_wins() -> None:
    """The model says kWh each half hour, and a second profile: the meter does not."""
    knowledge = await explored()
    assert first(knowledge) == (FIRST, 900, ENERGY, WH)
    [profile] = knowledge.profiles
    assert (profile.entries, profile.depth_s) == (960, 10 * 86_400)
    assert knowledge == await explored(model=None)


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        ({SCALE: DENIED}, (FIRST, 900, ENERGY, KWH)),
        ({PERIOD: DENIED}, (FIRST, 1800, ENERGY, WH)),
        ({COLUMNS: DataAccessResult.OTHER_REASON}, (FIRST, 900, ENERGY, WH)),
        ({PERIOD: DENIED, COLUMNS: DENIED, SCALE: DENIED}, (FIRST, 1800, ENERGY, KWH)),
        ({SCALE: UNDEFINED}, (FIRST, 900, ENERGY, (0, 255))),  # it has no such register
    ],
)
async def test_the_model_stands_in_for_what_it_refuses_to_say(
    refused: Mapping[Attribute, DataAccessResult], found: tuple[Any, ...]
) -> None:
    assert first(await explored(refused)) == found


@pytest.mark.parametrize("refused", [PERIOD, COLUMNS])
@pytest.mark.parametrize(
    ("answer", "model"), [(DENIED, None), (UNDEFINED, MODEL), (UNDEFINED, None)]
)
async def test_nothing_stands_in_for_a_profile_that_is_not_there(
    refused: Attribute, answer: DataAccessResult, model: Model | None
) -> None:
    assert (await explored({refused: answer}, model)).profiles == ()


async def test_profiles_of_a_meter_that_hides_its_objects_are_asked_for_by_the_model() -> None:
    """The second one is not there after all, and is left out; the list stays empty."""
    meter = TalkingMeter({LIST: DENIED})
    knowledge = await learn(cast("Exchange", meter), MODEL)
    assert Attribute(7, SECOND, 4) in meter.asked
    assert [profile.obis for profile in knowledge.profiles] == [FIRST]
    assert knowledge.objects == ()


async def test_a_list_without_end_is_asked_for_to_some_length() -> None:
    """Thousands of profiles, and columns by the hundred, take no session to its deadline."""
    names = [Obis((7).to_bytes() + number.to_bytes(4) + b"\xff") for number in range(3000)]
    columns = array(*[CaptureObject(8, CLOCK, 2, 0).to_data()] * 300)
    meter = TalkingMeter({})
    many: dict[Attribute, Data] = {
        LIST: array(*(ObjectListEntry(7, 1, name).to_data() for name in (FIRST, *names))),
        COLUMNS: columns,
    }

    async def ask(get: Get) -> GetCompleted:
        found = {**EVERYTHING, **many}.get(get.attribute)
        meter.asked.append(get.attribute)
        if found is None:
            return GetCompleted(0, UNDEFINED)
        return GetCompleted(0, DataAccessResult.SUCCESS, encode(found))

    meter.ask = ask  # type: ignore[method-assign]
    knowledge = await learn(cast("Exchange", meter))
    assert knowledge.profiles == ()
    assert len(meter.asked) < 150
