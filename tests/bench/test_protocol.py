"""
The protocol core against dlms-cosem, in one process, alternately.

Rows `profile` (a day of 96 rows x [clock, status, 4 x uint32], 3,650 octets, to columns) and
`unprotect` (200 octets, AES-GCM-128 with a tag of 12 octets); microseconds of CPU.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dlms_cosem import cosem, enumerations
from dlms_cosem.connection import DlmsConnection
from dlms_cosem.parsers import ProfileGenericBufferParser
from dlms_cosem.protocol.xdlms import GeneralGlobalCipher

from hes_protocol._channel import Channel
from hes_protocol.axdr import Data, DataTag, array, encode, structure
from hes_protocol.cosem import CaptureObject, CosemDateTime, Obis
from hes_protocol.profile import NullMeaning, decode_profile
from hes_protocol.security import Protection, SuiteKeys, open_content, protect
from hes_protocol.xdlms.ciphered import GENERAL_GLO, Ciphered, split_ciphered
from tests.bench.conftest import Record

RUNS = 15
CLOCK = Obis.parse("0.0.1.0.0.255")
STATUS = Obis.parse("0.0.96.10.1.255")
VALUES = [Obis.parse(f"1.0.{c}.8.0.255") for c in (1, 2, 3, 4)]
OBJECTS = [
    CaptureObject(8, CLOCK, 2, 0),
    CaptureObject(1, STATUS, 2, 0),
    *(CaptureObject(3, obis, 2, 0) for obis in VALUES),
]
START = datetime(2026, 1, 1, tzinfo=UTC)


def day() -> bytes:
    rows = []
    for n in range(96):
        moment = CosemDateTime.from_datetime(START + timedelta(minutes=15 * n))
        rows.append(
            structure(
                Data(DataTag.OCTET_STRING, moment.to_octets()),
                Data(DataTag.UNSIGNED, 0),
                *(Data(DataTag.DOUBLE_LONG_UNSIGNED, 1_000_000 * k + n) for k in range(4)),
            )
        )
    return encode(array(*rows))


def dlms_cosem_parser() -> ProfileGenericBufferParser:
    return ProfileGenericBufferParser(
        capture_objects=[
            cosem.CosemAttribute(
                enumerations.CosemInterface(captured.class_id),
                cosem.Obis.from_bytes(captured.obis.octets),
                2,
            )
            for captured in OBJECTS
        ],
        capture_period=15,
    )


def cpu_us(work: Callable[[], object], times: int) -> float:
    start = time.process_time_ns()
    for _ in range(times):
        work()
    return (time.process_time_ns() - start) / times / 1000


def alternately(
    ours: Callable[[], object], peer: Callable[[], object], ours_times: int, peer_times: int
) -> tuple[list[float], list[float]]:
    mine, theirs = [], []
    for _ in range(RUNS):
        mine.append(cpu_us(ours, ours_times))
        theirs.append(cpu_us(peer, peer_times))
    return mine, theirs


def test_profile(record: Record) -> None:
    buffer = day()
    parser = dlms_cosem_parser()

    def ours() -> object:
        return decode_profile(buffer, OBJECTS, capture_period_s=900, null_means=NullMeaning.MISSING)

    assert ours().rows == len(parser.parse_bytes(buffer)) == 96  # type: ignore[attr-defined]
    mine, theirs = alternately(ours, lambda: parser.parse_bytes(buffer), 400, 10)
    record("profile", mine, unit="µs CPU", better="lower", peer="dlms-cosem", peer_values=theirs)

    template = struct.Struct(">2x2x12sxBxIxIxIxI")
    assert len(buffer) == 2 + 96 * template.size
    mine, theirs = alternately(
        ours, lambda: list(template.iter_unpack(memoryview(buffer)[2:])), 400, 1000
    )
    record(
        "profile", mine, unit="µs CPU", better="lower", peer="struct.iter_unpack",
        peer_values=theirs,
    )  # fmt: skip


def test_unprotect(record: Record) -> None:
    """
    200 octets deciphered and verified, at three depths of either library.

    `unprotect`: a whole general-glo APDU to its plaintext, by the APDU's own functions.
    `unprotect-content`: without the APDU's header, the cipher's part of it alone.
    `unprotect-apdu`: as the library's connection does it, with the counter checked.
    """
    ek, ak, title = bytes(range(16)), bytes(range(16, 32)), b"MTR\0\0\0\0\1"
    keys = SuiteKeys(ek, ak)
    plain = b"\xc4\x01\xc1\x00\x09\x81\xc1" + bytes(193)
    assert len(plain) == 200
    content = protect(keys, title, Protection.AUTHENTICATED_ENCRYPTED, 1, plain)
    apdu = Ciphered(GENERAL_GLO, content, title).encode()
    text = content[5:]
    connection = DlmsConnection.with_pre_established_association(
        conformance=None,
        global_encryption_key=ek,
        global_authentication_key=ak,
        client_system_title=b"HEScosem",
        meter_system_title=title,
        meter_invocation_counter=1,
    )
    channel = Channel(keys, b"HEStest1", Protection.AUTHENTICATED_ENCRYPTED, lambda: 1)
    channel.peer_title = title

    def whole() -> bytes:
        _, sender, ciphered = split_ciphered(apdu)
        assert sender is not None
        return open_content(keys, sender, ciphered)

    def peer_whole() -> object:
        return GeneralGlobalCipher.from_bytes(apdu).to_plain_apdu(ek, ak)

    def peer_connection() -> object:
        connection.meter_invocation_counter = 0
        opened = GeneralGlobalCipher.from_bytes(apdu)
        connection.update_meter_invocation_counter(opened.invocation_counter)
        return connection.decrypt(opened.ciphered_text)

    rows: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("unprotect", whole, peer_whole),
        (
            "unprotect-content",
            lambda: open_content(keys, title, content),
            lambda: connection.decrypt(text),
        ),
        ("unprotect-apdu", lambda: channel.open(apdu).apdu, peer_connection),
    ]
    for name, ours, theirs in rows:
        assert ours() == theirs() == plain
        mine, peers = alternately(ours, theirs, 2000, 500)
        record(name, mine, unit="µs CPU", better="lower", peer="dlms-cosem", peer_values=peers)
