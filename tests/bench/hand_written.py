"""
The baseline of row `session`: a whole HLS-GMAC session in straight lines, over a blocking socket.

AARQ/AARE, passes 3 and 4, one GET of a profile (96 rows x [clock, status, 4 x uint32]) decoded to
columns with date-times by a struct template, RLRQ/RLRE; every tag is verified. It knows its one
meter: offsets are counted by hand, nothing is looked up, nothing is general, the cipher object is
made once per key. Frozen since it was written (design/contracts.md, Benchmarks): what it does is
what the others are compared with.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ROW = struct.Struct(">4xHBBxBBBxhBxBxIxIxIxI")
HEADER = struct.Struct(">HHHH")
INITIATE = bytes.fromhex("01000000065f1f0400001e1dffff")
GET = bytes.fromhex("c001c100070100630100ff0200")
PROOF = bytes.fromhex("c301c1000f0000280000ff01010911")


def closed() -> bytes:
    raise ConnectionError("closed by the meter")


def session(
    sock: socket.socket,
    cipher: AESGCM,
    authentication_key: bytes,
    title: bytes,
    challenge: bytes,
    next_counter: Callable[[], int],
    sap: int,
) -> tuple[list[Any], ...]:
    """One session: the columns (time, deviation, clock status, status, four values)."""
    encrypt, header, recv = cipher.encrypt, HEADER.pack, sock.recv
    additional = b"\x30" + authentication_key
    gmac = b"\x10" + authentication_key

    # AARQ
    counter = next_counter().to_bytes(4, "big")
    initiate = encrypt(title + counter, INITIATE, additional)[:-4]
    body = (
        b"\xa1\x09\x06\x07\x60\x85\x74\x05\x08\x01\x03\xa6\x0a\x04\x08" + title
        + b"\x8a\x02\x07\x80\x8b\x07\x60\x85\x74\x05\x08\x02\x05\xac\x12\x80\x10" + challenge
        + b"\xbe\x23\x04\x21\x21\x1f\x30" + counter + initiate
    )  # fmt: skip
    sock.sendall(header(1, sap, 1, len(body) + 2) + b"\x60" + len(body).to_bytes(1, "big") + body)

    # AARE
    answer = recv(4096)
    while len(answer) < 8 or len(answer) < 8 + (answer[6] << 8 | answer[7]):
        answer += recv(4096) or closed()
    if answer[8] != 0x61 or answer[25] != 0:
        raise ValueError("not accepted")
    server = answer[37:45]
    end = 62 + answer[61]
    stoc = answer[62:end]
    known = answer[end + 7 : end + 11]
    text = answer[end + 11 : -12]
    plain = encrypt(server + known, text, None)[:-16]
    if not compare_digest(encrypt(server + known, plain, additional)[-16:-4], answer[-12:]):
        raise ValueError("tag")
    if plain[0] != 8:
        raise ValueError("no initiate-response")

    # Pass 3
    counter = next_counter().to_bytes(4, "big")
    token = b"\x10" + counter + encrypt(title + counter, b"", gmac + stoc)[:12]
    counter = next_counter().to_bytes(4, "big")
    body = counter + encrypt(title + counter, PROOF + token, additional)[:-4]
    sock.sendall(
        header(1, sap, 1, len(body) + 3) + b"\xcb" + (len(body) + 1).to_bytes(1, "big") + b"\x30"
        + body
    )  # fmt: skip

    # Pass 4
    answer = recv(4096)
    while len(answer) < 8 or len(answer) < 8 + (answer[6] << 8 | answer[7]):
        answer += recv(4096) or closed()
    if answer[8] != 0xCF or answer[10] != 0x30 or answer[11:15] <= known:
        raise ValueError("no answer to pass 3")
    known = answer[11:15]
    plain = encrypt(server + known, answer[15:-12], None)[:-16]
    if not compare_digest(encrypt(server + known, plain, additional)[-16:-4], answer[-12:]):
        raise ValueError("tag")
    if plain[:8] != b"\xc7\x01\xc1\x00\x01\x00\x09\x11":
        raise ValueError("pass 3 was refused")
    proof = encrypt(server + plain[9:13], b"", gmac + challenge)[:12]
    if not compare_digest(proof, plain[13:25]):
        raise ValueError("the server's proof")

    # GET
    counter = next_counter().to_bytes(4, "big")
    body = counter + encrypt(title + counter, GET, additional)[:-4]
    sock.sendall(
        header(1, sap, 1, len(body) + 3) + b"\xc8" + (len(body) + 1).to_bytes(1, "big") + b"\x30"
        + body
    )  # fmt: skip
    answer = recv(4096)
    while len(answer) < 8 or len(answer) < 8 + (answer[6] << 8 | answer[7]):
        answer += recv(4096) or closed()
    if answer[8:10] != b"\xcc\x82" or answer[12] != 0x30 or answer[13:17] <= known:
        raise ValueError("no answer to GET")
    known = answer[13:17]
    plain = encrypt(server + known, answer[17:-12], None)[:-16]
    if not compare_digest(encrypt(server + known, plain, additional)[-16:-4], answer[-12:]):
        raise ValueError("tag")
    if plain[:2] != b"\xc4\x01" or plain[3:6] != b"\x00\x01\x60":
        raise ValueError("no profile of 96 rows")
    rows = [
        (datetime(y, mo, d, h, mi, s), deviation, clock, status, a, b, c, e)
        for y, mo, d, h, mi, s, deviation, clock, status, a, b, c, e in ROW.iter_unpack(
            memoryview(plain)[6:]
        )
    ]
    columns = tuple(list(column) for column in zip(*rows, strict=True))

    # RLRQ
    counter = next_counter().to_bytes(4, "big")
    initiate = encrypt(title + counter, INITIATE, additional)[:-4]
    body = b"\x80\x01\x00\xbe\x23\x04\x21\x21\x1f\x30" + counter + initiate
    sock.sendall(header(1, sap, 1, len(body) + 2) + b"\x62" + len(body).to_bytes(1, "big") + body)

    # RLRE
    answer = recv(4096)
    while len(answer) < 8 or len(answer) < 8 + (answer[6] << 8 | answer[7]):
        answer += recv(4096) or closed()
    if answer[8] != 0x63 or answer[20:24] <= known:
        raise ValueError("no RLRE")
    iv = server + answer[20:24]
    plain = encrypt(iv, answer[24:-12], None)[:-16]
    if not compare_digest(encrypt(iv, plain, additional)[-16:-4], answer[-12:]):
        raise ValueError("tag")
    return columns
