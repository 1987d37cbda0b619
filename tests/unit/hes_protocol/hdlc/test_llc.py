"""The LLC header."""

from __future__ import annotations

import pytest

from hes_protocol.errors import FramingError
from hes_protocol.hdlc import llc

pytestmark = pytest.mark.conformance("llc", "client", "server")


def test_both_directions() -> None:
    assert llc.add(b"\xc0\x01", response=False) == bytes.fromhex("e6e600c001")
    assert llc.add(b"\xc4\x01", response=True) == bytes.fromhex("e6e700c401")
    assert llc.strip(bytes.fromhex("e6e600c001")) == b"\xc0\x01"
    assert llc.strip(bytes.fromhex("e6e700")) == b""


@pytest.mark.parametrize("information", ["", "e6", "e6e7", "e6e701c401", "e7e600c001", "e04000"])
def test_anything_else(information: str) -> None:
    with pytest.raises(FramingError) as caught:
        llc.strip(bytes.fromhex(information))
    assert caught.value.code == "bad-llc"
    assert not llc.is_llc(bytes.fromhex(information))
