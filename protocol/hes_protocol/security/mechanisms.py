"""
Authentication mechanisms: what each needs, and the proofs of those that only hash.

Owns the functions f(challenge) of HLS 3, 4 and 6, and the shape of the manufacturer's one, HLS 2.
GMAC, which needs keys and a counter instead of a secret, is in `hls_gmac.py`; who sends which
challenge is the handshake's. IEC 62056-5-3, "HLS authentication":

| mechanism_id | f(StoC), pass 3 | f(CtoS), pass 4 |
|---|---|---|
| 2 | the manufacturer's | the manufacturer's |
| 3 | MD5(StoC, secret) | MD5(CtoS, secret) |
| 4 | SHA-1(StoC, secret) | SHA-1(CtoS, secret) |
| 6 | SHA-256(secret, STC, STS, StoC, CtoS) | SHA-256(secret, STS, STC, CtoS, StoC) |

STC and STS are the system titles of client and server. Seen from the prover both columns are one
function: of the challenge that it was given, of the one that it sent, of its own title and of the
other's. MD5 and SHA-1 are here for meters that know nothing better; nothing but the association
of such a meter chooses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import md5, sha1, sha256
from hmac import compare_digest
from typing import Final, TypeAlias

import attrs

from hes_protocol.acse.names import Mechanism
from hes_protocol.errors import LocalProtocolError, SecurityError

MIN_CHALLENGE_OCTETS: Final = 8
MAX_CHALLENGE_OCTETS: Final = 64

IMPLEMENTED: Final = frozenset(Mechanism) - {Mechanism.HLS_ECDSA}
"""Mechanisms of suite 0, which both state machines know."""

HLS: Final = frozenset(mechanism for mechanism in Mechanism if mechanism >= Mechanism.HLS)
"""Mechanisms with passes 3 and 4."""

NEED_SECRET: Final = frozenset(
    {Mechanism.LLS, Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256}
)
"""Mechanisms that cannot do without a secret."""

NEED_TITLES: Final = frozenset({Mechanism.HLS_GMAC, Mechanism.HLS_SHA256})
"""Mechanisms whose proofs hold both system titles."""


@attrs.frozen(kw_only=True)
class HlsExchange:
    """
    What a proof is made of, seen from the side that proves.

    Args: challenge: what the other side sent. own_challenge: what this side sent. secret: shared,
        empty where none is set. title, peer_title: system titles of this side and of the other.
    """

    challenge: bytes = attrs.field(repr=False)
    own_challenge: bytes = attrs.field(repr=False)
    secret: bytes = attrs.field(default=b"", repr=False)
    title: bytes | None = None
    peer_title: bytes | None = None


HlsFunction: TypeAlias = Callable[[HlsExchange], bytes]
"""f(challenge) of a mechanism without keys; the manufacturer's is given in the settings."""


def _md5(exchange: HlsExchange) -> bytes:
    return md5(exchange.challenge + exchange.secret, usedforsecurity=False).digest()


def _sha1(exchange: HlsExchange) -> bytes:
    return sha1(exchange.challenge + exchange.secret, usedforsecurity=False).digest()


def _sha256(exchange: HlsExchange) -> bytes:
    if not exchange.title or not exchange.peer_title:
        raise LocalProtocolError("HLS_SHA256 needs both system titles")
    return sha256(
        exchange.secret
        + exchange.title
        + exchange.peer_title
        + exchange.challenge
        + exchange.own_challenge
    ).digest()


_FUNCTIONS: Final[Mapping[Mechanism, HlsFunction]] = {
    Mechanism.HLS_MD5: _md5,
    Mechanism.HLS_SHA1: _sha1,
    Mechanism.HLS_SHA256: _sha256,
}


def hls_function(mechanism: Mechanism, own: HlsFunction | None = None) -> HlsFunction:
    """
    f(challenge) of a mechanism that only hashes.

    Args: own: the manufacturer's, for HLS 2.
    Raises: LocalProtocolError: it has none, or the manufacturer's is missing.
    """
    function = own if mechanism is Mechanism.HLS else _FUNCTIONS.get(mechanism)
    if function is None:
        raise LocalProtocolError(f"mechanism {mechanism.name} has no function here")
    return function


def check_challenge(challenge: bytes) -> bool:
    """Whether a challenge has a length that the standard allows, 8..64 octets."""
    return MIN_CHALLENGE_OCTETS <= len(challenge) <= MAX_CHALLENGE_OCTETS


def verify_hash(function: HlsFunction, exchange: HlsExchange, proof: bytes) -> None:
    """
    Check the other side's proof.

    Args: exchange: seen from the other side.
    Raises: SecurityError: "authentication-failed".
    """
    if not compare_digest(function(exchange), proof):
        raise SecurityError("authentication-failed", "the proof is wrong")


def verify_secret(expected: bytes | None, given: bytes | None) -> bool:
    """Whether `given` is the secret of LLS; never where none is set."""
    return expected is not None and compare_digest(expected, given or b"")
