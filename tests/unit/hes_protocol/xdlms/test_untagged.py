"""Bodies with attribute descriptors that have no tags, as Sagemcom XT211 sends them."""

from __future__ import annotations

import time

import pytest

from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.cosem import Obis
from hes_protocol.errors import EncodingError, RemoteProtocolError
from hes_protocol.push import read_push
from hes_protocol.xdlms import DataNotification, decode_apdu
from hes_protocol.xdlms.untagged import decode_untagged

ENERGY, STATE = Obis.parse("1.0.1.8.0.255"), Obis.parse("0.0.96.3.10.255")
HEADER = b"\x0f\x80\x00\x00\x01\x00"


def untagged(class_id: int, obis: Obis, index: int, value: Data) -> bytes:
    descriptor = class_id.to_bytes(2, "big") + obis.octets + bytes((index,))
    return b"\x02\x02" + descriptor + encode(value)


ENTRIES = (
    untagged(3, ENERGY, 2, Data(DataTag.DOUBLE_LONG_UNSIGNED, 7)),
    untagged(70, STATE, 3, Data(DataTag.ENUM, 1)),
)
BODY = b"\x02\x02\x16\x01\x01\x02" + b"".join(ENTRIES)


def test_such_a_body_is_read_as_descriptions_and_values() -> None:
    apdu = decode_apdu(HEADER + BODY)
    assert isinstance(apdu, DataNotification)
    assert [(v.obis, v.class_id, v.attribute_index) for v in read_push(apdu.body).values[1:]] == [
        (ENERGY, 3, 2),
        (STATE, 70, 3),
    ]


def test_a_body_with_tags_is_read_as_what_it_is() -> None:
    body = array(structure(Data(DataTag.NULL_DATA), Data(DataTag.UNSIGNED, 1)))
    assert decode_apdu(DataNotification(1, None, body).encode()).body == body  # type: ignore[union-attr]


# Twelve octets of it are by chance whole data: an array of a structure and a null.
@pytest.mark.parametrize("end", [end for end in range(1, len(BODY)) if end != 12])
def test_a_body_that_is_cut_or_goes_on_is_refused(end: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_apdu(HEADER + BODY[:end])
    with pytest.raises(EncodingError):
        decode_apdu(HEADER + BODY + b"\x00")


@pytest.mark.parametrize(
    "body",
    [
        b"\x02\x02\x00",
        b"\x02\x02" * 40 + BODY,
        b"\x13\x02\x02\x00",
        b"\x01\x02\x02\x02\x00\x00" + ENERGY.octets + b"\x02\x11\x01\x11\x01",
    ],
)
def test_what_is_neither_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_untagged(body, 0)


def test_hostile_bodies_cost_little() -> None:
    body = b"\x02\x82\xff\xff" + ENTRIES[0] * 3000 + b"\xfe"
    begin = time.process_time()
    with pytest.raises(RemoteProtocolError):
        decode_apdu(HEADER + body)
    assert time.process_time() - begin < 0.5
