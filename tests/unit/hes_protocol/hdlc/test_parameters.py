"""What SNRM and UA negotiate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import FramingError, LocalProtocolError
from hes_protocol.hdlc import LinkParameters

pytestmark = pytest.mark.conformance("hdlc-parameters", "client", "server")

CASES = [
    (LinkParameters(), "81801205018006018007040000000108040000 0001"),
    (LinkParameters(128, 512, 1, 7), "818014 05020080 06020200 070400000001 080400000007"),
    (LinkParameters(256, 500, 1, 1), "818014 05020100 060201f4 070400000001 080400000001"),
]


@pytest.mark.parametrize(("parameters", "information"), CASES)
def test_read(parameters: LinkParameters, information: str) -> None:
    assert LinkParameters.from_information(bytes.fromhex(information)) == parameters
    assert LinkParameters.from_information(parameters.to_information()) == parameters


def test_what_is_not_said_keeps_its_default() -> None:
    assert LinkParameters.from_information(b"") == LinkParameters()
    assert LinkParameters.from_information(bytes.fromhex("818000")) == LinkParameters()
    # 0x09 is no parameter we know.
    said = LinkParameters.from_information(bytes.fromhex("818007 0902aaaa 0601fe"))
    assert said == LinkParameters(max_information_receive=254)


@pytest.mark.parametrize(
    "information",
    [
        "81",
        "8180",
        "80800105",
        "828000",
        "818005 0501",
        "818001 05",
        "818002 0501",
        "818002 0500",
        "818003 050100",
        "818007 05050000000001",
        "4c47",
        "0504000000ff",
    ],
)
def test_other_forms(information: str) -> None:
    with pytest.raises(FramingError) as caught:
        LinkParameters.from_information(bytes.fromhex(information))
    assert caught.value.code == "bad-parameters"


@given(st.binary(max_size=30))
def test_arbitrary_octets(octets: bytes) -> None:
    for information in (octets, b"\x81\x80" + octets, b"\x81\x80" + bytes((len(octets),)) + octets):
        try:
            parameters = LinkParameters.from_information(information)
        except FramingError:
            continue
        assert parameters.window_receive > 0


@pytest.mark.parametrize("parameters", [LinkParameters(0), LinkParameters(0x10000)])
def test_what_has_no_octets(parameters: LinkParameters) -> None:
    with pytest.raises(LocalProtocolError):
        parameters.to_information()
