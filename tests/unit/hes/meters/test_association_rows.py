"""Several associations in one row: roles, transports, and what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hes.domain.meters import Mechanism, Policy, Role, Transport
from hes.meters.fields import RowError
from hes.meters.rows import MeterSpec, parse_row
from hes_protocol.cosem import Obis

EK, AK = "00" * 16, "11" * 16


def parse(**fields: Any) -> MeterSpec:
    return parse_row(json.dumps({"serial": "S1", "timezone": "Europe/Vienna", **fields}).encode())


def test_a_list_is_all_that_a_meter_has() -> None:
    spec = parse(
        associations=[
            {"mechanism": "gmac", "ek": EK, "ak": AK, "counter_object": "0.0.43.1.1.255"},
            {"client_sap": 2, "role": "reader", "mechanism": "lls", "secret": "30" * 8,
             "transport": "hdlc"},
            {"client_sap": 16},
            {"client_sap": 102, "role": "pre_established", "ek": EK},
        ]
    )  # fmt: skip
    assert spec.whole
    management, reader, public, standing = (each.association for each in spec.associations)
    assert (management.role, management.mechanism) == (Role.MANAGEMENT, Mechanism.HLS_GMAC)
    assert management.counter_object == Obis.parse("0.0.43.1.1.255")
    assert (reader.role, reader.transport) == (Role.READER, Transport.HDLC)
    assert (public.role, public.transport) == (Role.PUBLIC, None)
    assert (standing.role, standing.policy) == (Role.PRE_ESTABLISHED, Policy.ENCRYPTED)


def test_the_rows_own_fields_are_one_association_among_others() -> None:
    spec = parse(client_sap=16, mechanism="none")
    assert not spec.whole
    assert [each.association.role for each in spec.associations] == [Role.PUBLIC]
    assert [each.association.role for each in parse(role="reader").associations] == [Role.READER]


@pytest.mark.parametrize(
    ("associations", "field", "says"),
    [
        ([], "associations", "not a list of 1 to 16"),
        ({}, "associations", "not a list"),
        ([7], "associations[0]", "not a JSON object"),
        ([{}, {}], "associations[1].client_sap", "two associations have the same"),
        ([{"role": "boss"}], "associations[0].role", "none of management, reader"),
        ([{"ek": "00"}], "associations[0].ek", "1 octets where 16 are due"),
        ([{"colour": 1}], "associations[0].colour", "no such field"),
        ([{"counter_object": "x"}], "associations[0].counter_object", "no OBIS code"),
        (
            [{"transport": "hdlc", "client_sap": 128}],
            "associations[0].client_sap",
            "from 1 to 127",
        ),
        ([{"client_sap": sap} for sap in range(1, 18)], "associations", "not a list of 1 to 16"),
    ],
)
def test_says_which_of_them_cannot_be(associations: object, field: str, says: str) -> None:
    with pytest.raises(RowError) as caught:
        parse(associations=associations)
    assert caught.value.field == field
    assert says in caught.value.message


def test_an_association_beside_the_list_is_a_field_too_many() -> None:
    with pytest.raises(RowError, match="no such field"):
        parse(associations=[{}], ek=EK)


def test_no_secret_is_shown() -> None:
    assert "00112233" not in repr(parse(associations=[{"ek": "00112233" * 4}]))
