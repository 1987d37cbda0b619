"""What a server is asked again and again is read once; what is secret or broken is not kept."""

import attrs
import pytest

from hes_protocol.errors import RemoteProtocolError
from hes_protocol.xdlms import Conformance, GetRequestNormal, InitiateRequest, decode_apdu
from tests.connection_pair import CLOCK

GET = GetRequestNormal(CLOCK)
INITIATE = InitiateRequest(conformance=Conformance.GET, client_max_receive_pdu_size=512)


@pytest.mark.parametrize("apdu", [GET, INITIATE])
def test_the_same_octets_are_read_once(apdu: GetRequestNormal | InitiateRequest) -> None:
    octets = apdu.encode()
    assert decode_apdu(octets) is decode_apdu(bytes(bytearray(octets)))


def test_a_dedicated_key_is_not_kept() -> None:
    octets = attrs.evolve(INITIATE, dedicated_key=bytes(range(16))).encode()
    assert decode_apdu(octets) == decode_apdu(octets)
    assert decode_apdu(octets) is not decode_apdu(octets)


def test_what_many_ask_pushes_out_what_few_ask() -> None:
    first = decode_apdu(GET.encode())
    for number in range(2000):
        decode_apdu(b"\xc0\x02\xc1" + number.to_bytes(4, "big"))
    assert decode_apdu(GET.encode()) == first
    assert decode_apdu(GET.encode()) is not first


def test_what_is_broken_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            decode_apdu(GET.encode() + b"\x00")
        with pytest.raises(RemoteProtocolError):
            decode_apdu(INITIATE.encode()[:-1])
