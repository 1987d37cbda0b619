"""Definite lengths of one to five octets."""

from __future__ import annotations

import pytest

from hes_protocol.axdr import read_length, write_length
from hes_protocol.errors import EncodingError, LocalProtocolError, TruncatedError

LENGTHS = [
    (0, "00"),
    (0x7F, "7f"),
    (0x80, "8180"),
    (0xFF, "81ff"),
    (0x100, "820100"),
    (0x10000, "83010000"),
    (0x1000000, "8401000000"),
    (0xFFFFFFFF, "84ffffffff"),
]


@pytest.mark.conformance("ber-long", "client", "server")
@pytest.mark.parametrize(("length", "octets"), LENGTHS)
def test_both_ways(length: int, octets: str) -> None:
    coded = bytes.fromhex(octets)
    assert write_length(length) == coded
    assert read_length(b"\x09" + coded + b"\x00", 1) == (length, 1 + len(coded))
    for end in range(len(coded)):
        with pytest.raises(TruncatedError):
            read_length(coded[:end])


@pytest.mark.parametrize("first", [0x80, 0x85, 0xFF])
def test_indefinite_and_overlong_are_refused(first: int) -> None:
    with pytest.raises(EncodingError) as caught:
        read_length(bytes((first,)) + bytes(200))
    assert (caught.value.code, caught.value.offset) == ("bad-length", 0)


@pytest.mark.parametrize("length", [-1, 1 << 32])
def test_what_is_no_length(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        write_length(length)


@pytest.mark.conformance("ber-long", "vector")
def test_the_example_of_the_standard() -> None:
    # ISO/IEC 8825-1 (X.690), 8.1.3.5: L = 201 can be encoded as 1 0000001 1100 1001.
    assert write_length(201).hex() == "81c9"
    assert read_length(bytes.fromhex("81c9")) == (201, 2)
