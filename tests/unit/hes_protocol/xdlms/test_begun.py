"""The counter of a ciphered APDU of which only the beginning is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.xdlms import Ciphered
from hes_protocol.xdlms.begun import begun_counter

CONTENT = bytes.fromhex("30 00000107") + bytes(300)
BROADCAST = bytes.fromhex("70 00000107") + bytes(300)


@pytest.mark.parametrize(
    ("apdu", "key"),
    [
        (Ciphered(0xC8, CONTENT), (False, False)),
        (Ciphered(0xD0, CONTENT), (True, False)),
        (Ciphered(0xDB, CONTENT, b"8 octets"), (False, False)),
        (Ciphered(0xDC, CONTENT, b"8 octets"), (True, False)),
        (Ciphered(0xDB, BROADCAST, b"8 octets"), (False, True)),
    ],
)
def test_key_and_counter(apdu: Ciphered, key: tuple[bool, bool]) -> None:
    octets = apdu.encode()
    for end in range(len(octets) - 300, len(octets)):
        assert begun_counter(octets[:end]) == (key, 0x107)
    for end in range(len(octets) - 300):
        assert begun_counter(octets[:end]) is None


@given(st.binary(max_size=30))
def test_anything_has_a_counter_or_none(octets: bytes) -> None:
    begun_counter(octets)


def test_what_is_not_ciphered_has_none() -> None:
    assert begun_counter(b"\xc0" + CONTENT) is None
