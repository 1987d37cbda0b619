"""
What is fuzzed: a function of octets for each decoder and state machine, with octets to begin from.

A target returns anything, or raises `RemoteProtocolError`: everything else is a finding. What is
accepted must also come back the same when it is encoded and read again, and a stream must give the
same however it is split. Seeds are made by our encoders; none is a capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from hes_protocol._general_blocks import BlockExchange
from hes_protocol.acse import Aare, Aarq, Rlre, Rlrq
from hes_protocol.axdr import (
    CompactArray,
    Data,
    DataTag,
    TypeDescription,
    array,
    decode_all,
    encode,
    structure,
)
from hes_protocol.axdr.data import NULL
from hes_protocol.cosem import Obis
from hes_protocol.cosem.objects import CaptureObject
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.hdlc import (
    Control,
    HdlcAddress,
    HdlcFrame,
    HdlcLink,
    HdlcReassembler,
    HdlcReceiver,
    HdlcServerLink,
    llc,
)
from hes_protocol.hdlc.control import ControlKind
from hes_protocol.hdlc.crc import fcs16
from hes_protocol.mbus import MBusFragmenter, MBusReassembler, MBusReceiver
from hes_protocol.profile import NullMeaning, decode_profile
from hes_protocol.push import read_push
from hes_protocol.security import Protection, SuiteKeys, protect, unprotect
from hes_protocol.translator import TranslatorKeys, translate
from hes_protocol.wrapper import WrapperFrame, WrapperReceiver
from hes_protocol.xdlms import Ciphered, DataNotification, GeneralBlockTransfer, decode_apdu
from hes_protocol.xdlms.assembler import BlockAssembler
from tests.fuzz import inventory, machines, meters
from tests.fuzz.seeds import APDUS, AXDR, PUSHES, acse

Run = Callable[[bytes], Any]

EK, AK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"HES\0\0\0\0\1"
KEYS = SuiteKeys(EK, AK)


@attrs.frozen
class Target:
    """
    `extra_s` is CPU that the harness itself needs, on top of the budget of the octets;
    `most_octets` how long an input may become.
    """

    run: Run
    seeds: tuple[bytes, ...]
    extra_s: float = 0.0
    most_octets: int = 2048


class NotTheSameError(AssertionError):
    """What was read, written and read again is not what it was, or a split changed a stream."""


def _axdr(octets: bytes) -> None:
    data = decode_all(octets)
    if decode_all(encode(data)) != data and encode(decode_all(encode(data))) != encode(data):
        raise NotTheSameError(repr(data)[:200])  # NaN is not equal to itself


def _apdu(octets: bytes) -> None:
    apdu = decode_apdu(octets)
    written = apdu.encode()
    again = decode_apdu(written)
    if again != apdu and again.encode() != written:
        raise NotTheSameError(repr(apdu)[:200])


def _ber(octets: bytes) -> None:
    kinds = {kind.TAG: kind for kind in (Aarq, Aare, Rlrq, Rlre)}
    kind = kinds.get(octets[0]) if octets else None
    if kind is None:
        kind, octets = Aarq, b"\x60" + octets[1:]
    apdu = kind.decode(octets)
    if kind.decode(apdu.encode()) != apdu:
        raise NotTheSameError(repr(apdu)[:200])


def _drain(next_one: Callable[[], Any]) -> list[Any]:
    """What a receiver gives; an error that it gives for ever stands there once."""
    seen: list[Any] = []
    while True:
        try:
            one = next_one()
        except RemoteProtocolError as error:
            if seen[-1:] == [error]:
                return seen
            one = error
        if one is None:
            return seen
        seen.append(one)


def _comparable(seen: list[Any]) -> list[Any]:
    return [(one.code, one.offset) if isinstance(one, RemoteProtocolError) else one for one in seen]


def _frames(receiver: Any, pieces: tuple[bytes, ...]) -> list[Any]:
    """All frames of a stream, and its errors; the end of it is said where that matters."""
    seen: list[Any] = []
    for piece in pieces:
        receiver.receive_data(piece)
        for one in _drain(receiver.next_frame):
            if isinstance(one, RemoteProtocolError) and one in seen:
                break  # the stream was lost before this piece
            seen.append(one)
    if hasattr(receiver, "receive_end"):
        receiver.receive_end()
        seen += _drain(receiver.next_frame)
    return seen


def _stream(make: Callable[[], Any], octets: bytes) -> list[Any]:
    """The frames, which must be the same when the stream is split."""
    whole = _frames(make(), (octets,))
    place = octets[len(octets) // 2] % len(octets) if octets else 0
    split = _frames(make(), (octets[:place], octets[place:]))
    if _comparable(split) != _comparable(whole):
        raise NotTheSameError(f"split at {place}")
    return [one for one in whole if not isinstance(one, RemoteProtocolError)]


def _wrapper(octets: bytes) -> int:
    return len(_stream(WrapperReceiver, octets))


def _hdlc(octets: bytes) -> int:
    reassembler = HdlcReassembler()
    frames = _stream(HdlcReceiver, octets)
    for frame in frames:
        if HdlcFrame.from_octets(frame.to_octets()[1:-1]) != frame:
            raise NotTheSameError(repr(frame))
        if frame.control.kind in (ControlKind.I, ControlKind.UI):
            _join(reassembler, frame)
    return len(frames)


def _join(reassembler: Any, frame: Any) -> None:
    try:
        information = reassembler.receive_frame(frame)
        if information:
            llc.strip(information)
    except RemoteProtocolError as error:
        assert error.code


def _mbus(octets: bytes) -> int:
    reassembler = MBusReassembler()
    frames = _stream(MBusReceiver, octets)
    for frame in frames:
        _join(reassembler, frame)
    return len(frames)


def _chunks(octets: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(octets):
        behind = offset + 1 + octets[offset]
        yield octets[offset + 1 : behind]
        offset = behind


def _hdlc_sealed(octets: bytes) -> int:
    """Headers and informations with check sequences that are right, so that they are looked at."""
    stream = bytearray()
    for chunk in _chunks(octets):
        stream += _sealed(chunk[:5], chunk[5:], octets[0] & 8)
    return _hdlc(bytes(stream))


def _general_blocks(octets: bytes) -> int:
    """Blocks to whoever joins them: one way, and the exchange of both roles."""
    assembler = BlockAssembler(max_octets=256, max_blocks=16)
    exchanges = [
        BlockExchange(3, max_octets=256, max_blocks=16, answering=role) for role in (False, True)
    ]
    for exchange in exchanges:
        exchange.load(bytes(40), 16)
    joined = 0
    for chunk in _chunks(octets):
        if len(chunk) < 4:
            continue
        block = GeneralBlockTransfer(
            bool(chunk[0] & 0x80),
            bool(chunk[0] & 0x40),
            chunk[0] & 0x3F,
            chunk[1],
            chunk[2],
            chunk[3:],
        )
        for take in (assembler.take, *(exchange.take for exchange in exchanges)):
            try:
                joined += bool(take(block))
            except RemoteProtocolError as error:
                assert error.code
        for exchange in exchanges:
            if exchange.is_due:
                exchange.blocks()
    return joined


def _hdlc_links(octets: bytes) -> int:
    """Both roles' links, set up and asked, and then frames of anybody with right checks."""
    client, server = HdlcLink(HdlcAddress(16), HdlcAddress(1)), HdlcServerLink(HdlcAddress(1))
    server.receive_data(client.connect())
    server.next_apdu()
    client.receive_data(server.data_to_send())
    client.next_apdu()
    server.receive_data(client.wrap(PUSHES[0]))
    seen = 0
    for chunk in _chunks(octets):
        if not chunk:
            continue
        for link, there, here in ((client, b"\x21", b"\x03"), (server, b"\x03", b"\x21")):
            frame = _sealed(there + here + chunk[:1], chunk[1:], segmented=octets[0] & 8)
            link.receive_data(frame)
            try:
                while link.next_apdu() is not None:
                    seen += 1
                    if link is server:
                        link.wrap(bytes(200))
            except RemoteProtocolError as error:
                assert error.code
            link.data_to_send()
            if link.timeout_s is not None and len(chunk) & 1:
                try:
                    link.handle_timeout()
                except RemoteProtocolError as error:
                    assert error.code
    return seen


