"""Objects name objects: whoever follows such a name finds something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hes_protocol.axdr import Data, DataTag
from hes_protocol.cosem import Obis
from tests.unit.hes_simulators.living import Hands, hands

LISTENING = (
    "dsmr-smr5", "hes-household", "hes-household-odd", "idis-single-phase", "idis-solar",
    "idis-street-light", "is-15959-single-phase", "prepayment",
)  # fmt: skip
# Their values are the customer's or the meter's own, and may have six octets by chance.
PLAIN = (1, 3, 4, 5, 18, 64)


def names(data: Data) -> Iterator[bytes]:
    """Octet-strings of six, but for those of nothing but zeros, which name nothing."""
    if data.tag in (DataTag.ARRAY, DataTag.STRUCTURE):
        for member in data.value:
            yield from names(member)
    elif data.tag is DataTag.OCTET_STRING and len(data.value) == 6 and any(data.value):
        yield data.value


@pytest.mark.parametrize("model", LISTENING)
def test_every_name_that_an_object_holds_is_that_of_an_object(model: str) -> None:
    one = hands(model)
    objects = one.meter.kind.model.objects.values()
    known = {found.obis.octets for found in objects}
    for found in objects:
        for index, attribute in found.attributes.items():
            if found.class_id in PLAIN or one.sap not in attribute.read:
                continue
            value = one.get((found.class_id, str(found.obis)), index)
            assert isinstance(value, Data)
            missing = {str(Obis(name)) for name in set(names(value)) - known}
            assert not missing, (found.class_id, str(found.obis), index)


@pytest.mark.parametrize(
    ("model", "rates"), [("idis-single-phase", 2), ("is-15959-single-phase", 4)]
)
def test_what_the_calendar_names_sets_the_mask_of_a_rate(model: str, rates: int) -> None:
    """A script that writes active_mask of class_id 6, whose mask has registers of that rate."""
    one = hands(model)
    registers = [bytes(pair.value[1].value) for pair in one.value(ACTIVATION, 2)]
    masks = {mask.value[0].value: mask.value[1].value for mask in one.value(ACTIVATION, 3)}
    assert one.value(ACTIVATION, 4) in masks
    rate = 0
    for rate, mask in enumerate(scripts(one), 1):
        of_rate = {Obis(registers[place.value - 1]).octets[4] for place in masks[mask]}
        assert of_rate == {rate}
    assert rate == rates


ACTIVATION = (6, "0.0.14.0.1.255")


def scripts(one: Hands) -> Iterator[bytes]:
    """The parameters of the scripts that the calendar's days run."""
    [table] = {
        action.value[1].value
        for day in one.value((20, "0.0.13.0.0.255"), 5)
        for action in day.value[1].value
    }
    for script in one.value((9, str(Obis(table)))):
        [action] = script.value[1].value
        service, class_id, name, index, parameter = action.value
        assert (service.value, class_id.value, str(Obis(name.value))) == (1, *ACTIVATION)
        assert index.value == 4
        yield parameter.value
