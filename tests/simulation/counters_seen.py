"""
Which invocation counters stand in what a collector sends: those of frames, and of HLS proofs.

Reads wrapper frames; over HDLC the same client speaks, and only the frames differ.
Source: IEC 62056-47; IEC 62056-5-3, "security header", and HLS mechanism 5.
"""

from __future__ import annotations

from typing import Final

import attrs

from hes_protocol.acse.aarq import Aarq
from hes_protocol.axdr import read_length
from hes_protocol.security.suite0 import SuiteKeys, unprotect
from hes_protocol.wrapper.frame import HEADER_OCTETS
from hes_protocol.xdlms.ciphered import GLO_TAGS

_CIPHERED: Final = frozenset(GLO_TAGS.values())
_GLO_ACTION: Final = GLO_TAGS[0xC3]
_AARQ: Final = 0x60
# Octet string of 17: control, counter, tag of twelve octets.
_PROOF: Final = b"\x09\x11\x10"
_PROOF_OCTETS: Final = 19


@attrs.frozen
class KeysOf:
    """What opens the frames of one association; `title` is ours."""

    keys: SuiteKeys
    title: bytes


def counters_in(octets: bytes, known: KeysOf | None) -> tuple[int, ...]:
    """The counters in the frames of one chunk; `known` None: nothing of it is ciphered."""
    found: list[int] = []
    while known is not None and len(octets) > HEADER_OCTETS:
        end = HEADER_OCTETS + int.from_bytes(octets[6:8], "big")
        found += _of_apdu(octets[HEADER_OCTETS:end], known)
        octets = octets[end:]
    return tuple(found)


def _of_apdu(apdu: bytes, known: KeysOf) -> list[int]:
    if apdu[0] == _AARQ:
        initiate = Aarq.decode(apdu).user_information
        return [] if initiate is None or initiate[0] not in _CIPHERED else _of(initiate, known)
    return _of(apdu, known) if apdu[0] in _CIPHERED else []


def _of(apdu: bytes, known: KeysOf) -> list[int]:
    _, at = read_length(apdu, 1)
    found = [int.from_bytes(apdu[at + 1 : at + 5], "big")]
    if apdu[0] == _GLO_ACTION:
        plain = unprotect(known.keys, known.title, apdu[at:]).plaintext
        proof = plain[-_PROOF_OCTETS:]
        if proof.startswith(_PROOF):
            found.append(int.from_bytes(proof[3:7], "big"))
    return found
