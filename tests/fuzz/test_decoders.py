"""
Hostile octets to every decoder, for as long as `make fuzz DURATION=` says.

What may come out is a value or a `RemoteProtocolError`, within the budget of 1 ms + 1 µs an octet
(ten times that here, since the machine is not ours alone). Inputs are mutated from valid ones and
from each other; the seed is printed, and a failing input is shown in hex.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from hes_protocol.acse import Aare, Aarq
from hes_protocol.axdr import Data, DataTag, array, decode_all, encode, structure
from hes_protocol.errors import RemoteProtocolError
from hes_protocol.hdlc import Control, HdlcAddress, HdlcFrame, llc
from hes_protocol.security import Protection, SuiteKeys, protect
from hes_protocol.translator import TranslatorKeys, TransportKind, translate
from hes_protocol.wrapper import WrapperFrame
from hes_protocol.xdlms import Ciphered, DataNotification, decode_apdu

SECONDS = float(os.environ.get("HES_FUZZ_SECONDS", "5"))
EK, AK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"HES\0\0\0\0\1"
BODY = array(structure(Data(DataTag.OCTET_STRING, b"\1\0\1\x08\0\xff"), Data(DataTag.LONG, 1)))
PUSH = DataNotification(1, None, BODY).encode()
CIPHERED = Ciphered(
    0xDB, protect(SuiteKeys(EK, AK), TITLE, Protection.AUTHENTICATED_ENCRYPTED, 1, PUSH), TITLE
).encode()
FRAME = HdlcFrame(
    destination=HdlcAddress(1),
    source=HdlcAddress(1),
    control=Control.from_octet(0x13),
    information=llc.add(CIPHERED, response=True),
).to_octets()
AARQ = bytes.fromhex("601da109060760857405080101be10040e01000000065f1f040000181f0200")
AARE = bytes.fromhex(
    "6129a109060760857405080101a203020100a305a103020100be10040e0800065f1f0400001e1d00800007"
)

TARGETS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "axdr": (decode_all, encode(BODY)),
    "apdu": (decode_apdu, PUSH),
    "aarq": (Aarq.decode, AARQ),
    "aare": (Aare.decode, AARE),
    "hdlc": (lambda octets: translate(octets, TransportKind.HDLC), FRAME),
    "wrapper": (
        lambda octets: translate(octets, TransportKind.WRAPPER),
        WrapperFrame(1, 1, PUSH).to_octets(),
    ),
    "ciphered": (
        lambda octets: translate(octets, TransportKind.APDU, TranslatorKeys(EK, AK)),
        CIPHERED,
    ),
}


def mutated(octets: bytes, chance: random.Random) -> bytes:
    changed = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(5):
            case 0 if changed:
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            case 1 if changed:
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            case 2:
                place = chance.randint(0, len(changed))
                changed[place:place] = chance.randbytes(chance.randint(1, 8))
            case 3 if changed:
                del changed[chance.randrange(len(changed)) :]
            case _:
                place = chance.randint(0, len(changed))
                changed[place:place] = changed[:place] * chance.randint(1, 3)
    return bytes(changed[:4096])


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_gives_a_value_or_a_typed_error(name: str) -> None:
    decoder, valid = TARGETS[name]
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    pool = [valid]
    executions, end = 0, time.monotonic() + SECONDS / len(TARGETS)
    while time.monotonic() < end:
        octets = mutated(chance.choice(pool), chance)
        start = time.process_time()
        try:
            decoder(octets)
        except RemoteProtocolError:
            pass
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: {error!r} for {octets.hex()}") from error
        else:
            pool = [*pool[-63:], octets]
        spent = time.process_time() - start
        assert spent < 10 * (0.001 + len(octets) * 1e-6) + 0.05, (name, spent, octets.hex())
        executions += 1
    print(f"{name}: {executions} executions, seed {seed}")
    assert executions > 0