def _sealed(header: bytes, information: bytes, segmented: int) -> bytes:
    length = len(header) + 4 + (len(information) + 2 if information else 0)
    sealed = bytes((0xA0 | segmented, length & 0xFF)) + header
    sealed += fcs16(sealed).to_bytes(2, "little")
    if information:
        sealed += information
        sealed += fcs16(sealed).to_bytes(2, "little")
    return b"\x7e" + sealed + b"\x7e"


def _mbus_sealed(octets: bytes) -> int:
    stream = bytearray()
    for chunk in _chunks(octets):
        length = len(chunk) & 0xFF
        stream += bytes((0x68, length, length, 0x68)) + chunk + bytes((sum(chunk) & 0xFF, 0x16))
    return _mbus(bytes(stream))


def _ciphered(octets: bytes) -> None:
    """The header as it came; then the octets as plaintext, so that they get behind the tag."""
    apdu = decode_apdu(octets)
    if isinstance(apdu, Ciphered):
        opened = unprotect(KEYS, apdu.system_title or TITLE, apdu.content)
        decode_apdu(opened.plaintext)


def _deciphered(octets: bytes) -> None:
    protection = tuple(Protection)[octets[0] & 3] if octets else Protection.PLAIN
    if protection is Protection.PLAIN:
        protection = Protection.AUTHENTICATED
    content = protect(KEYS, TITLE, protection, 7, octets[1:])
    if unprotect(KEYS, TITLE, content).plaintext != octets[1:]:
        raise NotTheSameError("unprotect(protect(x))")
    translate(Ciphered(0xDB, content, TITLE).encode(), keys=TranslatorKeys(EK, AK))


