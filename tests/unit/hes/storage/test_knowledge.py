"""What was learnt of a meter survives the way through JSON."""

import json

import attrs

from hes.domain.meters import (
    CaptureColumn,
    LinkKnowledge,
    MeterKnowledge,
    ObjectEntry,
    ProfileAccess,
    ProfileKnowledge,
    Scale,
)
from hes.domain.work import Attribute
from hes.storage.knowledge import from_document, to_document
from hes_protocol.cosem import Obis

PROFILE = Obis.parse("1.0.99.1.0.255")
ENERGY = Obis.parse("1.0.1.8.0.255")
KNOWLEDGE = MeterKnowledge(
    objects=(ObjectEntry(8, 0, Obis.parse("0.0.1.0.0.255")), ObjectEntry(7, 1, PROFILE)),
    profiles=(
        ProfileKnowledge(
            PROFILE, 900, (CaptureColumn(3, ENERGY, 2, 0, -3, 30), CaptureColumn(4, ENERGY, 2, 1))
        ),
    ),
)


def test_comes_back_as_it_was() -> None:
    assert from_document(json.loads(json.dumps(to_document(KNOWLEDGE)))) == KNOWLEDGE
    nothing = MeterKnowledge((), ())
    assert from_document(json.loads(json.dumps(to_document(nothing)))) == nothing
    full = attrs.evolve(
        KNOWLEDGE,
        profiles=(ProfileKnowledge(PROFILE, 0, (), newest_first=True, entries=300),),
        scales=(
            Scale(Attribute(3, ENERGY, 2), -3, 30),
            Scale(Attribute(5, ENERGY, 3), refused="data-access-read-write-denied"),
        ),
        link=LinkKnowledge(0x1E5D, 128, with_list=False, access=False),
        device_name="HES0000000000001",
        model="hes-household",
    )
    assert from_document(json.loads(json.dumps(to_document(full)))) == full


def test_the_way_to_ask_is_kept_and_was_not_always() -> None:
    [profile] = KNOWLEDGE.profiles
    learnt = attrs.evolve(KNOWLEDGE, profiles=(attrs.evolve(profile, access=ProfileAccess.ENTRY),))
    assert from_document(json.loads(json.dumps(to_document(learnt)))) == learnt
    turned = attrs.evolve(KNOWLEDGE, profiles=(attrs.evolve(profile, newest_first=True),))
    assert from_document(json.loads(json.dumps(to_document(turned)))) == turned
    document = json.loads(json.dumps(to_document(KNOWLEDGE)))
    del document["profiles"][0]["access"]
    assert from_document(document) == KNOWLEDGE


def test_names_are_dotted() -> None:
    assert to_document(KNOWLEDGE)["objects"] == [[8, 0, "0.0.1.0.0.255"], [7, 1, "1.0.99.1.0.255"]]


def test_a_document_of_another_version_counts_as_not_known() -> None:
    assert from_document({**to_document(KNOWLEDGE), "version": 2}) is None
    assert from_document({}) is None
