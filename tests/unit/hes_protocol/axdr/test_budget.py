"""
Hostile octets cost no more than their number allows: 1 ms + 1 µs an octet, and under 16 MB.

These are the worst that a search has found. Times are the least of several runs, and twice the
budget is allowed, since the machine that runs the tests is not ours alone: the worst of them take
half of it or more when nobody else is there. Without the limits it would be thousands of times.
"""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from functools import partial

import pytest

from hes_protocol.axdr import decode, write_length
from hes_protocol.errors import RemoteProtocolError
from tests.cost import assert_within_budget


def _array_of(cell: str, size: int) -> bytes:
    octets = bytes.fromhex(cell)
    count = size // len(octets)
    return b"\x01" + write_length(count) + octets * count


def _compact(description: str, size: int) -> bytes:
    return b"\x13" + bytes.fromhex(description) + write_length(size) + bytes(size)


def _hostile(size: int) -> dict[str, bytes]:
    return {
        "nulls": _array_of("00", size),
        "empty strings": _array_of("0900", size),
        "empty structures": _array_of("0200", size),
        "chains of structures": _array_of("0201" * 14 + "00", size),
        "bit strings": _array_of("040180", size),
        "numbers": _array_of("120102", size),
        "empty compact arrays": _array_of("130000", size),
        "small compact arrays": _array_of("13110101", size),
        "compact arrays of chains": _array_of("13" + "0201" * 13 + "110101", size),
        "compact arrays of 1000 nulls": _array_of("1302020103e800110100", size),
        "empty compact arrays of many nulls": _array_of("1301ffff01ffff0000", size),
        "octets": _compact("11", size),
        "structures of an octet": _compact("020111", size),
        "structures of nulls and an octet": _compact("0208" + "00" * 7 + "11", size),
        "nested structures of an octet": _compact("0201" * 10 + "11", size),
        "65535 nulls for each octet": _compact("020201ffff0011", size),
        "65535 ** 14 octets": b"\x13" + bytes.fromhex("01ffff" * 14 + "110101"),
        "65535 ** 14 nulls": b"\x13" + bytes.fromhex("0202" + "01ffff" * 13 + "00110101"),
        "65535 ** 14 empty structures": b"\x13"
        + bytes.fromhex("0202" + "01ffff" * 13 + "0200110101"),
        "no arrays of 65535 ** 2 octets": _compact("0202010000" + "01ffff" * 2 + "1111", size),
        "a wide type": b"\x13\x02" + write_length(size) + bytes(size - 1) + b"\x11\x01\x01",
        "a wide type of structures": b"\x13\x02\x82\x75\x30" + b"\x02\x00" * 30_000 + b"\x00",
        "counts above counts": b"\x01\x82\xf0\x00" * 12 + bytes(size),
    }


# Short, the longest APDU of the wrapper, just below the most values, and long.
SIZES = (2_000, 65_000, 199_000, 1_000_000)
HOSTILE = {f"{name} {size}": octets for size in SIZES for name, octets in _hostile(size).items()}
# tracemalloc is slow: the kinds of values that take most.
LARGE = [
    f"{name} 199000"
    for name in ("bit strings", "numbers", "chains of structures", "octets", "a wide type")
]


def _run(octets: bytes) -> None:
    with suppress(RemoteProtocolError):
        decode(octets)


@pytest.mark.conformance("nesting", "client", "server")
@pytest.mark.parametrize("name", HOSTILE)
def test_time(name: str) -> None:
    octets = HOSTILE[name]
    assert_within_budget(partial(_run, octets), len(octets))


@pytest.mark.conformance("nesting", "client", "server")
@pytest.mark.parametrize("name", LARGE)
def test_memory(name: str) -> None:
    tracemalloc.start()
    try:
        _run(HOSTILE[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000
