"""
Every attribute and method of every object of every model, asked by every client: the result is the
one that the standard names for what the model's tables say, and the object list promises no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from hes_protocol.axdr import Data, DataTag, array, decode_all, structure
from hes_protocol.cosem import EntrySelection, Obis
from hes_protocol.cosem.objects import Attribute, Method
from hes_protocol.models.classes import CLASSES
from hes_protocol.models.objects import ModelObject
from hes_protocol.server import ActionRequested, GetRequested, Selection, SetRequested
from hes_protocol.xdlms.results import ActionResultCode, DataAccessResult
from hes_simulators.meter import Meter
from tests.attacker import MODELS, clients_of, kind_of, meter_of

Result = DataAccessResult
ABSENT = Obis.parse("9.9.9.9.9.9")
CASES = [(name, client.sap) for name in MODELS for client in clients_of(name)]
# Of no type that any attribute or parameter of the models has.
STRANGE = (
    Data(DataTag.FLOAT64, 1.5),
    Data(DataTag.DELTA_LONG, -1),
    structure(*(Data(DataTag.DONT_CARE),) * 7),
    array(array(structure())),
)


def objects_of(name: str) -> tuple[ModelObject, ...]:
    return tuple(kind_of(name).model.objects.values())


def get(
    meter: Meter,
    sap: int,
    class_id: int,
    obis: Obis,
    index: int,
    selection: Selection | None = None,
) -> tuple[Result, bytes]:
    got = meter.get(GetRequested(1, Attribute(class_id, obis, index), selection, sap))
    return got.result, bytes(got.octets)


def put(meter: Meter, sap: int, class_id: int, obis: Obis, index: int, data: Data) -> Result:
    return meter.set(SetRequested(1, Attribute(class_id, obis, index), data, None, sap)).result


def act(
    meter: Meter, sap: int, class_id: int, obis: Obis, index: int, data: Data | None
) -> ActionResultCode:
    return meter.action(ActionRequested(1, Method(class_id, obis, index), data, sap)).result


# other_reason: what the meter has but one value for.
REFUSED = (Result.TYPE_UNMATCHED, Result.READ_WRITE_DENIED, Result.OTHER_REASON)


def untouched(meter: Meter) -> bool:
    """Whether nothing is kept that makes a difference."""
    meter.state.objects = {obis: kept for obis, kept in meter.state.objects.items() if kept}
    return meter.state.is_fresh


def seen(one: ModelObject, sap: int) -> bool:
    return sap in one.clients


def indexes(one: ModelObject, sap: int) -> tuple[int, ...]:
    """What is asked of an object: all that it has, and what no object has."""
    last = max(one.attributes, default=1)
    return (-1, 0, *range(1, last + 3), 127) if seen(one, sap) else (1, 2)


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_what_may_be_read_is_read_and_nothing_else(name: str, sap: int) -> None:
    meter = meter_of(name)
    for one in objects_of(name):
        for index in indexes(one, sap):
            result, octets = get(meter, sap, one.class_id, one.obis, index)
            where = (one.class_id, str(one.obis), index, result.name)
            attribute = one.attributes.get(index)
            if not seen(one, sap):
                assert result is Result.OBJECT_UNDEFINED, where
            elif index == 1:
                assert decode_all(octets).value == one.obis.octets, where
            elif attribute is None:
                assert result is Result.OBJECT_UNDEFINED, where
            elif sap not in attribute.read:
                assert result is Result.READ_WRITE_DENIED, where
            else:
                assert result is Result.SUCCESS, where
                decode_all(octets)


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_what_may_not_be_written_is_refused_and_nothing_changes(name: str, sap: int) -> None:
    meter = meter_of(name)
    for one in objects_of(name):
        for index in indexes(one, sap):
            attribute = one.attributes.get(index)
            if seen(one, sap) and attribute is not None and sap in attribute.write:
                continue
            result = put(meter, sap, one.class_id, one.obis, index, Data(DataTag.UNSIGNED, 0))
            where = (one.class_id, str(one.obis), index, result.name)
            undefined = not seen(one, sap) or (attribute is None and index != 1)
            expected = Result.OBJECT_UNDEFINED if undefined else Result.READ_WRITE_DENIED
            assert result is expected, where
    assert meter.state.is_fresh


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_what_is_written_must_be_of_the_attributes_type(name: str, sap: int) -> None:
    meter = meter_of(name)
    for one in objects_of(name):
        for index, attribute in one.attributes.items():
            if not seen(one, sap) or sap not in attribute.write:
                continue
            for data in STRANGE:
                result = put(meter, sap, one.class_id, one.obis, index, data)
                where = (one.class_id, str(one.obis), index, data.tag.name, result.name)
                assert result in REFUSED, where
    assert untouched(meter)


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_what_may_not_be_invoked_is_refused_and_nothing_changes(name: str, sap: int) -> None:
    meter = meter_of(name)
    for one in objects_of(name):
        for index in (-1, *range(10)):
            if seen(one, sap) and sap in one.methods.get(index, ()):
                continue
            result = act(meter, sap, one.class_id, one.obis, index, Data(DataTag.INTEGER, 0))
            where = (one.class_id, str(one.obis), index, result.name)
            if not seen(one, sap) or not 1 <= index <= len(CLASSES[one.class_id].methods):
                assert result is ActionResultCode.OBJECT_UNDEFINED, where
            else:
                assert result is ActionResultCode.READ_WRITE_DENIED, where
    assert meter.state.is_fresh


def invocable(name: str, sap: int) -> Iterator[tuple[ModelObject, int]]:
    for one in objects_of(name):
        for index, saps in one.methods.items():
            if seen(one, sap) and sap in saps:
                yield one, index


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_parameters_of_strange_types_are_refused(name: str, sap: int) -> None:
    meter = meter_of(name)
    for one, index in invocable(name, sap):
        for data in STRANGE:
            result = act(meter, sap, one.class_id, one.obis, index, data)
            where = (one.class_id, str(one.obis), index, data.tag.name, result.name)
            assert result is not ActionResultCode.SUCCESS, where
            meter.state.logs.clear()  # an event may have been raised
            assert untouched(meter), where


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_names_that_are_not_there_are_undefined_and_other_classes_inconsistent(
    name: str, sap: int
) -> None:
    meter = meter_of(name)
    by_name: dict[Obis, set[int]] = {}
    for one in objects_of(name):
        by_name.setdefault(one.obis, set()).add(one.class_id)
    assert get(meter, sap, 3, ABSENT, 2)[0] is Result.OBJECT_UNDEFINED
    assert put(meter, sap, 3, ABSENT, 2, STRANGE[0]) is Result.OBJECT_UNDEFINED
    assert act(meter, sap, 3, ABSENT, 1, None) is ActionResultCode.OBJECT_UNDEFINED
    for one in objects_of(name):
        if len(by_name[one.obis]) > 1:
            continue
        expected = Result.OBJECT_CLASS_INCONSISTENT if seen(one, sap) else Result.OBJECT_UNDEFINED
        assert get(meter, sap, 9999, one.obis, 2)[0] is expected
        assert put(meter, sap, 9999, one.obis, 2, STRANGE[0]) is expected
        assert act(meter, sap, 9999, one.obis, 1, None) == expected


@pytest.mark.parametrize(("name", "sap"), CASES)
def test_a_part_of_what_has_no_parts_is_out_of_scope(name: str, sap: int) -> None:
    meter = meter_of(name)
    selection = EntrySelection(1, 2, 1, 0)
    for one in objects_of(name):
        for index, attribute in one.attributes.items():
            if not seen(one, sap) or sap not in attribute.read:
                continue
            if (one.class_id, index) == (7, 2):
                continue  # the buffer of a profile
            result, _ = get(meter, sap, one.class_id, one.obis, index, selection)
            assert result is Result.SCOPE_OF_ACCESS_VIOLATED, (one.class_id, str(one.obis), index)


@cache
def listed(name: str, sap: int) -> tuple[Data, ...]:
    """The elements of the client's object list."""
    result, octets = get(meter_of(name), sap, 15, Obis.parse("0.0.40.0.0.255"), 2)
    assert result is Result.SUCCESS
    elements: tuple[Data, ...] = decode_all(octets).value
    return elements


def with_list(name: str, sap: int) -> bool:
    one = kind_of(name).model.objects.get((15, Obis.parse("0.0.40.0.0.255")))
    return one is not None and seen(one, sap)


@pytest.mark.parametrize(("name", "sap"), [case for case in CASES if with_list(*case)])
def test_the_object_list_promises_what_is_kept(name: str, sap: int) -> None:
    meter = meter_of(name)
    for element in listed(name, sap):
        class_id, version, obis, rights = element.value
        one = kind_of(name).model.objects[class_id.value, Obis(obis.value)]
        assert (version.value, seen(one, sap)) == (one.version, True)
        attributes, _ = rights.value
        for entry in attributes.value:
            index, mode, _ = (member.value for member in entry.value)
            result, _ = get(meter, sap, one.class_id, one.obis, index)
            readable = bool(mode & 1)
            assert (result is Result.SUCCESS) == readable, (one.class_id, str(one.obis), index)
    names = {(e.value[0].value, e.value[2].value) for e in listed(name, sap)}
    assert names == {(one.class_id, one.obis.octets) for one in objects_of(name) if seen(one, sap)}
