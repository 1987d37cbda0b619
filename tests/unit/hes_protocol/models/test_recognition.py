"""Which model a meter is, told from its name and its objects."""

from __future__ import annotations

import pytest

from hes.models import models
from hes_protocol.cosem import Obis
from hes_protocol.models import Model, certain, recognise
from hes_protocol.models.objects import ModelObject

KEYS = [(3, Obis.parse(f"1.0.{c}.8.0.255")) for c in range(1, 11)]


def model(name: str, keys: list[tuple[int, Obis]], device_name: str = "") -> Model:
    objects = {key: ModelObject(class_id=key[0], version=0, obis=key[1]) for key in keys}
    return Model(name, "maker", "made up", objects=objects, device_name=device_name)


@pytest.mark.parametrize("wanted", ["idis-three-phase", "dsmr-smr5", "prepayment"])
def test_a_simulated_meter_is_recognised_by_what_it_shows(wanted: str) -> None:
    (simulated,) = (one for one in models() if one.name == wanted)
    shown = [key for key, one in simulated.objects.items() if 1 in one.clients]
    name = simulated.device_name + "00000017"
    assert certain(recognise(name, shown, models(), client_sap=1)) == wanted


def test_most_of_the_objects_and_the_name_are_enough_with_a_lead() -> None:
    known = [model("one", KEYS, "ABC"), model("other", KEYS[:5], "ABC")]
    found = recognise("ABC17", KEYS[:9], known)
    assert [(each.model, each.score) for each in found] == [("one", 0.9), ("other", 0.5556)]
    assert certain(found) == "one"


def test_a_name_that_does_not_fit_rules_a_model_out() -> None:
    assert recognise("XYZ17", KEYS, [model("one", KEYS, "ABC")]) == []


def test_without_a_name_only_the_very_objects_are_enough() -> None:
    known = [model("one", KEYS, "ABC")]
    assert certain(recognise(None, KEYS, known)) == "one"
    assert certain(recognise(None, KEYS[:9], known)) is None


def test_twins_are_not_told_apart() -> None:
    found = recognise("ABC17", KEYS, [model("one", KEYS, "ABC"), model("twin", KEYS, "ABC")])
    assert [each.score for each in found] == [1.0, 1.0]
    assert certain(found) is None


def test_a_maker_alone_is_a_candidate_and_no_more() -> None:
    found = recognise("ABC17", [], [model("one", [], "ABC"), model("any", [])])
    assert [(each.model, each.score, each.named) for each in found] == [("one", 0.5, True)]
    assert certain(found) is None


def test_of_nothing_comes_nothing() -> None:
    assert recognise(None, [], models()) == []
    assert certain([]) is None
