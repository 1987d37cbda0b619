"""
HLS with GMAC, mechanism_id 5: the proofs of passes 3 and 4.

IEC 62056-5-3, "HLS authentication", and 62056-6-2, class_id 15 `reply_to_HLS_authentication`:
f(challenge) = SC || IC || GMAC(SC || AK || challenge), where SC is 0x10, the initialization
vector is the prover's system title and IC, and the counter is one of the prover's own sequence,
another one than that of the APDU which carries the proof.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from hes_protocol.errors import LocalProtocolError, SecurityError
from hes_protocol.security.control import Protection
from hes_protocol.security.mechanisms import check_challenge
from hes_protocol.security.suite0 import (
    HEADER_OCTETS,
    SYSTEM_TITLE_OCTETS,
    TAG_OCTETS,
    SuiteKeys,
    initialization_vector,
)

TOKEN_OCTETS: Final = HEADER_OCTETS + TAG_OCTETS
_CONTROL: Final = int(Protection.AUTHENTICATED)


def gmac_token(
    keys: SuiteKeys, system_title: bytes, invocation_counter: int, challenge: bytes
) -> bytes:
    """
    Prove that we know the keys.

    Args: keys: global unicast. system_title: ours. invocation_counter: never used before.
        challenge: what the other side sent, StoC for a client.
    Returns: SC, IC and tag, 17 octets.
    Raises: LocalProtocolError: title, counter or challenge out of range.
        SecurityError: the authentication key is missing.
    """
    if not check_challenge(challenge):
        raise LocalProtocolError("a challenge has 8 to 64 octets")
    iv = initialization_vector(system_title, invocation_counter)
    header = _CONTROL.to_bytes(1, "big") + iv[SYSTEM_TITLE_OCTETS:]
    return header + keys.tag(iv, _CONTROL, challenge, b"")


def verify_gmac_token(keys: SuiteKeys, system_title: bytes, token: bytes, challenge: bytes) -> int:
    """
    Check the other side's proof.

    Args: keys: global unicast. system_title: the other side's. token: 17 octets.
        challenge: what we sent, CtoS for a client.
    Returns: the counter in the proof, for the caller to check.
    Raises: SecurityError: "authentication-failed": not such a token, or the tag is wrong;
        "system-title-mismatch": a title that is none; "key-missing".
    """
    if len(token) != TOKEN_OCTETS or token[0] != _CONTROL:
        raise SecurityError("authentication-failed", "no GMAC token")
    if len(system_title) != SYSTEM_TITLE_OCTETS:
        raise SecurityError("system-title-mismatch", "a system title has 8 octets")
    iv = system_title + token[1:HEADER_OCTETS]
    if not compare_digest(token[HEADER_OCTETS:], keys.tag(iv, _CONTROL, challenge, b"")):
        raise SecurityError("authentication-failed", "the proof is wrong")
    return int.from_bytes(token[1:HEADER_OCTETS], "big")