_CLOCK = CaptureObject(8, Obis.parse("0.0.1.0.0.255"), 2, 0)
_STATUS = CaptureObject(1, Obis.parse("0.0.96.10.1.255"), 2, 0)
_ENERGY = CaptureObject(3, Obis.parse("1.0.1.8.0.255"), 2, 0)


def _profile(octets: bytes) -> None:
    nulls = NullMeaning.MISSING if octets[-1:] > b"\x7f" else NullMeaning.PREVIOUS
    columns = decode_profile(
        octets, (_CLOCK, _STATUS, _ENERGY), capture_period_s=900, null_means=nulls
    )
    if any(len(column.null) != columns.rows for column in columns.columns):
        raise NotTheSameError("columns of other lengths")


def _push(octets: bytes) -> None:
    apdu = decode_apdu(octets)
    if isinstance(apdu, DataNotification):
        body = apdu.body
        read_push(body if isinstance(body, Data) else decode_all(body))


def _translate(octets: bytes) -> None:
    translate(octets, keys=TranslatorKeys(EK, AK))


def _frame(information: bytes, control: int = 0x13) -> bytes:
    return HdlcFrame(
        destination=HdlcAddress(1),
        source=HdlcAddress(16),
        control=Control.from_octet(control),
        information=information,
    ).to_octets()


def _rows() -> tuple[bytes, ...]:
    moment = bytes.fromhex("07ea0b1506091e00ff800000")
    row = structure(
        Data(DataTag.OCTET_STRING, moment),
        Data(DataTag.UNSIGNED, 8),
        Data(DataTag.DOUBLE_LONG_UNSIGNED, 1234),
    )
    nulls = structure(NULL, Data(DataTag.UNSIGNED, 8), NULL)
    described = TypeDescription(
        DataTag.STRUCTURE,
        (
            TypeDescription(DataTag.OCTET_STRING),
            TypeDescription(DataTag.UNSIGNED),
            TypeDescription(DataTag.DOUBLE_LONG_UNSIGNED),
        ),
    )
    compact = Data(DataTag.COMPACT_ARRAY, CompactArray(described, (row, row)))
    return tuple(
        encode(value) for value in (array(row, row, row), array(row, nulls, nulls, row), compact)
    )


