"""Check sequence, addresses, control octets and whole frames, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hes_protocol.errors import FramingError, LocalProtocolError, TruncatedError
from hes_protocol.hdlc import Control, ControlKind, HdlcAddress, HdlcFrame, fcs16

K = ControlKind
CLIENT = HdlcAddress(16)
SERVER = HdlcAddress(1)


def test_check_value_of_crc_16_x25() -> None:
    assert fcs16(b"123456789") == 0x906E
    assert fcs16(b"") == 0


ADDRESSES = [
    (HdlcAddress(16), "21"),
    (HdlcAddress(0x7F), "ff"),
    (HdlcAddress(1, 17), "0223"),
    (HdlcAddress(0, 0), "0001"),
    (HdlcAddress(1, 16383), "0002feff"),
    (HdlcAddress(1, 17, 4), "00020023"),
    (HdlcAddress(0x3FFF, 0x3FFF), "fefefeff"),
    (HdlcAddress(300, 5), "0458000b"),
]


@pytest.mark.conformance("hdlc-addresses", "client", "server")
@pytest.mark.parametrize(("address", "octets"), ADDRESSES)
def test_addresses(address: HdlcAddress, octets: str) -> None:
    coded = bytes.fromhex(octets)
    assert address.to_octets() == coded
    assert HdlcAddress.read(b"\x00" + coded + b"\x01", 1) == (address, 1 + len(coded))
    for end in range(len(coded)):
        with pytest.raises(TruncatedError):
            HdlcAddress.read(coded[:end])


@pytest.mark.parametrize("octets", ["000001", "0000000001", "000000000000"])
def test_addresses_of_other_sizes(octets: str) -> None:
    with pytest.raises(FramingError) as caught:
        HdlcAddress.read(bytes.fromhex(octets))
    assert caught.value.code == "bad-address"


@pytest.mark.parametrize(
    "address",
    [
        HdlcAddress(128),
        HdlcAddress(-1),
        HdlcAddress(1, 128, 2),
        HdlcAddress(0x4000, 1),
        HdlcAddress(1, None, 2),
        HdlcAddress(1, 1, 3),
        HdlcAddress(1, 1, 1),
    ],
)
def test_what_is_no_address(address: HdlcAddress) -> None:
    with pytest.raises(LocalProtocolError):
        address.to_octets()


CONTROLS = [
    (Control(K.I), 0x10),
    (Control(K.I, False, 1, 2), 0x42),
    (Control(K.I, True, 7, 7), 0xFE),
    (Control(K.RR, True, 0, 1), 0x31),
    (Control(K.RNR, False, 0, 3), 0x65),
    (Control(K.SNRM), 0x93),
    (Control(K.DISC), 0x53),
    (Control(K.UA), 0x73),
    (Control(K.DM), 0x1F),
    (Control(K.FRMR), 0x97),
    (Control(K.UI), 0x13),
    (Control(K.UI, False), 0x03),
]


@pytest.mark.parametrize(("control", "octet"), CONTROLS)
def test_controls(control: Control, octet: int) -> None:
    assert control.to_octet() == octet
    assert Control.from_octet(octet) == control


def test_every_octet_is_a_control_or_refused() -> None:
    known = 0
    for octet in range(256):
        try:
            control = Control.from_octet(octet)
        except FramingError as error:
            code = error.code
            assert code == "bad-control"
        else:
            known += 1
            assert control.to_octet() == octet
    assert known == 128 + 16 + 16 + 12


def test_what_is_no_control() -> None:
    with pytest.raises(LocalProtocolError):
        Control(K.I, send_sequence=8).to_octet()


FRAMES = [
    (HdlcFrame(HdlcAddress(1, 17), CLIENT, Control(K.SNRM)), "a00802232193bd64"),
    (HdlcFrame(CLIENT, HdlcAddress(1), Control(K.DM)), None),
    (HdlcFrame(CLIENT, HdlcAddress(0, 0), Control(K.I), False, b"\xe6\xe7\x00\x7e"), None),
    (HdlcFrame(SERVER, CLIENT, Control(K.I, False, 3, 4), True, b"\x7e" * 200), None),
    (HdlcFrame(HdlcAddress(1, 17, 4), CLIENT, Control(K.UI), False, bytes(2033)), None),
]


@pytest.mark.parametrize(("frame", "octets"), FRAMES)
def test_frames(frame: HdlcFrame, octets: str | None) -> None:
    coded = frame.to_octets()
    assert coded[0] == coded[-1] == 0x7E
    inner = coded[1:-1]
    if octets is not None:
        assert inner == bytes.fromhex(octets)
    assert HdlcFrame.from_octets(inner) == frame
    assert HdlcFrame.from_octets(bytearray(inner)) == frame


@pytest.mark.parametrize("frame", [frame for frame, _ in FRAMES[:4]])
def test_truncated_and_left_over(frame: HdlcFrame) -> None:
    inner = frame.to_octets()[1:-1]
    for end in range(len(inner)):
        with pytest.raises(TruncatedError):
            HdlcFrame.from_octets(inner[:end])
    with pytest.raises(FramingError) as caught:
        HdlcFrame.from_octets(inner + b"\x7e")
    assert (caught.value.code, caught.value.offset) == ("left-over", len(inner))


def test_every_changed_bit_is_noticed() -> None:
    inner = HdlcFrame(HdlcAddress(1, 17), CLIENT, Control(K.UI), False, bytes(20)).to_octets()[1:-1]
    codes = set()
    for bit in range(8 * len(inner)):
        changed = bytearray(inner)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises((FramingError, TruncatedError)) as caught:
            HdlcFrame.from_octets(changed)
        codes.add(caught.value.code)
    assert {"bad-format", "bad-hcs", "bad-fcs"} <= codes


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("a004032193", "bad-length"),
        ("a008032110", "bad-length"),
        ("a00703211b", "bad-control"),
        ("b007032111", "bad-format"),
        ("a007000001032111", "bad-address"),
    ],
)
def test_bad_headers_whose_check_is_right(head: str, code: str) -> None:
    octets = bytes.fromhex(head)
    octets += fcs16(octets).to_bytes(2, "little")
    with pytest.raises(FramingError) as caught:
        HdlcFrame.from_octets(octets + bytes(4))
    assert caught.value.code == code


def test_empty_information_with_both_checks_is_taken() -> None:
    octets = bytes.fromhex("a009032113")
    octets += fcs16(octets).to_bytes(2, "little")
    octets += fcs16(octets).to_bytes(2, "little")
    assert HdlcFrame.from_octets(octets) == HdlcFrame(SERVER, CLIENT, Control(K.UI))


def test_longer_than_eleven_bits() -> None:
    with pytest.raises(LocalProtocolError):
        HdlcFrame(SERVER, CLIENT, Control(K.I), False, bytes(2039)).to_octets()


@given(st.binary(max_size=40))
def test_arbitrary_octets(octets: bytes) -> None:
    with pytest.raises((FramingError, TruncatedError)):
        HdlcFrame.from_octets(b"\xa0" + octets + b"\x00")