_PROTECTED: Final = tuple(
    Ciphered(0xDB, protect(KEYS, TITLE, protection, 1, apdu), TITLE).encode()
    for protection in tuple(Protection)[1:]
    for apdu in (PUSHES[0], APDUS[0])
)

TARGETS: Final[Mapping[str, Target]] = {
    "axdr": Target(_axdr, AXDR),
    "ber": Target(_ber, acse()),
    "apdu": Target(_apdu, (*APDUS, *PUSHES, *acse())),
    "hdlc": Target(
        _hdlc,
        (
            _frame(llc.add(PUSHES[0], response=True)),
            _frame(b"", 0x93) + _frame(bytes.fromhex("8180060502008006020080")),
            _frame(bytes(range(120)), 0x10) * 2,
        ),
        extra_s=0.001,
        most_octets=160,
    ),
    "hdlc-sealed": Target(
        _hdlc_sealed,
        (
            b"\x18\x03\x03\x21\x10\x10\xe6\xe7\x00" + PUSHES[0][:16],
            (b"\x0d\x03\x03\x21\x10\x10" + bytes(8)) * 3,
            b"\x10\x00\x02\x00\x23\x21\x93" + bytes.fromhex("8180060502008006020080"),
        ),
        extra_s=0.001,
        most_octets=160,
    ),
    "hdlc-links": Target(
        _hdlc_links,
        (
            b"\x0a\x30\xe6\xe7\x00\xc4\x01\xc1\x00\x00\x00\x01\x31\x01\x51\x01\x73\x01\x53",
            b"\x09\x10\xe6\xe6\x00" + bytes(5) + b"\x06\x32" + bytes(5) + b"\x02\x13\x00",
        ),
        extra_s=0.003,
        most_octets=160,
    ),
    "general-blocks": Target(
        _general_blocks,
        (
            b"\x0a\x43\x01\x00" + bytes(7) + b"\x0a\xc3\x02\x01" + bytes(7),
            b"\x04\x83\x01\x02\x00\x08\x03\x01\x01" + bytes(5),
        ),
        extra_s=0.001,
        most_octets=160,
    ),
    "mbus": Target(
        _mbus,
        (
            MBusFragmenter().to_octets(PUSHES[0]),
            MBusFragmenter(max_data=20).to_octets(PUSHES[1] * 2),
        ),
        extra_s=0.001,
        most_octets=160,
    ),
    "mbus-sealed": Target(
        _mbus_sealed,
        (b"\x15\x53\xff\x00\x01\x67" + bytes(16) + b"\x15\x53\xff\x11\x01\x67" + bytes(16),),
        extra_s=0.001,
        most_octets=160,
    ),
    "wrapper": Target(
        _wrapper,
        (
            WrapperFrame(1, 16, PUSHES[0]).to_octets(),
            WrapperFrame(1, 16, APDUS[0]).to_octets() * 3,
        ),
    ),
    "ciphered": Target(_ciphered, _PROTECTED),
    "deciphered": Target(_deciphered, tuple(b"\1" + apdu for apdu in (*PUSHES, *APDUS))),
    "profile": Target(_profile, _rows()),
    "push": Target(_push, PUSHES),
    "translate": Target(_translate, (*_PROTECTED, *PUSHES, *APDUS), extra_s=0.001),
    "client": Target(machines.client, machines.CLIENT_SEEDS, extra_s=0.005),
    "server": Target(machines.server, machines.SERVER_SEEDS, extra_s=0.005),
    # A whole association; and a year's maxima by month cost a fresh meter 0.2 s, once.
    "meter-file": Target(inventory.meter_file, inventory.SEEDS, extra_s=0.005),
    "simulated-meter": Target(meters.simulated_meter, meters.SEEDS, extra_s=0.1, most_octets=400),
}
